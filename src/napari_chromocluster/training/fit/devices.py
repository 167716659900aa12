"""Device and precision of a training run."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING, Any

from napari_chromocluster.training.config import ConfigError, TrainingConfig

if TYPE_CHECKING:
    import torch


def device_of(config: TrainingConfig) -> torch.device:
    """Return the device of a training run; ``auto`` is the GPU if there is one.

    Raises
    ------
    ConfigError
        If this machine has no such device.
    """
    import torch

    from napari_chromocluster.models.devices import choose_device
    from napari_chromocluster.models.predictions import ClassifyError

    if config.device != "auto":
        try:
            return choose_device(config.device)
        except ClassifyError as error:
            raise ConfigError(str(error)) from error
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def precision_of(config: TrainingConfig, device: torch.device) -> Any:
    """Return the precision of a training run on a device, in Lightning's terms."""
    if config.precision != "auto":
        return "32-true" if config.precision == "32" else config.precision
    if device.type == "cuda":
        # Older cards only emulate bfloat16, slowly.
        import torch

        native = torch.cuda.is_bf16_supported(including_emulation=False)
        return "bf16-mixed" if native else "16-mixed"
    return "bf16-mixed" if device.type == "cpu" and _cpu_computes_bfloat16() else "32-true"


def _cpu_computes_bfloat16() -> bool:
    """Return whether this CPU has native bfloat16; emulation would be slower than float32."""
    import torch

    check = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return bool(check()) if check is not None and platform.machine() == "x86_64" else False


def autocast_of(config: TrainingConfig, device: torch.device) -> Any:
    """Return an autocast context with the same precision as Lightning uses."""
    import torch

    precision = precision_of(config, device)
    enabled = precision in ("bf16-mixed", "16-mixed")
    kind = torch.float16 if precision == "16-mixed" else torch.bfloat16
    return torch.autocast(device.type, kind, enabled=enabled)
