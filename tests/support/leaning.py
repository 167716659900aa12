"""A network with predefined outputs."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from napari_chromocluster.models.network import ClusterNetwork, build_network


def leaning(bias: Sequence[float]) -> ClusterNetwork:
    """Return a compact network that outputs these logits for every crop."""
    torch.manual_seed(0)
    network = build_network("compact")
    last = network.head[-1]
    torch.nn.init.zeros_(last.weight)
    with torch.no_grad():
        last.bias.copy_(torch.tensor(bias))
    return network.eval()
