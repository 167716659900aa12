"""Find the regions of a metaphase: chromosomes and clusters, not nuclei, debris or specks.

Two steps, so that a slider can repeat the second one alone: `label_foreground`
finds everything that is stained, `filter_regions` leaves out what is too small,
too large, too thin, too ragged or too faint beside the chromosomes of that image.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.morphology import remove_small_holes
from skimage.segmentation import watershed

from napari_chromocluster.imaging.measure import (
    EIGHT,
    SHALLOWEST,
    SPECK,
    Floats,
    Mask,
    chromosome_area,
    half_width,
)
from napari_chromocluster.imaging.nuclei import FAINT_BESIDE_NUCLEI, find_nuclei, level_beside
from napari_chromocluster.imaging.signal import Polarity, Signal, chromosome_signal

Labels = NDArray[np.int32]

#: Depth of a ridge, in half widths of a chromosome, up to which it is that of a speck.
_SPECK_WIDTH = 0.35
#: Least smoothing of large pictures, in half widths of a chromosome: their outlines are as
#: smooth as those of small ones.
_SMOOTHING = 0.06
#: Signal below which nothing is a chromosome: dirt and uneven light reach further in
#: a bright field than anything does in the black background of fluorescence.
_FAINTEST_DARK, _FAINTEST_BRIGHT = 0.25, 0.1
#: A chromosome is brighter than this share of the mean around it...
_LOCAL_SHARE = 0.85
#: ...where the mean reaches this many half widths of a chromosome.
_LOCAL_REACH = 4.0
#: The same for the gaps between bright chromosomes.
_GAP_REACH = 2.0
#: How far the glow of a bright chromosome is looked for, in half widths.
_GLOW_REACH = 1.2
#: What else lies against a nucleus with this share of its pixels is the nucleus' rim.
_RIM_CONTACT = 0.45
#: Area from which a region may be a cluster of any shape, in median chromosomes.
_CLUSTER = 2.5


@dataclass(frozen=True)
class SegmentationParameters:
    """What counts as a region.

    Attributes
    ----------
    smallest_region : float
        Smallest area, in areas of the image's median chromosome.
    largest_region : float
        Largest area, in areas of the image's median chromosome.
    thinnest_region : float
        Least thickness, in widths of the image's chromosomes.
    thickest_region : float
        Greatest thickness of a small region, in widths of the image's chromosomes.
    most_ragged : float
        Greatest length of the outline of a small region, in areas divided by
        thickness: about 2.5 to 3 for a chromosome, more for crumbled debris.
    faintest_region : float
        Least mean signal, in that of the image's median region.
    threshold : float
        Factor of the automatic threshold: below 1 regions grow, above 1 they shrink.
    smoothing : float
        Standard deviation of the Gaussian that goes before, in px; more where chromosomes are
        wider than 20 px.
    nucleus_width : float
        Thickness from which a body is an interphase nucleus, in widths of the
        image's chromosomes; 0 keeps nuclei.
    nucleus_area : float
        Smallest area of a nucleus, in areas of the image's median chromosome.
    gap : float
        Bright chromosomes are cut apart where the signal is less than this
        share of its mean nearby: their glow fills the gap; 0 never cuts.
        Dark ones are not cut, for their pale bands would look like gaps.
    edge : float
        Bright regions end where the signal is less than this share of the greatest nearby: what
        lies further out is glow; below 1, and 0 leaves the glow.
    polarity : {"auto", "dark", "bright"}
        Whether chromosomes are darker or brighter than the background.
    """

    smallest_region: float = 0.24
    largest_region: float = 80.0
    thinnest_region: float = 0.7
    thickest_region: float = 2.4
    most_ragged: float = 4.4
    faintest_region: float = 0.3
    threshold: float = 1.0
    smoothing: float = 0.6
    nucleus_width: float = 2.9
    nucleus_area: float = 8.0
    gap: float = 1.0
    edge: float = 0.2
    polarity: Polarity = "auto"

    def __post_init__(self) -> None:
        """Refuse values that mean nothing."""
        for name, value in vars(self).items():
            if isinstance(value, float) and not math.isfinite(value):
                raise ValueError(f"The value of {name} must be a number, not {value}.")
        if not 0 <= self.smallest_region < self.largest_region:
            raise ValueError("The smallest region must be smaller than the largest region.")
        if self.threshold <= 0:
            raise ValueError("The threshold must be greater than 0.")
        for name in ("thinnest_region", "thickest_region", "most_ragged", "faintest_region",
                     "smoothing", "nucleus_width", "nucleus_area", "gap", "edge"):  # fmt: skip
            if getattr(self, name) < 0:
                raise ValueError(f"The value of {name} cannot be negative.")
        if self.edge >= 1:
            raise ValueError("The edge is a share of the greatest signal: choose one below 1.")
        if self.polarity not in ("auto", "dark", "bright"):
            raise ValueError("Polarity must be 'auto', 'dark' or 'bright'.")

    def tightened(self, factor: float) -> SegmentationParameters:
        """Return parameters that draw outlines tighter (above 1) or wider (below).

        Parameters
        ----------
        factor : float
            Multiplies ``threshold`` and ``edge``; the least useful is about 0.5, the greatest 2.
        """
        return dataclasses.replace(
            self, threshold=factor * self.threshold, edge=min(factor * self.edge, 0.95)
        )


@dataclass(frozen=True)
class Foreground:
    """Everything stained in an image, before regions are left out.

    Attributes
    ----------
    labels : (H, W) int32 array
        Connected pieces, numbered from 1.
    areas : (n + 1,) int array
        Area of each label in px; 0 for the background and for what belongs to a nucleus.
    thickness : (n + 1,) float array
        Thickness of each label at its thickest place, in px.
    raggedness : (n + 1,) float array
        Outline of each label times thickness, divided by area.
    strength : (n + 1,) float array
        Mean signal of each label.
    median_area : float
        Area of the median chromosome, in px; 0 when there is nothing.
    width : float
        Width of a chromosome, in px; 0 when there is nothing.
    """

    labels: Labels
    areas: NDArray[np.intp]
    thickness: NDArray[np.float64]
    raggedness: NDArray[np.float64]
    strength: NDArray[np.float64]
    median_area: float
    width: float


def segment_metaphase(
    image: Any, parameters: SegmentationParameters | None = None, **overrides: Any
) -> Labels:
    """Find the regions of a metaphase.

    Parameters
    ----------
    image : (H, W) or (H, W, 3 | 4) array of any real dtype
        One metaphase; light or dark background is told apart.
    parameters : SegmentationParameters, optional
        What counts as a region.
    **overrides
        Single parameters by name, such as ``smallest_region=0.2``.

    Returns
    -------
    (H, W) int32 array
        Regions numbered from 1, 0 background.

    Raises
    ------
    ValueError
        If the array is not one image, or a parameter means nothing.

    Examples
    --------
    >>> from napari_chromocluster.imaging.synthetic import synthetic_metaphase
    >>> labels = segment_metaphase(synthetic_metaphase(seed=1).image)
    >>> bool(labels.max() > 20)
    True
    """
    chosen = dataclasses.replace(parameters or SegmentationParameters(), **overrides)
    return filter_regions(label_foreground(image, chosen), chosen)


def label_foreground(image: Any, parameters: SegmentationParameters | None = None) -> Foreground:
    """Label everything that is stained, with nuclei taken out.

    Parameters
    ----------
    image : (H, W) or (H, W, 3 | 4) array of any real dtype
        One metaphase.
    parameters : SegmentationParameters, optional
        Threshold, smoothing, nucleus, gap, edge and polarity are used.
    """
    chosen = parameters or SegmentationParameters()
    found = chromosome_signal(image, polarity=chosen.polarity)
    signal = ndimage.gaussian_filter(found.values, chosen.smoothing)
    if not signal.any():
        return label_mask(np.zeros(signal.shape, bool), signal)
    nuclei, half = find_nuclei(signal, chosen.nucleus_width, chosen.nucleus_area)
    if chosen.nucleus_width and not found.dark_chromosomes:
        level = level_beside(nuclei, half, signal, chosen.nucleus_width)
        if level < FAINT_BESIDE_NUCLEI:
            # What was taken for the level of the chromosomes is that of nuclei.
            found = Signal(found.values / np.float32(level), found.dark_chromosomes)
            signal = signal / np.float32(level)
            nuclei, half = find_nuclei(signal, chosen.nucleus_width, chosen.nucleus_area)
    if 0 < chosen.smoothing < _SMOOTHING * half:
        signal = ndimage.gaussian_filter(found.values, _SMOOTHING * half)
    # A dark nucleus must not hide the chromosomes against it; a bright one glows, and its
    # share in the mean keeps the glow from looking like a chromosome.
    outside = (~nuclei | (not found.dark_chromosomes)).astype(np.float32)
    # Clipped, so that a bright neighbour does not hide a faint chromosome.
    around = local_mean(np.clip(signal, 0, 1) * outside, _LOCAL_REACH * half)
    around /= np.maximum(local_mean(outside, _LOCAL_REACH * half), 0.2)
    least = _FAINTEST_DARK if found.dark_chromosomes else _FAINTEST_BRIGHT
    mask = signal > chosen.threshold * np.maximum(_LOCAL_SHARE * around, least)
    mask = remove_small_holes(mask & ~nuclei, max_size=SPECK)
    if found.dark_chromosomes:
        return label_mask(mask, signal, nuclei, half)
    if chosen.gap:
        near = local_mean(np.clip(signal, 0, 3) * outside, _GAP_REACH * half)
        mask = _cut_gaps(mask, signal > chosen.gap * near, signal, half)
    if chosen.edge:
        mask = _without_glow(mask, signal, chosen.edge, half)
    return label_mask(mask, signal, nuclei, half)


def label_mask(
    mask: Mask, signal: Floats, nuclei: Mask | None = None, half: float = 0.0
) -> Foreground:
    """Label and measure the pieces of a mask, by whatever threshold it was made.

    Parameters
    ----------
    mask : (H, W) bool array
        Where there is stain.
    signal : (H, W) float array
        Chromosome signal.
    nuclei : (H, W) bool array, optional
        Nuclei, whose rims are not regions.
    half : float
        Half the width of a chromosome, in px, where a first look has told it: in a large picture
        specks are as wide as chromosomes in a small one.
    """
    if nuclei is not None:
        mask = mask & ~nuclei
    labels, count = ndimage.label(mask, EIGHT)
    areas = np.bincount(labels.ravel(), minlength=count + 1)
    total = np.bincount(labels.ravel(), weights=signal.ravel(), minlength=count + 1)
    areas[0], total[0] = 0, 0.0
    depth = ndimage.distance_transform_edt(mask)
    thickness = np.zeros(count + 1)
    thickness[1:] = 2 * np.asarray(ndimage.maximum(depth, labels, np.arange(1, count + 1)))
    width = 2 * half_width(depth, max(SHALLOWEST, _SPECK_WIDTH * half))
    median = chromosome_area(areas[thickness >= 0.7 * width], width / 2)
    strength = total / np.maximum(areas, 1)
    raggedness = _outlines(labels, count) * thickness / np.maximum(areas, 1)
    if nuclei is not None and nuclei.any():
        distance = ndimage.distance_transform_edt(~nuclei)
        near = np.bincount(labels[distance <= max(2.0, 0.4 * width)], minlength=count + 1)
        touching = np.bincount(labels[distance <= 2.0], minlength=count + 1) > 0
        rim = near >= _RIM_CONTACT * np.maximum(areas, 1)
        areas[rim | (touching & (areas < 0.35 * median))] = 0
    return Foreground(
        labels.astype(np.int32), areas, thickness, raggedness, strength, median, width
    )


def filter_regions(foreground: Foreground, parameters: SegmentationParameters) -> Labels:
    """Leave out what is too small, large, thin or faint, and number the rest from 1.

    What is too thick or too ragged stays if it is large: it may be a tangled cluster.
    Takes some milliseconds, so that a preview can follow a slider.

    Parameters
    ----------
    foreground : Foreground
        From `label_foreground`.
    parameters : SegmentationParameters
        Smallest, largest, thinnest and faintest region are used.

    Returns
    -------
    (H, W) int32 array
        Regions numbered from 1.
    """
    areas = foreground.areas
    keep = areas >= max(SPECK, parameters.smallest_region * foreground.median_area)
    keep &= areas <= parameters.largest_region * foreground.median_area
    keep &= foreground.thickness >= parameters.thinnest_region * foreground.width
    shapely = foreground.thickness <= parameters.thickest_region * foreground.width
    shapely &= foreground.raggedness <= parameters.most_ragged
    keep &= shapely | (areas >= _CLUSTER * foreground.median_area)
    if keep.any():
        usual = float(np.median(foreground.strength[keep]))
        keep &= foreground.strength >= parameters.faintest_region * usual
    numbers = np.zeros(areas.size, np.int32)
    numbers[keep] = np.arange(1, int(keep.sum()) + 1)
    return np.asarray(numbers[foreground.labels])


def local_mean(values: Floats, sigma: float) -> NDArray[np.float32]:
    """Mean around each pixel with Gaussian weights, computed on every few pixels.

    Parameters
    ----------
    values : (H, W) float array
        Smooth on the scale of ``sigma / 4``.
    sigma : float
        Standard deviation of the weights, in px.
    """
    step = max(1, int(sigma / 4))
    coarse = ndimage.gaussian_filter(values[::step, ::step].astype(np.float32), sigma / step)
    for axis, size in enumerate(values.shape):
        place = np.arange(size, dtype=np.float32) / step
        low = np.minimum(place.astype(int), coarse.shape[axis] - 1)
        high = np.minimum(low + 1, coarse.shape[axis] - 1)
        share = (place - low).reshape((-1, 1) if axis == 0 else (1, -1)).astype(np.float32)
        coarse = coarse.take(low, axis) * (1 - share) + coarse.take(high, axis) * share
    return np.asarray(coarse, np.float32)


def _outlines(labels: NDArray[np.integer], count: int) -> NDArray[np.float64]:
    """Length of the outline of each label, in px: sides of pixels, as a tilted line has them."""
    sides = np.zeros(count + 1)
    for one, other in ((labels[1:], labels[:-1]), (labels[:, 1:], labels[:, :-1])):
        differ = one != other
        for side in (one, other):
            sides += np.bincount(side[differ], minlength=count + 1)
    # A straight line of any direction crosses 4/pi sides for its length, on average.
    return sides * np.pi / 4


def _cut_gaps(mask: Mask, bright: Mask, signal: Floats, half: float) -> Mask:
    """Cut a piece along its darkest lines when it holds several bright bodies."""
    pieces, _ = ndimage.label(mask, EIGHT)
    areas = np.bincount(pieces.ravel())[1:]
    usual = chromosome_area(areas, half)
    bodies, count = ndimage.label(bright & mask, EIGHT)
    depth = ndimage.distance_transform_edt(bodies > 0)
    if not count:
        return mask
    thick = np.concatenate([[0.0], ndimage.maximum(depth, bodies, np.arange(1, count + 1))])
    # A body must be thick and large enough to be a chromosome of its own.
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
    # With a line of its own the flood may take minutes: it queues the same pixels again and again.
    cut = watershed(-signal, markers, connectivity=2, mask=where)
    line = (cut > 0) & (ndimage.maximum_filter(cut, size=3) > cut)
    return np.asarray((mask & ~where) | ((cut > 0) & ~line))


def _without_glow(mask: Mask, signal: Floats, share: float, half: float) -> Mask:
    """Leave out what is faint beside the brightest place within reach: no stain, but its glow.

    Each piece for itself, so that a faint chromosome does not end at a bright neighbour.
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
