"""The coarse and fine stages on Lightning, from a configuration to a model file."""

from __future__ import annotations

import json
import math
import time
import warnings
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import (
    BaseFinetuning,
    Callback,
)
from lightning.pytorch.utilities import rank_zero_only
from torch.utils.data import DataLoader, Dataset

from napari_chromocluster.cluster_types import TYPES
from napari_chromocluster.models.calibration import prior_weights
from napari_chromocluster.models.model_file import load_model_file
from napari_chromocluster.models.network import (
    ClusterNetwork,
    build_network,
    load_backbone_weights,
)
from napari_chromocluster.models.registry import resolve_model
from napari_chromocluster.progress import Cancelled
from napari_chromocluster.training.config import StageConfig, TrainingConfig
from napari_chromocluster.training.data.prepared_data import (
    PreparedData,
    prepare_data,
    validation_inputs,
)
from napari_chromocluster.training.data.sampling import DrawPlan, TrainingBatches
from napari_chromocluster.training.fit.callbacks import (
    AtomicCheckpoints,
    BestEpoch,
    EmaWarmup,
    FreezeBody,
    LastCheckpoint,
    MovedCheckpoint,
    RunEvents,
)
from napari_chromocluster.training.fit.devices import device_of, precision_of
from napari_chromocluster.training.fit.feature_cache import cache_features
from napari_chromocluster.training.fit.lightning_module import SCORE, StageModule
from napari_chromocluster.training.fit.model_export import save_outcome, starting_card
from napari_chromocluster.training.fit.weight_interpolation import (
    InterpolationResult,
    interpolate_weights,
)
from napari_chromocluster.training.run_interface import RunLike


def start_network(config: TrainingConfig) -> ClusterNetwork:
    """Build the network that the training starts from.

    Of an ensemble, only the first network is trained; the others may be part of the result.
    """
    torch.manual_seed(config.seed)
    if config.base_model:
        model, _ = load_model_file(resolve_model(config.base_model))
        return model.members[0]
    network = build_network(config.backbone, n_classes=len(TYPES))
    if config.backbone_weights:
        load_backbone_weights(network, config.backbone_weights)
    return network


class TrainingSteps:
    """Steps of a training run that a recipe outside this package may replace."""

    def prepare(self, config: TrainingConfig, run: RunLike, resume: bool) -> PreparedData:
        """Read, split and compose the data."""
        return prepare_data(config, run, resume)

    def plan(self, config: TrainingConfig, data: PreparedData) -> DrawPlan:
        """Decide how often each region is drawn."""
        return DrawPlan(data.train, data.n_real, config)

    def batches(
        self,
        config: TrainingConfig,
        data: PreparedData,
        plan: DrawPlan,
        stage: StageConfig,
        number: int,
        device: str,
    ) -> TrainingBatches:
        """Draw the batches of a stage."""
        return TrainingBatches(data.train, plan, config, stage, number, device)

    def module(
        self,
        config: TrainingConfig,
        network: ClusterNetwork,
        stage: StageConfig,
        number: int,
        steps: int,
    ) -> StageModule:
        """Return the loss, learning rates and metrics of a stage."""
        return StageModule(network, config, stage, number, steps)


def fit(
    config: TrainingConfig,
    run: RunLike,
    *,
    resume: bool = False,
    steps: TrainingSteps | None = None,
) -> Path:
    """Run all stages and write the model file.

    Parameters
    ----------
    config : TrainingConfig
        The training.
    run : RunLike
        The run folder, for events, checkpoints and the model.
    resume : bool
        Continue from the last checkpoint; the result is the same as without
        the interruption.
    steps : TrainingSteps, optional
        Replaced steps.

    Returns
    -------
    Path
        The model file.

    Raises
    ------
    Cancelled
        If it was stopped before the first checkpoint.
    """
    if config.threads:
        torch.set_num_threads(config.threads)
    began = time.monotonic()
    run.emit({"kind": "start", "resume": resume, "preset": config.preset})
    device_of(config)  # raise for a missing device before spending minutes on the data
    steps = steps or TrainingSteps()
    data = steps.prepare(config, run, resume)
    plan = steps.plan(config, data)
    network = start_network(config)
    for number, stage in enumerate(config.stages):
        if stage.epochs == 0:
            continue
        try:
            _run_stage(config, run, steps, data, plan, network, (number, stage), resume)
        except Cancelled:
            break
    if (
        getattr(rank_zero_only, "rank", 0) != 0
    ):  # another process of this training run writes the model
        return run.model_path
    size = _take_best(config, run.checkpoint_folder, network)
    kept = InterpolationResult(network, 0.0)
    if config.way_back and config.base_model and len(data.validation):
        kept = _way_back(config, data, plan, network, size)
    facts = {
        "share_of_start": kept.share_of_start,
        "minutes": round((time.monotonic() - began) / 60, 1),
    }
    return save_outcome(config, run, data, plan, kept.model, size, facts)


def _way_back(
    config: TrainingConfig, data: PreparedData, plan: DrawPlan, network: ClusterNetwork, size: int
) -> InterpolationResult:
    """Average the best weights with those that the training started from."""
    card = starting_card(config)
    weights = prior_weights(plan.prior(data.train), card.deployment_prior, card.classes)
    validation = validation_inputs(data.validation, size, config)
    start, _ = load_model_file(resolve_model(str(config.base_model)))
    return interpolate_weights(network, start, validation, weights)


def _run_stage(
    config: TrainingConfig,
    run: RunLike,
    steps: TrainingSteps,
    data: PreparedData,
    plan: DrawPlan,
    network: ClusterNetwork,
    placed: tuple[int, StageConfig],
    resume: bool,
) -> None:
    """Run one stage in place; raise Cancelled if the user stopped it."""
    number, stage = placed
    folder = run.checkpoint_folder
    best, last = folder / f"stage{number}-best.ckpt", folder / f"stage{number}-last.ckpt"
    done = folder / f"stage{number}-done.json"
    if resume and done.exists() and best.exists():
        _load_best(network, best)
        return
    # An earlier stage may have frozen the body and its batch norms.
    BaseFinetuning.make_trainable(network)
    # Other devices lack some of the operations.
    where = "cuda" if device_of(config).type == "cuda" else "cpu"
    batches = steps.batches(config, data, plan, stage, number, where)
    dataset: Dataset[Any] = batches
    validation = validation_inputs(data.validation, stage.image_size, config)
    if stage.freeze_body:
        dataset, validation = cache_features(network, batches, validation, run, config)
    # Each device processes its share of an epoch's batches.
    per_epoch = math.ceil(len(batches) / (config.devices * config.nodes))
    counts = [stage.epochs * per_epoch for stage in config.stages]
    module = steps.module(config, network, stage, number, stage.epochs * per_epoch)
    before, total = sum(counts[:number]), sum(counts)
    events = RunEvents(run, stage, number, before, total, lambda: _kept(folder))
    run.emit({"kind": "stage", "stage": stage.name, "stage_number": number, "epochs": stage.epochs})
    trainer = _trainer(config, stage, number, folder, events)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer.fit(
            module,
            train_dataloaders=DataLoader(_EpochView(dataset, module), batch_size=None),
            val_dataloaders=DataLoader(validation, batch_size=256),
            ckpt_path=str(last) if resume and last.exists() else None,
            weights_only=False,
        )
    if run.should_stop():
        raise Cancelled("The training was stopped.")
    _load_best(network, best)
    done.write_text(json.dumps({"stage": stage.name, "epochs": trainer.current_epoch}))


class _EpochView(Dataset[Any]):
    """Set the current epoch of the dataset before each item; it determines what is drawn."""

    def __init__(self, dataset: Any, module: pl.LightningModule) -> None:
        self.dataset = dataset
        self.module = module

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Any:
        self.dataset.epoch = self.module.current_epoch
        return self.dataset[index]


def _trainer(
    config: TrainingConfig, stage: StageConfig, number: int, folder: Path, events: RunEvents
) -> pl.Trainer:
    device = device_of(config)
    devices = config.devices * config.nodes
    callbacks: list[Callback] = [
        events,
        BestEpoch(config.monitor, config.stop_after, config.stop_delta, stage.epochs),
        MovedCheckpoint(
            dirpath=folder,
            filename=f"stage{number}-best",
            monitor=f"validation_{config.monitor}",
            mode="max",
            save_top_k=1,
            enable_version_counter=False,
        ),
        LastCheckpoint(folder, f"stage{number}-last"),
    ]
    if stage.freeze_body:
        callbacks.append(FreezeBody())
    if config.average_decay > 0:
        callbacks.append(EmaWarmup(config.average_decay))
    return pl.Trainer(
        max_epochs=stage.epochs,
        accelerator={"cuda": "gpu"}.get(device.type, device.type),
        devices=config.devices,
        num_nodes=config.nodes,
        strategy="ddp" if devices > 1 else "auto",
        precision=precision_of(config, device),
        callbacks=callbacks,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        default_root_dir=folder,
        gradient_clip_val=5.0,
        plugins=[AtomicCheckpoints()],
    )


def _load_best(network: ClusterNetwork, path: Path) -> None:
    state = torch.load(path, map_location="cpu", weights_only=False)["state_dict"]
    prefix = "network."
    network.load_state_dict(
        {name[len(prefix) :]: value for name, value in state.items() if name.startswith(prefix)}
    )


def _kept(folder: Path) -> bool:
    """Return whether any stage has finished an epoch."""
    return any(folder.glob("stage*-best.ckpt"))


def _take_best(config: TrainingConfig, folder: Path, network: ClusterNetwork) -> int:
    """Load the epoch with the best validation metric of all stages, and return its crop size."""
    found: list[tuple[float, int]] = []
    for number in range(len(config.stages)):
        path = folder / f"stage{number}-best.ckpt"
        if path.exists():
            state = torch.load(path, map_location="cpu", weights_only=False, mmap=True)
            found.append((float(state.get(SCORE, 0.0)), number))
    if not found:
        raise Cancelled("The training was stopped before it could keep any result.")
    _, number = max(found)
    _load_best(network, folder / f"stage{number}-best.ckpt")
    return config.stages[number].image_size
