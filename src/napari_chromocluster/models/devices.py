"""Devices that a model can run on."""

from __future__ import annotations

import torch

from napari_chromocluster.models.predictions import ClassifyError


def is_out_of_memory(error: RuntimeError) -> bool:
    """Return whether a device ran out of memory; only CUDA has its own exception for it."""
    if isinstance(error, torch.cuda.OutOfMemoryError):
        return True
    text = str(error).lower()
    return "out of memory" in text or "can't allocate memory" in text


def choose_device(name: str = "auto") -> torch.device:
    """Return the device of that name, or the fastest available for ``auto``.

    Raises
    ------
    ClassifyError
        If this machine has no such device.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        device = torch.device("meta")  # rejected below
    counts = {
        "cpu": 1,
        "cuda": torch.cuda.device_count() if torch.cuda.is_available() else 0,
        "mps": int(torch.backends.mps.is_available()),
    }
    if (device.index or 0) >= counts.get(device.type, 0):
        raise ClassifyError(f"There is no device {name!r} on this machine: choose 'auto' or 'cpu'.")
    return device
