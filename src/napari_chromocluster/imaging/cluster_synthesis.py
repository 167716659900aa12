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

A composed cluster may start from a real one of known type, to which chromosomes are
added: its overlaps and contacts then look natural.

Debris may be added to a chromosome or cluster; it does not change the type.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
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
_GAPS = (-2.0, -1.0, 0.5, 1.5, WIDEST_GAP)
#: Standard deviation of the angle between chromosomes placed end to end, in radians.
_KINK = 0.7
#: Visible gaps bridged by loose outlines, in the same unit.
_GAPS_IN_SIGHT = (1.5, 4.0)
#: Probabilities of the number of chromosomes in a cluster, from the minimum on, as in real G-band
#: metaphases: clusters of three or more nearly always contain a touching pair (of 31 annotated
#: overlapping ones outside the test groups one has three chromosomes, none more:
#: ``tools/natural_prior.py``).
_NUMBERS = {
    ClusterType.TOUCHING: (0.66, 0.2, 0.09, 0.05),
    ClusterType.OVERLAPPING: (0.92, 0.06, 0.01, 0.01),
    ClusterType.TOUCHING_OVERLAPPING: (0.42, 0.26, 0.18, 0.14),
}
#: Default chromosome width for composing, in px.
WORKING_WIDTH = 10.0
#: Signal of debris relative to chromosomes: from a pale smear to a dark grain.
_DEBRIS_SIGNAL = (0.5, 2.2)
#: Probability of debris at clusters, relative to that at single chromosomes.
_DEBRIS_AT_CLUSTERS = 0.25
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
class SeedCluster:
    """A real cluster of known type, to which chromosomes may be added.

    Attributes
    ----------
    piece : SingleChromosome
        Its signal and mask.
    cluster_type : ClusterType
        Its type.
    """

    piece: SingleChromosome
    cluster_type: ClusterType

    @property
    def relations(self) -> tuple[int, int]:
        """Minimum number of touching pairs and of overlapping pairs."""
        return (
            int(self.cluster_type is not ClusterType.OVERLAPPING),
            int(self.cluster_type is not ClusterType.TOUCHING),
        )


@dataclass(frozen=True)
class Debris:
    """A small stained object that is not a chromosome.

    Attributes
    ----------
    piece : SingleChromosome
        Its signal and mask.
    width : float
        Width of the chromosomes in its metaphase, in px.
    """

    piece: SingleChromosome
    width: float


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
    near : float
        Share of touching clusters with a visible gap, bridged by a loose outline.
    blur : float
        Maximum blur, in px at a chromosome width of 10 px.
    noise : float
        Maximum standard deviation of noise, in units of the signal.
    grown : float
        Share of touching and touching-overlapping clusters that start from a real one, if
        there are any.
    debris : float
        Share of single chromosomes with debris, if there is any; of clusters, a quarter of it.
    """

    bend: float = 1.2
    opaque: float = 0.25
    loose: float = 0.3
    end_to_end: float = 0.3
    sharp_bend: float = 0.25
    near: float = 0.0
    blur: float = 1.0
    noise: float = 0.05
    grown: float = 0.0
    debris: float = 0.0


def natural_width(singles: Sequence[SingleChromosome]) -> float:
    """Return the chromosome width in px that keeps the resolution of the single chromosomes."""
    widths = [chromosome_width(one.mask) for one in singles[:60]]
    return float(np.clip(np.median(widths), *_WIDTHS)) if widths else WORKING_WIDTH


def _relations(
    canvas: CompositionCanvas, n: int, width: float, gap: float, begin: SeedCluster | None = None
) -> tuple[int, int] | None:
    """Count touching and overlapping pairs of the first n; None if ambiguous or not connected."""
    touching, overlapping = (0, 0) if begin is None else begin.relations
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


def _type_of(relations: tuple[int, int]) -> ClusterType:
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


def _finish(
    rng: np.random.Generator,
    canvas: CompositionCanvas,
    look: SynthesisParameters,
    gap: float,
    width: float,
    bridged: bool,
) -> tuple[Float, Mask] | None:
    """Blur, add noise, find the region's mask; None if it is not one piece."""
    signal = _blend(rng, canvas, look)
    sigma = look.blur * float(rng.random()) ** 2 * width / WORKING_WIDTH
    if sigma > 0.2:
        signal = ndimage.gaussian_filter(signal, sigma)
    union = canvas.union
    if bridged or rng.random() < look.loose:
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
    begin: SeedCluster | None = None,
    debris: Sequence[Debris] = (),
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
        Number of chromosomes (1 for a single, at most 6); the real cluster to start from counts as
        two.
    look : SynthesisParameters, optional
        Its appearance.
    width : float
        Width of its chromosomes, in px.
    begin : SeedCluster, optional
        A real cluster to start from.
    debris : sequence of Debris
        Debris to choose from, see `SynthesisParameters.debris`.

    Returns
    -------
    ComposedCluster or None
        None if the result has another type or is ambiguous.
    """
    look = look or SynthesisParameters()
    # Each chromosome is used once, unless there are too few.
    needed = chromosomes if begin is None else chromosomes - 2
    few = len(singles) < needed
    # Long chromosomes are more likely to meet others.
    lengths = np.array([max(one.mask.shape) for one in singles], float)
    share = None if chromosomes == 1 else lengths / lengths.sum()
    picks = rng.choice(len(singles), size=needed, replace=few, p=share)
    chosen = [singles[int(i)] for i in picks]
    # Chromosomes of one metaphase have a common scale, from their median width.
    widths = [max(chromosome_width(one.mask), 2.0) for one in chosen]
    common = float(np.median(widths))
    grain = width / WORKING_WIDTH
    gap = float(rng.choice(_GAPS)) * grain
    bridged = cluster_type is not ClusterType.OVERLAPPING and chromosomes > 1 and look.near > 0
    bridged = bridged and bool(rng.random() < look.near)
    if bridged:
        gap = float(rng.uniform(*_GAPS_IN_SIGHT)) * grain
    canvas = CompositionCanvas(side=int((90 + 60 * chromosomes) * grain))
    if begin is not None and not _place_cluster(rng, canvas, begin, width / common):
        return None
    for number, one in enumerate(chosen):
        scale = width / (0.5 * common + 0.5 * widths[number])
        touching = _wants_touching(rng, cluster_type, number, begin)
        if not _place_chromosome(rng, canvas, one, scale, touching, gap, width, look):
            return None
    pieces = len(canvas.masks)
    if debris and rng.random() < look.debris * (_DEBRIS_AT_CLUSTERS if chromosomes > 1 else 1.0):
        _place_debris(rng, canvas, debris[int(rng.integers(len(debris)))], gap, width)
    canvas = canvas.trimmed(margin=8)
    if chromosomes > 1:
        relations = _relations(canvas, pieces, width, gap, begin)
        if relations is None or _type_of(relations) is not cluster_type:
            return None
    finished = _finish(rng, canvas, look, max(gap, 0.0), width, bridged)
    if finished is None:
        return None
    signal, mask = finished
    window = bounding(mask, margin=4)
    return ComposedCluster(signal[window], mask[window], cluster_type, chromosomes)


def _place_chromosome(
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


def _place_cluster(
    rng: np.random.Generator, canvas: CompositionCanvas, begin: SeedCluster, scale: float
) -> bool:
    """Place a real cluster, rotated and mirrored; bending could change its contacts."""
    angle = float(rng.uniform(0, math.pi))
    moved = transform_chromosome(begin.piece, angle, scale, 0.0, bool(rng.random() < 0.5))
    return canvas.put(moved, canvas.side / 2, canvas.side / 2, angle)


def _place_debris(
    rng: np.random.Generator, canvas: CompositionCanvas, debris: Debris, gap: float, width: float
) -> None:
    """Place debris touching the cluster; skip it if it does not fit."""
    angle = float(rng.uniform(0, math.pi))
    scale = width / debris.width * float(rng.uniform(0.8, 1.25))
    moved = transform_chromosome(debris.piece, angle, scale, 0.0, bool(rng.random() < 0.5))
    if not moved.mask.any():
        return
    signal = np.asarray(moved.signal, np.float32) * float(rng.uniform(*_DEBRIS_SIGNAL))
    moved = SingleChromosome(signal, moved.mask, moved.group)
    place_touching(rng, canvas, moved, angle, canvas.angles[0], gap, width)


def _wants_touching(
    rng: np.random.Generator,
    cluster_type: ClusterType,
    number: int,
    begin: SeedCluster | None = None,
) -> bool:
    """Return True for touching, False for overlapping placement."""
    if begin is not None and number == 0 and cluster_type is ClusterType.TOUCHING_OVERLAPPING:
        # Start with the relation that the real cluster lacks.
        return begin.cluster_type is not ClusterType.TOUCHING
    if cluster_type is ClusterType.TOUCHING_OVERLAPPING:
        return bool(number == 1) if number <= 2 else bool(rng.random() < 0.5)
    return cluster_type is ClusterType.TOUCHING


def _chromosome_number(rng: np.random.Generator, cluster_type: ClusterType, most: int) -> int:
    if cluster_type is ClusterType.SINGLE:
        return 1
    least = 3 if cluster_type is ClusterType.TOUCHING_OVERLAPPING else 2
    usual = _NUMBERS[cluster_type]
    shares = np.array(usual)[: max(1, most - least + 1)]
    return least + int(rng.choice(shares.size, p=shares / shares.sum()))


def _known_for(
    rng: np.random.Generator, wanted: ClusterType, known: Sequence[SeedCluster]
) -> SeedCluster | None:
    """Draw a real cluster that a cluster of the wanted type can start from."""
    if wanted is ClusterType.TOUCHING_OVERLAPPING:
        fitting = list(known)
    elif wanted is ClusterType.TOUCHING:
        fitting = [one for one in known if one.cluster_type is wanted]
    else:
        # Overlapping clusters are usually pairs.
        fitting = []
    return fitting[int(rng.integers(len(fitting)))] if fitting else None


def iterate_clusters(
    singles: Sequence[SingleChromosome],
    seed: int,
    types: Sequence[ClusterType],
    most: int = 6,
    look: SynthesisParameters | None = None,
    width: float = WORKING_WIDTH,
    known: Sequence[SeedCluster] = (),
    debris: Sequence[Debris] = (),
) -> Iterator[ComposedCluster]:
    """Compose an endless sequence of clusters, with the given types in turn.

    Some start from a real cluster in ``known``, some get debris from ``debris``.

    Raises
    ------
    ValueError
        If there are no single chromosomes to compose from.
    """
    if not singles:
        raise ValueError("Composing clusters needs at least one single chromosome.")
    number = 0
    grown = look.grown if look is not None else 0.0
    while True:
        wanted = types[number % len(types)]
        # One generator per cluster: the n-th does not depend on failed attempts at earlier ones.
        rng = np.random.default_rng([seed, number])
        made = None
        for _ in range(60):
            begin = _known_for(rng, wanted, known) if grown and rng.random() < grown else None
            count = _chromosome_number(rng, wanted, most)
            count = count if begin is None else max(count, 3)
            made = compose_one(singles, rng, wanted, count, look, width, begin, debris)
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
