"""Compose labeled clusters from single chromosomes.

Chromosomes are rotated, bent and scaled, then placed one after the other so
that each touches or overlaps a previous one.  The type follows from the
resulting geometry, not from the intention:

* two chromosomes **overlap** if they share at least ``OVERLAP_AREA`` of the
  square of a chromosome's width;
* they **touch** if they share at most ``TOUCH_AREA`` of it and their masks
  come within the gap that thresholding or a blurred halo bridges;
* anything in between is ambiguous even for humans, and discarded.

A cluster whose pairs only touch is *touching*, one whose pairs only overlap
is *overlapping*, one with both is *touching_overlapping*.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from napari_chromocluster.cluster_types import ClusterType
from napari_chromocluster.imaging.chromosome_synthesis import (
    SingleChromosome,
    chromosome_width,
    transform_chromosome,
)
from napari_chromocluster.imaging.placement import (
    CompositionCanvas,
    Float,
    Mask,
    bounding,
    distance_to,
    partner_angle,
    place_end_to_end,
    place_overlapping,
    place_touching,
)

#: Minimum shared area of overlapping chromosomes, in squared chromosome widths.
OVERLAP_AREA = 0.45
#: Maximum shared area of touching chromosomes, in squared chromosome widths.
TOUCH_AREA = 0.15
#: Largest gap of a near miss, in px at a chromosome width of 10 px.
WIDEST_GAP = 2.6
#: Gaps between touching chromosomes, in the same unit; with negative gaps they overlap slightly.
GAPS = (-2.0, -1.0, 0.5, 1.5, WIDEST_GAP)
#: Standard deviation of the angle between chromosomes placed end to end, in radians.
_KINK = 0.7
#: Probabilities of the number of chromosomes in a cluster, from the minimum on, as in real G-band
#: metaphases: clusters of three or more nearly always contain a touching pair (of 31 annotated
#: overlapping ones outside the test groups one has three chromosomes, none more:
#: ``recipes/default_model/natural_prior.py``).
_NUMBERS = {
    ClusterType.TOUCHING: (0.66, 0.2, 0.09, 0.05),
    ClusterType.OVERLAPPING: (0.92, 0.06, 0.01, 0.01),
    ClusterType.TOUCHING_OVERLAPPING: (0.42, 0.26, 0.18, 0.14),
}
#: Default chromosome width for composing, in px.
WORKING_WIDTH = 10.0
#: Range of `natural_width`: less loses shape, more only costs time.
_WIDTHS = (7.0, 14.0)


@dataclass(frozen=True)
class ComposedCluster:
    """A region composed of known chromosomes.

    Attributes
    ----------
    signal : (h, w) float32 array
        Chromosome signal.
    mask : (h, w) bool array
        The region, one connected piece unless ``bridged`` by its halo only.
    cluster_type : ClusterType
        The true type, from geometry.
    chromosomes : int
        Number of chromosomes.
    """

    signal: Float
    mask: Mask
    cluster_type: ClusterType
    chromosomes: int


@dataclass(frozen=True)
class SynthesisParameters:
    """Appearance of composed clusters.

    Attributes
    ----------
    bend : float
        Maximum bend: the angle between the chromosome's ends, in radians.
    opaque : float
        Share of clusters in which the upper chromosome hides the lower one.
    loose : float
        Share of clusters whose mask is a loose outline instead of a threshold.
    end_to_end : float
        Share of touching chromosomes placed end to end.
    sharp_bend : float
        Share of chromosomes bent by up to twice ``bend``.
    blur : float
        Maximum blur, in px at a chromosome width of 10 px.
    noise : float
        Maximum standard deviation of noise, in units of the signal.
    """

    bend: float = 1.2
    opaque: float = 0.25
    loose: float = 0.3
    end_to_end: float = 0.3
    sharp_bend: float = 0.25
    blur: float = 1.0
    noise: float = 0.05


def natural_width(singles: Sequence[SingleChromosome]) -> float:
    """Return the chromosome width in px that keeps the resolution of the single chromosomes."""
    widths = [chromosome_width(one.mask) for one in singles[:60]]
    return float(np.clip(np.median(widths), *_WIDTHS)) if widths else WORKING_WIDTH


def cluster_relations(
    canvas: CompositionCanvas, n: int, width: float, gap: float, start: tuple[int, int] = (0, 0)
) -> tuple[int, int] | None:
    """Count touching and overlapping pairs of the first n pieces of a layout.

    Parameters
    ----------
    canvas : CompositionCanvas
        The layout.
    n : int
        Number of its pieces that count.
    width : float
        Width of the chromosomes, in px.
    gap : float
        Gap between touching chromosomes, in px.
    start : tuple of int
        Pairs within a piece that is a cluster.

    Returns
    -------
    tuple of int or None
        None if a pair is ambiguous, or the pieces are not connected.
    """
    touching, overlapping = start
    linked = np.eye(n, dtype=bool)
    reach = [distance_to(mask) for mask in canvas.masks[:n]]
    for i in range(n):
        for j in range(i + 1, n):
            shared = float((canvas.masks[i] & canvas.masks[j]).sum()) / (width * width)
            near = float(reach[i][canvas.masks[j]].min())
            if shared >= OVERLAP_AREA:
                overlapping += 1
            elif shared > TOUCH_AREA:
                return None
            elif near <= max(gap, 0.0) + 1.5:
                touching += 1
            else:
                continue
            linked[i, j] = linked[j, i] = True
    steps = np.linalg.matrix_power(linked.astype(np.int64), n)
    return (touching, overlapping) if bool((steps[0] > 0).all()) else None


def type_of_relations(relations: tuple[int, int]) -> ClusterType:
    """Return the type of a cluster with so many touching and overlapping pairs."""
    touching, overlapping = relations
    if touching and overlapping:
        return ClusterType.TOUCHING_OVERLAPPING
    return ClusterType.OVERLAPPING if overlapping else ClusterType.TOUCHING


def _blend(rng: np.random.Generator, canvas: CompositionCanvas, look: SynthesisParameters) -> Float:
    """Combine the signals: either they add up, or the upper one hides the lower."""
    if rng.random() < look.opaque:
        out = canvas.signals[0].copy()
        for signal, mask in zip(canvas.signals[1:], canvas.masks[1:], strict=True):
            cover = ndimage.gaussian_filter(mask.astype(np.float32), 0.7)
            out = out * (1 - cover) + np.maximum(signal, out * (1 - cover)) * cover
            out = np.maximum(out, signal * (1 - cover))
        return np.asarray(out, np.float32)
    # Absorbances add up, but stain and camera saturate: crossings are 1.2 to 2 times as dark.
    # A sum of powers models this and does not change chromosomes outside crossings.
    power = math.exp(float(rng.uniform(math.log(1.0), math.log(3.5))))
    total = np.sum([signal**power for signal in canvas.signals], axis=0)
    return np.asarray(total ** (1 / power), np.float32)


def finish_cluster(
    rng: np.random.Generator,
    canvas: CompositionCanvas,
    look: SynthesisParameters,
    gap: float,
    width: float,
    loose: bool = False,
) -> tuple[Float, Mask] | None:
    """Blur, add noise, find the mask (``loose``: always a loose outline); None if in pieces."""
    signal = _blend(rng, canvas, look)
    sigma = look.blur * float(rng.random()) ** 2 * width / WORKING_WIDTH
    if sigma > 0.2:
        signal = ndimage.gaussian_filter(signal, sigma)
    union = canvas.union
    if loose or rng.random() < look.loose:
        mask = ndimage.binary_dilation(union, iterations=1 + int(rng.integers(0, 2)))
        reach = math.ceil(gap / 2) + 1
        mask = ndimage.binary_closing(np.pad(mask, reach), iterations=reach)
        mask = mask[reach:-reach, reach:-reach]
    else:
        level = float(np.median(signal[union])) * float(rng.uniform(0.25, 0.55))
        mask = signal > level
    pieces, count = ndimage.label(mask, np.ones((3, 3)))
    if count == 0:
        return None
    sizes = np.bincount(pieces.ravel())[1:]
    mask = ndimage.binary_fill_holes(pieces == 1 + int(sizes.argmax())) & (
        ndimage.binary_dilation(pieces == 1 + int(sizes.argmax()))
    )
    covered = [float(mask[one].mean()) for one in canvas.masks]
    if min(covered) < 0.75:
        return None
    if look.noise:
        grain = rng.normal(0, 1, signal.shape)
        grain = ndimage.gaussian_filter(grain, 0.6) * 2.0
        signal = signal + float(rng.uniform(0, look.noise)) * grain
    return np.asarray(signal, np.float32), np.asarray(mask, bool)


def compose_one(
    singles: Sequence[SingleChromosome],
    rng: np.random.Generator,
    cluster_type: ClusterType,
    chromosomes: int,
    look: SynthesisParameters | None = None,
    width: float = WORKING_WIDTH,
) -> ComposedCluster | None:
    """Try once to compose a cluster.

    Parameters
    ----------
    singles : sequence of SingleChromosome
        Chromosomes to choose from.
    rng : numpy.random.Generator
        Source of randomness.
    cluster_type : ClusterType
        The intended type (a single is rotated, bent and blurred like the others).
    chromosomes : int
        Number of chromosomes (1 for a single, at most 6).
    look : SynthesisParameters, optional
        Its appearance.
    width : float
        Width of its chromosomes, in px.

    Returns
    -------
    ComposedCluster or None
        None if the result has another type or is ambiguous.
    """
    look = look or SynthesisParameters()
    chosen, widths = choose_chromosomes(rng, singles, chromosomes, chromosomes == 1)
    # Chromosomes of one metaphase have a common scale, from their median width.
    common = float(np.median(widths))
    grain = width / WORKING_WIDTH
    gap = float(rng.choice(GAPS)) * grain
    canvas = CompositionCanvas(side=int((90 + 60 * chromosomes) * grain))
    for number, one in enumerate(chosen):
        scale = width / (0.5 * common + 0.5 * widths[number])
        touching = wants_touching(rng, cluster_type, number)
        if not place_chromosome(rng, canvas, one, scale, touching, gap, width, look):
            return None
    canvas = canvas.trimmed(margin=8)
    if chromosomes > 1:
        relations = cluster_relations(canvas, chromosomes, width, gap)
        if relations is None or type_of_relations(relations) is not cluster_type:
            return None
    finished = finish_cluster(rng, canvas, look, max(gap, 0.0), width)
    if finished is None:
        return None
    signal, mask = finished
    window = bounding(mask, margin=4)
    return ComposedCluster(signal[window], mask[window], cluster_type, chromosomes)


def choose_chromosomes(
    rng: np.random.Generator, singles: Sequence[SingleChromosome], count: int, alone: bool
) -> tuple[list[SingleChromosome], list[float]]:
    """Draw chromosomes for a cluster, or one ``alone``, and return them and their widths in px."""
    # Each chromosome is used once, unless there are too few.
    few = len(singles) < count
    # Long chromosomes are more likely to meet others.
    lengths = np.array([max(one.mask.shape) for one in singles], float)
    share = None if alone else lengths / lengths.sum()
    picks = rng.choice(len(singles), size=count, replace=few, p=share)
    chosen = [singles[int(i)] for i in picks]
    return chosen, [max(chromosome_width(one.mask), 2.0) for one in chosen]


def place_chromosome(
    rng: np.random.Generator,
    canvas: CompositionCanvas,
    one: SingleChromosome,
    scale: float,
    touching: bool,
    gap: float,
    width: float,
    look: SynthesisParameters,
) -> bool:
    """Rotate and bend a chromosome and place it next to the others; False if it does not fit."""
    number = len(canvas.masks)
    end_to_end = number > 0 and touching and bool(rng.random() < look.end_to_end)
    base = canvas.angles[int(rng.integers(number))] if number else 0.0
    if end_to_end:
        angle = canvas.angles[-1] + float(rng.normal(0, _KINK))
    else:
        angle = partner_angle(rng, base, touching) if number else float(rng.uniform(0, math.pi))
    bend = float(rng.uniform(-look.bend, look.bend)) * float(rng.random())
    if rng.random() < look.sharp_bend:
        bend = look.bend * float(rng.uniform(1, 2)) * float(rng.choice([-1, 1]))
    moved = transform_chromosome(one, angle, scale, bend, bool(rng.random() < 0.5))
    if number == 0:
        return canvas.put(moved, canvas.side / 2, canvas.side / 2, angle)
    if end_to_end:
        return place_end_to_end(rng, canvas, moved, angle, gap, width)
    if touching:
        return place_touching(rng, canvas, moved, angle, base, gap, width)
    return place_overlapping(rng, canvas, moved, angle)


def wants_touching(rng: np.random.Generator, cluster_type: ClusterType, number: int) -> bool:
    """Return True if the n-th chromosome is to touch the others, False if it is to overlap."""
    if cluster_type is ClusterType.TOUCHING_OVERLAPPING:
        return bool(number == 1) if number <= 2 else bool(rng.random() < 0.5)
    return cluster_type is ClusterType.TOUCHING


def chromosome_number(rng: np.random.Generator, cluster_type: ClusterType, most: int) -> int:
    """Draw the number of chromosomes of a cluster, at most ``most``."""
    if cluster_type is ClusterType.SINGLE:
        return 1
    least = 3 if cluster_type is ClusterType.TOUCHING_OVERLAPPING else 2
    usual = _NUMBERS[cluster_type]
    shares = np.array(usual)[: max(1, most - least + 1)]
    return least + int(rng.choice(shares.size, p=shares / shares.sum()))


def iterate_clusters(
    singles: Sequence[SingleChromosome],
    seed: int,
    types: Sequence[ClusterType],
    most: int = 6,
    look: SynthesisParameters | None = None,
    width: float = WORKING_WIDTH,
) -> Iterator[ComposedCluster]:
    """Compose an endless sequence of clusters, with the given types in turn.

    Raises
    ------
    ValueError
        If there are no single chromosomes to compose from.
    """
    if not singles:
        raise ValueError("Composing clusters needs at least one single chromosome.")

    def attempt(rng: np.random.Generator, wanted: ClusterType) -> ComposedCluster | None:
        count = chromosome_number(rng, wanted, most)
        return compose_one(singles, rng, wanted, count, look, width)

    return iterate_attempts(attempt, seed, types)


def iterate_attempts(
    attempt: Callable[[np.random.Generator, ClusterType], ComposedCluster | None],
    seed: int,
    types: Sequence[ClusterType],
) -> Iterator[ComposedCluster]:
    """Attempt an endless sequence of clusters, with the given types in turn."""
    number = 0
    while True:
        # One generator per cluster: the n-th does not depend on failed attempts at earlier ones.
        rng = np.random.default_rng([seed, number])
        made = None
        for _ in range(60):
            made = attempt(rng, types[number % len(types)])
            if made is not None:
                yield made
                break
        number += 1
        if made is None and number > 1000 * len(types):
            raise ValueError("These chromosomes cannot be composed: are their masks empty?")


def compose_clusters(
    singles: Sequence[SingleChromosome],
    n: int,
    seed: int = 0,
    types: Sequence[ClusterType] = (
        ClusterType.TOUCHING,
        ClusterType.OVERLAPPING,
        ClusterType.TOUCHING_OVERLAPPING,
    ),
    most: int = 6,
    look: SynthesisParameters | None = None,
    width: float = WORKING_WIDTH,
) -> list[ComposedCluster]:
    """Compose labeled clusters from single chromosomes.

    Parameters
    ----------
    singles : sequence of SingleChromosome
        Single chromosomes with their masks.
    n : int
        Number of clusters.
    seed : int
        The same seed gives the same clusters.
    types : sequence of ClusterType
        Composed in turn.
    most : int
        Maximum number of chromosomes in a cluster (2 to 6).
    look : SynthesisParameters, optional
        Their appearance.
    width : float
        Width of their chromosomes, in px (see `natural_width`).

    Returns
    -------
    list of ComposedCluster
        With the true type of each, from geometry.

    Notes
    -----
    After Lin et al., BIBM 2020, and SupCAM (2023), who train on composed
    clusters; the module's docstring defines the types.
    """
    stream = iterate_clusters(singles, seed, types, most, look, width)
    return [next(stream) for _ in range(n)]
