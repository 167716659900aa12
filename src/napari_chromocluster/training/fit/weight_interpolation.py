"""Average finetuned weights with those that the finetuning started from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import TensorDataset

from napari_chromocluster.models.calibration import calibrate, fit_temperature
from napari_chromocluster.models.network import (
    ClusterEnsemble,
    ClusterNetwork,
    interpolate_state_dicts,
)

#: Shares of the base model that are tried, the largest first.  More than half would undo too much.
SHARES = (0.5, 0.25, 0.0)
#: Standard errors by which the validation loss may rise.  With one, some training runs lost old
#: knowledge without any gain; with three, they did not learn enough.
_STANDARD_ERRORS = 2.0


@dataclass(frozen=True)
class InterpolationResult:
    """Result of averaging.

    Attributes
    ----------
    model : ClusterNetwork or ClusterEnsemble
        The network, alone or in an ensemble.
    share_of_start : float
        Share of the base model in its weights.
    """

    model: ClusterNetwork | ClusterEnsemble
    share_of_start: float


def interpolate_weights(
    network: ClusterNetwork,
    start: ClusterNetwork | ClusterEnsemble,
    validation: TensorDataset,
    weights: NDArray[np.float64],
) -> InterpolationResult:
    """Average the weights of a finetuned network with those of its base model.

    Finetuning on a few metaphases overfits; averaged weights keep most of the gain and forget
    little (Wortsman et al., CVPR 2022).  If the base model is an ensemble, its other networks
    may stay in it.  The candidate that keeps most of the base model is chosen, unless its
    validation loss exceeds the best by more than two standard errors (Breiman et al., 1984, use
    one): the validation regions are few and similar to the training regions, so they do not
    show what is forgotten.

    Parameters
    ----------
    network : ClusterNetwork
        Finetuned; updated in place.
    start : ClusterNetwork or ClusterEnsemble
        The base model; its first network was finetuned.
    validation : TensorDataset
        Inputs (N, C, S, S) of regions of one type each, and their types (N, K).
    weights : (K,) float array
        Deployment over training prior, see `calibrate`.
    """
    first, *others = start.members
    before, after = (_copied(one) for one in (first, network))
    inputs, true = validation.tensors[0], validation.tensors[1].argmax(dim=1).numpy()
    theirs = [_logits(other, inputs) for other in others]
    tried: list[tuple[float, bool]] = []
    losses: list[NDArray[np.float64]] = []
    for share in SHARES:
        network.load_state_dict(interpolate_state_dicts([before, after], [share, 1 - share]))
        mine = _logits(network, inputs)
        if others:
            tried.append((share, True))
            losses.append(_losses([mine, *theirs], true, weights))
        tried.append((share, False))
        losses.append(_losses([mine], true, weights))
    share, together = tried[_first_as_good(losses)]
    network.load_state_dict(interpolate_state_dicts([before, after], [share, 1 - share]))
    return InterpolationResult(ClusterEnsemble([network, *others]) if together else network, share)


def _first_as_good(losses: Sequence[NDArray[np.float64]]) -> int:
    """Return the index of the first candidate that is not significantly worse than the best."""
    best = min(losses, key=lambda one: float(one.mean()))
    return next(
        place
        for place, one in enumerate(losses)
        if (one - best).mean() <= _STANDARD_ERRORS * (one - best).std() / np.sqrt(len(best))
    )


def _copied(network: ClusterNetwork) -> dict[str, Tensor]:
    return {name: value.detach().cpu().clone() for name, value in network.state_dict().items()}


def _logits(network: ClusterNetwork, inputs: Tensor) -> NDArray[np.float32]:
    device = next(network.parameters()).device
    network.eval()
    with torch.inference_mode():
        parts = [network(part.to(device)).float().cpu() for part in torch.split(inputs, 64)]
    return np.asarray(torch.cat(parts).numpy())


def _losses(
    answers: Sequence[NDArray[np.float32]], true: NDArray[np.intp], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the negative log-likelihood of each region's type."""
    logits = np.stack(answers)
    chances = calibrate(logits, fit_temperature(logits, true, weights), weights)
    return np.asarray(-np.log(chances[np.arange(len(true)), true].clip(1e-9)))
