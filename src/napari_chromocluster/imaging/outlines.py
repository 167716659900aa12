"""Outlines as a plain threshold leaves them, brought nearer to those of a segmentation."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_chromocluster.imaging.regions import Region, usual_area, without_specks

#: Holes of at most this share of a usual region are noise of a threshold; no segmentation that
#: cleans up leaves such...
_NOISE = 0.005
#: ...and if this share of the regions has some, the labels are a threshold as it came.
_RAW = 0.05
#: Holes of at most this share are filled in such labels: bright bands, not background that
#: chromosomes lie around.
_FILLED = 0.06


def without_noise_holes(
    labels: NDArray[np.integer], regions: Iterable[Region]
) -> NDArray[np.integer]:
    """Fill the holes that a plain threshold leaves in chromosomes.

    A threshold of the whole picture runs through bright bands, and a hole tells a network of
    chromosomes that lie around it.  Labels with a hole of a few pixels in one region of twenty
    are taken for such a threshold; others, where a hole is background, stay as they are.

    Parameters
    ----------
    labels : (H, W) integer array
        Regions of one metaphase.
    regions : iterable of Region
        All of them.

    Returns
    -------
    (H, W) integer array
        The same array where nothing is to be filled.
    """
    everything = list(regions)
    usual = usual_area(np.array([one.area for one in everything], np.float64))
    if usual is None:
        return labels
    holes = {one.label: _holes(labels, one) for one in everything}
    chromosomes = without_specks(everything)
    noisy = sum(_any_upto(holes[one.label], _NOISE * usual) for one in chromosomes)
    if noisy < _RAW * len(chromosomes):
        return labels
    out = np.array(labels)
    for one in everything:
        numbered = holes[one.label]
        sizes = np.bincount(numbered.ravel())
        small = sizes <= _FILLED * usual
        small[0] = False
        out[_box(one)][small[numbered]] = one.label
    return out


def _box(region: Region) -> tuple[slice, slice]:
    y0, x0, y1, x1 = region.bbox
    return slice(y0, y1), slice(x0, x1)


def _holes(labels: NDArray[np.integer], region: Region) -> NDArray[np.int32]:
    """Give numbers to the holes of a region in its box; what other regions fill is none."""
    local = np.asarray(labels[_box(region)])
    mask = local == region.label
    holes = ndimage.binary_fill_holes(mask) & (local == 0)
    return np.asarray(ndimage.label(holes)[0], np.int32)


def _any_upto(numbered: NDArray[np.int32], area: float) -> bool:
    return bool((np.bincount(numbered.ravel())[1:] <= area).any())
