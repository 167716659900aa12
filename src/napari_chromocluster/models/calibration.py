"""From logits to probabilities: temperature, turned copies, and the prior of the types."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from napari_chromocluster.taxonomy import TYPES

#: Shares of the types among the regions of a metaphase.  Counted in the shared data outside the
#: test groups (``tools/natural_prior.py``: 84.8 / 10.1 / 3.2 / 1.9 % of the regions with
#: chromosomes; overlapping and touching-overlapping are as frequent in either stain), with 3 % no
#: chromosome: so many of the regions that the segmentation keeps lie in no box (228 of 6767, in
#: the training groups of ``gband_metaphases``).
NATURAL_PRIOR: dict[str, float] = {
    "single": 0.823,
    "touching": 0.098,
    "overlapping": 0.0305,
    "touching_overlapping": 0.0185,
    "other": 0.03,
}

#: Regions that it takes to outweigh the temperature of the model that a training began with.
PRIOR_REGIONS = 200


def softmax(logits: NDArray[np.floating]) -> NDArray[np.float64]:
    """Softmax over the last axis."""
    shifted = np.asarray(logits, np.float64)
    shifted = shifted - shifted.max(axis=-1, keepdims=True)
    exponent = np.exp(shifted)
    return np.asarray(exponent / exponent.sum(axis=-1, keepdims=True))


def prior_weights(
    training: Mapping[str, float], deployment: Mapping[str, float], classes: Sequence[str]
) -> NDArray[np.float64]:
    """Return deployment over training share for each class (1 where one is not known)."""
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
    """Turn logits of turned copies into calibrated probabilities.

    Parameters
    ----------
    logits : (V, N, K) float array
        Outputs of the network for V copies of N regions.
    temperature : float
        Divides the logits (Guo et al., ICML 2017).
    weights : (K,) float array
        Deployment over training prior (Saerens et al., Neural Computation 2002).
    shifts : (N, K) float array, optional
        Added to the logarithms of the probabilities of each region, see `surroundings_shifts`.

    Returns
    -------
    (N, K) float64 array
        Rows sum to 1.
    """
    mean = np.log(np.clip(softmax(np.asarray(logits)).mean(axis=0), 1e-12, None))
    return softmax(mean / temperature + np.log(weights) + shifts)


def fit_temperature(
    logits: NDArray[np.floating],
    true: NDArray[np.integer],
    weights: NDArray[np.floating],
    shifts: NDArray[np.floating] | float = 0.0,
    *,
    start: float | None = None,
) -> float:
    """Find the temperature that makes validation regions most likely.

    Few regions say little of it, and if the model is right on all of them, they say that it may
    be as sure as it likes.  With ``start`` they are weighed against `PRIOR_REGIONS` regions whose
    types are distributed as the model says at that temperature.

    Parameters
    ----------
    logits : (V, N, K) float array
        Outputs for V copies of N regions.
    true : (N,) int array
        Columns of the true types.
    weights : (K,) float array
        As in `calibrate`.
    shifts : (N, K) float array, optional
        As in `calibrate`.
    start : float, optional
        Temperature that is believed without any region (default: none is).
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


def to_five(probabilities: NDArray[np.floating], classes: Sequence[str]) -> NDArray[np.float32]:
    """Spread (N, K) probabilities of a model's classes onto the five types, (N, 5) float32."""
    out = np.zeros((len(probabilities), len(TYPES)), np.float32)
    order = [str(kind) for kind in TYPES]
    for place, name in enumerate(classes):
        out[:, order.index(name)] = probabilities[:, place]
    return out
