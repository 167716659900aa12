"""The train/validation split of a run, saved at its start and reused when it is resumed.

Annotations may change before a run is resumed: a new split could validate on a metaphase that was
trained on.  The validation groups of each fold are saved too, so that no group is validated on
twice; groups added later are trained on in every fold.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from napari_chromocluster.imaging.files import write_text_atomic
from napari_chromocluster.training.config import ConfigError, TrainingConfig
from napari_chromocluster.training.split import fold_of, split_groups

Division = tuple[set[str], set[str]]
#: File in the checkpoint folder.
_NAME = "division.json"


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
