"""The division of a training, written down as it begins: a resumed one keeps to it.

Annotations may change between the two: a division made anew could check on a metaphase that was
learnt from.  The groups that each fold checks on are written down as well, so that none is checked
on twice; those that came since are learnt from in every fold.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from napari_chromocluster.imaging.io import write_text_atomic
from napari_chromocluster.training.config import ConfigError, TrainingConfig
from napari_chromocluster.training.split import fold_of, split_groups

Division = tuple[set[str], set[str]]
#: File beside the checkpoints, which are worth nothing without it.
_NAME = "division.json"


def divide(
    groups: Sequence[str],
    types: Sequence[str],
    config: TrainingConfig,
    folder: Path,
    resume: bool,
) -> Division:
    """Divide groups into those to train on and those to validate on, the same when resumed.

    Parameters
    ----------
    groups, types, config
        As in `split_groups`.
    folder : Path
        Checkpoints of the training; the division is kept there.
    resume : bool
        Whether to keep the division that is there.  Groups that came since are trained on, in
        the other folds as well.

    Raises
    ------
    ConfigError
        If there are not two groups, or one side of an earlier division is gone.
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
                    f"annotations: put them back, or begin a new training."
                )
    _keep(folder, division, folds)
    return division


def forget_division(folder: Path) -> None:
    """Delete the division of a training that learnt nothing."""
    (folder / _NAME).unlink(missing_ok=True)


def keep_fold(whole: Path, own: Path, config: TrainingConfig) -> None:
    """Write down the division of another fold, as it was when the first one began."""
    kept, folds = _read(whole), _read_folds(whole)
    if kept is not None and len(folds) == config.folds:
        checked = folds[config.fold]
        _keep(own, ((kept[0] | kept[1]) - checked, checked), folds)


def divided_groups(folder: Path) -> set[str]:
    """Return the groups that a training learns from or checks on."""
    kept = _read(folder)
    return set() if kept is None else kept[0] | kept[1]


def _folds(division: Division, config: TrainingConfig) -> list[set[str]]:
    """Return the groups that each fold checks on; empty where there is one division only."""
    if config.folds == 1:
        return []
    groups = division[0] | division[1]
    folds = [fold_of(groups, config.replace(fold=fold))[1] for fold in range(config.folds)]
    if folds[config.fold] != division[1]:
        # Groups came or went before the folds were written down.
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
    """Return what was written down; empty where nothing was."""
    try:
        values = json.loads((folder / _NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}
