"""Find the regions of a metaphase: chromosomes and clusters, not nuclei, debris or specks.

Two steps, so that a slider can repeat the second one alone: `label_foreground`
finds everything that is stained, `filter_regions` leaves out what is too small
or too large beside the chromosomes of that image.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.filters import threshold_otsu
from skimage.morphology import remove_small_holes

from napari_chromocluster.imaging.signal import Polarity, chromosome_signal

Labels = NDArray[np.int32]

#: Signal below which nothing is a chromosome, in units of the chromosomes' level.
_FAINTEST = 0.3
#: Fewest pixels of anything that is looked at.
_SPECK = 12


@dataclass(frozen=True)
class SegmentationParameters:
    """What counts as a region.

    Attributes
    ----------
    smallest_region : float
        Smallest area, in areas of the image's median chromosome.
    largest_region : float
        Largest area, in areas of the image's median chromosome.
    threshold : float
        Factor of the automatic threshold: below 1 regions grow, above 1 they shrink.
    smoothing : float
        Standard deviation of the Gaussian that goes before, in px.
    nucleus_width : float
        Thickness from which a round body is an interphase nucleus, in widths
        of the image's chromosomes; 0 keeps nuclei.
    polarity : {"auto", "dark", "bright"}
        Whether chromosomes are darker or brighter than the background.
    """

    smallest_region: float = 0.14
    largest_region: float = 80.0
    threshold: float = 0.9
    smoothing: float = 0.7
    nucleus_width: float = 3.4
    polarity: Polarity = "auto"

    def __post_init__(self) -> None:
        """Refuse values that mean nothing."""
        if not 0 <= self.smallest_region < self.largest_region:
            raise ValueError("The smallest region must be smaller than the largest region.")
        if self.threshold <= 0 or self.smoothing < 0 or self.nucleus_width < 0:
            raise ValueError("Threshold, smoothing and nucleus width cannot be negative.")


@dataclass(frozen=True)
class Foreground:
    """Everything stained in an image, before regions are left out.

    Attributes
    ----------
    labels : (H, W) int32 array
        Connected pieces, numbered from 1.
    areas : (n + 1,) int array
        Area of each label in px; 0 for the background.
    median_area : float
        Area of the median chromosome-like piece, in px.
    """

    labels: Labels
    areas: NDArray[np.intp]
    median_area: float


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
    image : (H, W) or (H, W, 3 | 4) array
        One metaphase.
    parameters : SegmentationParameters, optional
        Threshold, smoothing, nucleus width and polarity are used.
    """
    chosen = parameters or SegmentationParameters()
    signal = chromosome_signal(image, polarity=chosen.polarity).values
    if chosen.smoothing:
        signal = ndimage.gaussian_filter(signal, chosen.smoothing)
    if not signal.any():
        return Foreground(np.zeros(signal.shape, np.int32), np.zeros(1, np.intp), 0.0)
    level = threshold_otsu(np.clip(signal, 0.0, 2.0))
    mask = signal > max(_FAINTEST, chosen.threshold * float(level))
    return label_mask(mask, chosen)


def label_mask(mask: NDArray[np.bool_], parameters: SegmentationParameters) -> Foreground:
    """Label the pieces of a mask, with specks and nuclei taken out.

    Parameters
    ----------
    mask : (H, W) bool array
        Where there is stain, by whatever threshold.
    parameters : SegmentationParameters
        The nucleus width is used.
    """
    mask = remove_small_holes(mask, max_size=_SPECK)
    mask = _without_specks(mask)
    if parameters.nucleus_width:
        mask = _without_specks(_without_nuclei(mask, parameters.nucleus_width))
    labels, count = ndimage.label(mask, np.ones((3, 3)))
    areas = np.bincount(labels.ravel(), minlength=count + 1)
    areas[0] = 0
    return Foreground(labels.astype(np.int32), areas, _median_area(areas[1:]))


def _without_specks(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    labels, _ = ndimage.label(mask, np.ones((3, 3)))
    areas = np.bincount(labels.ravel())
    keep = areas >= _SPECK
    keep[0] = False
    return np.asarray(keep[labels])


def _without_nuclei(mask: NDArray[np.bool_], width: float) -> NDArray[np.bool_]:
    """Cut out bodies much thicker than the chromosomes; what only touches them stays."""
    depth = ndimage.distance_transform_edt(mask)
    half = _half_width(depth)
    if half == 0.0:
        return mask
    core = depth > width * half
    if not core.any():
        return mask
    body = ndimage.distance_transform_edt(~core) <= width * half + 2.0
    rest = mask & ~body
    # Slivers of the nucleus' rim are thinner than any chromosome.
    labels, count = ndimage.label(rest, np.ones((3, 3)))
    deepest = ndimage.maximum(depth * rest, labels, index=np.arange(1, count + 1))
    areas = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    beside = ndimage.binary_dilation(body, iterations=2)
    touches = np.zeros(count + 1, bool)
    touches[np.unique(labels[beside])] = True
    keep = np.concatenate([[False], np.asarray(deepest) >= 0.45 * half])
    usual = _median_area(areas)
    keep[1:] &= ~touches[1:] | (areas >= 0.35 * usual)
    return np.asarray(keep[labels])


def _half_width(depth: NDArray[np.floating]) -> float:
    """Half the usual width of the chromosomes: the median depth of all ridges, in px.

    Chromosomes have long ridges for their area, nuclei short ones and specks
    shallow ones, so neither moves the median much.
    """
    ridge = (depth == ndimage.maximum_filter(depth, size=3)) & (depth >= 2.0)
    return float(np.median(depth[ridge])) if ridge.any() else 0.0


def _median_area(areas: NDArray[Any]) -> float:
    """Median area of what may be a chromosome: specks and giants hardly count.

    Weights between count and area keep a hundred specks and a few nuclei from
    deciding; the pieces within a factor of it are the chromosomes.
    """
    areas = np.sort(np.asarray(areas, float)[np.asarray(areas) > 0])
    if areas.size == 0:
        return 0.0
    weights = np.cumsum(np.sqrt(areas))
    median = float(areas[np.searchsorted(weights, weights[-1] / 2)])
    for _ in range(3):
        near = areas[(areas > median / 5) & (areas < median * 4)]
        median = float(np.median(near)) if near.size else median
    return median


def filter_regions(foreground: Foreground, parameters: SegmentationParameters) -> Labels:
    """Leave out what is too small or too large, and number the rest from 1.

    Parameters
    ----------
    foreground : Foreground
        From `label_foreground`.
    parameters : SegmentationParameters
        Smallest and largest region are used.

    Returns
    -------
    (H, W) int32 array
        Regions numbered from 1.
    """
    areas = foreground.areas
    keep = areas >= parameters.smallest_region * foreground.median_area
    keep &= areas <= parameters.largest_region * foreground.median_area
    keep[areas == 0] = False
    numbers = np.zeros(areas.size, np.int32)
    numbers[keep] = np.arange(1, int(keep.sum()) + 1)
    return np.asarray(numbers[foreground.labels])
