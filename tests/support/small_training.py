"""A training run of a few seconds with the same result on every machine."""

from __future__ import annotations

from typing import Any

from napari_chromocluster.training.config import StageConfig, TrainingConfig, preset


def small_training(*stages: StageConfig, **changes: Any) -> TrainingConfig:
    """Return the configuration of a run from random weights, on one thread, in full precision."""
    return preset("quick").replace(
        base_model=None, stages=stages, batch_size=16, precision="32", threads=1, tta=1,
        stop_after=0, **changes,
    )  # fmt: skip
