"""How a region stands among the others of its metaphase: what its own crop does not show.

A crop holds one region at one level, with its neighbours masked out.  Debris and stain lie
anywhere in the picture, and are stained as they like; chromosomes lie among chromosomes, and
are stained alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from napari_chromocluster.imaging.regions import Region, without_specks
from napari_chromocluster.imaging.signal import Signal

#: The neighbour whose distance counts: one or two may be debris as well.
_NEIGHBOUR = 4
#: Fewest regions beside which one is far from the others, or near; and most: where there are
#: many more than chromosomes in a metaphase, grains of stain tell what is usual.
_FEWEST, _MOST = 12, 60


@dataclass(frozen=True)
class Surroundings:
    """How a region stands among the chromosomes of its metaphase.

    Attributes
    ----------
    remoteness : float
        Natural logarithm of the distance to the fourth nearest region that is no speck, over
        the median of these distances in the metaphase.
    level : float
        Natural logarithm of the region's median signal over that of the metaphase's regions;
        NaN in fluorescence pictures, where chromosomes differ in brightness by themselves.
    """

    remoteness: float
    level: float


def look_around(
    signal: Signal, labels: NDArray[np.integer], everything: list[Region], regions: Sequence[Region]
) -> list[Surroundings | None]:
    """Tell how regions stand among all of their metaphase.

    Parameters
    ----------
    signal : Signal
        Chromosome signal of the metaphase, (H, W).
    labels : (H, W) integer array
        Its regions.
    everything : list of Region
        All of them.
    regions : sequence of Region
        Those to tell of.

    Returns
    -------
    list of Surroundings or None
        One for each of ``regions``; None where what is usual is not known: where there are not
        more than twelve regions that are no specks, or more than sixty.
    """
    others = without_specks(everything)
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
        Surroundings(float(far), float(level))
        for far, level in zip(remoteness, levels, strict=True)
    ]


def _distances(regions: Sequence[Region], others: Sequence[Region]) -> NDArray[np.float64]:
    """Distance of each region to the fourth nearest of the others, in px."""
    tree = KDTree([one.centroid for one in others])
    found, _ = tree.query([one.centroid for one in regions], k=_NEIGHBOUR + 1)
    own = {one.label for one in others}
    # One that is among the others finds itself first.
    column = [_NEIGHBOUR if one.label in own else _NEIGHBOUR - 1 for one in regions]
    return np.asarray(found[np.arange(len(regions)), column])


def _median(values: NDArray[np.float32], labels: NDArray[np.integer], region: Region) -> float:
    y0, x0, y1, x1 = region.bbox
    window = (slice(y0, y1), slice(x0, x1))
    return float(np.median(values[window][labels[window] == region.label]))
