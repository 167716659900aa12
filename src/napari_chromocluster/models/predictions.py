"""What a model says about regions, and the error if it cannot."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


class ClassifyError(ValueError):
    """Input that cannot be classified."""


@dataclass(frozen=True)
class RegionPredictions:
    """Predictions of individual regions.

    Attributes
    ----------
    probabilities : (N, 5) float32 array
        In the order of `cluster_types.TYPES`.
    distances : (N,) float32 array
        Distance of each from the training regions, see `familiarity.FeatureStatistics`; NaN if
        the model has no such statistics.
    """

    probabilities: NDArray[np.float32]
    distances: NDArray[np.float32]


@dataclass(frozen=True)
class MetaphasePredictions:
    """Predictions of the regions of one metaphase.

    Attributes
    ----------
    probabilities : (N, 5) float32 array
        In the order of `cluster_types.TYPES`.
    familiarity : float or None
        1 if the metaphase looks like the training data, less if it does not; None if unknown.
    """

    probabilities: NDArray[np.float32]
    familiarity: float | None
