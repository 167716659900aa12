"""From logits to probabilities: temperature, test-time augmentation and type prior."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import special

from napari_chromocluster.cluster_types import TYPES

#: Weight of the base model's temperature in `fit_temperature`, in regions.
PRIOR_REGIONS = 200


def softmax(logits: NDArray[np.floating]) -> NDArray[np.float64]:
    """Softmax over the last axis."""
    return np.asarray(special.softmax(np.asarray(logits, np.float64), axis=-1))


def prior_weights(
    training: Mapping[str, float], deployment: Mapping[str, float], classes: Sequence[str]
) -> NDArray[np.float64]:
    """Return the ratio of deployment to training share for each class (1 if unknown)."""
    weights = np.ones(len(classes))
    for place, name in enumerate(classes):
        if training.get(name, 0.0) > 0 and name in deployment:
            weights[place] = max(deployment[name], 1e-6) / training[name]
    return weights


def calibrate(
    logits: NDArray[np.floating],
    temperature: float,
    weights: NDArray[np.floating],
    shifts: NDArray[np.floating] | float = 0.0,
) -> NDArray[np.float64]:
    """Turn the logits of several views into calibrated probabilities.

    Parameters
    ----------
    logits : (V, N, K) float array
        Outputs of the network for V views of N regions.
    temperature : float
        Divides the log probabilities after prior and shifts (Guo et al., ICML 2017, divide the
        logits alone; ``docs/model.md`` compares both).
    weights : (K,) float array
        Deployment over training prior (Saerens et al., Neural Computation 2002).
    shifts : (N, K) float array, optional
        Added to the log probabilities of each region, see `neighborhood_logit_offsets`.

    Returns
    -------
    (N, K) float64 array
        Rows sum to 1.
    """
    mean = np.log(np.clip(softmax(np.asarray(logits)).mean(axis=0), 1e-12, None))
    return softmax((mean + np.log(weights) + shifts) / temperature)


def fit_temperature(
    logits: NDArray[np.floating],
    true: NDArray[np.integer],
    weights: NDArray[np.floating],
    shifts: NDArray[np.floating] | float = 0.0,
    *,
    start: float | None = None,
) -> float:
    """Find the temperature with the highest likelihood of the validation regions.

    Few regions would give an unreliable temperature, and one far too low if all are classified
    correctly.  ``start`` is therefore a prior: it adds `PRIOR_REGIONS` pseudo-regions whose types
    are distributed as predicted at that temperature.

    Parameters
    ----------
    logits : (V, N, K) float array
        Outputs for V views of N regions.
    true : (N,) int array
        Columns of the true types.
    weights : (K,) float array
        As in `calibrate`.
    shifts : (N, K) float array, optional
        As in `calibrate`.
    start : float, optional
        Prior temperature (default: no prior).
    """
    if true.size == 0:
        return 1.0 if start is None else start
    grid = np.exp(np.linspace(np.log(0.3), np.log(4.0), 80))
    weight = np.eye(len(weights))[true]
    if start is not None:
        grid = np.append(grid, start)
        expected = calibrate(logits, start, weights, shifts)
        weight = weight + expected * PRIOR_REGIONS / true.size
    losses = []
    for temperature in grid:
        p = calibrate(logits, float(temperature), weights, shifts)
        losses.append(float(-(weight * np.log(np.clip(p, 1e-9, None))).sum()))
    return float(grid[int(np.argmin(losses))])


def expand_to_all_types(
    probabilities: NDArray[np.floating], classes: Sequence[str]
) -> NDArray[np.float32]:
    """Map (N, K) probabilities of a model's classes to the five types, (N, 5) float32."""
    out = np.zeros((len(probabilities), len(TYPES)), np.float32)
    order = [str(kind) for kind in TYPES]
    for place, name in enumerate(classes):
        out[:, order.index(name)] = probabilities[:, place]
    return out
