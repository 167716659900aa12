"""Draw training batches with balanced types, real and composed, reproducible from one seed."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from napari_chromocluster.cluster_types import CLUSTERS, TYPES, ClusterType
from napari_chromocluster.imaging.crops import CropSpec
from napari_chromocluster.training.config import StageConfig, TrainingConfig
from napari_chromocluster.training.data.augmentation import augment, to_input
from napari_chromocluster.training.data.region_set import RegionSet

_CLUSTER_ROWS = np.array([kind.is_cluster for kind in TYPES])
#: Share of the cluster draws that go to real clusters of unknown type, where there are any.
_UNTYPED_SHARE = 0.25


class DrawPlan:
    """Which regions are drawn, and how often.

    Parameters
    ----------
    regions : RegionSet
        Real regions followed by composed ones.
    n_real : int
        How many of them are real.
    config : TrainingConfig
        Shares of types and of composed clusters.
    """

    def __init__(self, regions: RegionSet, n_real: int, config: TrainingConfig) -> None:
        self.weights = np.zeros(len(regions))
        real = np.arange(len(regions)) < n_real
        untyped = regions.allowed.sum(axis=1) > 1
        present = [
            kind
            for column, kind in enumerate(TYPES)
            if (regions.allowed[:, column] & ~untyped).any()
        ]
        counts = {
            kind: float((regions.allowed[real & ~untyped, TYPES.index(kind)]).sum())
            for kind in present
        }
        shares = {kind: config.type_shares.get(str(kind), 0.0) for kind in present}
        if not config.type_shares:
            shares = {kind: counts[kind] or 1.0 for kind in present}
        total = sum(shares.values()) or 1.0
        for kind in present:
            typed = regions.allowed[:, TYPES.index(kind)] & ~untyped
            share = shares[kind] / total
            composed = config.composed_share if kind.is_cluster else 0.25 * config.composed_share
            self._spread(typed & real, typed & ~real, share, composed)
        if untyped.any():
            share = self._untyped_share(shares, int(untyped.sum()), config)
            self.weights *= 1 - share
            self.weights[untyped] = share / untyped.sum()
        self.weights /= self.weights.sum()

    @staticmethod
    def _untyped_share(shares: dict[ClusterType, float], n: int, config: TrainingConfig) -> float:
        """Return the share of the draws that go to regions of several possible types."""
        total = sum(shares.values())
        if not config.type_shares:
            return n / (n + total)  # each as often as any other region
        clusters = sum(share for kind, share in shares.items() if kind.is_cluster)
        if any(kind.is_cluster for kind in shares):
            return _UNTYPED_SHARE * clusters / (total or 1.0)
        # No cluster has a known type: these take the share of all clusters.
        clusters = sum(config.type_shares.get(str(kind), 0.0) for kind in CLUSTERS)
        return clusters / (total + clusters or 1.0)

    def _spread(
        self, real: NDArray[np.bool_], composed: NDArray[np.bool_], share: float, part: float
    ) -> None:
        if not composed.any():
            part = 0.0
        elif not real.any():
            part = 1.0
        if real.any():
            among = self.among_real(real)
            self.weights[real] = share * (1 - part) * among / among.sum()
        if composed.any():
            self.weights[composed] = share * part / composed.sum()

    def among_real(self, real: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Return how often each of the chosen real regions is drawn, relative to the others."""
        return np.ones(int(real.sum()))

    def prior(self, regions: RegionSet) -> dict[str, float]:
        """Return the share of each type among the draws (untyped clusters by the typed ones).

        Without any typed cluster, each of their possible types has an equal part of them.
        """
        typed = regions.allowed.sum(axis=1) == 1
        shares = {
            str(kind): float(self.weights[typed & regions.allowed[:, column]].sum())
            for column, kind in enumerate(TYPES)
        }
        spread = float(self.weights[~typed].sum())
        clusters = sum(shares[str(kind)] for kind in TYPES if kind.is_cluster)
        if not clusters:
            parts = regions.allowed[~typed] / regions.allowed[~typed].sum(axis=1, keepdims=True)
            for kind, part in zip(TYPES, self.weights[~typed] @ parts, strict=True):
                shares[str(kind)] += float(part)
            return shares
        for kind in TYPES:
            if kind.is_cluster:
                shares[str(kind)] *= 1 + spread / clusters
        return shares

    def draw(self, n: int, rng: np.random.Generator) -> NDArray[np.intp]:
        """Draw rows, with replacement."""
        cumulated = np.cumsum(self.weights)
        rows = np.searchsorted(cumulated, rng.random(n) * cumulated[-1])
        return np.asarray(rows, np.intp)


class TrainingBatches(Dataset[tuple[Tensor, Tensor]]):
    """The batches of one stage; item *i* is a whole batch.

    A batch depends only on seed, stage, epoch and its number, so a resumed run
    draws the same batches as an uninterrupted one.

    Parameters
    ----------
    regions : RegionSet
        Regions to draw from.
    plan : DrawPlan
        How often each region is drawn.
    config : TrainingConfig
        The training.
    stage : StageConfig
        The stage.
    stage_number : int
        Its index, part of the random seed.
    device : str
        Where crops are augmented: on the CPU this takes longer than a training step on a GPU.
    """

    #: How crops are varied.
    augmentation = staticmethod(augment)

    def __init__(
        self,
        regions: RegionSet,
        plan: DrawPlan,
        config: TrainingConfig,
        stage: StageConfig,
        stage_number: int,
        device: str = "cpu",
    ) -> None:
        self.regions = regions
        self.plan = plan
        self.config = config
        self.stage = stage
        self.stage_number = stage_number
        self.device = device
        self.epoch = 0
        samples = config.samples_per_epoch or int((regions.group != "composed").sum())
        self.batches = max(1, round(samples / config.batch_size))

    def __len__(self) -> int:
        return self.batches

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        """Return inputs (N, 3, S, S) float32 on the device, and allowed types (N, 5) float32."""
        key = [self.config.seed, self.stage_number, self.epoch, index]
        rng = np.random.default_rng(key)
        rows = self.plan.draw(self.config.batch_size, rng)
        generator = torch.Generator(self.device).manual_seed(int(rng.integers(2**62)))
        size, channels = self.stage.image_size, self.config.channels
        crops = _crops(self.regions, rows, generator)
        varied = self.augmentation(*crops, size, self.config.augment, generator)
        inputs = to_input(*varied, _spec(size, channels))
        return inputs, torch.from_numpy(self.regions.allowed[rows].astype(np.float32))


def make_inputs(
    regions: RegionSet,
    rows: NDArray[np.intp],
    size: int,
    channels: str,
) -> Tensor:
    """Return inputs (N, 3, size, size) for rows of a `RegionSet`, not augmented."""
    generator = torch.Generator()
    crops = _crops(regions, rows, generator)
    return to_input(*augment(*crops, size, "none", generator), _spec(size, channels))


def _crops(
    regions: RegionSet, rows: NDArray[np.intp], generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Return signal, mask and relative size of some rows, on the generator's device."""
    device = generator.device
    signal = torch.from_numpy(regions.signal[rows]).to(device).float() / 255
    mask = torch.from_numpy(regions.mask[rows]).to(device).float() / 255
    return signal, mask, torch.from_numpy(regions.relative_size[rows]).to(device)


def _spec(size: int, channels: str) -> CropSpec:
    return CropSpec(size=size, channels="gray" if channels == "gray" else "signal_mask_scale")


def composed_types(config: TrainingConfig) -> list[ClusterType]:
    """Return the types that are composed, in turn; singles too, so they get the same look."""
    return [
        ClusterType.TOUCHING,
        ClusterType.OVERLAPPING,
        ClusterType.TOUCHING_OVERLAPPING,
        ClusterType.TOUCHING,
        ClusterType.SINGLE,
    ]
