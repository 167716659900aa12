"""Train as the recipe of the embedded model does: the package's training with own steps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from distillation import Teacher, distillation_loss, load_teacher
from grown_clusters import (
    Debris,
    GrownParameters,
    SeedCluster,
    iterate_grown,
    known_clusters,
    small_debris,
)
from napari_chromocluster.cluster_types import ClusterType
from napari_chromocluster.imaging.chromosome_synthesis import SingleChromosome
from napari_chromocluster.imaging.cluster_synthesis import ComposedCluster
from napari_chromocluster.models.network import ClusterNetwork
from napari_chromocluster.results.annotated_crops import AnnotatedCrops
from napari_chromocluster.training.config import StageConfig, TrainingConfig
from napari_chromocluster.training.data.composed_clusters import (
    ClusterStream,
    compose_set,
    composing_processes,
    draw_weight,
)
from napari_chromocluster.training.data.prepared_data import PreparedData, prepare_data
from napari_chromocluster.training.data.region_set import RegionSet, single_chromosomes
from napari_chromocluster.training.data.sampling import DrawPlan, TrainingBatches, composed_types
from napari_chromocluster.training.fit.lightning_module import StageModule
from napari_chromocluster.training.fit.trainer import TrainingSteps, fit
from napari_chromocluster.training.run_interface import RunLike, reporter
from napari_chromocluster.training.runs.run_folder import Run
from recipe_config import RecipeConfig
from wide_augmentation import augment_wide


@dataclass(frozen=True)
class RecipeRun(Run):
    """The run folder of a training of the recipe.

    Attributes
    ----------
    last_epoch : int
        Epoch after which the training is stopped, as by *Stop* in the dock; 0 for never.
    """

    last_epoch: int = 0

    @property
    def config(self) -> RecipeConfig:
        """The configuration, read from the folder."""
        return RecipeConfig.read(self.config_path)

    def emit(self, event: dict[str, Any]) -> None:
        """Append one event, and request a stop after the last epoch."""
        super().emit(event)
        if event["kind"] == "epoch" and event["epoch"] >= self.last_epoch > 0:
            self.request_stop()


def trained(config: RecipeConfig, folder: Path, last_epoch: int = 0) -> Path:
    """Run a training, or what is left of it, and return its model."""
    resume = (folder / "config.json").exists()
    if not resume:
        Run.create(folder, config)
    run = RecipeRun(folder.resolve(), last_epoch)
    if not run.model_path.exists():
        model = fit(run.config, run, resume=resume, steps=RecipeSteps(run.config))
        run.emit({"kind": "end", "model": model.name})
    return run.model_path


class RecipeSteps(TrainingSteps):
    """Steps of a training of the recipe.

    Parameters
    ----------
    config : RecipeConfig
        The training.
    """

    def __init__(self, config: RecipeConfig) -> None:
        self.config = config
        self.teacher = load_teacher(config)
        #: Annotation file of each real training region.
        self.sources: NDArray[np.intp] = np.zeros(0, np.intp)

    def prepare(self, config: TrainingConfig, run: RunLike, resume: bool) -> PreparedData:
        """Prepare the data, with grown clusters and debris."""
        return prepare_data(config, run, resume, self.compose)

    def compose(
        self,
        config: TrainingConfig,
        run: RunLike,
        cut: AnnotatedCrops,
        rows: NDArray[np.intp],
        size: int,
    ) -> RegionSet:
        """Compose clusters from the single chromosomes and clusters among the given rows."""
        sources = cut.rows["source"].to_numpy(np.intp)
        self.sources = sources[rows]
        regions = (
            [cut.crops[row] for row in rows],
            [cut.names[row] for row in rows],
            [cut.groups[row] for row in rows],
        )
        singles = single_chromosomes(*regions)
        # The first annotation file that names a group; later ones may derive from it.
        first = dict(zip(reversed(cut.groups), reversed(sources.tolist()), strict=True))
        debris = small_debris(*regions, first) if self.config.debris_share else {}
        return compose_set(
            singles,
            config.composed_clusters,
            size,
            config.seed,
            composed_types(config),
            reporter(run, "composing clusters"),
            composing_processes(config.composed_clusters, config.threads, config.devices),
            balance_sources(singles, first, self.config.source_balance),
            GrownStreams(self.config, known_clusters(*regions), debris),
        )

    def plan(self, config: TrainingConfig, data: PreparedData) -> DrawPlan:
        """Draw regions of small annotation files more often."""
        if not self.config.source_balance:
            return super().plan(config, data)
        return BalancedPlan(
            data.train, data.n_real, config, self.sources, self.config.source_balance
        )

    def batches(
        self,
        config: TrainingConfig,
        data: PreparedData,
        plan: DrawPlan,
        stage: StageConfig,
        number: int,
        device: str,
    ) -> TrainingBatches:
        """Draw the batches, augmented widely if the configuration says so."""
        kind = WideBatches if config.augment == "wide" else TrainingBatches
        return kind(data.train, plan, config, stage, number, device)

    def module(
        self,
        config: TrainingConfig,
        network: ClusterNetwork,
        stage: StageConfig,
        number: int,
        steps: int,
    ) -> StageModule:
        """Learn from the teacher, and measure the likelihood."""
        # The teacher needs the crops, not the cached features of a frozen body.
        teacher = None if stage.freeze_body else self.teacher
        module = TaughtModule(network, config, stage, number, steps)
        module.teach(teacher, self.config.teacher_share)
        return module


@dataclass(frozen=True)
class GrownStreams:
    """Makes the stream of clusters of some groups."""

    config: RecipeConfig
    known: Mapping[str, Sequence[SeedCluster]]
    debris: Mapping[str, Sequence[Debris]]

    def __call__(self, groups: Sequence[str]) -> ClusterStream:
        """Return how the clusters of some groups are composed."""
        look = GrownParameters(
            near=self.config.near_misses,
            grown=self.config.grown_share,
            debris=self.config.debris_share,
        )
        known = [one for group in groups for one in self.known.get(group, ())]
        debris = [one for group in groups for one in self.debris.get(group, ())]
        return partial(_grown, look, known, debris)


def _grown(
    look: GrownParameters,
    known: Sequence[SeedCluster],
    debris: Sequence[Debris],
    singles: Sequence[SingleChromosome],
    seed: int,
    types: Sequence[ClusterType],
    width: float,
) -> Iterator[ComposedCluster]:
    return iterate_grown(singles, seed, types, look=look, width=width, known=known, debris=debris)


class BalancedPlan(DrawPlan):
    """Draw regions of small annotation files more often.

    Parameters
    ----------
    regions, n_real, config
        As in `DrawPlan`.
    sources : (n_real,) int array
        Annotation file of each real region.
    balance : float
        See `RecipeConfig.source_balance`.
    """

    def __init__(
        self,
        regions: RegionSet,
        n_real: int,
        config: TrainingConfig,
        sources: NDArray[np.integer],
        balance: float,
    ) -> None:
        self._sources = sources
        self._balance = float(balance)  # whole numbers have no negative powers
        super().__init__(regions, n_real, config)

    def among_real(self, real: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Return how often each of the chosen real regions is drawn, relative to the others."""
        mine = self._sources[real[: len(self._sources)]]
        return np.asarray(np.bincount(mine)[mine] ** -self._balance, np.float64)


def balance_sources(
    singles: Mapping[str, Sequence[SingleChromosome]], sources: Mapping[str, int], balance: float
) -> dict[str, float]:
    """Weigh groups so that their annotation files have more equal shares.

    Parameters
    ----------
    singles : mapping of group to sequence of SingleChromosome
        See `single_chromosomes`.
    sources : mapping of group to int
        Annotation file of each group.
    balance : float
        0 leaves the groups unweighted, 1 gives every file the same share.
    """
    total: dict[int, float] = {}
    for name, pool in singles.items():
        total[sources[name]] = total.get(sources[name], 0.0) + draw_weight(pool)
    return {name: total[sources[name]] ** -balance for name in singles}


class WideBatches(TrainingBatches):
    """Batches with the appearances of other laboratories."""

    augmentation = staticmethod(augment_wide)


class TaughtModule(StageModule):
    """A stage that may learn from a teacher, and measures the likelihood."""

    _teacher: Teacher | None = None
    _share = 0.0

    def teach(self, teacher: Teacher | None, share: float) -> None:
        """Use a teacher, at a share of the loss."""
        self._teacher, self._share = teacher, share

    def loss(self, inputs: Tensor, logits: Tensor, allowed: Tensor, batch_idx: int) -> Tensor:
        """Return the loss of the labels and of the teacher's answers."""
        labels = super().loss(inputs, logits, allowed, batch_idx)
        if self._teacher is None:
            return labels
        answers = self._teacher.answers(inputs, batch_idx)
        taught = distillation_loss(logits, answers, allowed)
        return (1 - self._share) * labels + self._share * taught

    def figures(self, logits: Tensor, allowed: Tensor) -> dict[str, float]:
        """Return the validation metrics, with the likelihood."""
        figures = super().figures(logits, allowed)
        return {**figures, "likelihood": -figures["loss"]}
