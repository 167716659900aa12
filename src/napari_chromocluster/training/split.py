"""Split regions by group: a metaphase is used for training or for validation, never both.

Each group has a place in [0, 1), from a hash of its name.  Those below the validation share are
validated on, so a group stays on its side when others are added.  Groups change sides only if the
validation groups would be too few or too many, lack a type, or were trained on by the base model:
see `split_groups`.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from napari_chromocluster.cluster_types import TYPES
from napari_chromocluster.results.annotated_crops import read_sources, trainable
from napari_chromocluster.results.annotation_groups import images_of_two_groups
from napari_chromocluster.results.annotations import AnnotationError, naming_line
from napari_chromocluster.training.config import ConfigError, TrainingConfig
from napari_chromocluster.training.training_groups import groups_in_training_set

_TYPES = {str(kind) for kind in TYPES}
#: Minimum and maximum number of validation groups, relative to the requested share.
_FEWEST, _MOST = 0.5, 2.0
#: Maximum number of splits searched for one with every type on both sides.
_SEARCHED = 2000


def read_tables(config: TrainingConfig) -> pd.DataFrame:
    """Read the annotations of a training run without the excluded groups.

    The column ``source`` is the index of each row's file in ``config.annotations``.

    Raises
    ------
    AnnotationError
        If a file cannot be used.
    """
    table = read_sources(config.annotations)
    return table[~table["group"].isin(config.excluded_groups)]


def check_annotations(config: TrainingConfig) -> None:
    """Check that the annotations can be read and split, without opening an image.

    Raises
    ------
    AnnotationError
        If a file cannot be used, nothing is annotated, or an image is in two groups.
    ConfigError
        If there are fewer than two groups.
    """
    table = trainable(read_tables(config))
    if table.empty:
        names = ", ".join(Path(one).name for one in config.annotations)
        raise AnnotationError(
            f"There is no annotated region in {names}: annotate some or choose other files."
        )
    for image, groups in images_of_two_groups(table).items():
        second = table[table["group"] == groups[1]]
        with naming_line(second[second["image"].map(os.path.realpath) == image]):
            raise AnnotationError(
                f"{Path(image).name} belongs to two groups, {groups[0]!r} and {groups[1]!r}, so it "
                f"could be both learned from and checked on: give it one group in all annotation "
                f"files."
            )
    split_groups(
        [str(group) for group in table["group"]],
        [str(kind) for kind in table["cluster_type"]],
        config,
    )


def group_place(name: str) -> float:
    """Return a number in [0, 1) that depends only on the name of a group."""
    return int(hashlib.sha256(name.encode()).hexdigest()[:8], 16) / 16**8


def split_groups(
    groups: Sequence[str], types: Sequence[str], config: TrainingConfig
) -> tuple[set[str], set[str]]:
    """Split groups into training and validation groups.

    Unless validation groups are named or folds are used, the validation groups are those whose
    `group_place` is below the share, with as few changes as these rules require:

    - the number of validation groups is between half and twice the share, and at least one;
    - no group that the base model was trained on, unless there are no others;
    - every type that occurs in two or more groups is on both sides, if possible.

    Parameters
    ----------
    groups, types : sequence of str
        Group and cluster type of each region.
    config : TrainingConfig
        Shares, named groups and folds.

    Returns
    -------
    tuple of set
        Training groups and validation groups.

    Raises
    ------
    ConfigError
        If there are fewer than two groups, or no region of a known type to validate on.
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
            f"{config.folds} folds need as many groups (metaphases), but there are {len(order)}: "
            f"use at most {len(order)} folds."
        )
    if config.validation_groups and config.folds > 1:
        raise ConfigError(
            "With folds, every group is checked once: use one fold, or name no validation groups."
        )
    if config.validation_groups:
        missing = set(config.validation_groups) - set(order)
        if missing:
            raise ConfigError(
                f"These validation groups are not in the data: {', '.join(sorted(missing))}."
            )
        validation = set(config.validation_groups)
    elif config.folds > 1:
        validation = fold_of(order, config)[1]
    else:
        validation = _by_place(order, held, config)
    training = set(order) - validation
    if not training or not validation:
        raise ConfigError("One side of the split is empty: use fewer folds or more metaphases.")
    if not any(held[group] & _TYPES for group in validation):
        raise ConfigError(
            f"The validation groups ({', '.join(sorted(validation))}) have no region of one known "
            f"type: annotate types there, or choose other validation groups."
        )
    return training, validation


def fold_of(groups: Iterable[str], config: TrainingConfig) -> tuple[set[str], set[str]]:
    """Return the training and validation groups of the fold of a configuration."""
    order = sorted(groups, key=group_place)
    validation = set(order[config.fold :: config.folds])
    return set(order) - validation, validation


def _by_place(order: list[str], held: Mapping[str, set[str]], config: TrainingConfig) -> set[str]:
    """Choose the validation groups among groups in ``order`` of their places."""
    seen = groups_in_training_set(config.base_model, order)
    usable = [group for group in order if group not in seen]
    if not any(held[group] & _TYPES for group in usable):
        usable = order
    # Leave a group for training that the base model has not seen.
    top = max(1, len(usable) - 1)
    asked = config.validation_share * len(order)
    most = min(max(1, math.floor(_MOST * asked)), top)
    fewest = min(max(1, math.floor(_FEWEST * asked)), top)
    chosen = [group for group in usable if group_place(group) < config.validation_share][:most]
    # Groups without a region of known type are useless for validation: take them last.
    others = [group for group in usable if group not in chosen]
    others.sort(key=lambda group: not held[group] & _TYPES)
    chosen += others[: max(0, fewest - len(chosen))]
    if not any(held[group] & _TYPES for group in chosen):
        typed = [group for group in usable if held[group] & _TYPES][:1]
        chosen = [*chosen[: top - 1], *typed] if typed else chosen
    return _with_every_type(set(chosen), usable, top, held)


def _with_every_type(
    start: set[str], usable: list[str], top: int, held: Mapping[str, set[str]]
) -> set[str]:
    """Move as few groups as possible so that every type of two or more groups is on both sides."""
    having = {str(kind): {one for one in held if str(kind) in held[one]} for kind in TYPES}
    # Types of few groups first: they leave the least choice.
    wanted = sorted((some for some in having.values() if len(some) > 1), key=len)
    first = frozenset(start)
    best, least = first, _lacking(first, wanted)
    seen, waiting = {first}, deque([first])
    # Breadth first: the first complete split has the fewest groups moved.
    while waiting and least and len(seen) < _SEARCHED:
        for side in _moved(waiting.popleft(), first, usable, wanted, held):
            if side in seen or len(side) > top:
                continue
            seen.add(side)
            waiting.append(side)
            if (lacking := _lacking(side, wanted)) < least:
                best, least = side, lacking
    return set(best)


def _lacking(side: frozenset[str], wanted: list[set[str]]) -> int:
    """Count the types that are on one side only."""
    return sum(not some & side or some <= side for some in wanted)


def _moved(
    side: frozenset[str],
    first: frozenset[str],
    usable: list[str],
    wanted: list[set[str]],
    held: Mapping[str, set[str]],
) -> Iterator[frozenset[str]]:
    """Yield the splits after moving one group that has a type of one side only.

    No group moves back; of groups with the same types, only the first moves.
    """
    for some in wanted:
        if some & side and not some <= side:
            continue
        # Groups whose place is nearest to the share move first.
        movable = [one for one in usable if one in some and (one in side) == (one in first)]
        kinds = set()
        for one in reversed(movable) if some <= side else movable:
            kind = frozenset(held[one])
            if kind not in kinds:
                kinds.add(kind)
                yield side ^ {one}


def rows_of(groups: NDArray[np.str_], chosen: set[str]) -> NDArray[np.intp]:
    """Return the rows of the chosen groups."""
    return np.nonzero(np.isin(groups, sorted(chosen)))[0]
