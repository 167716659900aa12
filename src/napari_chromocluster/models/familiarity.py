"""How similar the regions of a metaphase are to the training data of a network.

The distance between the features of a region (last hidden layer) and the mean features of the
predicted type, in standard deviations of the training regions (a diagonal Mahalanobis distance,
after Lee et al., NeurIPS 2018), is small for familiar regions.  The median over a metaphase is
robust against single odd regions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Minimum number of regions to judge a metaphase.
FEWEST_REGIONS = 8
#: Minimum number of training regions to estimate the center of a type.
_FEWEST_OF_TYPE = 10


@dataclass(frozen=True)
class FeatureStatistics:
    """Distribution of the training regions in the feature space of a network.

    Attributes
    ----------
    centers : (K, F) float array
        Mean features of the regions of each predicted class.
    spread : (F,) float array
        Standard deviation of the features around these.
    usual : float
        Largest median distance of a familiar metaphase.
    """

    centers: NDArray[np.float32]
    spread: NDArray[np.float32]
    usual: float

    def distances(
        self, features: NDArray[np.floating], logits: NDArray[np.floating]
    ) -> NDArray[np.float32]:
        """Return the distance of each region from the center of its predicted class.

        Parameters
        ----------
        features : (N, F) float array
            Last hidden layer, of one view.
        logits : (N, K) float array
            Outputs of the same view.

        Returns
        -------
        (N,) float32 array
            Mean squared distance in standard deviations: about 1 for familiar regions.
        """
        nearest = self.centers[np.asarray(logits).argmax(axis=1)]
        return np.asarray((((features - nearest) / self.spread) ** 2).mean(axis=1), np.float32)

    def to_dict(self) -> dict[str, Any]:
        """Return a dictionary for the model card."""
        return {
            "centers": [[round(float(one), 3) for one in row] for row in self.centers],
            "spread": [round(float(one), 4) for one in self.spread],
            "usual": round(float(self.usual), 3),
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> FeatureStatistics | None:
        """Create from the result of `to_dict`; None if it is empty."""
        if not values:
            return None
        return cls(
            np.asarray(values["centers"], np.float32),
            np.asarray(values["spread"], np.float32),
            float(values["usual"]),
        )


def fit_feature_statistics(
    features: NDArray[np.floating], logits: NDArray[np.floating], usual: float = np.inf
) -> FeatureStatistics:
    """Measure the distribution of regions in the feature space of a network.

    Parameters
    ----------
    features : (N, F) float array
        Last hidden layer, of one view.
    logits : (N, K) float array
        Outputs of the same view.
    usual : float
        See `FeatureStatistics`.
    """
    predicted = np.asarray(logits).argmax(axis=1)
    centers = np.tile(features.mean(axis=0), (np.shape(logits)[1], 1))
    for column in range(len(centers)):
        if (predicted == column).sum() >= _FEWEST_OF_TYPE:
            centers[column] = features[predicted == column].mean(axis=0)
    spread = np.sqrt(((features - centers[predicted]) ** 2).mean(axis=0)) + 1e-3
    return FeatureStatistics(centers.astype(np.float32), spread.astype(np.float32), usual)


def familiarity(distances: NDArray[np.floating], usual: float) -> float | None:
    """Return the familiarity of a metaphase, from the distances of its regions.

    Parameters
    ----------
    distances : (N,) float array
        See `FeatureStatistics.distances`; NaN if unknown.
    usual : float
        See `FeatureStatistics`.

    Returns
    -------
    float or None
        1 if its regions look like the training data, lower if they do not; None with fewer than
        eight regions.
    """
    known = np.asarray(distances)[np.isfinite(distances)]
    if known.size < FEWEST_REGIONS:
        return None
    return float(min(1.0, usual / max(float(np.median(known)), 1e-6)))


def less_confident(
    probabilities: NDArray[np.floating], familiar: float | None
) -> NDArray[np.float32]:
    """Flatten the probabilities (N, K) of an unfamiliar metaphase.

    The ranking of the types does not change; rows sum to 1.
    """
    if familiar is None or familiar >= 1.0:
        return np.asarray(probabilities, np.float32)
    flat = np.asarray(probabilities, np.float64) ** familiar
    return np.asarray(flat / flat.sum(axis=1, keepdims=True), np.float32)
