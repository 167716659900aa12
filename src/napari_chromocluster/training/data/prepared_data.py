"""Prepare the training and validation data from annotated regions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch.utils.data import TensorDataset

from napari_chromocluster.cluster_types import TYPES
from napari_chromocluster.imaging.cluster_synthesis import SynthesisParameters
from napari_chromocluster.imaging.crops import RegionCrop
from napari_chromocluster.results.annotated_crops import AnnotatedCrops, load_annotated_crops
from napari_chromocluster.training.config import TrainingConfig
from napari_chromocluster.training.data.composed_clusters import (
    balance_sources,
    compose_set,
    composing_processes,
)
from napari_chromocluster.training.data.distillation import Teacher, load_teacher
from napari_chromocluster.training.data.region_set import (
    RegionSet,
    known_clusters,
    pack,
    single_chromosomes,
    small_debris,
)
from napari_chromocluster.training.data.sampling import composed_types, make_inputs
from napari_chromocluster.training.data.splits import load_or_create_split, read_tables, rows_of
from napari_chromocluster.training.run_interface import RunLike, reporter


@dataclass(frozen=True)
class PreparedData:
    """Regions of a training run, split by group.

    Attributes
    ----------
    train : RegionSet
        Real regions, then composed ones.
    n_real : int
        How many of ``train`` are real.
    validation : RegionSet
        Real regions of the validation groups, each of one known type.
    validation_crops : list of RegionCrop
        The same at full resolution.
    validation_table : DataFrame
        Their annotations.
    groups : tuple of (set, set)
        Training groups and validation groups.
    sources : ndarray of int
        Annotation file of each real region of ``train``.
    teacher : Teacher or None
        For distillation, in addition to the labels.
    """

    train: RegionSet
    n_real: int
    validation: RegionSet
    validation_crops: list[RegionCrop]
    validation_table: pd.DataFrame
    groups: tuple[set[str], set[str]]
    sources: NDArray[np.intp]
    teacher: Teacher | None


def prepare_data(config: TrainingConfig, run: RunLike, resume: bool = False) -> PreparedData:
    """Read, split and compose the data of a training run.

    Parameters
    ----------
    config : TrainingConfig
        The training.
    run : RunLike
        Receives the progress.
    resume : bool
        Whether to keep the split that the training started with.
    """
    size = max(stage.image_size for stage in config.stages)
    teacher = load_teacher(config)
    cut = load_annotated_crops(
        read_tables(config), reporter(run, "reading annotated regions"), half=True
    )
    names, groups = np.array(cut.names), np.array(cut.groups)
    training, validation = load_or_create_split(
        cut.groups, cut.names, config, run.checkpoint_folder, resume
    )
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
    # The full-resolution crops take most of the memory: free those of the training regions now.
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
    config: TrainingConfig, run: RunLike, cut: AnnotatedCrops, rows: NDArray[np.intp], size: int
) -> RegionSet:
    """Compose clusters from the single chromosomes among the given rows."""
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
        reporter(run, "composing clusters"),
        SynthesisParameters(
            near=config.near_misses, grown=config.grown_share, debris=config.debris_share
        ),
        balance_sources(singles, first, config.source_balance),
        known_clusters(*regions),
        small_debris(*regions, first) if config.debris_share else None,
        composing_processes(config.composed_clusters, config.threads, config.devices),
    )


def _pack_rows(cut: AnnotatedCrops, rows: NDArray[np.intp], size: int) -> RegionSet:
    return pack(
        [cut.crops[row] for row in rows],
        [cut.names[row] for row in rows],
        [cut.groups[row] for row in rows],
        size,
    )


def _first_sources(cut: AnnotatedCrops, source: NDArray[np.intp]) -> dict[str, int]:
    """Return the first annotation file that names each group; later ones may derive from it."""
    return dict(zip(reversed(cut.groups), reversed(source.tolist()), strict=True))


def validation_inputs(regions: RegionSet, size: int, config: TrainingConfig) -> TensorDataset:
    """Return the inputs (N, 3, size, size) of validation regions, and their types (N, 5)."""
    rows = np.arange(len(regions))
    inputs = make_inputs(regions, rows, size, config.channels)
    return TensorDataset(inputs, torch.from_numpy(regions.allowed.astype(np.float32)))
