"""What the number of chromosomes in a cell says of the types of its regions.

A cytogeneticist counts: where forty regions hold all forty-six chromosomes of a cell, most of
what looks doubtful is a cluster; where forty-six regions do, hardly anything is.  A network,
which sees one region at a time, cannot know.
"""

from __future__ import annotations

from numbers import Real

import numpy as np
from numpy.typing import NDArray

from napari_chromocluster.results.chromosomes import MOST, held_by_cluster
from napari_chromocluster.taxonomy import TYPES, ClusterType

#: Regions that a metaphase may have for its number of chromosomes to say anything, as shares of
#: that number: with fewer, most of it lies elsewhere; with more, it is another cell, or several.
_FEWEST, _MOST = 0.25, 1.3
#: How often the number is another than expected (a cell of another kind, one that lost some, a
#: part of a metaphase), as if it then were anything up to 1.5 times as many.
_ANOTHER = 0.2
_ANYWHERE = 1.5
#: Sums up to so many times the expected number are told apart.
_LARGEST = 4
#: Standard deviation of the number else: the sums of the validation metaphases are likeliest with
#: it (``benchmarks/expected_number.py --spreads``).  It also stands for what sizes tell wrongly.
_SPREAD = 2.0
_OTHER, _SINGLE = TYPES.index(ClusterType.OTHER), TYPES.index(ClusterType.SINGLE)
_CLUSTERS = [place for place, kind in enumerate(TYPES) if kind.is_cluster]


def says_something(regions: int, expected: int | None) -> bool:
    """Return whether the expected number of chromosomes tells anything of so many regions.

    Raises
    ------
    ValueError
        If the number is no number of chromosomes.
    """
    if expected is not None and not (isinstance(expected, Real) and expected >= 0):
        raise ValueError(
            f"A cell cannot have {expected!r} chromosomes: give their number, or 0 if it is "
            f"unknown."
        )
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
    chances = _sums_with(held_by_regions(given, held), chance_of_sum(expected))
    gained = np.empty_like(given)
    gained[:, _OTHER], gained[:, _SINGLE] = chances[:, 0], chances[:, 1]
    gained[:, _CLUSTERS] = (held * chances[:, 2:]).sum(axis=1, keepdims=True)
    weighed = given * gained
    total = weighed.sum(axis=1, keepdims=True)
    # Where the regions hold many times the number whatever they are, it tells nothing.
    return np.asarray(np.where(total > 0, weighed / np.where(total > 0, total, 1), given))


def held_by_regions(
    probabilities: NDArray[np.floating], held: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return how likely it is that regions hold 0 to 30 chromosomes (N, 31).

    Parameters
    ----------
    probabilities : (N, 5) float array
        As in `with_expected_number`.
    held : (N, 29) float array
        What clusters of their sizes hold, from `held_by_cluster`.
    """
    counts = np.zeros((len(held), MOST + 1))
    counts[:, 0], counts[:, 1] = probabilities[:, _OTHER], probabilities[:, _SINGLE]
    counts[:, 2:] = probabilities[:, _CLUSTERS].sum(axis=1, keepdims=True) * held
    return counts


def chance_of_sum(expected: int, spread: float = _SPREAD) -> NDArray[np.float64]:
    """Return how likely each sum of chromosomes is, from 0 to four times the expected number."""
    number = np.arange(_LARGEST * expected + 1)
    near = np.exp(-0.5 * ((number - expected) / spread) ** 2)
    return np.asarray((1 - _ANOTHER) * near / near.sum() + _ANOTHER / (_ANYWHERE * expected))


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
