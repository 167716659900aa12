"""Split regions by group: a metaphase is used for training or for validation, never both.

Each group has a place in [0, 1), from a hash of its name.  Those below the validation share are
validated on, so a group stays on its side when others are added.  Groups change sides only if the
validation groups would be too few or too many, lack a type, or were trained on by the base model:
see `split_groups`.

The split is saved when a run starts and reused when it is resumed: annotations may change in
between, and a new split could validate on a metaphase that was trained on.  The validation groups
of each fold are saved too, so that no group is validated on twice; groups added later are trained
on in every fold.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from napari_chromocluster.cluster_types import TYPES
from napari_chromocluster.imaging.files import write_text_atomic
from napari_chromocluster.results.annotated_crops import read_sources, trainable
from napari_chromocluster.results.annotation_groups import images_of_two_groups
from napari_chromocluster.results.annotations import AnnotationError, naming_line
from napari_chromocluster.training.config import ConfigError, TrainingConfig

_TYPES = {str(kind) for kind in TYPES}
#: Minimum and maximum number of validation groups, relative to the requested share.
_FEWEST, _MOST = 0.5, 2.0
#: Maximum number of splits searched for one with every type on both sides.
_SEARCHED = 2000
#: File of a saved split in the checkpoint folder.
_NAME = "division.json"

Division = tuple[set[str], set[str]]


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


def check_annotations(config: TrainingConfig) -> pd.DataFrame:
    """Read the annotations, and check that they can be split, without opening an image.

    Returns
    -------
    DataFrame
        As from `read_tables`, without regions of unknown type.

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
    return table


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


def group_hash(name: str) -> str:
    """Return 12 hex digits that stand for a group without naming it."""
    return hashlib.sha256(name.encode()).hexdigest()[:12]


def groups_in_training_set(model: str | None, groups: Iterable[str]) -> set[str]:
    """Return the groups that a model was trained on.

    Parameters
    ----------
    model : str or None
        A listed model or a file; the result is empty if it does not exist.
    groups : iterable of str
        Names of groups; a card may contain their hashes instead.
    """
    if model is None:
        return set()
    # Lazy import: counting annotations does not need it.
    from napari_chromocluster.models.model_card import read_card
    from napari_chromocluster.models.registry import resolve_model

    try:
        card = read_card(resolve_model(model))
    except (ValueError, OSError):
        return set()
    trained = {str(group) for group in card.training.get("groups_trained", ())}
    return {group for group in groups if group in trained or group_hash(group) in trained}


def load_or_create_split(
    groups: Sequence[str],
    types: Sequence[str],
    config: TrainingConfig,
    folder: Path,
    resume: bool,
) -> Division:
    """Split groups into training and validation groups; a resumed run keeps its split.

    Parameters
    ----------
    groups, types, config
        As in `split_groups`.
    folder : Path
        Checkpoint folder; the split is saved there.
    resume : bool
        Whether to keep the saved split.  Groups added since are trained on, in the other folds
        as well.

    Raises
    ------
    ConfigError
        If there are fewer than two groups, or one side of the saved split is missing.
    """
    kept = _read(folder) if resume else None
    if kept is None:
        division = split_groups(groups, types, config)
        folds = _folds(division, config)
    else:
        folds = _read_folds(folder) or _folds(kept, config)
        present = set(groups) - set(config.excluded_groups)
        division = present - kept[1], present & kept[1]
        for side, use in zip(division, ("learns from", "checks on"), strict=True):
            if not side:
                raise ConfigError(
                    f"None of the groups (metaphases) that this training {use} is left in its "
                    f"annotations: restore them, or start a new training."
                )
    _keep(folder, division, folds)
    return division


def forget_division(folder: Path) -> None:
    """Delete the split of a training run that failed before its first epoch."""
    (folder / _NAME).unlink(missing_ok=True)


def save_fold_split(whole: Path, own: Path, config: TrainingConfig) -> None:
    """Save the split of another fold, as it was when the first fold started."""
    kept, folds = _read(whole), _read_folds(whole)
    if kept is not None and len(folds) == config.folds:
        checked = folds[config.fold]
        _keep(own, ((kept[0] | kept[1]) - checked, checked), folds)


def groups_in_saved_split(folder: Path) -> set[str]:
    """Return the training and validation groups of a training run."""
    kept = _read(folder)
    return set() if kept is None else kept[0] | kept[1]


def _folds(division: Division, config: TrainingConfig) -> list[set[str]]:
    """Return the validation groups of each fold; empty without cross-validation."""
    if config.folds == 1:
        return []
    groups = division[0] | division[1]
    folds = [fold_of(groups, config.replace(fold=fold))[1] for fold in range(config.folds)]
    if folds[config.fold] != division[1]:
        # Groups were added or removed before the folds were saved.
        folds = [fold - division[1] for fold in folds]
        folds[config.fold] = division[1]
    return folds


def _read_folds(folder: Path) -> list[set[str]]:
    try:
        return [set(fold) for fold in _values(folder).get("folds", [])]
    except TypeError:
        return []


def _keep(folder: Path, division: Division, folds: list[set[str]]) -> None:
    sides: dict[str, object] = {"learn": sorted(division[0]), "check": sorted(division[1])}
    if folds:
        sides["folds"] = [sorted(fold) for fold in folds]
    write_text_atomic(folder / _NAME, json.dumps(sides, indent=1))


def _read(folder: Path) -> Division | None:
    try:
        sides = _values(folder)
        return set(sides["learn"]), set(sides["check"])
    except (KeyError, TypeError):
        return None


def _values(folder: Path) -> dict[str, Any]:
    """Return the content of the file; empty if it does not exist."""
    try:
        values = json.loads((folder / _NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}
