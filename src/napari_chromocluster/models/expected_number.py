"""What the number of chromosomes in a cell says of the types of its regions.

A cytogeneticist counts: where forty regions hold all forty-six chromosomes of a cell, most of
what looks doubtful is a cluster; where forty-six regions do, hardly anything is.  A network,
which sees one region at a time, cannot know.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_chromocluster.results.chromosomes import MOST, held_by_cluster
from napari_chromocluster.taxonomy import TYPES, ClusterType

#: Regions that a metaphase may have for its number of chromosomes to say anything, as shares of
#: that number: with fewer, most of it lies elsewhere; with more, it is another cell, or several.
_FEWEST, _MOST = 0.25, 1.3
#: How often the number is another than expected (a cell of another kind, one that lost some, a
#: part of a metaphase), and within which shares of the expected number it then lies.
_ANOTHER = 0.2
_ANYWHERE = (1 / 6, 1.75)
#: Standard deviation of the number else.
_SPREAD = 1.5


def says_something(regions: int, expected: int | None) -> bool:
    """Return whether the expected number of chromosomes tells anything of so many regions."""
    return expected is not None and _FEWEST * expected < regions <= _MOST * expected


def with_expected_number(
    probabilities: NDArray[np.floating], sizes: NDArray[np.floating], expected: int
) -> NDArray[np.float64]:
    """Weigh the types of a metaphase's regions with how many chromosomes they hold together.

    Each region holds no chromosome (*other*), one, or as many as a cluster of its size usually
    does.  The numbers of all regions add up to that of the cell.  The probability of each type is
    multiplied by how likely that sum is with it, over all that the other regions may hold: exact
    inference, forward and backward along the regions.  A number near the expected one is taken
    for likely and any other for possible, so that cells of another kind are left nearly as they
    are.

    Parameters
    ----------
    probabilities : (N, 5) float array
        In the order of ``taxonomy.TYPES``, of all regions of a metaphase that are no specks.
    sizes : (N,) float array
        Their areas over that of a usual region (the square of `reference_size`).
    expected : int
        Chromosomes in a cell.

    Returns
    -------
    (N, 5) float64 array
        Rows sum to 1.  As they were where ``says_something`` says no.
    """
    given = np.asarray(probabilities, np.float64)
    if not says_something(len(given), expected):
        return given
    held = held_by_cluster(sizes)
    clusters = np.array([kind.is_cluster for kind in TYPES])
    counts = np.zeros((len(given), MOST + 1))
    counts[:, 0] = given[:, TYPES.index(ClusterType.OTHER)]
    counts[:, 1] = given[:, TYPES.index(ClusterType.SINGLE)]
    counts[:, 2:] = given[:, clusters].sum(axis=1, keepdims=True) * held
    chances = _sums_with(counts, _chance_of_sum(expected))
    gained = np.empty_like(given)
    gained[:, TYPES.index(ClusterType.OTHER)] = chances[:, 0]
    gained[:, TYPES.index(ClusterType.SINGLE)] = chances[:, 1]
    gained[:, clusters] = (held * chances[:, 2:]).sum(axis=1, keepdims=True)
    weighed = given * gained
    return np.asarray(weighed / weighed.sum(axis=1, keepdims=True))


def _chance_of_sum(expected: int) -> NDArray[np.float64]:
    """Chances of every sum of chromosomes from 0 to twice the expected number."""
    number = np.arange(2 * expected + 1)
    near = np.exp(-0.5 * ((number - expected) / _SPREAD) ** 2)
    low, high = (share * expected for share in _ANYWHERE)
    anywhere = ((number >= low) & (number <= high)).astype(np.float64)
    return np.asarray((1 - _ANOTHER) * near / near.sum() + _ANOTHER * anywhere / anywhere.sum())


def _sums_with(counts: NDArray[np.float64], of_sum: NDArray[np.float64]) -> NDArray[np.float64]:
    """Chances (N, 31) of the sum of all, if one region holds 0 to 30 and the rest what it may."""
    length = len(of_sum)
    before = [np.eye(1, length)[0]]
    for row in counts[:-1]:
        before.append(np.convolve(before[-1], row)[:length])
    # Larger sums than the table has are as good as impossible.
    after = np.pad(of_sum, (0, MOST))
    chances = np.empty_like(counts)
    for place in range(len(counts) - 1, -1, -1):
        # Chance of the rest, for each sum up to here that one region's number is added to.
        shifted = np.lib.stride_tricks.sliding_window_view(after, MOST + 1)
        chances[place] = before[place] @ shifted
        after = np.pad(shifted @ counts[place], (0, MOST))
    return chances
