"""Compose clusters that start from real ones, have visible gaps, or have debris at them.

The package composes clusters of single chromosomes alone (`imaging.cluster_synthesis`).  A cluster
composed here may start from a real one of known type, to which chromosomes are added: its overlaps
and contacts then look natural.  Debris does not change the type.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from napari_chromocluster.cluster_types import TYPES, ClusterType
from napari_chromocluster.imaging.chromosome_synthesis import (
    SingleChromosome,
    chromosome_width,
    transform_chromosome,
)
from napari_chromocluster.imaging.cluster_synthesis import (
    GAPS,
    WORKING_WIDTH,
    ComposedCluster,
    SynthesisParameters,
    choose_chromosomes,
    chromosome_number,
    cluster_relations,
    finish_cluster,
    iterate_attempts,
    place_chromosome,
    type_of_relations,
    wants_touching,
)
from napari_chromocluster.imaging.crops import RegionCrop
from napari_chromocluster.imaging.placement import CompositionCanvas, bounding, place_touching
from napari_chromocluster.training.data.region_set import single_chromosomes

#: Visible gaps bridged by loose outlines, in px at a chromosome width of 10 px.
_GAPS_IN_SIGHT = (1.5, 4.0)
#: Signal of debris relative to chromosomes: from a pale smear to a dark grain.
_DEBRIS_SIGNAL = (0.5, 2.2)
#: Probability of debris at clusters, relative to that at single chromosomes.
_DEBRIS_AT_CLUSTERS = 0.25
#: Minimum and maximum area of debris, relative to the median single chromosome.
_DEBRIS_AREA = (0.03, 0.5)


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
class GrownParameters(SynthesisParameters):
    """Appearance of clusters composed here.

    Attributes
    ----------
    near : float
        Share of touching clusters with a visible gap, bridged by a loose outline.
    grown : float
        Share of touching and touching-overlapping clusters that start from a real one, if
        there are any.
    debris : float
        Share of single chromosomes with debris, if there is any; of clusters, a quarter of it.
    """

    near: float = 0.0
    grown: float = 0.0
    debris: float = 0.0


def known_clusters(
    crops: Sequence[RegionCrop], names: Sequence[str], groups: Sequence[str]
) -> dict[str, list[SeedCluster]]:
    """Collect the clusters of each group whose type is known."""
    kinds = {str(kind): kind for kind in TYPES if kind.is_cluster}
    found: dict[str, list[SeedCluster]] = {}
    for crop, name, group in zip(crops, names, groups, strict=True):
        if name in kinds:
            piece = SingleChromosome(crop.signal, crop.mask, group)
            found.setdefault(group, []).append(SeedCluster(piece, kinds[name]))
    return found


def small_debris(
    crops: Sequence[RegionCrop],
    names: Sequence[str],
    groups: Sequence[str],
    sources: Mapping[str, int],
) -> dict[str, list[Debris]]:
    """Collect small regions annotated as other, as debris to place next to chromosomes.

    Groups of the same annotation file (``sources``) share their debris: one group has little,
    and debris of other sources looks different.
    """
    singles = single_chromosomes(crops, names, groups)
    usual = {
        group: (
            float(np.median([one.mask.sum() for one in pool])),
            float(np.median([chromosome_width(one.mask) for one in pool[:20]])),
        )
        for group, pool in singles.items()
    }
    found: dict[int, list[Debris]] = {}
    for crop, name, group in zip(crops, names, groups, strict=True):
        if name == ClusterType.OTHER and group in usual:
            area, width = usual[group]
            if _DEBRIS_AREA[0] * area <= crop.mask.sum() <= _DEBRIS_AREA[1] * area:
                piece = SingleChromosome(crop.signal, crop.mask, group)
                found.setdefault(sources[group], []).append(Debris(piece, width))
    return {group: found.get(sources[group], []) for group in singles}


def compose_grown(
    singles: Sequence[SingleChromosome],
    rng: np.random.Generator,
    cluster_type: ClusterType,
    chromosomes: int,
    look: GrownParameters,
    width: float = WORKING_WIDTH,
    begin: SeedCluster | None = None,
    debris: Sequence[Debris] = (),
) -> ComposedCluster | None:
    """Try once to compose a cluster, as `compose_one` does.

    The real cluster to start from, ``begin``, counts as two of the ``chromosomes``.
    """
    chosen, widths = choose_chromosomes(
        rng, singles, chromosomes if begin is None else chromosomes - 2, chromosomes == 1
    )
    common = float(np.median(widths))
    grain = width / WORKING_WIDTH
    gap = float(rng.choice(GAPS)) * grain
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
        if not place_chromosome(rng, canvas, one, scale, touching, gap, width, look):
            return None
    pieces = len(canvas.masks)
    if debris and rng.random() < look.debris * (_DEBRIS_AT_CLUSTERS if chromosomes > 1 else 1.0):
        _place_debris(rng, canvas, debris[int(rng.integers(len(debris)))], gap, width)
    canvas = canvas.trimmed(margin=8)
    if chromosomes > 1:
        start = (0, 0) if begin is None else begin.relations
        relations = cluster_relations(canvas, pieces, width, gap, start)
        if relations is None or type_of_relations(relations) is not cluster_type:
            return None
    finished = finish_cluster(rng, canvas, look, max(gap, 0.0), width, bridged)
    if finished is None:
        return None
    signal, mask = finished
    window = bounding(mask, margin=4)
    return ComposedCluster(signal[window], mask[window], cluster_type, chromosomes)


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
    rng: np.random.Generator, cluster_type: ClusterType, number: int, begin: SeedCluster | None
) -> bool:
    """Return True for touching, False for overlapping placement."""
    if begin is not None and number == 0 and cluster_type is ClusterType.TOUCHING_OVERLAPPING:
        # Start with the relation that the real cluster lacks.
        return begin.cluster_type is not ClusterType.TOUCHING
    return wants_touching(rng, cluster_type, number)


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


def iterate_grown(
    singles: Sequence[SingleChromosome],
    seed: int,
    types: Sequence[ClusterType],
    most: int = 6,
    look: GrownParameters | None = None,
    width: float = WORKING_WIDTH,
    known: Sequence[SeedCluster] = (),
    debris: Sequence[Debris] = (),
) -> Iterator[ComposedCluster]:
    """Compose an endless sequence of clusters, as `iterate_clusters` does.

    Some start from a real cluster in ``known``, some get debris from ``debris``.
    """
    look = look or GrownParameters()

    def attempt(rng: np.random.Generator, wanted: ClusterType) -> ComposedCluster | None:
        grows = look.grown and rng.random() < look.grown
        begin = _known_for(rng, wanted, known) if grows else None
        count = chromosome_number(rng, wanted, most)
        count = count if begin is None else max(count, 3)
        return compose_grown(singles, rng, wanted, count, look, width, begin, debris)

    return iterate_attempts(attempt, seed, types)
