"""Augmentation of whole batches of crops, on tensors, reproducible from a seed."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from napari_chromocluster.imaging.crops import CropSpec

_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_STD = (0.229, 0.224, 0.225)


def to_input(signal: Tensor, mask: Tensor, relative_size: Tensor, spec: CropSpec) -> Tensor:
    """Stack model inputs from batches of signal and mask, as `crops.compose_channels` does for one.

    Parameters
    ----------
    signal, mask : (N, S, S) float32 tensor
        In [0, 1].
    relative_size : (N,) float32 tensor
        Binary logarithm of size over reference.
    spec : CropSpec
        Kind of crop.

    Returns
    -------
    (N, 3, S, S) float32 tensor
    """
    if spec.channels == "gray":
        gray = 1.0 - (signal * 1.4).clamp(0.0, 1.0)
        mean = torch.tensor(_IMAGENET_MEAN, device=signal.device).view(1, 3, 1, 1)
        std = torch.tensor(_IMAGENET_STD, device=signal.device).view(1, 3, 1, 1)
        return (gray.unsqueeze(1) - mean) / std
    plane = (relative_size / 2).clamp(-1.0, 1.0).view(-1, 1, 1).expand_as(signal)
    return torch.stack([signal, mask, plane], dim=1)


def augment(
    signal: Tensor,
    mask: Tensor,
    relative_size: Tensor,
    size: int,
    kind: str,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor, Tensor]:
    """Vary a batch of crops.

    Parameters
    ----------
    signal, mask : (N, S, S) float32 tensor
        In [0, 1].
    relative_size : (N,) float32 tensor
        Binary logarithm of size over reference.
    size : int
        Side of the crops returned, in px.
    kind : {"full", "paper", "none"}
        How much to vary.
    generator : torch.Generator
        On the device of the crops.  A seed gives different numbers on different device types.

    Returns
    -------
    tuple of tensors
        Signal and mask of shape (N, size, size), and relative size.
    """
    stacked = torch.stack([signal, mask], dim=1)
    theta = affine(len(signal), kind, generator)
    grid = functional.affine_grid(theta, [len(signal), 2, size, size], align_corners=False)
    moved = functional.grid_sample(stacked, grid, align_corners=False, padding_mode="zeros")
    signal, mask = moved[:, 0], moved[:, 1]
    if kind != "full":
        return signal, mask, relative_size
    signal, mask = vary_pixels(signal, mask, generator)
    mask = vary_masks(mask, generator)
    signal = vary_signal(signal, mask, generator)
    return signal, mask, vary_size(relative_size, generator)


def affine(n: int, kind: str, generator: torch.Generator) -> Tensor:
    """Return affine matrices that map output to input coordinates."""
    device = generator.device
    theta = torch.zeros(n, 2, 3, device=device)
    if kind == "none":
        theta[:, 0, 0] = theta[:, 1, 1] = 1.0
        return theta
    flip = torch.where(torch.rand(n, generator=generator, device=device) < 0.5, -1.0, 1.0)
    if kind == "paper":
        quarters = torch.randint(0, 4, (n,), generator=generator, device=device)
        angle = quarters * (math.pi / 2)
        stretch_x = stretch_y = torch.ones(n, device=device)
    else:
        angle = uniform(n, 0.0, 2 * math.pi, generator)
        zoom = uniform(n, 0.97, 1.3, generator)
        aspect = uniform(n, -0.08, 0.08, generator).exp()
        stretch_x, stretch_y = zoom * aspect, zoom / aspect
        theta[:, :, 2] = uniform(2 * n, -0.04, 0.04, generator).view(n, 2)
    cos, sin = angle.cos(), angle.sin()
    theta[:, 0, 0], theta[:, 0, 1] = cos * stretch_x * flip, -sin * stretch_y * flip
    theta[:, 1, 0], theta[:, 1, 1] = sin * stretch_x, cos * stretch_y
    return theta


def vary_pixels(
    signal: Tensor, mask: Tensor, generator: torch.Generator, coarsened: float = 0.15
) -> tuple[Tensor, Tensor]:
    """Resample some crops at coarser resolution, and sharpen or soften some mask edges.

    The edge of a mask shows the pixel size, and thus the camera and the source; a network
    would learn the types that are common in a source from it.
    """
    size = signal.shape[-1]
    factor = uniform_scalar(0.15, 0.5, generator)
    small = functional.interpolate(
        torch.stack([signal, mask], dim=1),
        size=(max(8, round(size * factor)),) * 2,
        mode="bilinear",
        antialias=True,
        align_corners=False,
    )
    small[:, 1] = (small[:, 1] > 0.5).to(small.dtype)
    coarse = functional.interpolate(small, size=(size, size), mode="bilinear", align_corners=False)
    choice = uniform_per_crop(len(mask), generator)
    signal = torch.where(choice < coarsened, coarse[:, 0], signal)
    soft = functional.avg_pool2d(mask.unsqueeze(1), 3, 1, 1)
    soft = functional.avg_pool2d(soft, 3, 1, 1).squeeze(1)
    sharp = (mask > 0.5).to(mask.dtype)
    varied = torch.where(choice < coarsened, coarse[:, 1], mask)
    varied = torch.where((choice > coarsened) & (choice < coarsened + 0.2), soft, varied)
    return signal, torch.where(choice > 0.6, sharp, varied)


def vary_masks(mask: Tensor, generator: torch.Generator) -> Tensor:
    """Dilate some masks, a few of them strongly, and erode some."""
    choice = uniform_per_crop(len(mask), generator)
    varied = mask
    for share, side in ((0.35, 3), (0.15, 5), (0.07, 7)):
        wide = functional.max_pool2d(mask.unsqueeze(1), side, 1, side // 2).squeeze(1)
        varied = torch.where(choice < share, wide, varied)
    narrow = -functional.max_pool2d(-mask.unsqueeze(1), 3, 1, 1).squeeze(1)
    return torch.where(choice > 0.85, narrow, varied)


def vary_signal(signal: Tensor, mask: Tensor, generator: torch.Generator) -> Tensor:
    """Vary contrast, sharpness, noise, and whether the soft edge is kept."""
    n = len(signal)

    def draw(low: float, high: float) -> Tensor:
        return uniform(n, low, high, generator).view(n, 1, 1)

    tight = uniform_per_crop(n, generator) < 0.35
    signal = torch.where(tight, signal * mask, signal)
    signal = _soften(signal, generator)
    signal = signal.clamp(1e-4, 1.0) ** draw(0.7, 1.4)
    signal = signal * draw(0.8, 1.2)
    # Uneven illumination or stain tilts the signal within a region.
    ramp = torch.linspace(-1, 1, signal.shape[-1], device=signal.device)
    tilt = draw(-0.12, 0.12) * ramp.view(1, 1, -1) + draw(-0.12, 0.12) * ramp.view(1, -1, 1)
    signal = signal * (1 + tilt)
    noise = torch.randn(signal.shape, generator=generator, device=signal.device) * draw(0.0, 0.03)
    return (signal + noise * (signal > 0.01)).clamp(0.0, 1.0)


def _soften(signal: Tensor, generator: torch.Generator) -> Tensor:
    """Lower the resolution of a random half of the batch, like a weaker objective."""
    size = signal.shape[-1]
    factor = uniform_scalar(0.45, 0.95, generator)
    small = functional.interpolate(
        signal.unsqueeze(1),
        size=(max(8, round(size * factor)),) * 2,
        mode="bilinear",
        antialias=True,
        align_corners=False,
    )
    soft = functional.interpolate(small, size=(size, size), mode="bilinear", align_corners=False)
    chosen = uniform_per_crop(len(signal), generator) < 0.5
    return torch.where(chosen, soft.squeeze(1), signal)


def vary_size(relative_size: Tensor, generator: torch.Generator) -> Tensor:
    """Add noise to the relative size, and drop it for some, as for isolated regions."""
    n = len(relative_size)
    device = relative_size.device
    varied = relative_size + torch.randn(n, generator=generator, device=device) * 0.1
    forgotten = torch.rand(n, generator=generator, device=device) < 0.25
    return torch.where(forgotten, 0.0, varied)


def uniform(n: int, low: float, high: float, generator: torch.Generator) -> Tensor:
    """Draw N uniform numbers on the device of the generator."""
    return torch.rand(n, generator=generator, device=generator.device) * (high - low) + low


def uniform_per_crop(n: int, generator: torch.Generator) -> Tensor:
    """Draw a number in [0, 1) for each of N crops, shape (N, 1, 1)."""
    return torch.rand(n, 1, 1, generator=generator, device=generator.device)


def uniform_scalar(low: float, high: float, generator: torch.Generator) -> float:
    """Draw one number for a whole batch."""
    drawn = torch.empty((), device=generator.device).uniform_(low, high, generator=generator)
    return float(drawn)
