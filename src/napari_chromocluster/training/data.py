"""From annotations to what a training draws its batches from.

Reads annotated regions and composes clusters from single chromosomes of the
same metaphase.  The split by group is next door, in `split`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_chromocluster.imaging.chromosome import SingleChromosome, chromosome_width
from napari_chromocluster.imaging.compose import (
    Appearance,
    Debris,
    KnownCluster,
    iterate_clusters,
    natural_width,
)
from napari_chromocluster.imaging.crops import (
    SIGNAL_RANGE,
    RegionCrop,
    frame_region,
    resize_crop,
)
from napari_chromocluster.taxonomy import TYPES, ClusterType, possible_types

Progress = Callable[[int, int], None]
#: Least and greatest area of debris that lies at a chromosome, in that of a usual one.
_DEBRIS_AREA = (0.03, 0.5)
#: Fewest single chromosomes of a group that clusters are composed from.
_FEWEST_SINGLES = 5


@dataclass(frozen=True)
class RegionSet:
    """Regions ready to be drawn from, small enough to stay in memory.

    Attributes
    ----------
    signal, mask : (N, S, S) uint8 array
        255 is ``SIGNAL_RANGE`` medians of signal, or inside the region.
    relative_size : (N,) float32 array
        Binary logarithm of size over reference.
    allowed : (N, 5) bool array
        The types a region may have: one, or several where no more is known.
    group : (N,) str array
        Metaphase, slide or case.
    """

    signal: NDArray[np.uint8]
    mask: NDArray[np.uint8]
    relative_size: NDArray[np.float32]
    allowed: NDArray[np.bool_]
    group: NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.signal)

    def subset(self, rows: NDArray[np.intp]) -> RegionSet:
        """Return the regions of some rows."""
        return RegionSet(
            self.signal[rows],
            self.mask[rows],
            self.relative_size[rows],
            self.allowed[rows],
            self.group[rows],
        )

    @classmethod
    def concatenated(cls, parts: Sequence[RegionSet]) -> RegionSet:
        """Return the regions of several sets, one after the other."""
        return cls(
            np.concatenate([part.signal for part in parts]),
            np.concatenate([part.mask for part in parts]),
            np.concatenate([part.relative_size for part in parts]),
            np.concatenate([part.allowed for part in parts]),
            np.concatenate([part.group for part in parts]),
        )


def allowed_types(name: str) -> NDArray[np.bool_]:
    """Return which of the five types an annotation leaves possible."""
    possible = possible_types(name)
    return np.array([kind in possible for kind in TYPES])


def pack(
    crops: Sequence[RegionCrop], names: Sequence[str], groups: Sequence[str], size: int
) -> RegionSet:
    """Render cut regions into a `RegionSet` of the given side."""
    n = len(crops)
    signal = np.empty((n, size, size), np.uint8)
    mask = np.empty((n, size, size), np.uint8)
    for row, crop in enumerate(crops):
        one, inside = resize_crop(crop, size)
        signal[row], mask[row] = np.rint(one * (255 / SIGNAL_RANGE)), np.rint(inside * 255)
    allowed = np.array([allowed_types(name) for name in names], bool).reshape(n, len(TYPES))
    relative = np.array([crop.relative_size for crop in crops], np.float32)
    return RegionSet(signal, mask, relative, allowed, np.array(groups, dtype=np.str_))


def single_chromosomes(
    crops: Sequence[RegionCrop], names: Sequence[str], groups: Sequence[str]
) -> dict[str, list[SingleChromosome]]:
    """Collect the single chromosomes of each group."""
    found: dict[str, list[SingleChromosome]] = {}
    for crop, name, group in zip(crops, names, groups, strict=True):
        if name == ClusterType.SINGLE:
            one = SingleChromosome(crop.signal, crop.mask, group)
            found.setdefault(group, []).append(one)
    return found


def known_clusters(
    crops: Sequence[RegionCrop], names: Sequence[str], groups: Sequence[str]
) -> dict[str, list[KnownCluster]]:
    """Collect the clusters of each group whose type is known."""
    kinds = {str(kind): kind for kind in TYPES if kind.is_cluster}
    found: dict[str, list[KnownCluster]] = {}
    for crop, name, group in zip(crops, names, groups, strict=True):
        if name in kinds:
            piece = SingleChromosome(crop.signal, crop.mask, group)
            found.setdefault(group, []).append(KnownCluster(piece, kinds[name]))
    return found


def small_debris(
    crops: Sequence[RegionCrop],
    names: Sequence[str],
    groups: Sequence[str],
    sources: Mapping[str, int],
) -> dict[str, list[Debris]]:
    """Collect what is no chromosome, and small enough to lie at one.

    A group gets the debris of all groups of its source, for one has little; that of another
    source looks otherwise.  ``sources`` gives the annotation file of each group.
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


def compose_set(
    singles: dict[str, list[SingleChromosome]],
    n: int,
    size: int,
    seed: int,
    types: Sequence[ClusterType],
    progress: Progress | None = None,
    look: Appearance | None = None,
    source_weights: Mapping[str, float] | None = None,
    known: Mapping[str, Sequence[KnownCluster]] | None = None,
    debris: Mapping[str, Sequence[Debris]] | None = None,
) -> RegionSet:
    """Compose clusters, each from chromosomes of one group, and render them.

    Parameters
    ----------
    singles : dict of group to list of SingleChromosome
        See `single_chromosomes`; groups with few are put together.
    n : int
        How many clusters.
    size : int
        Side of the crops, in px.
    seed : int
        Same seed, same clusters.
    types : sequence of ClusterType
        Taken in turn.
    progress : callable, optional
        Called with what is done and the total.
    look : Appearance, optional
        How the clusters are made to look.
    source_weights : mapping of group to float, optional
        How much more, or less, often than by its size a group is drawn from; see
        `balance_sources`.
    known : mapping of group to sequence of KnownCluster, optional
        Real clusters that composed ones may begin with, see `Appearance.grown`.
    debris : mapping of group to sequence of Debris
        What may lie at them, see `small_debris` and `Appearance.debris`.
    """
    weight_of = {name: (source_weights or {}).get(name, 1.0) for name in singles}
    many = sorted(name for name, pool in singles.items() if len(pool) >= _FEWEST_SINGLES)
    pools = [singles[name] for name in many]
    clusters = [(known or {}).get(name, ()) for name in many]
    dirt = [(debris or {}).get(name, ()) for name in many]
    factors = [weight_of[name] for name in many]
    # Groups with few singles lend theirs to each other: a mixed metaphase is better than none.
    few = sorted(set(singles) - set(many))
    rest = [one for name in few for one in singles[name]]
    if len(rest) >= _FEWEST_SINGLES or (rest and not pools):
        pools.append(rest)
        clusters.append([one for name in few for one in (known or {}).get(name, ())])
        dirt.append([one for name in few for one in (debris or {}).get(name, ())])
        factors.append(float(np.mean([weight_of[name] for name in few])))
    if not pools or n == 0:
        return pack([], [], [], size)
    rng = np.random.default_rng([seed, 77])
    weights = np.array([_draw_weight(pool) for pool in pools])
    weights *= factors
    drawn = rng.choice(len(pools), size=n, p=weights / weights.sum())
    done = 0
    parts: list[RegionSet] = []
    for number, pool in enumerate(pools):
        count = int((drawn == number).sum())
        if count == 0:
            continue
        width = natural_width(pool)
        reference = _working_reference(pool, width)
        shifted = [types[(number + k) % len(types)] for k in range(len(types))]
        stream = iterate_clusters(
            pool,
            seed * 100_003 + number,
            shifted,
            look=look,
            width=width,
            known=clusters[number],
            debris=dirt[number],
        )
        crops: list[RegionCrop] = []
        names: list[str] = []
        for _ in range(count):
            made = next(stream)
            crops.append(frame_region(made.signal, made.mask, reference=reference))
            names.append(str(made.cluster_type))
            done += 1
            if progress is not None and done % 50 == 0:
                progress(done, n)
        parts.append(pack(crops, names, ["composed"] * count, size))
    return RegionSet.concatenated(parts)


def balance_sources(
    singles: Mapping[str, Sequence[SingleChromosome]], sources: Mapping[str, int], balance: float
) -> dict[str, float]:
    """Weigh groups so that their annotation files count more alike.

    Parameters
    ----------
    singles : mapping of group to sequence of SingleChromosome
        See `single_chromosomes`.
    sources : mapping of group to int
        Annotation file of each group.
    balance : float
        0 leaves groups as they are, 1 gives every file the same share.
    """
    total: dict[int, float] = {}
    for name, pool in singles.items():
        total[sources[name]] = total.get(sources[name], 0.0) + _draw_weight(pool)
    return {name: total[sources[name]] ** -balance for name in singles}


def _draw_weight(pool: Sequence[SingleChromosome]) -> float:
    return float(len(pool) ** 0.5)


def _working_reference(pool: Sequence[SingleChromosome], width: float) -> float:
    """Return the reference size of a group at the width at which clusters are composed, in px."""
    sizes = [
        float(np.sqrt(one.mask.sum())) * width / max(chromosome_width(one.mask), 2.0)
        for one in pool[:60]
    ]
    return float(np.median(sizes))
