"""How much the regions of a metaphase look like those that a network was trained on.

The last hidden layer of a network gives each region a point.  The distance of that point from the
centre of the type that the network predicts, in standard deviations of the training regions (a
diagonal Mahalanobis distance, after Lee et al., NeurIPS 2018), is small for what it knows.  The
median over a metaphase hardly depends on single odd regions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Fewest regions from which a metaphase is judged.
FEWEST_REGIONS = 8
#: Fewest training regions of a predicted type from which its centre is taken.
_FEWEST_OF_TYPE = 10


@dataclass(frozen=True)
class FeatureStatistics:
    """Where the training regions lie in the feature space of a network.

    Attributes
    ----------
    centers : (K, F) float array
        Mean features of the regions of each predicted class.
    spread : (F,) float array
        Standard deviation of the features around these.
    usual : float
        Greatest median distance of a metaphase that still counts as familiar.
    """

    centers: NDArray[np.float32]
    spread: NDArray[np.float32]
    usual: float

    def distances(
        self, features: NDArray[np.floating], logits: NDArray[np.floating]
    ) -> NDArray[np.float32]:
        """Return the distance of each region from the centre of its predicted class.

        Parameters
        ----------
        features : (N, F) float array
            Last hidden layer, of one view.
        logits : (N, K) float array
            Outputs of the same view.

        Returns
        -------
        (N,) float32 array
            Mean squared distance in standard deviations: about 1 for regions like those of the
            training.
        """
        nearest = self.centers[np.asarray(logits).argmax(axis=1)]
        return np.asarray((((features - nearest) / self.spread) ** 2).mean(axis=1), np.float32)

    def to_dict(self) -> dict[str, Any]:
        """Return what a model card stores."""
        return {
            "centers": [[round(float(one), 3) for one in row] for row in self.centers],
            "spread": [round(float(one), 4) for one in self.spread],
            "usual": round(float(self.usual), 3),
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> FeatureStatistics | None:
        """Read what `to_dict` wrote; None where there is nothing."""
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
    """Measure where regions lie in the feature space of a network.

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
    """Return how familiar a metaphase is, from the distances of its regions.

    Parameters
    ----------
    distances : (N,) float array
        See `FeatureStatistics.distances`; NaN where unknown.
    usual : float
        See `FeatureStatistics`.

    Returns
    -------
    float or None
        1 where its regions look like those of the training, towards 0 the less they do; None
        with fewer than eight regions.
    """
    known = np.asarray(distances)[np.isfinite(distances)]
    if known.size < FEWEST_REGIONS:
        return None
    return float(min(1.0, usual / max(float(np.median(known)), 1e-6)))


def less_confident(
    probabilities: NDArray[np.floating], familiar: float | None
) -> NDArray[np.float32]:
    """Return probabilities (N, K) of a metaphase, flattened the less familiar it is.

    The order of the types stays; rows sum to 1.
    """
    if familiar is None or familiar >= 1.0:
        return np.asarray(probabilities, np.float32)
    flat = np.asarray(probabilities, np.float64) ** familiar
    return np.asarray(flat / flat.sum(axis=1, keepdims=True), np.float32)
