"""The coarse and fine stages on Lightning, from a configuration to a model file."""

from __future__ import annotations

import json
import math
import platform
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import pandas as pd
import torch
from lightning.pytorch.callbacks import (
    BaseFinetuning,
    Callback,
    ModelCheckpoint,
)
from lightning.pytorch.utilities import rank_zero_only
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, TensorDataset

from napari_chromocluster.imaging.compose import Appearance
from napari_chromocluster.imaging.crops import RegionCrop
from napari_chromocluster.models.calibration import prior_weights
from napari_chromocluster.models.model_file import load_model_file
from napari_chromocluster.models.network import (
    ClusterNetwork,
    build_network,
    load_backbone_weights,
)
from napari_chromocluster.models.registry import resolve_model
from napari_chromocluster.results.sources import CutRegions, cut_annotated, read_sources
from napari_chromocluster.taxonomy import TYPES
from napari_chromocluster.training.batches import (
    DrawPlan,
    TrainingBatches,
    composed_types,
    make_inputs,
)
from napari_chromocluster.training.callbacks import (
    BestEpoch,
    FreezeBody,
    LastEpoch,
    RunEvents,
    RunLike,
    Stopped,
    WarmAverage,
)
from napari_chromocluster.training.checkpoints import AtomicCheckpoints
from napari_chromocluster.training.config import StageConfig, TrainingConfig
from napari_chromocluster.training.data import (
    RegionSet,
    balance_sources,
    compose_set,
    known_clusters,
    pack,
    single_chromosomes,
    small_debris,
)
from napari_chromocluster.training.module import SCORE, StageModule
from napari_chromocluster.training.outcome import save_outcome, starting_card
from napari_chromocluster.training.split import rows_of, split_groups
from napari_chromocluster.training.teacher import Teacher, load_teacher
from napari_chromocluster.training.way_back import Kept, go_back

#: Passes over the data for which a frozen body's features are kept and used again.
_CACHED_EPOCHS = 2


@dataclass(frozen=True)
class PreparedData:
    """Regions of a training, split by group.

    Attributes
    ----------
    train : RegionSet
        Real regions, then composed ones.
    n_real : int
        How many of ``train`` are real.
    validation : RegionSet
        Real regions of the validation groups, each of one known type.
    validation_crops : list of RegionCrop
        The same at their own resolution; those of the training regions are not kept.
    validation_table : DataFrame
        Their annotations.
    groups : tuple of (set, set)
        Groups trained on, groups validated on.
    sources : ndarray of int
        Annotation file of each real region of ``train``.
    teacher : Teacher or None
        Says beside the labels what the regions are.
    """

    train: RegionSet
    n_real: int
    validation: RegionSet
    validation_crops: list[RegionCrop]
    validation_table: pd.DataFrame
    groups: tuple[set[str], set[str]]
    sources: NDArray[np.intp]
    teacher: Teacher | None


def prepare_data(config: TrainingConfig, run: RunLike) -> PreparedData:
    """Read, split and compose the data of a training.

    Parameters
    ----------
    config : TrainingConfig
        The training.
    run : RunLike
        Told how far the preparation is.
    """
    size = max(stage.image_size for stage in config.stages)
    teacher = load_teacher(config)
    sources = read_sources(config.annotations)
    # A test group may be large, and nothing is made of it here.
    sources = sources[~sources["group"].isin(config.excluded_groups)]
    cut = cut_annotated(sources, _reporter(run, "reading annotated regions"), half=True)
    names, groups = np.array(cut.names), np.array(cut.groups)
    training, validation = split_groups(cut.groups, cut.names, config)
    train_rows = rows_of(groups, training)
    typed = np.isin(names, [str(kind) for kind in TYPES])
    validation_rows = np.array(
        [row for row in rows_of(groups, validation) if typed[row]], dtype=np.intp
    )
    parts = [_pack_rows(cut, train_rows, size)]
    if config.composed_clusters and config.composed_share > 0:
        parts.append(_composed(config, run, cut, train_rows, size))
    kept = [cut.crops[row] for row in validation_rows]
    packed = _pack_rows(cut, validation_rows, size)
    # The crops at their own resolution take most of the memory: those that are done with go first.
    cut.crops.clear()
    return PreparedData(
        RegionSet.concatenated(parts),
        len(train_rows),
        packed,
        kept,
        cut.rows.iloc[validation_rows],
        (training, validation),
        cut.rows["source"].to_numpy(np.intp)[train_rows],
        teacher,
    )


def _composed(
    config: TrainingConfig, run: RunLike, cut: CutRegions, rows: NDArray[np.intp], size: int
) -> RegionSet:
    """Compose clusters from the single chromosomes among some rows."""
    regions = (
        [cut.crops[row] for row in rows],
        [cut.names[row] for row in rows],
        [cut.groups[row] for row in rows],
    )
    singles = single_chromosomes(*regions)
    first = _first_sources(cut, cut.rows["source"].to_numpy(np.intp))
    return compose_set(
        singles,
        config.composed_clusters,
        size,
        config.seed,
        composed_types(config),
        _reporter(run, "composing clusters"),
        Appearance(near=config.near_misses, grown=config.grown_share, debris=config.debris_share),
        balance_sources(singles, first, config.source_balance),
        known_clusters(*regions),
        small_debris(*regions, first) if config.debris_share else None,
    )


def _pack_rows(cut: CutRegions, rows: NDArray[np.intp], size: int) -> RegionSet:
    return pack(
        [cut.crops[row] for row in rows],
        [cut.names[row] for row in rows],
        [cut.groups[row] for row in rows],
        size,
    )


def _first_sources(cut: CutRegions, source: NDArray[np.intp]) -> dict[str, int]:
    """Return the first annotation file that names each group: later ones may go back to it."""
    return dict(zip(reversed(cut.groups), reversed(source.tolist()), strict=True))


def _reporter(run: RunLike, what: str) -> Any:
    last = [0.0]

    def report(done: int, total: int) -> None:
        if run.should_stop():
            raise Stopped("The training was stopped while it read the data.")
        if time.monotonic() - last[0] > 0.5:
            last[0] = time.monotonic()
            run.emit({"kind": "prepare", "what": what, "done": done, "total": total})

    return report


def start_network(config: TrainingConfig) -> ClusterNetwork:
    """Build the network that the training starts from.

    Of a model that holds several, the first goes on; the others may answer beside it at the
    end (see `way_back.go_back`).
    """
    torch.manual_seed(config.seed)
    if config.base_model:
        model, _ = load_model_file(resolve_model(config.base_model))
        return model.members[0]
    network = build_network(config.backbone, n_classes=len(TYPES))
    if config.backbone_weights:
        load_backbone_weights(network, config.backbone_weights)
    return network


def fit(config: TrainingConfig, run: RunLike, *, resume: bool = False) -> Path:
    """Run all stages and write the model file.

    Parameters
    ----------
    config : TrainingConfig
        The training.
    run : RunLike
        The run folder: takes events, checkpoints and the model.
    resume : bool
        Go on from the last checkpoint; the same metrics come out as of an
        unbroken run.

    Returns
    -------
    Path
        The model file.

    Raises
    ------
    Stopped
        If it was stopped before there was anything to keep.
    """
    if config.threads:
        torch.set_num_threads(config.threads)
    began = time.monotonic()
    run.emit({"kind": "start", "resume": resume, "preset": config.preset})
    data = prepare_data(config, run)
    plan = DrawPlan(data.train, data.n_real, config, data.sources)
    network = start_network(config)
    for number, stage in enumerate(config.stages):
        if stage.epochs == 0:
            continue
        try:
            _run_stage(config, run, data, plan, network, (number, stage), resume)
        except Stopped:
            break
    if rank_zero_only.rank != 0:  # another process of this training writes the model
        return run.model_path
    size = _take_best(config, run.checkpoint_folder, network)
    kept = Kept(network, 0.0)
    if config.way_back and config.base_model and len(data.validation):
        kept = _way_back(config, data, plan, network, size)
    told = {
        "share_of_start": kept.share_of_start,
        "minutes": round((time.monotonic() - began) / 60, 1),
    }
    path = save_outcome(config, run, data, plan, kept.model, size, told)
    run.emit({"kind": "end", "model": path.name, "seconds": round(time.monotonic() - began, 1)})
    return path


def _way_back(
    config: TrainingConfig, data: PreparedData, plan: DrawPlan, network: ClusterNetwork, size: int
) -> Kept:
    """Go part of the way back from the best weights to what the training began with."""
    card = starting_card(config)
    weights = prior_weights(plan.prior(data.train), card.deployment_prior, card.classes)
    validation = _validation_inputs(data.validation, size, config)
    start, _ = load_model_file(resolve_model(str(config.base_model)))
    return go_back(network, start, validation, weights)


def _run_stage(
    config: TrainingConfig,
    run: RunLike,
    data: PreparedData,
    plan: DrawPlan,
    network: ClusterNetwork,
    placed: tuple[int, StageConfig],
    resume: bool,
) -> None:
    """Run one stage in place; Stopped when the user stopped it."""
    number, stage = placed
    folder = run.checkpoint_folder
    best, last = folder / f"stage{number}-best.ckpt", folder / f"stage{number}-last.ckpt"
    done = folder / f"stage{number}-done.json"
    if resume and done.exists():
        _load_best(network, best)
        return
    # An earlier stage may have frozen the body, with the statistics of its batch norms.
    BaseFinetuning.make_trainable(network)
    batches = TrainingBatches(data.train, plan, config, stage, number)
    dataset: Dataset[Any] = batches
    validation = _validation_inputs(data.validation, stage.image_size, config)
    if stage.freeze_body:
        dataset, validation = _cache_features(network, batches, validation, run, config)
    # Each device takes its part of an epoch's batches.
    steps = math.ceil(len(batches) / (config.devices * config.nodes))
    counts = [stage.epochs * steps for stage in config.stages]
    # A frozen body has made features of the crops, which a teacher cannot look at.
    teacher = None if stage.freeze_body else data.teacher
    module = StageModule(network, config, stage, number, stage.epochs * steps, teacher)
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
        raise Stopped("The training was stopped.")
    _load_best(network, best)
    done.write_text(json.dumps({"stage": stage.name, "epochs": trainer.current_epoch}))


class _EpochView(Dataset[Any]):
    """Tells the dataset which epoch it is before each item; the epoch decides what is drawn."""

    def __init__(self, dataset: Any, module: pl.LightningModule) -> None:
        self.dataset = dataset
        self.module = module

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Any:
        self.dataset.epoch = self.module.current_epoch
        return self.dataset[index]


class _CachedBatches(Dataset[tuple[Tensor, Tensor]]):
    """Pooled features of a frozen body; a few passes' worth, used again and again."""

    def __init__(self, passes: list[list[tuple[Tensor, Tensor]]]) -> None:
        self.passes = passes
        self.epoch = 0

    def __len__(self) -> int:
        return len(self.passes[0])

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.passes[self.epoch % len(self.passes)][index]


def _cache_features(
    network: ClusterNetwork,
    batches: TrainingBatches,
    validation: TensorDataset,
    run: RunLike,
    config: TrainingConfig,
) -> tuple[_CachedBatches, TensorDataset]:
    """Send every crop through the frozen body once instead of once an epoch."""
    device = _device(config)
    network.to(device).eval()
    passes: list[list[tuple[Tensor, Tensor]]] = []
    report = _reporter(run, "computing body features")
    count = min(_CACHED_EPOCHS, batches.stage.epochs)
    with torch.inference_mode(), _autocast(config, device):
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
    # Tensors made in inference mode cannot take part in training: copy them out of it.
    passes = [[(features.clone(), allowed) for features, allowed in rows] for rows in passes]
    return _CachedBatches(passes), TensorDataset(pooled.clone(), allowed)


def _validation_inputs(regions: RegionSet, size: int, config: TrainingConfig) -> TensorDataset:
    rows = np.arange(len(regions))
    inputs = make_inputs(regions, rows, size, config.channels)
    return TensorDataset(inputs, torch.from_numpy(regions.allowed.astype(np.float32)))


def _device(config: TrainingConfig) -> torch.device:
    if config.device != "auto":
        return torch.device(config.device)
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _precision(config: TrainingConfig, device: torch.device) -> Any:
    if config.precision != "auto":
        return "32-true" if config.precision == "32" else config.precision
    if device.type == "cuda":
        # Older cards only emulate bfloat16, slowly.
        native = torch.cuda.is_bf16_supported(including_emulation=False)
        return "bf16-mixed" if native else "16-mixed"
    return "bf16-mixed" if device.type == "cpu" and _cpu_computes_bfloat16() else "32-true"


def _cpu_computes_bfloat16() -> bool:
    """Whether bfloat16 is faster than float32 on this CPU; elsewhere it is emulated, slowly."""
    check = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return bool(check()) if check is not None and platform.machine() == "x86_64" else False


def _autocast(config: TrainingConfig, device: torch.device) -> Any:
    precision = _precision(config, device)
    enabled = precision in ("bf16-mixed", "16-mixed")
    kind = torch.float16 if precision == "16-mixed" else torch.bfloat16
    return torch.autocast(device.type, kind, enabled=enabled)


def _trainer(
    config: TrainingConfig, stage: StageConfig, number: int, folder: Path, events: RunEvents
) -> pl.Trainer:
    device = _device(config)
    devices = config.devices * config.nodes
    callbacks: list[Callback] = [
        events,
        BestEpoch(config.monitor, config.stop_after, config.stop_delta, stage.epochs),
        ModelCheckpoint(
            dirpath=folder,
            filename=f"stage{number}-best",
            monitor=f"validation_{config.monitor}",
            mode="max",
            save_top_k=1,
            enable_version_counter=False,
        ),
        LastEpoch(folder, f"stage{number}-last"),
    ]
    if stage.freeze_body:
        callbacks.append(FreezeBody())
    if config.average_decay > 0:
        callbacks.append(WarmAverage(config.average_decay))
    return pl.Trainer(
        max_epochs=stage.epochs,
        accelerator={"cuda": "gpu"}.get(device.type, device.type),
        devices=config.devices,
        num_nodes=config.nodes,
        strategy="ddp" if devices > 1 else "auto",
        precision=_precision(config, device),
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
    """Whether any stage has finished an epoch."""
    return any(folder.glob("stage*-best.ckpt"))


def _take_best(config: TrainingConfig, folder: Path, network: ClusterNetwork) -> int:
    """Load the best epoch of all stages, and return the crop size it was trained at.

    A stage need not improve on the one before it: what counts is the figure
    on the validation groups.
    """
    found: list[tuple[float, int]] = []
    for number in range(len(config.stages)):
        path = folder / f"stage{number}-best.ckpt"
        if path.exists():
            state = torch.load(path, map_location="cpu", weights_only=False, mmap=True)
            found.append((float(state.get(SCORE, 0.0)), number))
    if not found:
        raise Stopped("The training was stopped before there was anything to keep.")
    _, number = max(found)
    _load_best(network, folder / f"stage{number}-best.ckpt")
    return config.stages[number].image_size
