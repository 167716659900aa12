"""Prepare the training and validation data from annotated regions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch.utils.data import TensorDataset

from napari_chromocluster.cluster_types import TYPES
from napari_chromocluster.imaging.crops import RegionCrop
from napari_chromocluster.results.annotated_crops import AnnotatedCrops, load_annotated_crops
from napari_chromocluster.training.config import TrainingConfig
from napari_chromocluster.training.data.composed_clusters import compose_set, composing_processes
from napari_chromocluster.training.data.region_set import RegionSet, pack, single_chromosomes
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
    """

    train: RegionSet
    n_real: int
    validation: RegionSet
    validation_crops: list[RegionCrop]
    validation_table: pd.DataFrame
    groups: tuple[set[str], set[str]]


def compose_regions(
    config: TrainingConfig, run: RunLike, cut: AnnotatedCrops, rows: NDArray[np.intp], size: int
) -> RegionSet:
    """Compose clusters from the single chromosomes among the given rows."""
    singles = single_chromosomes(
        [cut.crops[row] for row in rows],
        [cut.names[row] for row in rows],
        [cut.groups[row] for row in rows],
    )
    return compose_set(
        singles,
        config.composed_clusters,
        size,
        config.seed,
        composed_types(config),
        reporter(run, "composing clusters"),
        composing_processes(config.composed_clusters, config.threads, config.devices),
    )


#: Composes clusters from some rows of the annotated regions, see `compose_regions`.
Composer = Callable[[TrainingConfig, RunLike, AnnotatedCrops, NDArray[np.intp], int], RegionSet]


def prepare_data(
    config: TrainingConfig,
    run: RunLike,
    resume: bool = False,
    compose: Composer = compose_regions,
) -> PreparedData:
    """Read, split and compose the data of a training run.

    Parameters
    ----------
    config : TrainingConfig
        The training.
    run : RunLike
        Receives the progress.
    resume : bool
        Whether to keep the split that the training started with.
    compose : callable
        How clusters are composed.
    """
    size = max(stage.image_size for stage in config.stages)
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
        parts.append(compose(config, run, cut, train_rows, size))
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
    )


def _pack_rows(cut: AnnotatedCrops, rows: NDArray[np.intp], size: int) -> RegionSet:
    return pack(
        [cut.crops[row] for row in rows],
        [cut.names[row] for row in rows],
        [cut.groups[row] for row in rows],
        size,
    )


def validation_inputs(regions: RegionSet, size: int, config: TrainingConfig) -> TensorDataset:
    """Return the inputs (N, 3, size, size) of validation regions, and their types (N, 5)."""
    rows = np.arange(len(regions))
    inputs = make_inputs(regions, rows, size, config.channels)
    return TensorDataset(inputs, torch.from_numpy(regions.allowed.astype(np.float32)))
