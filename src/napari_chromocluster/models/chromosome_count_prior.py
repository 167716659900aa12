"""Update the types of the regions of a metaphase with the expected number of chromosomes.

If forty regions contain all 46 chromosomes of a cell, most doubtful regions are clusters; if
there are 46 regions, hardly any is.  A network that sees one region at a time cannot know this.
"""

from __future__ import annotations

from numbers import Real

import numpy as np
from numpy.typing import NDArray

from napari_chromocluster.cluster_types import TYPES, ClusterType
from napari_chromocluster.results.chromosome_count import MOST, chromosome_count_distribution

#: Minimum and maximum number of regions, relative to the expected number of chromosomes, for which
#: it is used: with fewer, part of the metaphase is missing; with more, it is not one such cell.
_FEWEST, _MOST = 0.25, 1.3
#: Prior probability that the number is unexpected (another kind of cell, lost chromosomes, part of
#: a metaphase); it is then uniform up to 1.5 times the expected number.
_ANOTHER = 0.2
_ANYWHERE = 1.5
#: Largest sum in the tables, relative to the expected number.
_LARGEST = 4
#: Standard deviation of the number otherwise, fitted on the validation metaphases;
#: it includes errors of the estimate from sizes.
_SPREAD = 2.0
_OTHER, _SINGLE = TYPES.index(ClusterType.OTHER), TYPES.index(ClusterType.SINGLE)
_CLUSTERS = [place for place, kind in enumerate(TYPES) if kind.is_cluster]


def prior_is_informative(regions: int, expected: int | None) -> bool:
    """Return whether the expected number of chromosomes is informative for so many regions.

    Raises
    ------
    ValueError
        If the number is invalid.
    """
    if expected is not None and not (isinstance(expected, Real) and expected >= 0):
        raise ValueError(
            f"A cell cannot have {expected!r} chromosomes: give their number, or 0 if it is "
            f"unknown."
        )
    return expected is not None and _FEWEST * expected < regions <= _MOST * expected


def apply_chromosome_count_prior(
    probabilities: NDArray[np.floating], sizes: NDArray[np.floating], expected: int
) -> NDArray[np.float64]:
    """Update the types of a metaphase's regions with the expected number of chromosomes.

    Each region contains no chromosome (*other*), one (single), or as many as clusters of its size
    usually do; the sum over all regions is the number of the cell.  The posterior of each type is
    computed exactly with a forward-backward pass over the regions.  The prior of the sum peaks at
    the expected number but allows any other, so other kinds of cells hardly change.

    Parameters
    ----------
    probabilities : (N, 5) float array
        In the order of `cluster_types.TYPES`, of all regions of a metaphase that are not specks.
    sizes : (N,) float array
        Their areas relative to a typical region (the square of `reference_size`).
    expected : int
        Chromosomes in a cell.

    Returns
    -------
    (N, 5) float64 array
        Rows sum to 1.  Unchanged if ``prior_is_informative`` is False.
    """
    given = np.asarray(probabilities, np.float64)
    if not prior_is_informative(len(given), expected):
        return given
    held = chromosome_count_distribution(sizes)
    chances = _sums_with(count_distribution_per_region(given, held), distribution_of_sum(expected))
    gained = np.empty_like(given)
    gained[:, _OTHER], gained[:, _SINGLE] = chances[:, 0], chances[:, 1]
    gained[:, _CLUSTERS] = (held * chances[:, 2:]).sum(axis=1, keepdims=True)
    weighed = given * gained
    total = weighed.sum(axis=1, keepdims=True)
    # If every assignment exceeds the largest sum, keep the probabilities.
    return np.asarray(np.where(total > 0, weighed / np.where(total > 0, total, 1), given))


def count_distribution_per_region(
    probabilities: NDArray[np.floating], held: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the probability that regions contain 0 to 30 chromosomes (N, 31).

    Parameters
    ----------
    probabilities : (N, 5) float array
        As in `apply_chromosome_count_prior`.
    held : (N, 29) float array
        Distribution for clusters of their sizes, from `chromosome_count_distribution`.
    """
    counts = np.zeros((len(held), MOST + 1))
    counts[:, 0], counts[:, 1] = probabilities[:, _OTHER], probabilities[:, _SINGLE]
    counts[:, 2:] = probabilities[:, _CLUSTERS].sum(axis=1, keepdims=True) * held
    return counts


def distribution_of_sum(expected: int, spread: float = _SPREAD) -> NDArray[np.float64]:
    """Return the prior of the total number of chromosomes, from 0 to four times the expected."""
    number = np.arange(_LARGEST * expected + 1)
    near = np.exp(-0.5 * ((number - expected) / spread) ** 2)
    return np.asarray((1 - _ANOTHER) * near / near.sum() + _ANOTHER / (_ANYWHERE * expected))


def _sums_with(counts: NDArray[np.float64], of_sum: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the likelihood (N, 31) of each region holding 0 to 30 chromosomes, given the sum."""
    length = len(of_sum)
    before = [np.eye(1, length)[0]]
    for row in counts[:-1]:
        before.append(np.convolve(before[-1], row)[:length])
    # Sums beyond the table are treated as impossible.
    after = np.pad(of_sum, (0, MOST))
    chances = np.empty_like(counts)
    for place in range(len(counts) - 1, -1, -1):
        # Likelihood of the remaining regions, for each partial sum and each number of this region.
        shifted = np.lib.stride_tricks.sliding_window_view(after, MOST + 1)
        chances[place] = before[place] @ shifted
        after = np.pad(shifted @ counts[place], (0, MOST))
    return chances
