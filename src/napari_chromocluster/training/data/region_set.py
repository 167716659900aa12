"""Cropped regions as arrays to draw batches from, and as parts to compose clusters of.

For the split by group see `split`; for composing clusters see `composed_clusters`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_chromocluster.cluster_types import TYPES, ClusterType, possible_types
from napari_chromocluster.imaging.chromosome_synthesis import SingleChromosome
from napari_chromocluster.imaging.crops import SIGNAL_RANGE, RegionCrop, resize_crop


@dataclass(frozen=True)
class RegionSet:
    """Regions ready to be drawn from, small enough to stay in memory.

    Attributes
    ----------
    signal, mask : (N, S, S) uint8 array
        255 is a signal of ``SIGNAL_RANGE`` medians, or inside the region.
    relative_size : (N,) float32 array
        Binary logarithm of size over reference.
    allowed : (N, 5) bool array
        Possible types of each region: one, or several if the type is not fully known.
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

    @classmethod
    def concatenated(cls, parts: Sequence[RegionSet]) -> RegionSet:
        """Concatenate several sets."""
        return cls(
            np.concatenate([part.signal for part in parts]),
            np.concatenate([part.mask for part in parts]),
            np.concatenate([part.relative_size for part in parts]),
            np.concatenate([part.allowed for part in parts]),
            np.concatenate([part.group for part in parts]),
        )


def allowed_types(name: str) -> NDArray[np.bool_]:
    """Return which of the five types an annotation allows."""
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
