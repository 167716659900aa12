"""Metrics of a classification: those of the paper, and further ones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_chromocluster.cluster_types import CHROMOSOME_TYPES, TYPES

_ORDER = [str(kind) for kind in TYPES]
_PLAIN_FIELDS = (
    "n",
    "accuracy",
    "macro_sensitivity",
    "macro_specificity",
    "micro_specificity",
    "confusion_matrix",
    "kappa",
    "auroc",
    "ece",
    "selective_accuracy",
    "types",
    "per_group",
)
#: Bins of the expected calibration error.
_BINS = 15
#: Share of the least certain regions left to a human in the selective accuracy.
_LEFT_TO_HUMAN = 0.05


@dataclass(frozen=True)
class TypeFigures:
    """Metrics of one type against all others; None if undefined."""

    n: int
    sensitivity: float | None
    specificity: float | None
    precision: float | None
    f1: float | None
    auroc: float | None


@dataclass(frozen=True)
class Evaluation:
    """Metrics of a classification against human annotations.

    Attributes
    ----------
    n : int
        Number of regions.
    accuracy : float
        Share of correctly classified regions.
    accuracy_interval : tuple of float
        95 % confidence interval (Wilson).
    macro_sensitivity, macro_specificity : float
        Means over the types that occur.  The specificity is None if only one occurs, since there
        are no regions of other types.
    micro_specificity : float
        The paper's specificity, 1 - (1 - accuracy) / (types - 1), a function of the accuracy.
    per_type : dict of str to TypeFigures
        Each type against the others.
    confusion_matrix : list of list of int
        Rows true, columns predicted, both in the order of ``types``.
    kappa : float or None
        Cohen's kappa.
    auroc : float or None
        Mean over the types that occur.
    ece : float
        Expected calibration error of the confidence, 15 bins.
    selective_accuracy : float
        Accuracy if the 5 % least certain regions are left to a human.
    per_group : dict of str to dict
        ``n``, ``accuracy``, ``macro_sensitivity`` ... of each group.
    """

    n: int
    accuracy: float
    accuracy_interval: tuple[float, float]
    macro_sensitivity: float
    macro_specificity: float | None
    micro_specificity: float
    per_type: dict[str, TypeFigures]
    confusion_matrix: list[list[int]]
    kappa: float | None
    auroc: float | None
    ece: float
    selective_accuracy: float
    types: list[str] = field(default_factory=lambda: list(_ORDER))
    per_group: dict[str, dict[str, Any]] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return all metrics as plain JSON types, without NaN."""
        out: dict[str, Any] = {name: getattr(self, name) for name in _PLAIN_FIELDS}
        out["accuracy_interval"] = list(self.accuracy_interval)
        out["per_type"] = {name: vars(figures) for name, figures in self.per_type.items()}
        return out


def wilson_interval(right: int, n: int) -> tuple[float, float]:
    """Return the 95 % confidence interval of a proportion (Wilson, JASA 1927)."""
    if n == 0:
        return 0.0, 1.0
    from scipy.stats import binomtest  # takes half a second

    interval = binomtest(right, n).proportion_ci(0.95, "wilson")
    return float(interval.low), float(interval.high)


def reliability_bins(
    confidence: NDArray[np.floating], right: NDArray[np.bool_], bins: int = 10
) -> list[tuple[float, float, int]]:
    """Return mean confidence, accuracy and count of each non-empty bin of confidence."""
    confidence, right = np.asarray(confidence, float), np.asarray(right, bool)
    place = np.clip((confidence * bins).astype(int), 0, bins - 1)
    parts = [place == one for one in np.unique(place)]
    return [
        (float(confidence[part].mean()), float(right[part].mean()), int(part.sum()))
        for part in parts
    ]


def expected_calibration_error(
    confidence: NDArray[np.floating], right: NDArray[np.bool_], bins: int = _BINS
) -> float:
    """Return the mean difference between confidence and accuracy over bins of confidence."""
    found = reliability_bins(confidence, right, bins)
    return sum(abs(sure - share) * n for sure, share, n in found) / len(right)


def area_under_roc(scores: NDArray[np.floating], positive: NDArray[np.bool_]) -> float | None:
    """Return the area under the ROC curve by ranks (ties count half); None for one class."""
    n, m = int(positive.sum()), int((~positive).sum())
    if n == 0 or m == 0:
        return None
    from scipy.stats import rankdata

    ranks = rankdata(scores)
    return float((ranks[positive].sum() - n * (n + 1) / 2) / (n * m))


def selective_accuracy(
    confidence: NDArray[np.floating], right: NDArray[np.bool_], left: float = _LEFT_TO_HUMAN
) -> float:
    """Return the accuracy of the other regions if the least certain ones are left to a human."""
    return float(right[~least_sure(confidence, left)].mean())


def least_sure(confidence: NDArray[np.floating], left: float = _LEFT_TO_HUMAN) -> NDArray[np.bool_]:
    """Return which regions are left to a human: the given share, least certain first."""
    order = np.argsort(-np.asarray(confidence), kind="stable")
    out = np.ones(len(order), bool)
    out[order[: max(1, math.ceil(len(order) * (1 - left)))]] = False
    return out


def evaluate_predictions(
    true_types: Sequence[str],
    probabilities: NDArray[np.floating],
    groups: Sequence[str] | None = None,
) -> Evaluation:
    """Compare probabilities with the true types.

    Parameters
    ----------
    true_types : sequence of str, length N
        True cluster types.
    probabilities : (N, 5) float array
        In the order of ``cluster_types.TYPES``.
    groups : sequence of str, optional
        Group of each region, for metrics per group.

    Returns
    -------
    Evaluation

    Raises
    ------
    ValueError
        If there is no region, or the lengths differ.
    """
    chances = np.asarray(probabilities, float)
    if len(true_types) == 0:
        raise ValueError("There is no annotated region to evaluate on: check the annotations.")
    if chances.shape != (len(true_types), len(TYPES)):
        raise ValueError(f"{len(true_types)} true types need probabilities of as many rows.")
    true = np.array([_ORDER.index(str(name)) for name in true_types])
    figures = _figures(true, chances)
    per_group: dict[str, dict[str, Any]] = {}
    if groups is not None:
        names = np.array([str(group) for group in groups])
        for name in sorted(set(names.tolist())):
            mine = names == name
            part = _figures(true[mine], chances[mine])
            part["per_type"] = {kind: vars(one) for kind, one in part["per_type"].items()}
            part["accuracy_interval"] = list(part["accuracy_interval"])
            per_group[name] = part
    return Evaluation(**figures, per_group=per_group)


def _figures(true: NDArray[np.intp], chances: NDArray[np.floating]) -> dict[str, Any]:
    predicted = chances.argmax(axis=1)
    confidence = chances.max(axis=1)
    right = predicted == true
    n = len(true)
    matrix = np.zeros((len(TYPES), len(TYPES)), int)
    np.add.at(matrix, (true, predicted), 1)
    per_type = {
        name: _type_figures(place, matrix, true, chances) for place, name in enumerate(_ORDER)
    }
    occurring = [figures for figures in per_type.values() if figures.n]
    accuracy = float(right.mean())
    types = max(len(CHROMOSOME_TYPES), len(occurring))
    return {
        "n": n,
        "accuracy": accuracy,
        "accuracy_interval": wilson_interval(int(right.sum()), n),
        "macro_sensitivity": _mean([one.sensitivity for one in occurring]) or 0.0,
        "macro_specificity": _mean([one.specificity for one in occurring]),
        "micro_specificity": 1 - (1 - accuracy) / (types - 1),
        "per_type": per_type,
        "confusion_matrix": matrix.tolist(),
        "kappa": _kappa(matrix),
        "auroc": _mean([one.auroc for one in occurring]),
        "ece": expected_calibration_error(confidence, right),
        "selective_accuracy": selective_accuracy(confidence, right),
    }


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _type_figures(
    place: int, matrix: NDArray[np.intp], true: NDArray[np.intp], chances: NDArray[np.floating]
) -> TypeFigures:
    hit = int(matrix[place, place])
    positives, called = int(matrix[place].sum()), int(matrix[:, place].sum())
    negatives = int(matrix.sum()) - positives
    return TypeFigures(
        n=positives,
        sensitivity=_share(hit, positives),
        specificity=_share(negatives - (called - hit), negatives),
        precision=_share(hit, called),
        f1=_share(2 * hit, positives + called) if positives else None,
        auroc=area_under_roc(chances[:, place], true == place),
    )


def _kappa(matrix: NDArray[np.intp]) -> float | None:
    n = matrix.sum()
    agreed = float(np.trace(matrix)) / n
    by_chance = float((matrix.sum(axis=0) * matrix.sum(axis=1)).sum()) / (n * n)
    return None if by_chance == 1.0 else (agreed - by_chance) / (1 - by_chance)
