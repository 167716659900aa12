"""Find the chromosomes of an image as a population of objects of similar width and stain.

The darkest or brightest objects in an image are not always chromosomes: nuclei, ink, scale bars
and frames are stronger, cytoplasm and dirt are larger or more numerous.  The stain level and the
width of the chromosomes are therefore measured on similar objects: at a series of thresholds, the
objects that hardly grow when the threshold is lowered (maximally stable extremal regions) are
grouped by width, and the best group over all thresholds is the population.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_chromocluster.imaging.morphometry import (
    EIGHT,
    Floats,
    Mask,
    block_mean,
    chromosome_half_width,
    outline_lengths,
)

#: Approximate number of pixels of the downsampled image for the first attempt.
_FEW_PIXELS = 160_000
#: Minimum width of chromosomes in the downsampled image, in px; if less, a larger one is used.
_WIDE_ENOUGH = 4.5
#: Width in px at which chromosomes are measured.
_WIDE = 5.5
#: Margin around a member that may contain its pale edge, in px of the downsampled image.
_AROUND = 2
#: Smoothing of the downsampled image, in px.
_BLUR = 0.7
#: Distance of pixels with independent noise, in px.
_APART = 3
#: Ratio of neighboring thresholds, and their maximum number.
_RATIO, _MOST_THRESHOLDS = 1.4, 12
#: Lowest threshold: relative to the strongest signal, and in standard deviations of the noise.
_LOWEST, _ABOVE_NOISE = 1 / 60, 5.0
#: A stable object grows by less than this factor from one threshold to the next lower one.
_GROWTH = 2.0
#: Minimum mean stain of an object relative to the threshold: noise is just above any threshold.
_ABOVE_THRESHOLD = 1.15
#: Minimum share of the stained area in a population: grains around nuclei have less.
_SHARE = 0.03
#: Minimum area of an object in the downsampled image, in px.
_FEWEST_PIXELS = 9
#: Maximum ratio of widths in a population.
_ALIKE = 2.2
#: Area of a disc relative to its squared width, as the width is measured here.
_DISC = 1.3
#: Weight of an object: a minimum, plus its elongation up to a maximum; chromosomes are elongated,
#: nuclei and grains are round.
_ROUND, _LONG = 0.1, 2.0
#: Usual number of chromosomes and clusters: a group of fewer or more objects counts less.
_FEW, _MANY = 10, 120
#: Exponents of width and stain in the score: grains and dirt are numerous, but small and faint.
_POWER_OF_WIDTH, _POWER_OF_STAIN = 0.75, 0.25
#: Minimum half width of a chromosome in the downsampled image, in px; less is grain.
_THINNEST = 1.5
#: Signal relative to the level at the edge of a chromosome, and above which stain is measured.
_EDGE, _CORE = 0.45, 0.55


@dataclass(frozen=True)
class Population:
    """Approximate chromosomes of an image.

    Attributes
    ----------
    level : float
        Median signal of the chromosomes, in the unit of the signal.
    half : float
        Half the width of a chromosome, in px of the image.
    members : (h, w) bool array
        Their mask in the image downsampled by ``step``.
    step : int
        Downsampling factor of ``members``.
    """

    level: float
    half: float
    members: Mask
    step: int

    def members_in(self, shape: tuple[int, ...], step: int) -> Mask:
        """Return the mask of the chromosomes in an image of ``shape``, downsampled by ``step``."""
        rows, columns = (
            np.minimum((np.arange(size) * step + step // 2) // self.step, have - 1)
            for size, have in zip(shape, self.members.shape, strict=True)
        )
        return np.asarray(self.members.take(rows, 0).take(columns, 1))


def find_population(signal: Floats) -> Population | None:
    """Find the chromosomes of an image as the largest population of similar objects.

    Parameters
    ----------
    signal : (H, W) float array
        Stain above the background, in any unit.

    Returns
    -------
    Population or None
        None if no object is stable, as in an empty image.
    """
    step = max(1, math.ceil(math.sqrt(signal.size / _FEW_PIXELS)))
    while True:
        found = _look(block_mean(signal, step), step)
        if step == 1 or (found is not None and 2 * found.half >= _WIDE_ENOUGH * step):
            break
        step = max(1, step // 2)
    if found is None:
        return None
    finer = max(1, int(2 * found.half / _WIDE))
    if finer < step:
        reduced = block_mean(signal, finer)
        members = found.members_in(reduced.shape, finer)
        found = _measured(ndimage.gaussian_filter(reduced, _BLUR), members, found.level, finer)
    return found


def _look(signal: Floats, step: int) -> Population | None:
    """Find the population in a downsampled image."""
    if min(signal.shape) <= _APART:
        return None
    values = ndimage.gaussian_filter(signal, _BLUR)
    # From nearby pixels, because half of the image may be stained cytoplasm.
    noise = 1.4826 / math.sqrt(2) * float(np.median(np.abs(values[_APART:] - values[:-_APART])))
    top = float(values.max())
    threshold = max(_ABOVE_NOISE * noise, _LOWEST * top)
    best, members, level = 0.0, None, 0.0
    lower: tuple[NDArray[np.integer], NDArray[np.intp]] | None = None
    for _ in range(_MOST_THRESHOLDS):
        if not 0 < threshold < top:
            break
        labels, count = ndimage.label(values > threshold, EIGHT)
        areas = np.bincount(labels.ravel(), minlength=count + 1)
        if lower is not None:
            stain = np.bincount(labels.ravel(), weights=values.ravel()) / np.maximum(areas, 1)
            stable = _stable(labels, areas, *lower)
            stable = stable[stain[stable] > _ABOVE_THRESHOLD * threshold]
            score, group = _best_group(stable, areas, outline_lengths(labels, count))
            if group.size:
                score *= max(float(np.median(stain[group])), 0.0) ** _POWER_OF_STAIN
            if score > best and areas[group].sum() >= _SHARE * areas[1:].sum():
                chosen = np.zeros(count + 1, bool)
                chosen[group] = True
                best, members, level = score, chosen[labels], float(np.median(stain[group]))
        lower = labels, areas
        threshold *= _RATIO
    if members is None:
        return None
    found = _measured(values, members, level, step)
    grains = found.half < _THINNEST * step or found.level < _ABOVE_NOISE * noise
    return None if grains else found


def _stable(
    labels: NDArray[np.integer],
    areas: NDArray[np.intp],
    lower_labels: NDArray[np.integer],
    lower_areas: NDArray[np.intp],
) -> NDArray[np.intp]:
    """Return the labels that hardly grow at the next lower threshold, except at the border."""
    somewhere = np.zeros(areas.size, np.intp)
    somewhere[labels.ravel()] = np.arange(labels.size)
    grown = lower_areas[lower_labels.ravel()[somewhere]]
    stable = (grown < _GROWTH * areas) & (areas >= _FEWEST_PIXELS)
    stable[0] = False
    for side in (labels[0], labels[-1], labels[:, 0], labels[:, -1]):
        stable[side] = False
    return np.flatnonzero(stable)


def _best_group(
    stable: NDArray[np.intp], areas: NDArray[np.intp], outlines: NDArray[np.float64]
) -> tuple[float, NDArray[np.intp]]:
    """Return the score and the labels of the best group of stable objects of similar width."""
    if not stable.size:
        return 0.0, stable
    area, outline = areas[stable].astype(float), outlines[stable]
    # The width of a rod with this area and outline.
    width = (outline - np.sqrt(np.maximum(outline**2 - 16 * area, 0.0))) / 4
    order = np.argsort(width)
    width, area = width[order], area[order]
    worth = _ROUND + np.clip(area / width**2 - _DISC, 0, _LONG)
    total = np.concatenate([[0.0], np.cumsum(worth)])
    end = np.searchsorted(width, _ALIKE * width, "right")
    number = end - np.arange(end.size)
    usual = np.minimum(1.0, np.minimum(number / _FEW, _MANY / number))
    scores = (total[end] - total[:-1]) * usual * width**_POWER_OF_WIDTH
    first = int(scores.argmax())
    return float(scores[first]), stable[order[first : end[first]]]


def _measured(values: Floats, members: Mask, level: float, step: int) -> Population:
    """Measure level and width of a population, independent of the threshold that found it."""
    zone = ndimage.binary_dilation(members, EIGHT, iterations=_AROUND)
    stained = values[zone]
    for _ in range(6):
        above = stained[stained > _CORE * level]
        if above.size:
            level = float(np.median(above))
    zone &= values > _EDGE * level
    half = chromosome_half_width(ndimage.distance_transform_edt(zone), 1.0) or 1.0
    # Distances are measured to the center of the outside pixel, half a pixel too far.
    return Population(level, step * (half - 0.5) + 0.5, zone, step)
