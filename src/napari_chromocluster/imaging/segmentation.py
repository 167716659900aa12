"""Find the regions of a metaphase: chromosomes and clusters, not nuclei, debris or specks.

There are two steps, so that a slider needs to repeat only the second:
`label_foreground` labels everything stained, `filter_regions` drops what is too
small, large, thin, ragged or faint relative to the chromosomes of the image.
"""

from __future__ import annotations

import dataclasses
import math
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.morphology import remove_small_holes
from skimage.segmentation import watershed

from napari_chromocluster.imaging.missing import fill_thin, missing_pixels
from napari_chromocluster.imaging.morphometry import (
    EIGHT,
    SHALLOWEST,
    SPECK,
    Floats,
    Mask,
    block_mean,
    chromosome_area,
    chromosome_half_width,
    deepest,
    depths,
    enlarge,
    interpolate,
    outline_lengths,
)
from napari_chromocluster.imaging.normalization import (
    NormalizedImage,
    stain_above_background,
    to_grayscale,
)
from napari_chromocluster.imaging.nuclei import find_nuclei, without_cytoplasm
from napari_chromocluster.imaging.population import Population, find_population
from napari_chromocluster.imaging.region_filter import (
    CandidateRegions,
    FoundRegions,
    Labels,
    LeftOut,
    SegmentationParameters,
    filter_regions,
    has_reason,
    why_left_out,
)
from napari_chromocluster.progress import Cancelled, Progress, Stop

#: Maximum depth of a speck's ridge, in half widths of a chromosome.
_SPECK_WIDTH = 0.35
#: Minimum smoothing in half widths of a chromosome, so that outlines of large images are as smooth
#: as those of small ones.
_SMOOTHING = 0.06
#: Minimum signal of chromosomes: dirt and uneven illumination are stronger in a bright field than
#: in the black background of fluorescence.
_FAINTEST_DARK, _FAINTEST_BRIGHT = 0.25, 0.1
#: A chromosome is brighter than this share of the mean around it...
_LOCAL_SHARE = 0.85
#: ...where the mean reaches this many half widths of a chromosome.
_LOCAL_REACH = 4.0
#: The same for the gaps between bright chromosomes.
_GAP_REACH = 1.85
#: Maximum extent of the glow of a bright chromosome, in half widths.
_GLOW_REACH = 1.2
#: Objects with this share of their pixels next to a nucleus belong to its rim.
_RIM_CONTACT = 0.45
#: Images are downsampled as long as chromosomes are at least this wide, in px.
_ENOUGH = 12.0
#: Half the width of a chromosome if none is found, in px.
_UNKNOWN_HALF = 3.0
#: Steps that `label_foreground` reports.
_STEPS = 6
#: Range of the depth of chromosome ridges, in half widths of the population.
_RIDGES = (0.5, 1.8)
#: Minimum area of an elongated object, relative to its squared thickness: grains are round.
_LONG = 1.0
#: Maximum depth for measuring thickness, in half widths.
_DEEPEST = 8.0


def segment_metaphase(
    image: Any, parameters: SegmentationParameters | None = None, **overrides: Any
) -> Labels:
    """Find the regions of a metaphase.

    Parameters
    ----------
    image : (H, W) or (H, W, 3 | 4) array of any real dtype
        One metaphase, on a light or dark background.
    parameters : SegmentationParameters, optional
        Limits and settings.
    **overrides
        Individual parameters by name, such as ``smallest_region=0.2``.

    Returns
    -------
    (H, W) int32 array
        Regions numbered from 1, 0 background.

    Raises
    ------
    ValueError
        If the array is not one image, or a parameter is invalid.

    Examples
    --------
    >>> from napari_chromocluster.imaging.synthetic_metaphase import synthetic_metaphase
    >>> labels = segment_metaphase(synthetic_metaphase(seed=1).image)
    >>> bool(labels.max() > 20)
    True
    """
    chosen = dataclasses.replace(parameters or SegmentationParameters(), **overrides)
    return filter_regions(label_foreground(image, chosen), chosen)


def find_regions(
    image: Any, parameters: SegmentationParameters | None = None, **overrides: Any
) -> FoundRegions:
    """Find the regions of a metaphase, and what was left out and why.

    Parameters
    ----------
    image, parameters, **overrides
        As for `segment_metaphase`.

    Returns
    -------
    FoundRegions
        Regions, and the objects that are not regions with the reason for each.
    """
    chosen = dataclasses.replace(parameters or SegmentationParameters(), **overrides)
    foreground = label_foreground(image, chosen)
    reasons = why_left_out(foreground, chosen)
    out = np.flatnonzero(has_reason(reasons) & (foreground.areas > 0))
    numbers = np.zeros(reasons.size, np.int32)
    numbers[out] = np.arange(1, out.size + 1)
    return FoundRegions(
        filter_regions(foreground, chosen),
        numbers[foreground.labels],
        {number: LeftOut(reason) for number, reason in enumerate(reasons[out], start=1)},
    )


def label_foreground(
    image: Any,
    parameters: SegmentationParameters | None = None,
    progress: Progress | None = None,
    stop: Stop | None = None,
) -> CandidateRegions:
    """Label everything stained, with nuclei separate.

    Parameters
    ----------
    image : (H, W) or (H, W, 3 | 4) array of any real dtype
        One metaphase.
    parameters : SegmentationParameters, optional
        Threshold, smoothing, nucleus, gap, edge and polarity are used.
    progress : callable, optional
        Called with the steps done and their number.
    stop : callable, optional
        Checked between steps; the work ends if it returns True.

    Raises
    ------
    Cancelled
        If ``stop`` returned True.
    """
    chosen = parameters or SegmentationParameters()
    report = partial(_report, progress, stop)
    gray = to_grayscale(image)
    report(1)
    missing = missing_pixels(gray)
    report(2)
    stain, level = stain_above_background(gray, missing, chosen.polarity)
    del gray
    blank = None if missing is None else fill_thin(stain.values, missing)
    report(3)
    population = find_population(stain.values)
    report(4)
    if population is None:
        population = Population(level, _UNKNOWN_HALF, np.zeros(stain.values.shape, bool), 1)
    step = max(1, int(2 * population.half / _ENOUGH))
    values = block_mean(stain.values, step)
    values /= np.float32(population.level)
    members = population.members_in(values.shape, step)
    mask, nuclei, signal = _stained(
        NormalizedImage(values, stain.dark_chromosomes), population.half / step, members, chosen
    )
    report(5)
    found = label_mask(mask, signal, nuclei, population.half / step)
    report(_STEPS)
    if step > 1:
        found = _enlarged(found, step, stain.values.shape)
    return found if missing is None or blank is None else _with_missing(found, missing, blank)


def _report(progress: Progress | None, stop: Stop | None, done: int) -> None:
    """Report a step of `label_foreground`, or end the work if it was cancelled."""
    if stop is not None and stop():
        raise Cancelled("Finding regions was cancelled.")
    if progress is not None:
        progress(done, _STEPS)


def _stained(
    found: NormalizedImage, half: float, members: Mask, chosen: SegmentationParameters
) -> tuple[Mask, Mask, NDArray[np.float32]]:
    """Return the mask of the stain, the mask of nuclei, and the smoothed signal."""
    signal = ndimage.gaussian_filter(
        found.values, max(chosen.smoothing, _SMOOTHING * half) if chosen.smoothing else 0.0
    )
    nuclei = np.zeros(signal.shape, bool)
    if chosen.nucleus_width:
        signal = without_cytoplasm(signal, chosen.nucleus_width, half, members)
        nuclei = find_nuclei(signal, chosen.nucleus_width, chosen.nucleus_area, half, members)
    # Exclude dark nuclei from the mean, to keep the chromosomes next to them; include bright ones,
    # to suppress their glow.
    outside = (~nuclei | (not found.dark_chromosomes)).astype(np.float32)
    # Clip the signal, so that a bright neighbor does not suppress a faint chromosome.
    threshold = local_mean(np.clip(signal, 0, 1) * outside, _LOCAL_REACH * half)
    threshold /= np.maximum(local_mean(outside, _LOCAL_REACH * half), 0.2)
    threshold *= _LOCAL_SHARE
    least = _FAINTEST_DARK if found.dark_chromosomes else _FAINTEST_BRIGHT
    np.maximum(threshold, least, out=threshold)
    threshold *= chosen.threshold
    mask = remove_small_holes((signal > threshold) & ~nuclei, max_size=SPECK)
    if not found.dark_chromosomes:
        if chosen.gap:
            near = local_mean(np.clip(signal, 0, 3) * outside, _GAP_REACH * half)
            mask = _cut_gaps(mask, signal > chosen.gap * near, signal, half)
        if chosen.edge:
            mask = _without_glow(mask, signal, chosen.edge, half)
    return mask, nuclei, signal


def _enlarged(found: CandidateRegions, step: int, shape: tuple[int, ...]) -> CandidateRegions:
    """Upsample the foreground of a downsampled image."""
    # The outline is where the interpolated mask is one half.
    inside = interpolate(found.labels > 0, step, shape, (step - 1) / 2) > 0.5
    nearest = ndimage.maximum_filter(found.labels, size=3)
    nearest = np.where(found.labels > 0, found.labels, nearest)
    labels = enlarge(nearest, step, shape)
    labels[~inside] = 0
    return dataclasses.replace(
        found,
        labels=labels,
        areas=np.append(0, np.bincount(labels.ravel(), minlength=found.areas.size)[1:]),
        thickness=step * found.thickness,
        median_area=step**2 * found.median_area,
        width=step * found.width,
    )


def _with_missing(found: CandidateRegions, missing: Mask, blank: Mask) -> CandidateRegions:
    """Add pixels without image content to what is left out; regions continue below thin lines."""
    labels, areas = found.labels, found.areas
    missing = missing & (blank | (labels == 0))
    pieces, count = ndimage.label(missing, EIGHT)
    labels[missing] = pieces[missing] + (areas.size - 1)
    blank = np.zeros(count)
    counted = np.bincount(labels.ravel(), minlength=areas.size + count)
    counted[0] = 0
    return dataclasses.replace(
        found,
        areas=counted,
        thickness=np.concatenate([found.thickness, blank]),
        raggedness=np.concatenate([found.raggedness, blank]),
        strength=np.concatenate([found.strength, blank]),
        reasons=np.concatenate([found.reasons, np.full(count, LeftOut.CONSTANT_AREA, object)]),
    )


def label_mask(
    mask: Mask, signal: Floats, nuclei: Mask | None = None, half: float = 0.0
) -> CandidateRegions:
    """Label and measure the pieces of a mask.

    Parameters
    ----------
    mask : (H, W) bool array
        Mask of the stain, from any threshold.
    signal : (H, W) float array
        Chromosome signal.
    nuclei : (H, W) bool array, optional
        Nuclei, whose rims are not regions.
    half : float
        Approximate half width of a chromosome in px, if known, to ignore the ridges of specks and
        of rims of nuclei.
    """
    if nuclei is not None:
        mask = mask & ~nuclei
    labels, count = ndimage.label(mask, EIGHT)
    areas = np.bincount(labels.ravel(), minlength=count + 1)
    total = np.bincount(labels.ravel(), weights=signal.ravel(), minlength=count + 1)
    areas[0], total[0] = 0, 0.0
    depth = depths(mask, _DEEPEST * half if half else max(mask.shape))
    thickness = 2 * deepest(depth, labels, count)
    few, many = (share * half for share in _RIDGES) if half else (SHALLOWEST, math.inf)
    long = areas > _LONG * thickness**2
    width = 2 * (
        chromosome_half_width(np.where(long[labels], depth, 0), max(SHALLOWEST, few), many) or half
    )
    median = chromosome_area(areas[long & (thickness >= 0.7 * width)], width / 2)
    found = CandidateRegions(
        labels,
        areas,
        thickness,
        outline_lengths(labels, count) * thickness / np.maximum(areas, 1),
        total / np.maximum(areas, 1),
        np.full(count + 1, None, object),
        median,
        width,
    )
    return found if nuclei is None or not nuclei.any() else _with_nuclei(found, signal, nuclei)


def _with_nuclei(found: CandidateRegions, signal: Floats, nuclei: Mask) -> CandidateRegions:
    """Mark the rims of nuclei, and add the nuclei as labels that are left out."""
    labels, areas = found.labels, found.areas
    reach = max(2.0, 0.4 * found.width)
    distance = depths(~nuclei, reach + 1)
    near = np.bincount(labels[distance <= reach], minlength=areas.size)
    touching = np.bincount(labels[distance <= 2.0], minlength=areas.size) > 0
    rim = near >= _RIM_CONTACT * np.maximum(areas, 1)
    rim |= touching & (areas < 0.35 * found.median_area)
    rim[0] = False
    reasons = found.reasons.copy()
    reasons[rim] = LeftOut.NUCLEUS_RIM
    bodies, count = ndimage.label(nuclei, EIGHT)
    labels[nuclei] = bodies[nuclei] + (areas.size - 1)
    blank = np.zeros(count)
    return dataclasses.replace(
        found,
        areas=np.concatenate([areas, np.bincount(bodies.ravel())[1:]]),
        thickness=np.concatenate([found.thickness, blank]),
        raggedness=np.concatenate([found.raggedness, blank]),
        strength=np.concatenate([found.strength, blank]),
        reasons=np.concatenate([reasons, np.full(count, LeftOut.NUCLEUS, object)]),
    )


def local_mean(values: Floats, sigma: float) -> NDArray[np.float32]:
    """Return the local mean with Gaussian weights, computed on every few pixels.

    Parameters
    ----------
    values : (H, W) float array
        Smooth on the scale of ``sigma / 4``.
    sigma : float
        Standard deviation of the weights, in px.
    """
    step = max(1, int(sigma / 4))
    coarse = ndimage.gaussian_filter(values[::step, ::step].astype(np.float32), sigma / step)
    return interpolate(coarse, step, values.shape)


def _cut_gaps(mask: Mask, bright: Mask, signal: Floats, half: float) -> Mask:
    """Separate pieces that contain several bright bodies, along their darkest lines."""
    pieces, _ = ndimage.label(mask, EIGHT)
    areas = np.bincount(pieces.ravel())[1:]
    usual = chromosome_area(areas, half)
    bodies, count = ndimage.label(bright & mask, EIGHT)
    depth = ndimage.distance_transform_edt(bodies > 0)
    if not count:
        return mask
    thick = np.concatenate([[0.0], ndimage.maximum(depth, bodies, np.arange(1, count + 1))])
    # A body must be thick and large enough to be a separate chromosome.
    seed = (np.bincount(bodies.ravel()) >= 0.15 * usual) & (thick >= 0.5 * half)
    seed[0] = False
    homes = np.zeros(count + 1, np.intp)
    homes[bodies[bodies > 0]] = pieces[bodies > 0]
    several = np.bincount(homes[seed], minlength=areas.size + 1) > 1
    several[0] = False
    if not several.any():
        return mask
    where = several[pieces]
    markers = np.where(seed[bodies], bodies, 0)
    # watershed_line=True may take minutes: it queues the same pixels again and again.
    cut = watershed(-signal, markers, connectivity=2, mask=where)
    line = (cut > 0) & (ndimage.maximum_filter(cut, size=3) > cut)
    return np.asarray((mask & ~where) | ((cut > 0) & ~line))


def _without_glow(mask: Mask, signal: Floats, share: float, half: float) -> Mask:
    """Remove pixels that are faint relative to the local maximum: they are glow, not stain.

    Each piece is processed separately, so that a bright neighbor does not erode a faint one.
    """
    side = 2 * round(_GLOW_REACH * half) + 1
    kept = np.zeros(mask.shape, bool)
    pieces, _ = ndimage.label(mask, EIGHT)
    for number, window in enumerate(ndimage.find_objects(pieces), 1):
        mine = pieces[window] == number
        inside = np.where(mine, signal[window], 0)
        stained = inside > share * ndimage.maximum_filter(inside, size=side, mode="constant")
        kept[window] |= remove_small_holes(stained, max_size=SPECK) & mine
    return kept
