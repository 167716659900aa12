"""The division of a training, written down as it begins: a resumed one keeps to it.

Annotations may change between the two: a division made anew could check on a metaphase that was
learnt from.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

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
        Whether to keep the division that is there.  Groups that came since are trained on.

    Raises
    ------
    ConfigError
        If there are not two groups, or one side of an earlier division is gone.
    """
    kept = _read(folder) if resume else None
    if kept is None:
        division = split_groups(groups, types, config)
    else:
        present = set(groups) - set(config.excluded_groups)
        division = present - kept[1], present & kept[1]
        for side, use in zip(division, ("learns from", "checks on"), strict=True):
            if not side:
                raise ConfigError(
                    f"None of the groups (metaphases) that this training {use} is left in its "
                    f"annotations: put them back, or begin a new training."
                )
    keep_division(folder, division)
    return division


def keep_division(folder: Path, division: Division) -> None:
    """Write a division down."""
    sides = {"learn": sorted(division[0]), "check": sorted(division[1])}
    write_text_atomic(folder / _NAME, json.dumps(sides, indent=1))


def forget_division(folder: Path) -> None:
    """Delete the division of a training that learnt nothing."""
    (folder / _NAME).unlink(missing_ok=True)


def keep_fold(whole: Path, own: Path, config: TrainingConfig) -> None:
    """Write down the division of another fold, as it is when the first one begins."""
    kept = _read(whole)
    if kept is not None:
        keep_division(own, fold_of(kept[0] | kept[1], config))


def _read(folder: Path) -> Division | None:
    try:
        sides = json.loads((folder / _NAME).read_text(encoding="utf-8"))
        return set(sides["learn"]), set(sides["check"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
