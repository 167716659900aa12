"""Checkpoints that are whole or not there: written beside their place, then renamed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO

from napari_chromocluster.imaging.io import atomic_path


class AtomicCheckpoints(TorchCheckpointIO):
    """Writes each checkpoint to a temporary name in its own folder and renames it.

    Lightning's way goes through the system's temporary folder; where that is
    another disk, a crash while the file is copied over leaves a torn one.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None
    ) -> None:
        """Write a checkpoint."""
        with atomic_path(Path(path)) as temporary, temporary.open("wb") as stream:
            torch.save(checkpoint, stream)
            stream.flush()
            os.fsync(stream.fileno())
