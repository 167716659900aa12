"""What tells the size of the chromosomes of an image: widths, areas, what is but a speck."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Mask = NDArray[np.bool_]
Floats = NDArray[np.floating]

EIGHT = np.ones((3, 3), bool)
#: Fewest pixels of anything that is looked at.
SPECK = 12
#: Depth of a ridge in px up to which it is that of a speck.
SHALLOWEST = 2.0
#: Areas between which a piece may be one chromosome, and the usual one, in squares of half
#: the width of the chromosomes.
_PLAUSIBLE_AREAS, _USUAL_AREA = (4.0, 40.0), 16.0
#: Rows of a picture that are measured at a time.
_ROWS = 512


def without_specks(mask: Mask) -> Mask:
    """Leave out pieces of fewer than `SPECK` px."""
    labels, _ = ndimage.label(mask, EIGHT)
    keep = np.bincount(labels.ravel()) >= SPECK
    keep[0] = False
    return np.asarray(keep[labels])


def half_width(depth: Floats, least: float = SHALLOWEST, most: float = math.inf) -> float:
    """Half the usual width of the chromosomes: the median depth of all ridges, in px.

    Chromosomes have long ridges for their area, nuclei short ones and specks
    shallow ones, so neither moves the median much.  What is shallower than ``least`` or deeper
    than ``most`` is no ridge of a chromosome.
    """
    ridge = (depth == ndimage.maximum_filter(depth, size=3)) & (depth >= least) & (depth <= most)
    return float(np.median(depth[ridge])) if ridge.any() else 0.0


def chromosome_area(areas: NDArray[Any], half: float) -> float:
    """Area of the median chromosome among some pieces, in px; 0 without pieces.

    Specks, rims and large clusters are told by the width of the chromosomes;
    where nothing else is left, the width alone gives the area.
    """
    if not areas.any():
        return 0.0
    plausible = plausible_areas(areas, half)
    return float(np.median(plausible)) if plausible.size >= 5 else _USUAL_AREA * half**2


def plausible_areas(areas: NDArray[np.intp], half: float) -> NDArray[np.intp]:
    """Return the areas that one chromosome may have, from half the width of one, in px."""
    low, high = _PLAUSIBLE_AREAS
    return np.asarray(areas[(areas > low * half**2) & (areas < high * half**2)])


def outline_lengths(labels: NDArray[np.integer], count: int) -> NDArray[np.float64]:
    """Length of the outline of each label, in px: sides of pixels, as a tilted line has them."""
    sides = np.zeros(count + 1)
    for one, other in ((labels[1:], labels[:-1]), (labels[:, 1:], labels[:, :-1])):
        differ = one != other
        for side in (one, other):
            sides += np.bincount(side[differ], minlength=count + 1)
    # A straight line of any direction crosses 4/pi sides for its length, on average.
    return sides * np.pi / 4


def depths(mask: Mask, most: float) -> NDArray[np.float32]:
    """Distance of each pixel of a mask to the next one outside, up to ``most``, in px.

    Measured some rows at a time, so that a large picture needs little memory.
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
    """Greatest depth of each label; 0 for the background."""
    found = np.zeros(count + 1, depth.dtype)
    inside = np.flatnonzero(labels)
    np.maximum.at(found, labels.ravel()[inside], depth.ravel()[inside])
    return found.astype(np.float64)


def block_mean(values: Floats | Mask, step: int) -> NDArray[np.float32]:
    """Reduce a picture: the mean of each block of ``step`` px a side, cut at the far border."""
    if step == 1:
        return np.asarray(values, np.float32)
    height, width = (max(1, side // step) for side in values.shape)
    step_y, step_x = (min(step, side) for side in values.shape)
    whole = values[: height * step_y, : width * step_x]
    blocks = whole.reshape(height, step_y, width, step_x)
    return np.asarray(blocks.mean(axis=(1, 3), dtype=np.float32))


def enlarge(values: NDArray[Any], step: int, shape: tuple[int, ...]) -> NDArray[Any]:
    """Repeat the pixels of a reduced picture until it has ``shape`` again."""
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
    """Enlarge a reduced picture linearly.

    Parameters
    ----------
    values : (h, w) float array
        Reduced picture.
    step : int
        Pixels of the large picture for each of ``values``, a side.
    shape : tuple of int
        Height and width of the large picture.
    first : float
        Where the first pixel of ``values`` is in the large picture, in px.
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
