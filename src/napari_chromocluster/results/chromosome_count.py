"""Number of chromosomes in a cluster, estimated from its size."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: Minimum and maximum number of chromosomes in a cluster.
FEWEST, MOST = 2, 30
#: Exponent of the frequency of clusters of n chromosomes (n^-2.8), and their size: in the training
#: groups of the shared data (3600 clusters and 11 700 singles with known numbers) the median area
#: is 0.95 n^0.95 typical regions, and the standard deviation of its logarithm is the root of 0.25 /
#: n + 0.04.
_RARER = -2.8
_AREA, _POWER = 0.95, 0.95
_SINGLE_SPREAD, _SPREAD_LEFT = 0.25, 0.04


def share_of(number: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the frequency of clusters by number of chromosomes, up to a constant factor."""
    return np.asarray(number**_RARER)


def size_of(number: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the median area of clusters by number of chromosomes, in typical regions."""
    return np.asarray(_AREA * number**_POWER)


def spread_of(number: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the standard deviation of the logarithm of that area."""
    return np.asarray(np.sqrt(_SINGLE_SPREAD / number + _SPREAD_LEFT))


def chromosome_count_distribution(sizes: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the probability that clusters contain 2 to 30 chromosomes.

    Parameters
    ----------
    sizes : (N,) float array
        Their areas relative to a typical region (see `reference_area`).

    Returns
    -------
    (N, 29) float64 array
        Rows sum to 1.
    """
    number = np.arange(FEWEST, MOST + 1, dtype=np.float64)
    spread = spread_of(number)
    away = np.log(np.maximum(sizes, 1e-3))[:, None] - np.log(size_of(number))
    likelihood = -0.5 * (away / spread) ** 2 - np.log(spread) + np.log(share_of(number))
    # Scale the maximum to 1 first: for a tiny region all likelihoods are nearly 0.
    chances = np.exp(likelihood - likelihood.max(axis=1, keepdims=True))
    return np.asarray(chances / chances.sum(axis=1, keepdims=True))


def expected_chromosome_count(sizes: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the mean number of chromosomes in clusters of some sizes (N,)."""
    return np.asarray(chromosome_count_distribution(sizes) @ np.arange(FEWEST, MOST + 1))
