"""Bodies much thicker than chromosomes: interphase nuclei, and cytoplasm around chromosomes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.morphology import remove_small_holes

from napari_chromocluster.imaging.morphometry import (
    EIGHT,
    SPECK,
    Floats,
    Mask,
    block_mean,
    chromosome_area,
    depths,
    enlarge,
    interpolate,
    remove_small_objects,
)

#: Minimum signal of nuclei.
_STAINED = 0.42
#: Minimum area of a nucleus cut off by the image border, relative to other nuclei.
_CUT_NUCLEUS = 0.25
#: A thick body with a larger share of chromosomes in it is not a nucleus.
_INHABITED = 0.1
#: A nucleus is still thick above this share of the given percentile of its signal.
_SOLID, _STRONG = 0.6, 80
#: A nucleus has soft edges: relative minimum thickness of its strong parts.
_CORE = 0.8
#: Half the width of a chromosome in the downsampled image used to find thick bodies, in px.
_HALF = 3.0
#: Range of the signal of cytoplasm: less does not matter, more is a nucleus.
_FAINTEST_CYTOPLASM, _STRONGEST_CYTOPLASM = 0.2, 0.75


def find_nuclei(
    signal: Floats, width: float, area: float, half: float, chromosomes: Mask | None = None
) -> Mask:
    """Find bodies much thicker than chromosomes, without objects that only touch them.

    Parameters
    ----------
    signal : (H, W) float array
        Chromosome signal, smoothed.
    width : float
        Minimum thickness of a nucleus, in widths of a chromosome; 0 finds none.
    area : float
        Minimum area of a nucleus, in areas of the median chromosome.
    half : float
        Half the width of a chromosome, in px.
    chromosomes : (H, W) bool array, optional
        Approximate mask of chromosomes: a body that contains many of them is not a nucleus.

    Returns
    -------
    (H, W) bool array
        Pixels of interphase nuclei.
    """
    if not width:
        return np.zeros(signal.shape, bool)
    step = max(1, int(half / _HALF))
    half = half / step
    small = block_mean(signal, step)
    mask = small > _STAINED
    mask = remove_small_objects(remove_small_holes(mask, max_size=SPECK))
    body = _thick(mask, width * half, 2.0 / step)
    if not body.any():
        return np.zeros(signal.shape, bool)
    rest, _ = ndimage.label(mask & ~body, EIGHT)
    usual = chromosome_area(np.bincount(rest.ravel())[1:], half)
    pieces, count = ndimage.label(body)
    least = np.full(count + 1, area * usual)
    for side in (pieces[0], pieces[-1], pieces[:, 0], pieces[:, -1]):
        least[side] = _CUT_NUCLEUS * area * usual
    keep = np.bincount(pieces.ravel()) >= least
    if chromosomes is not None:
        keep &= _share_inside(pieces, count, chromosomes, step) < _INHABITED
    keep[0] = False
    smooth = ndimage.gaussian_filter(small, 0.5 * half)
    nuclei = _solid(np.where(keep[pieces], pieces, 0), smooth, _CORE * width * half)
    return np.asarray(enlarge(nuclei, step, signal.shape))


def without_cytoplasm(
    signal: NDArray[np.float32], width: float, half: float, chromosomes: Mask
) -> NDArray[np.float32]:
    """Subtract stained cytoplasm around chromosomes from the signal.

    Parameters
    ----------
    signal : (H, W) float32 array
        Chromosome signal, smoothed.
    width : float
        Minimum thickness of cytoplasm, in widths of a chromosome.
    half : float
        Half the width of a chromosome, in px.
    chromosomes : (H, W) bool array
        Approximate mask of chromosomes: cytoplasm contains many of them.

    Returns
    -------
    (H, W) float32 array
        The signal; the same array if there is no cytoplasm.
    """
    step = max(1, int(half / _HALF))
    small = block_mean(signal, step)
    side = 2 * round(width * half / step) + 1
    # The opening removes everything thinner than a nucleus.
    haze = ndimage.grey_opening(small, size=(side, side))
    haze[haze > _STRONGEST_CYTOPLASM] = 0.0
    pieces, count = ndimage.label(haze > _FAINTEST_CYTOPLASM)
    if not count:
        return signal
    inhabited = _share_inside(pieces, count, chromosomes, step) >= _INHABITED
    inhabited[0] = False
    if not inhabited.any():
        return signal
    near = ndimage.binary_dilation(inhabited[pieces], EIGHT, iterations=max(1, side // 2))
    haze = ndimage.gaussian_filter(np.where(near, haze, 0.0).astype(np.float32), half / step)
    level = interpolate(haze, step, signal.shape, (step - 1) / 2)
    return np.asarray((signal - level) / (1 - level), np.float32)


def _thick(mask: Mask, radius: float, more: float) -> Mask:
    """Open a mask with a disc of the given radius, then dilate it by ``more``."""
    core = depths(mask, radius + 1) > radius
    if not core.any():
        return core
    return np.asarray(ndimage.distance_transform_edt(~core) <= radius + more)


def _solid(pieces: NDArray[np.integer], smooth: Floats, radius: float) -> Mask:
    """Return the parts of pieces that are still thick at a threshold relative to their own signal.

    This separates chromosomes that are joined by their glow, but not nuclei.
    """
    solid = np.zeros(pieces.shape, bool)
    for number, window in enumerate(ndimage.find_objects(pieces), start=1):
        if window is None:
            continue
        mine = pieces[window] == number
        strong = float(np.percentile(smooth[window][mine], _STRONG))
        core = _thick(mine & (smooth[window] > _SOLID * strong), radius, 0.0)
        if core.any():
            solid[window] |= mine & (ndimage.distance_transform_edt(~core) <= radius)
    return solid


def _share_inside(
    pieces: NDArray[np.integer], count: int, chromosomes: Mask, step: int
) -> NDArray[np.float64]:
    """Return the share of each piece of a downsampled image that chromosomes cover."""
    covered = np.bincount(pieces[block_mean(chromosomes, step) > 0.5], minlength=count + 1)
    return np.asarray(covered / np.maximum(np.bincount(pieces.ravel(), minlength=count + 1), 1))
