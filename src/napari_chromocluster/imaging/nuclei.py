"""Interphase nuclei: bodies much thicker than the chromosomes, and often far brighter."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.filters import threshold_otsu
from skimage.morphology import remove_small_holes

from napari_chromocluster.imaging.measure import (
    EIGHT,
    SPECK,
    Floats,
    Mask,
    chromosome_area,
    half_width,
    plausible_areas,
    without_specks,
)

#: Share of the automatic threshold for the first look at an image, and the signal below which
#: nothing is seen at it.
_FIRST_LOOK, _FAINTEST = 0.9, 0.3
#: Share of a nucleus that may be all the border of the image leaves of it.
_CUT_NUCLEUS = 0.25
#: Signal of what lies beside nuclei from which on it need not be brought to 1, and how many
#: standard deviations of the background are no noise.
FAINT_BESIDE_NUCLEI, _ABOVE_NOISE = 0.75, 5.0
#: Where nuclei are all that is seen at first: fewest pieces like chromosomes beside them, and
#: their least area, as a share of that of the nuclei.
_FEWEST_BESIDE_NUCLEI, _LEAST_BESIDE_NUCLEI = 10, 0.25


def find_nuclei(signal: Floats, width: float, area: float) -> tuple[Mask, float]:
    """Find bodies much thicker than the chromosomes; what only touches them is not part of them.

    Parameters
    ----------
    signal : (H, W) float array
        Chromosome signal, smoothed.
    width : float
        Thickness from which a body is a nucleus, in widths of a chromosome; 0 finds none.
    area : float
        Smallest area of a nucleus, in areas of the median chromosome.

    Returns
    -------
    nuclei : (H, W) bool array
        Pixels of interphase nuclei.
    half : float
        Half the width of a chromosome, in px.
    """
    mask = _first_look(signal)
    depth = ndimage.distance_transform_edt(mask)
    half = half_width(depth) or 3.0
    none = np.zeros(mask.shape, bool)
    core = depth > width * half
    if not width or not core.any():
        return none, half
    body = ndimage.distance_transform_edt(~core) <= width * half + 2.0
    rest, _ = ndimage.label(mask & ~body, EIGHT)
    usual = chromosome_area(np.bincount(rest.ravel())[1:], half)
    pieces, _ = ndimage.label(body)
    least = np.full(int(pieces.max()) + 1, area * usual)
    border = np.concatenate([pieces[0], pieces[-1], pieces[:, 0], pieces[:, -1]])
    least[border] *= _CUT_NUCLEUS
    keep = np.bincount(pieces.ravel()) >= least
    keep[0] = False
    return np.asarray(keep[pieces]), half


def level_beside(nuclei: Mask, half: float, signal: Floats, width: float) -> float:
    """Tell the level of the chromosomes, where nuclei far brighter than these have set it.

    Parameters
    ----------
    nuclei : (H, W) bool array
        Pixels of nuclei.
    half : float
        Half the width of a chromosome, in px; both from `find_nuclei`.
    signal : (H, W) float array
        Chromosome signal, smoothed.
    width : float
        Thickness from which a body is a nucleus, in widths of a chromosome.

    Returns
    -------
    float
        Median signal of what is stained beside nuclei and their glow.  1 without nuclei, and
        where nothing that could be chromosomes lies beside them.
    """
    bodies, reach = nuclei, 2 * half
    alone = not nuclei.any()
    if alone:
        # Chromosomes may be too faint to be seen beside bodies that were taken for them.
        bodies, reach = _first_look(signal), half / 4
        if _like_chromosomes(bodies, half).size >= _FEWEST_BESIDE_NUCLEI:
            return 1.0
    beside = ndimage.distance_transform_edt(~bodies) > reach
    values = signal[beside]
    if not values.size or float(np.ptp(values)) == 0.0:
        return 1.0
    least = float(threshold_otsu(np.clip(values, 0.0, 2.0)))
    stained = beside & (signal > least)
    if alone:
        narrow = half_width(ndimage.distance_transform_edt(without_specks(stained)))
        pieces = _like_chromosomes(stained, narrow)
        enough = pieces.size >= _FEWEST_BESIDE_NUCLEI and narrow * width <= half
        if not enough or pieces.sum() < _LEAST_BESIDE_NUCLEI * bodies.sum():
            return 1.0
    level = float(np.median(signal[stained]))
    return level if level > _ABOVE_NOISE * float(np.std(values[values <= least])) else 1.0


def _like_chromosomes(mask: Mask, half: float) -> NDArray[np.intp]:
    """Areas of the pieces that may each be one chromosome, from half the width of one, in px."""
    return plausible_areas(np.bincount(ndimage.label(mask, EIGHT)[0].ravel())[1:], half)


def _first_look(signal: Floats) -> Mask:
    """Find what is stained by one threshold for the whole image."""
    level = float(threshold_otsu(np.clip(signal, 0.0, 2.0)))
    mask = signal > max(_FAINTEST, _FIRST_LOOK * level)
    return without_specks(remove_small_holes(mask, max_size=SPECK))
