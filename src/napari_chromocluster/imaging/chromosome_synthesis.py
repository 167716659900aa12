"""A single chromosome cropped from its metaphase: width, axis and transformations."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage


@dataclass(frozen=True)
class SingleChromosome:
    """One chromosome with its soft edge.

    Attributes
    ----------
    signal : (h, w) float32 or float16 array
        Chromosome signal (see `imaging.normalization`), 0 in other regions.
    mask : (h, w) bool array
        The chromosome.
    group : str
        Metaphase, slide or case it comes from.
    """

    signal: NDArray[np.floating]
    mask: NDArray[np.bool_]
    group: str = ""


def chromosome_width(mask: NDArray[np.bool_]) -> float:
    """Width of a chromosome: twice the 80th percentile of the depth of its ridge, in px."""
    depth = ndimage.distance_transform_edt(np.pad(mask, 1))
    ridge = (depth == ndimage.maximum_filter(depth, size=3)) & (depth > 0)
    values = depth[ridge]
    return float(2 * np.percentile(values, 80)) if values.size else 1.0


def principal_angle(mask: NDArray[np.bool_]) -> float:
    """Angle of the long axis of a mask to the x axis, in radians."""
    ys, xs = np.nonzero(mask)
    if ys.size < 3:
        return 0.0
    covariance = np.cov(np.stack([xs, ys]))
    _, vectors = np.linalg.eigh(covariance)
    return math.atan2(float(vectors[1, -1]), float(vectors[0, -1]))


def transform_chromosome(
    chromosome: SingleChromosome, angle: float, scale: float, bend: float, flip: bool = False
) -> SingleChromosome:
    """Rotate, scale and bend a chromosome.

    Parameters
    ----------
    chromosome : SingleChromosome
        The chromosome; the whole ``signal`` is transformed.
    angle : float
        New angle of its long axis, in radians.
    scale : float
        Scale factor.
    bend : float
        Angle between its two ends, in radians.
    flip : bool
        Whether to mirror it.
    """
    mask = chromosome.mask
    ys, xs = np.nonzero(mask)
    cy, cx = float(ys.mean()), float(xs.mean())
    long_axis = principal_angle(mask)
    cos, sin = math.cos(long_axis), math.sin(long_axis)
    along = (xs - cx) * cos + (ys - cy) * sin
    half = max(float(np.abs(along).max()), 1.0)
    reach = float(np.sqrt((ys - cy) ** 2 + (xs - cx) ** 2).max())
    side = math.ceil(reach * scale) + 5
    grid_y, grid_x = np.mgrid[-side : side + 1, -side : side + 1].astype(np.float32)
    u = (grid_x * math.cos(angle) + grid_y * math.sin(angle)) / scale
    v = (-grid_x * math.sin(angle) + grid_y * math.cos(angle)) / scale
    if bend:
        # A parabola along the long axis; arc length is preserved to first order.
        curve = bend / (4 * half)
        v = v - curve * (u * u - half * half / 3)
        u = u * (1 + 0.5 * (curve * u) ** 2)
    if flip:
        v = -v
    whole = chromosome.signal.astype(np.float32, copy=False)
    source = np.stack([cy + u * sin + v * cos, cx + u * cos - v * sin])
    signal = ndimage.map_coordinates(whole, source, order=1, mode="constant")
    soft = ndimage.map_coordinates(mask.astype(np.float32), source, order=1, mode="constant")
    return SingleChromosome(signal.astype(np.float32), soft > 0.5, chromosome.group)
