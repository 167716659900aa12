"""Distance and relative stain of a region among the others of its metaphase.

A crop does not show this: it is normalized, with the neighbors masked out.  Debris is anywhere
in the image with any stain; chromosomes are close to each other and equally stained.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from napari_chromocluster.imaging.normalization import NormalizedImage
from napari_chromocluster.imaging.regions import Region, drop_small_regions

#: Rank of the neighbor whose distance is used: one or two neighbors may also be debris.
_NEIGHBOUR = 4
#: Minimum and maximum number of regions: with many more regions than chromosomes in a metaphase,
#: grains of stain would dominate.
_FEWEST, _MOST = 12, 60


@dataclass(frozen=True)
class NeighborhoodFeatures:
    """Distance and relative stain of a region among the others of its metaphase.

    Attributes
    ----------
    remoteness : float
        Natural logarithm of the distance to the fourth nearest region, specks excluded, over
        the median of these distances in the metaphase.
    level : float
        Natural logarithm of the region's median signal over that of the metaphase's regions;
        NaN in fluorescence images, where chromosomes differ in brightness.
    """

    remoteness: float
    level: float


def neighborhood_features(
    signal: NormalizedImage,
    labels: NDArray[np.integer],
    everything: list[Region],
    regions: Sequence[Region],
) -> list[NeighborhoodFeatures | None]:
    """Measure the surroundings of regions.

    Parameters
    ----------
    signal : NormalizedImage
        Chromosome signal of the metaphase, (H, W).
    labels : (H, W) integer array
        Its regions.
    everything : list of Region
        All regions of the metaphase.
    regions : sequence of Region
        The regions to measure.

    Returns
    -------
    list of NeighborhoodFeatures or None
        One for each of ``regions``; all None unless the metaphase has 13 to 60 regions, specks
        excluded.
    """
    others = drop_small_regions(everything)
    if not _FEWEST < len(others) <= _MOST:
        return [None] * len(regions)
    distances = _distances(regions, others)
    usual = max(float(np.median(_distances(others, others))), 1e-3)
    remoteness = np.log(np.maximum(distances, 1e-3) / usual)
    levels = np.full(len(regions), np.nan)
    if signal.dark_chromosomes:
        medians = {one.label: _median(signal.values, labels, one) for one in others}
        common = max(float(np.median(list(medians.values()))), 1e-3)
        mine = [
            medians[one.label] if one.label in medians else _median(signal.values, labels, one)
            for one in regions
        ]
        levels = np.log(np.maximum(mine, 1e-3) / common)
    return [
        NeighborhoodFeatures(float(far), float(level))
        for far, level in zip(remoteness, levels, strict=True)
    ]


def _distances(regions: Sequence[Region], others: Sequence[Region]) -> NDArray[np.float64]:
    """Return the distance of each region to the fourth nearest of the others, in px."""
    tree = KDTree([one.centroid for one in others])
    found, _ = tree.query([one.centroid for one in regions], k=_NEIGHBOUR + 1)
    own = {one.label for one in others}
    # The query includes the region itself, so skip rank 0.
    column = [_NEIGHBOUR if one.label in own else _NEIGHBOUR - 1 for one in regions]
    return np.asarray(found[np.arange(len(regions)), column])


def _median(values: NDArray[np.float32], labels: NDArray[np.integer], region: Region) -> float:
    y0, x0, y1, x1 = region.bbox
    window = (slice(y0, y1), slice(x0, x1))
    return float(np.median(values[window][labels[window] == region.label]))
