"""Augmentation toward the appearance of other stains and cameras.

Tensors in [0, 1] of shape (N, S, S), as in `training.data.augmentation`, reproducible from a
generator.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from napari_chromocluster.imaging.crops import SIGNAL_RANGE
from napari_chromocluster.training.data.augmentation import (
    affine,
    uniform,
    uniform_per_crop,
    uniform_scalar,
    vary_masks,
    vary_pixels,
    vary_signal,
    vary_size,
)

#: Signal of a region's median in a crop.
_LEVEL = 1 / SIGNAL_RANGE
#: Share of the crops at a coarser resolution.
_COARSENED = 0.35


def augment_wide(
    signal: Tensor,
    mask: Tensor,
    relative_size: Tensor,
    size: int,
    kind: str,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor, Tensor]:
    """Vary a batch of crops as `augment` does for ``full``, with more appearances."""
    stacked = torch.stack([signal, mask], dim=1)
    theta = affine(len(signal), "full", generator)
    grid = functional.affine_grid(theta, [len(signal), 2, size, size], align_corners=False)
    grid = grid + random_warp(len(signal), size, generator)
    moved = functional.grid_sample(stacked, grid, align_corners=False, padding_mode="zeros")
    signal, mask = vary_pixels(moved[:, 0], moved[:, 1], generator, _COARSENED)
    signal, mask = smooth_outlines(signal, mask, generator)
    signal = jitter_bands(signal, mask, generator)
    mask = vary_masks(mask, generator)
    signal = vary_signal(signal, mask, generator)
    return signal, mask, vary_size(relative_size, generator)


def random_warp(n: int, size: int, generator: torch.Generator) -> Tensor:
    """Draw smooth displacements of a sampling grid, none for half of the crops.

    Returns
    -------
    (N, size, size, 2) tensor
        In half sides of the crop, to be added to the grid.
    """
    device = generator.device
    coarse = torch.randn(n, 2, 5, 5, generator=generator, device=device)
    reach = uniform(n, 0.0, 0.06, generator)
    reach = reach * (torch.rand(n, generator=generator, device=device) < 0.5)
    fine = functional.interpolate(coarse, size=(size, size), mode="bicubic", align_corners=True)
    return (fine * reach.view(n, 1, 1, 1)).permute(0, 2, 3, 1)


def jitter_bands(signal: Tensor, mask: Tensor, generator: torch.Generator) -> Tensor:
    """Vary band contrast, gamma, saturation and the soft edge, keeping the median signal."""
    n, size = len(signal), signal.shape[-1]

    def draw(low: float, high: float) -> Tensor:
        return uniform(n, low, high, generator).view(n, 1, 1)

    def some(share: float) -> Tensor:
        return uniform_per_crop(n, generator) < share

    reach = uniform_scalar(0.015, 0.05, generator) * size
    even = blurred(signal * mask, reach) / blurred(mask, reach).clamp_min(1e-3)
    evened = torch.where(some(0.3), draw(-0.7, 1.0), 0.0)
    signal = signal + evened * (even - signal) * mask
    gamma = torch.where(some(0.4), draw(-0.7, 0.7).exp(), 1.0)
    signal = _LEVEL * (signal.clamp(1e-4, 1.0) / _LEVEL) ** gamma
    brightest = torch.where(some(0.2), _LEVEL * draw(1.05, 2.0), 1.0)
    signal = torch.minimum(signal, brightest)
    edge = torch.where(some(0.3), draw(0.0, 1.6), 1.0)
    return (signal * (mask + (1 - mask) * edge)).clamp(0.0, 1.0)


def smooth_outlines(
    signal: Tensor, mask: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Smooth the pixel steps of a third of the outlines, as if pixels were smaller.

    A third of these also lose the signal outside, whose edge has the same steps.
    """
    deviation = uniform_scalar(0.012, 0.03, generator)
    smooth = (blurred(mask, deviation * mask.shape[-1]) > 0.5).to(mask.dtype)
    choice = uniform_per_crop(len(mask), generator)
    signal = torch.where(choice < 0.12, signal * blurred(smooth, 1.0), signal)
    return signal, torch.where(choice < 0.35, smooth, mask)


def blurred(planes: Tensor, deviation: float) -> Tensor:
    """Blur (N, S, S) planes with a Gaussian of a standard deviation in px."""
    reach = math.ceil(2.5 * deviation)
    place = torch.arange(-reach, reach + 1, dtype=planes.dtype, device=planes.device)
    weights = torch.exp(-0.5 * (place / deviation) ** 2)
    weights = weights / weights.sum()
    rows = functional.conv2d(planes.unsqueeze(1), weights.view(1, 1, 1, -1), padding=(0, reach))
    return functional.conv2d(rows, weights.view(1, 1, -1, 1), padding=(reach, 0)).squeeze(1)
