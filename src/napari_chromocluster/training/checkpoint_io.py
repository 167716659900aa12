"""Atomic checkpoints: written to a temporary name, then renamed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO

from napari_chromocluster.imaging.files import atomic_path


class AtomicCheckpoints(TorchCheckpointIO):
    """Write each checkpoint to a temporary name in its own folder, then rename it.

    Lightning uses the system's temporary folder; if that is on another disk, a
    crash during the copy leaves an incomplete file.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None
    ) -> None:
        """Write a checkpoint."""
        with atomic_path(Path(path)) as temporary, temporary.open("wb") as stream:
            torch.save(checkpoint, stream)
            stream.flush()
            os.fsync(stream.fileno())
