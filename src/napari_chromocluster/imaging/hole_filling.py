"""Clean up the outlines of labels from a plain threshold."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_chromocluster.imaging.normalization import NormalizedImage
from napari_chromocluster.imaging.regions import Region, drop_small_regions, reference_area

#: Holes up to this share of a typical region are noise, which is removed in a clean segmentation...
_NOISE = 0.005
#: ...and if this share of the regions has any, the labels are from a plain threshold.
_RAW = 0.05
#: Holes up to this share of a typical region are filled in such labels...
FILLED = 0.02
#: ...if their signal is at least this share of their region's: with less they are gaps between
#: neighbors (in the training groups one such hole in six is in a single chromosome, of the
#: others more than one in three).
BAND = 0.2


def fill_band_holes(
    labels: NDArray[np.integer], signal: NormalizedImage, regions: Iterable[Region]
) -> NDArray[np.integer]:
    """Fill the holes that a plain threshold leaves in bright bands.

    Such a hole looks like a gap between chromosomes.  Labels with holes of a few pixels in one of
    twenty regions are taken for a plain threshold; in others, holes are background and are not
    filled.  Fluorescence images have no bright bands and are not changed.

    Parameters
    ----------
    labels : (H, W) integer array
        Regions of one metaphase.
    signal : NormalizedImage
        Its chromosome signal, (H, W).
    regions : iterable of Region
        All of its regions.

    Returns
    -------
    (H, W) integer array
        The same array if nothing is filled.
    """
    everything = list(regions)
    usual = reference_area(np.array([one.area for one in everything], np.float64))
    if usual is None or not signal.dark_chromosomes:
        return labels
    found = {one.label: list(holes(labels, one, FILLED * usual)) for one in everything}
    chromosomes = drop_small_regions(everything)
    noisy = sum(any(len(ys) <= _NOISE * usual for ys, _ in found[one.label]) for one in chromosomes)
    if noisy < _RAW * len(chromosomes):
        return labels
    out = np.array(labels)
    for one in everything:
        if found[one.label]:
            y0, x0, y1, x1 = one.bbox
            inside = signal.values[y0:y1, x0:x1][labels[y0:y1, x0:x1] == one.label]
            least = BAND * float(np.median(inside))
            for hole in found[one.label]:
                if signal.values[hole].mean() >= least:
                    out[hole] = one.label
    return out


def holes(
    labels: NDArray[np.integer], region: Region, largest: float
) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Yield the pixels (ys, xs) of each hole of a region, except those filled by other regions.

    Parameters
    ----------
    labels : (H, W) integer array
        Regions of one metaphase.
    region : Region
        One of them.
    largest : float
        Maximum area of a hole, in px.
    """
    y0, x0, y1, x1 = region.bbox
    local = np.asarray(labels[y0:y1, x0:x1])
    mask = local == region.label
    filled = ndimage.binary_fill_holes(mask)
    if filled.sum() == region.area:
        return
    numbered, _ = ndimage.label(filled & (local == 0))
    for number, box in enumerate(ndimage.find_objects(numbered), start=1):
        ys, xs = np.nonzero(numbered[box] == number)
        if len(ys) <= largest:
            yield ys + y0 + box[0].start, xs + x0 + box[1].start
