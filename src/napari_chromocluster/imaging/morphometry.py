"""Measure the chromosomes of an image: widths, areas, outlines."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Mask = NDArray[np.bool_]
Floats = NDArray[np.floating]

EIGHT = np.ones((3, 3), bool)
#: Objects with fewer pixels are ignored.
SPECK = 12
#: Minimum depth in px of a ridge (a local maximum of the distance transform); less is a speck.
SHALLOWEST = 2.0
#: Range of areas of a single chromosome, and the typical area, in squares of half the width of
#: the chromosomes.
_PLAUSIBLE_AREAS, _USUAL_AREA = (4.0, 40.0), 16.0
#: Number of image rows measured at a time.
_ROWS = 512


def remove_small_objects(mask: Mask) -> Mask:
    """Remove pieces of fewer than `SPECK` px."""
    labels, _ = ndimage.label(mask, EIGHT)
    keep = np.bincount(labels.ravel()) >= SPECK
    keep[0] = False
    return np.asarray(keep[labels])


def chromosome_half_width(
    depth: Floats, least: float = SHALLOWEST, most: float = math.inf
) -> float:
    """Return half the typical width of the chromosomes: the median depth of all ridges, in px.

    Chromosomes have long ridges for their area, nuclei short ones and specks shallow ones, so
    neither changes the median much.  Ridges outside ``least`` to ``most`` are ignored.
    """
    ridge = (depth == ndimage.maximum_filter(depth, size=3)) & (depth >= least) & (depth <= most)
    return float(np.median(depth[ridge])) if ridge.any() else 0.0


def chromosome_area(areas: NDArray[Any], half: float) -> float:
    """Return the area of the median chromosome among pieces, in px; 0 without pieces.

    Specks, rims and large clusters are excluded by the width of the chromosomes;
    if too few pieces are left, the width alone gives the area.
    """
    if not areas.any():
        return 0.0
    plausible = plausible_areas(areas, half)
    return float(np.median(plausible)) if plausible.size >= 5 else _USUAL_AREA * half**2


def plausible_areas(areas: NDArray[np.intp], half: float) -> NDArray[np.intp]:
    """Return the areas plausible for a single chromosome, given half its width in px."""
    low, high = _PLAUSIBLE_AREAS
    return np.asarray(areas[(areas > low * half**2) & (areas < high * half**2)])


def outline_lengths(labels: NDArray[np.integer], count: int) -> NDArray[np.float64]:
    """Return the length of the outline of each label in px, estimated from pixel sides."""
    sides = np.zeros(count + 1)
    for one, other in ((labels[1:], labels[:-1]), (labels[:, 1:], labels[:, :-1])):
        differ = one != other
        for side in (one, other):
            sides += np.bincount(side[differ], minlength=count + 1)
    # On average over directions, a straight line has 4/pi pixel sides per unit length.
    return sides * np.pi / 4


def depths(mask: Mask, most: float) -> NDArray[np.float32]:
    """Return the distance of each pixel of a mask to the outside, up to ``most``, in px.

    Computed in blocks of rows to save memory.
    """
    found = np.zeros(mask.shape, np.float32)
    margin = math.ceil(most)
    for top in range(0, mask.shape[0], _ROWS):
        start = max(0, top - margin)
        part = mask[start : top + _ROWS + margin]
        if part.any() and not part.all():
            distance = ndimage.distance_transform_edt(part)[top - start :][:_ROWS]
            np.minimum(distance, most, out=found[top : top + _ROWS])
        elif part.any():
            found[top : top + _ROWS] = most
    return found


def deepest(depth: Floats, labels: NDArray[np.integer], count: int) -> NDArray[np.float64]:
    """Return the maximum depth of each label; 0 for the background."""
    found = np.zeros(count + 1, depth.dtype)
    inside = np.flatnonzero(labels)
    np.maximum.at(found, labels.ravel()[inside], depth.ravel()[inside])
    return found.astype(np.float64)


def block_mean(values: Floats | Mask, step: int) -> NDArray[np.float32]:
    """Downsample an image by the mean of blocks of ``step`` px; the rest at the border is cut."""
    if step == 1:
        return np.asarray(values, np.float32)
    height, width = (max(1, side // step) for side in values.shape)
    step_y, step_x = (min(step, side) for side in values.shape)
    whole = values[: height * step_y, : width * step_x]
    blocks = whole.reshape(height, step_y, width, step_x)
    return np.asarray(blocks.mean(axis=(1, 3), dtype=np.float32))


def enlarge(values: NDArray[Any], step: int, shape: tuple[int, ...]) -> NDArray[Any]:
    """Upsample an image to ``shape`` by repeating pixels."""
    if step == 1:
        return values
    rows, columns = (
        np.minimum(np.arange(size) // step, have - 1)
        for size, have in zip(shape, values.shape, strict=True)
    )
    return np.asarray(values.take(rows, 0).take(columns, 1))


def interpolate(
    values: Floats | Mask, step: int, shape: tuple[int, ...], first: float = 0.0
) -> NDArray[np.float32]:
    """Upsample an image linearly.

    Parameters
    ----------
    values : (h, w) float array
        Small image.
    step : int
        Upsampling factor.
    shape : tuple of int
        Height and width of the result.
    first : float
        Position of the first pixel of ``values`` in the result, in px.
    """
    large = np.asarray(values, np.float32)
    for axis, size in enumerate(shape):
        last = large.shape[axis] - 1
        place = np.clip((np.arange(size, dtype=np.float32) - first) / step, 0, last)
        low = place.astype(int)
        share = (place - low).reshape((-1, 1) if axis == 0 else (1, -1)).astype(np.float32)
        more = large.take(np.minimum(low + 1, last), axis)
        large = large.take(low, axis)
        more -= large
        more *= share
        large += more
    return large
