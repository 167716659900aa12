"""Split regions by group: a metaphase is trained on or validated on, never both.

The order of the groups comes from a hash of their names, so a group stays on
its side when others are added, run after run.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from napari_chromocluster.results.annotations import AnnotationError
from napari_chromocluster.results.groups import images_of_two_groups
from napari_chromocluster.results.sources import read_sources, trainable
from napari_chromocluster.taxonomy import TYPES
from napari_chromocluster.training.config import ConfigError, TrainingConfig

_TYPES = {str(kind) for kind in TYPES}


def group_hash(name: str) -> str:
    """Return 12 hex digits that stand for a group without naming it."""
    return hashlib.sha256(name.encode()).hexdigest()[:12]


def read_tables(config: TrainingConfig) -> pd.DataFrame:
    """Read the annotations of a training, test groups left out.

    The column ``source`` tells the place of each row's file among ``config.annotations``.

    Raises
    ------
    AnnotationError
        If a file cannot be used.
    """
    table = read_sources(config.annotations)
    # A test group may be large, and nothing is made of it here.
    return table[~table["group"].isin(config.excluded_groups)]


def check_annotations(config: TrainingConfig) -> None:
    """Make sure that the annotations can be read and divided, without opening an image.

    Raises
    ------
    AnnotationError
        If a file cannot be used, if nothing is annotated, or if an image is in two groups.
    ConfigError
        If there are not two groups.
    """
    table = trainable(read_tables(config))
    if table.empty:
        raise AnnotationError("There is no annotated region: annotate some or choose other files.")
    for image, groups in images_of_two_groups(table).items():
        raise AnnotationError(
            f"{Path(image).name} belongs to two groups, {groups[0]!r} and {groups[1]!r}, so it "
            f"would be learnt from and checked on: give it one group in all annotation files."
        )
    split_groups(
        [str(group) for group in table["group"]],
        [str(kind) for kind in table["cluster_type"]],
        config,
    )


def group_place(name: str) -> float:
    """Return a number in [0, 1) that is the same for a group in every run."""
    return int(hashlib.sha256(name.encode()).hexdigest()[:8], 16) / 16**8


def split_groups(
    groups: Sequence[str], types: Sequence[str], config: TrainingConfig
) -> tuple[set[str], set[str]]:
    """Divide groups into those to train on and those to validate on.

    Parameters
    ----------
    groups, types : sequence of str, one a region
        Group and cluster type of each region.
    config : TrainingConfig
        Shares, named groups and folds.

    Returns
    -------
    tuple of set
        Groups for training and groups for validation.

    Raises
    ------
    ConfigError
        If there are not two groups, or no region of a known type to check on.
    """
    excluded = set(config.excluded_groups)
    held: dict[str, set[str]] = {}
    for group, kind in zip(groups, types, strict=True):
        if group not in excluded:
            held.setdefault(group, set()).add(kind)
    if len(held) < 2:
        raise ConfigError(
            "Training needs at least two groups (metaphases), one to learn from and one to check: "
            "annotate another metaphase."
        )
    order = sorted(held, key=group_place)
    if config.folds > len(order):
        raise ConfigError(
            f"{config.folds} folds need as many groups (metaphases), and there are {len(order)}: "
            f"use at most {len(order)} folds."
        )
    if config.validation_groups:
        missing = set(config.validation_groups) - set(order)
        if missing:
            raise ConfigError(
                f"Validation groups are not in the data: {', '.join(sorted(missing))}."
            )
        validation = set(config.validation_groups)
    elif config.folds > 1:
        validation = fold_of(order, config)[1]
    else:
        count = min(max(1, round(config.validation_share * len(order))), len(order) - 1)
        validation = _with_every_type(order, set(order[:count]), held)
    training = set(order) - validation
    if not training or not validation:
        raise ConfigError("One side of the split is empty: use fewer folds or more metaphases.")
    if not any(held[group] & _TYPES for group in validation):
        raise ConfigError(
            f"The groups to check on ({', '.join(sorted(validation))}) hold no region of one known "
            f"type: annotate types there, or choose other validation groups."
        )
    return training, validation


def fold_of(groups: Iterable[str], config: TrainingConfig) -> tuple[set[str], set[str]]:
    """Divide groups for a fold of a configuration: those to train on, those to validate on."""
    order = sorted(groups, key=group_place)
    validation = set(order[config.fold :: config.folds])
    return set(order) - validation, validation


def _with_every_type(order: list[str], validation: set[str], held: dict[str, set[str]]) -> set[str]:
    """Add groups until every type that two groups hold is on both sides."""
    if not any(held[group] & _TYPES for group in validation):
        # Nothing can be checked on regions of which only some type is known.
        typed = [group for group in order if held[group] & _TYPES]
        validation = {typed[0]} if typed else validation
    for kind in (str(one) for one in TYPES):
        having = [group for group in order if kind in held[group]]
        if len(having) < 2:
            continue
        if not validation & set(having) and len(validation) + 1 < len(order):
            validation = validation | {having[0]}
        if set(having) <= validation and len(validation) > 1:
            validation = validation - {having[-1]}
    return validation


def rows_of(groups: NDArray[np.str_], chosen: set[str]) -> NDArray[np.intp]:
    """Return the rows whose group is among the chosen."""
    return np.nonzero(np.isin(groups, sorted(chosen)))[0]
