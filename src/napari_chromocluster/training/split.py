"""Split regions by group: a metaphase is trained on or validated on, never both.

Each group has a place between 0 and 1, from a hash of its name.  Those below the share to check
on are checked on, so a group stays on its side when others are added.  It changes sides only
where the groups by themselves would be too few, too many, of one side's types alone, or learnt
from by the model that the training begins with: see `split_groups`.
"""

from __future__ import annotations

import hashlib
import math
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from napari_chromocluster.results.annotations import AnnotationError
from napari_chromocluster.results.groups import images_of_two_groups
from napari_chromocluster.results.sources import read_sources, trainable
from napari_chromocluster.taxonomy import TYPES
from napari_chromocluster.training.config import ConfigError, TrainingConfig
from napari_chromocluster.training.seen import seen_groups

_TYPES = {str(kind) for kind in TYPES}
#: How many groups are checked on, in shares of what was asked for: between these the places of
#: the groups decide alone.
_FEWEST, _MOST = 0.5, 2.0
#: Divisions that are looked at for one with every type on both sides.
_LOOKED_AT = 2000


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

    Unless groups are named or folded, those are validated on whose place (see `group_place`)
    lies below the share, with as few changes as these rules ask for:

    - between half and twice the share of the groups are validated on, and at least one;
    - none that the model to begin with was trained on, unless there are no others;
    - every type that two groups hold is on both sides, as far as that can be.

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
    if config.validation_groups and config.folds > 1:
        raise ConfigError(
            "In folds every group is checked once: take one fold, or name no groups to check on."
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
        validation = _by_place(order, held, config)
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


def _by_place(order: list[str], held: Mapping[str, set[str]], config: TrainingConfig) -> set[str]:
    """Return the groups to validate on, where none are named; ``order`` is that of their places."""
    learnt = seen_groups(config.base_model, order)
    usable = [group for group in order if group not in learnt]
    if not any(held[group] & _TYPES for group in usable):
        usable = order
    # Something new is to be learnt as well.
    top = max(1, len(usable) - 1)
    asked = config.validation_share * len(order)
    most = min(max(1, math.floor(_MOST * asked)), top)
    fewest = min(max(1, math.floor(_FEWEST * asked)), top)
    chosen = [group for group in usable if group_place(group) < config.validation_share][:most]
    # On regions of which only some type is known nothing can be checked: they come last.
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
    """Move as few groups as can be so that every type that two groups hold is on both sides.

    Parameters
    ----------
    start : set of str
        Groups to validate on.
    usable : list of str
        Groups that may be, in the order of their places.
    top : int
        Most groups to validate on.
    held : mapping of str to set of str
        Types of each group.
    """
    having = {str(kind): {one for one in held if str(kind) in held[one]} for kind in TYPES}
    # What few groups hold leaves the least choice.
    wanted = sorted((some for some in having.values() if len(some) > 1), key=len)
    first = frozenset(start)
    best, least = first, _lacking(first, wanted)
    seen, waiting = {first}, deque([first])
    # In breadth: the first that lacks nothing has the fewest groups moved.
    while waiting and least and len(seen) < _LOOKED_AT:
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
    """Yield what a side may become by one move that brings the types that are on one side only.

    No group moves back, and of those that hold the same types only the first moves.
    """
    for some in wanted:
        if some & side and not some <= side:
            continue
        # The groups next to the border change sides first.
        movable = [one for one in usable if one in some and (one in side) == (one in first)]
        kinds = set()
        for one in reversed(movable) if some <= side else movable:
            kind = frozenset(held[one])
            if kind not in kinds:
                kinds.add(kind)
                yield side ^ {one}


def rows_of(groups: NDArray[np.str_], chosen: set[str]) -> NDArray[np.intp]:
    """Return the rows whose group is among the chosen."""
    return np.nonzero(np.isin(groups, sorted(chosen)))[0]
