"""Go part of the way back from the weights that a finetuning found to those it began with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import TensorDataset

from napari_chromocluster.models.calibration import calibrate, fit_temperature
from napari_chromocluster.models.network import ClusterEnsemble, ClusterNetwork

#: Shares of the start that are tried.
SHARES = (0.0, 0.25, 0.5, 0.75)


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
    shares: tuple[float, ...] = SHARES,
) -> Kept:
    """Average the weights of a network with those it began with, as is likeliest.

    A few metaphases teach what is peculiar to them, too; between start and end lies a network
    that has learnt most of the new and forgotten little of the old (Wortsman et al., CVPR 2022).
    Where it began with one of several networks that answer together, the others go on answering
    beside it if that is likelier.  Both are chosen by the likelihood of the validation regions,
    at the best temperature.

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
    shares : tuple of float
        Shares of the start that are tried.
    """
    first, *others = start.members
    before, after = (_copied(one) for one in (first, network))
    inputs, true = validation.tensors[0], validation.tensors[1].argmax(dim=1).numpy()
    beside = [_logits(other, inputs) for other in others]
    found: list[tuple[float, float, bool]] = []
    for share in shares:
        network.load_state_dict(_mixed(before, after, share))
        mine = _logits(network, inputs)
        found.append((_loss([mine], true, weights), share, False))
        if others:
            found.append((_loss([mine, *beside], true, weights), share, True))
    _, share, together = min(found)
    network.load_state_dict(_mixed(before, after, share))
    return Kept(ClusterEnsemble([network, *others]) if together else network, share)


def _copied(network: ClusterNetwork) -> dict[str, Tensor]:
    return {name: value.detach().cpu().clone() for name, value in network.state_dict().items()}


def _mixed(before: dict[str, Tensor], after: dict[str, Tensor], share: float) -> dict[str, Tensor]:
    return {
        name: share * before[name] + (1 - share) * value if value.is_floating_point() else value
        for name, value in after.items()
    }


def _logits(network: ClusterNetwork, inputs: Tensor) -> NDArray[np.float32]:
    device = next(network.parameters()).device
    network.eval()
    with torch.inference_mode():
        parts = [network(part.to(device)).float().cpu() for part in torch.split(inputs, 64)]
    return np.asarray(torch.cat(parts).numpy())


def _loss(
    answers: Sequence[NDArray[np.float32]], true: NDArray[np.intp], weights: NDArray[np.float64]
) -> float:
    """Return the mean negative logarithm of the probability that each true type gets."""
    logits = np.stack(answers)
    chances = calibrate(logits, fit_temperature(logits, true, weights), weights)
    return float(-np.log(chances[np.arange(len(true)), true].clip(1e-9)).mean())
