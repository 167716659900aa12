"""Cached features of a frozen body, computed for a few epochs and reused."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.utils.data import Dataset, TensorDataset

from napari_chromocluster.models.network import ClusterNetwork
from napari_chromocluster.training.config import TrainingConfig
from napari_chromocluster.training.data.sampling import TrainingBatches
from napari_chromocluster.training.fit.devices import autocast_of, device_of
from napari_chromocluster.training.run_interface import RunLike, reporter

#: Epochs for which the features of a frozen body are computed; later epochs reuse them.
_CACHED_EPOCHS = 2


class CachedBatches(Dataset[tuple[Tensor, Tensor]]):
    """Pooled features of a frozen body for a few epochs, reused in turn."""

    def __init__(self, passes: list[list[tuple[Tensor, Tensor]]]) -> None:
        self.passes = passes
        self.epoch = 0

    def __len__(self) -> int:
        return len(self.passes[0])

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.passes[self.epoch % len(self.passes)][index]


def cache_features(
    network: ClusterNetwork,
    batches: TrainingBatches,
    validation: TensorDataset,
    run: RunLike,
    config: TrainingConfig,
) -> tuple[CachedBatches, TensorDataset]:
    """Compute the features of a frozen body for a few epochs instead of every epoch."""
    device = device_of(config)
    network.to(device).eval()
    passes: list[list[tuple[Tensor, Tensor]]] = []
    report = reporter(run, "computing body features")
    count = min(_CACHED_EPOCHS, batches.stage.epochs)
    with torch.inference_mode(), autocast_of(config, device):
        for epoch in range(count):
            batches.epoch = epoch
            rows = []
            for index in range(len(batches)):
                inputs, allowed = batches[index]
                rows.append((network.pooled(inputs.to(device)).float().cpu().clone(), allowed))
                report(epoch * len(batches) + index, count * len(batches))
            passes.append(rows)
        inputs, allowed = validation.tensors
        pooled = torch.cat(
            [network.pooled(part.to(device)).float().cpu() for part in torch.split(inputs, 64)]
        )
    # Inference tensors cannot be used in autograd: clone them outside inference mode.
    passes = [[(features.clone(), allowed) for features, allowed in rows] for rows in passes]
    return CachedBatches(passes), TensorDataset(pooled.clone(), allowed)
