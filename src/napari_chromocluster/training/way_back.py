"""Go back from the weights that a finetuning found towards those that it began with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import TensorDataset

from napari_chromocluster.models.calibration import calibrate, fit_temperature
from napari_chromocluster.models.network import ClusterEnsemble, ClusterNetwork, mixed_weights

#: Shares of the start that are tried, the largest first.  More than half would be little learnt.
SHARES = (0.5, 0.25, 0.0)
#: Standard errors by which the validation regions may be less likely.  With one, what was known
#: before was lost in some trainings for nothing; with three, what was to be learnt was not.
_STANDARD_ERRORS = 2.0


@dataclass(frozen=True)
class Kept:
    """What a finetuning leaves.

    Attributes
    ----------
    model : ClusterNetwork or ClusterEnsemble
        The network, alone or with others that answer beside it.
    share_of_start : float
        Share of the start in its weights.
    """

    model: ClusterNetwork | ClusterEnsemble
    share_of_start: float


def go_back(
    network: ClusterNetwork,
    start: ClusterNetwork | ClusterEnsemble,
    validation: TensorDataset,
    weights: NDArray[np.float64],
) -> Kept:
    """Average the weights of a network with those it began with.

    A few metaphases teach what is peculiar to them, too; between start and end lies a network
    that has learnt most of the new and forgotten little of the old (Wortsman et al., CVPR 2022).
    Where it began with one of several networks that answer together, the others may go on
    answering beside it.  What keeps most of the start is taken, unless the validation regions are
    less likely then by more than two standard errors (after the rule of Breiman et al., 1984, who
    take one): they are few, and of the kind that was learnt, so that they do not tell what would
    be forgotten.

    Parameters
    ----------
    network : ClusterNetwork
        Finetuned; takes the averaged weights in place.
    start : ClusterNetwork or ClusterEnsemble
        What it began with: its first network.
    validation : TensorDataset
        Inputs (N, C, S, S) of regions of one type each, and their types (N, K).
    weights : (K,) float array
        Deployment over training prior, see `calibrate`.
    """
    first, *others = start.members
    before, after = (_copied(one) for one in (first, network))
    inputs, true = validation.tensors[0], validation.tensors[1].argmax(dim=1).numpy()
    beside = [_logits(other, inputs) for other in others]
    tried: list[tuple[float, bool]] = []
    losses: list[NDArray[np.float64]] = []
    for share in SHARES:
        network.load_state_dict(mixed_weights([before, after], [share, 1 - share]))
        mine = _logits(network, inputs)
        if others:
            tried.append((share, True))
            losses.append(_losses([mine, *beside], true, weights))
        tried.append((share, False))
        losses.append(_losses([mine], true, weights))
    share, together = tried[_first_as_good(losses)]
    network.load_state_dict(mixed_weights([before, after], [share, 1 - share]))
    return Kept(ClusterEnsemble([network, *others]) if together else network, share)


def _first_as_good(losses: Sequence[NDArray[np.float64]]) -> int:
    """Return the place of the first that is no worse than the best by more than chance."""
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
    """Return the negative logarithm of the probability that each region's type gets."""
    logits = np.stack(answers)
    chances = calibrate(logits, fit_temperature(logits, true, weights), weights)
    return np.asarray(-np.log(chances[np.arange(len(true)), true].clip(1e-9)))
