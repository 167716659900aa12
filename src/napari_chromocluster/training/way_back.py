"""Go part of the way back from the weights that a finetuning found to those it began with."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import TensorDataset

from napari_chromocluster.models.calibration import calibrate, fit_temperature
from napari_chromocluster.models.network import ClusterNetwork

#: Shares of the start that are tried.
SHARES = (0.0, 0.25, 0.5, 0.75)


def go_back(
    network: ClusterNetwork,
    start: ClusterNetwork,
    validation: TensorDataset,
    weights: NDArray[np.float64],
    shares: tuple[float, ...] = SHARES,
) -> float:
    """Average the weights of a network with those it began with, as is likeliest.

    A few metaphases teach what is peculiar to them, too; between start and end lies a network
    that has learnt most of the new and forgotten little of the old (Wortsman et al., CVPR 2022).
    How far, is chosen by the likelihood of the validation regions, at the best temperature.

    Parameters
    ----------
    network : ClusterNetwork
        Finetuned; takes the averaged weights in place.
    start : ClusterNetwork
        What it began as.
    validation : TensorDataset
        Inputs (N, C, S, S) of regions of one type each, and their types (N, K).
    weights : (K,) float array
        Deployment over training prior, see `calibrate`.
    shares : tuple of float
        Shares of the start that are tried.

    Returns
    -------
    float
        The share of the start.
    """
    before, after = (_copied(one) for one in (start, network))
    true = validation.tensors[1].argmax(dim=1).numpy()
    losses = []
    for share in shares:
        network.load_state_dict(_mixed(before, after, share))
        losses.append(_loss(network, validation.tensors[0], true, weights))
    share = shares[int(np.argmin(losses))]
    network.load_state_dict(_mixed(before, after, share))
    return share


def _copied(network: ClusterNetwork) -> dict[str, Tensor]:
    return {name: value.detach().cpu().clone() for name, value in network.state_dict().items()}


def _mixed(before: dict[str, Tensor], after: dict[str, Tensor], share: float) -> dict[str, Tensor]:
    return {
        name: share * before[name] + (1 - share) * value if value.is_floating_point() else value
        for name, value in after.items()
    }


def _loss(
    network: ClusterNetwork,
    inputs: Tensor,
    true: NDArray[np.intp],
    weights: NDArray[np.float64],
) -> float:
    """Return the mean negative logarithm of the probability that each true type gets."""
    device = next(network.parameters()).device
    network.eval()
    with torch.inference_mode():
        parts = [network(part.to(device)).float().cpu() for part in torch.split(inputs, 64)]
    logits = torch.cat(parts).numpy()[None]
    chances = calibrate(logits, fit_temperature(logits, true, weights), weights)
    return float(-np.log(chances[np.arange(len(true)), true].clip(1e-9)).mean())
