"""A training that takes seconds, and comes out alike wherever it is run."""

from __future__ import annotations

from typing import Any

from napari_chromocluster.training.config import StageConfig, TrainingConfig, preset


def small_training(*stages: StageConfig, **changes: Any) -> TrainingConfig:
    """Return a training from random weights, on one thread, in full precision."""
    return preset("quick").replace(
        base_model=None, stages=stages, batch_size=16, precision="32", threads=1, tta=1,
        stop_after=0, **changes,
    )  # fmt: skip
