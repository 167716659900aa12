"""Counts of training data per source, type and group, with warnings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from napari_chromocluster.cluster_types import CHROMOSOME_TYPES, TYPES, ClusterType
from napari_chromocluster.results.annotated_crops import trainable
from napari_chromocluster.results.annotation_groups import images_of_two_groups
from napari_chromocluster.results.annotations import COLUMNS
from napari_chromocluster.training.config import ConfigError, TrainingConfig
from napari_chromocluster.training.data.splits import (
    groups_in_training_set,
    read_tables,
    split_groups,
)

#: Warn if a type has fewer regions than this.
FEW = 10
LEARN, CHECK = "learn", "check"


@dataclass(frozen=True)
class DataSummary:
    """Summary of the data of a training run.

    Attributes
    ----------
    counts : dict of str to dict
        Regions of each type in each source.
    totals : dict of ClusterType to int
        Regions of each type in all sources.
    untyped : int
        Clusters of unknown type.
    groups : DataFrame
        One row per source and group: ``source``, ``group``, ``side`` (``learn``, ``check`` or
        empty), and a column of counts for each type.
    warnings : tuple of str
        One sentence each.
    problem : str
        Why no training is possible; empty if it is.
    """

    counts: dict[str, dict[ClusterType, int]]
    totals: dict[ClusterType, int]
    untyped: int
    groups: pd.DataFrame
    warnings: tuple[str, ...]
    problem: str


def summarize_data(sources: Mapping[str, pd.DataFrame], config: TrainingConfig) -> DataSummary:
    """Count the annotated regions and collect warnings.

    Parameters
    ----------
    sources : mapping of name to DataFrame
        Annotations (columns as in `read_annotations`) of each source.
    config : TrainingConfig
        Determines the training and validation groups.

    Returns
    -------
    DataSummary
    """
    frames = [trainable(table).assign(source=name) for name, table in sources.items() if len(table)]
    empty = pd.DataFrame(columns=[*COLUMNS, "source"])
    rows = pd.concat(frames, ignore_index=True) if frames else empty
    sides, problem = _sides(rows, config)
    groups = _per_group(rows, sides)
    counts = {name: _counts(rows[rows["source"] == name]) for name in sources}
    return DataSummary(
        counts=counts,
        totals=_counts(rows),
        untyped=int((~rows["cluster_type"].isin([str(kind) for kind in TYPES])).sum()),
        groups=groups,
        warnings=(*_warnings(rows, groups), *_seen_by_base_model(groups, config)),
        problem=problem,
    )


def data_warnings(config: TrainingConfig, table: pd.DataFrame | None = None) -> tuple[str, ...]:
    """Return warnings about the annotations of a training run (read, unless given)."""
    table = read_tables(config) if table is None else table
    sources = {str(number): rows for number, rows in table.groupby("source")}
    return summarize_data(sources, config).warnings


def _counts(rows: pd.DataFrame) -> dict[ClusterType, int]:
    return {kind: int((rows["cluster_type"] == str(kind)).sum()) for kind in TYPES}


def _sides(rows: pd.DataFrame, config: TrainingConfig) -> tuple[dict[str, str], str]:
    if rows.empty:
        return {}, "There is nothing to learn from yet: annotate regions or add annotation files."
    try:
        learn, check = split_groups(
            [str(group) for group in rows["group"]], [str(k) for k in rows["cluster_type"]], config
        )
    except ConfigError as error:
        return {}, str(error)
    return dict.fromkeys(learn, LEARN) | dict.fromkeys(check, CHECK), ""


def _per_group(rows: pd.DataFrame, sides: Mapping[str, str]) -> pd.DataFrame:
    names = [str(kind) for kind in TYPES]
    if rows.empty:
        return pd.DataFrame(columns=["source", "group", "side", *names])
    found = pd.crosstab([rows["source"], rows["group"]], rows["cluster_type"])
    found = found.reindex(columns=names, fill_value=0).reset_index()
    found.insert(2, "side", [sides.get(str(group), "") for group in found["group"]])
    found.columns.name = None
    return found


def _warnings(rows: pd.DataFrame, groups: pd.DataFrame) -> list[str]:
    if rows.empty:
        return []
    found = _few_of_a_type(rows, groups)
    # An image in two groups could end up on both sides of the split.
    for image in list(images_of_two_groups(rows))[:3]:
        found.append(
            f"{_file(str(image))} belongs to two groups, so it can be both learned from and "
            f"checked on: give it one group."
        )
    twice = rows.duplicated(["image", "labels", "label"], keep="first") & (rows["labels"] != "")
    if twice.any():
        found.append(
            f"{_number(int(twice.sum()), 'region')} annotated in two sources: leave one out."
        )
        return found
    # An open layer and a file may number the regions of one image differently.
    sources = rows[rows["labels"] != ""].groupby("image")["source"].nunique()
    if number := int((sources > 1).sum()):
        found.append(f"{_number(number, 'metaphase')} annotated in two sources: leave one out.")
    return found


def _few_of_a_type(rows: pd.DataFrame, groups: pd.DataFrame) -> list[str]:
    found = []
    totals = _counts(rows)
    for kind in CHROMOSOME_TYPES:
        number, name = totals[kind], kind.display_name.lower()
        holding = groups.loc[groups[str(kind)] > 0, "group"].nunique()
        if number == 0:
            found.append(f"No {name} region: the new model may forget what the old one knew.")
        elif holding == 1 and groups["group"].nunique() > 1:
            found.append(
                f"All {name} regions are in one group: the model cannot learn from some and be "
                f"checked on others."
            )
        elif number < FEW:
            found.append(f"Only {number} {name}: too few for training and checking.")
    checked = groups[groups["side"] == CHECK]
    missing = [
        kind.display_name.lower()
        for kind in CHROMOSOME_TYPES
        if len(checked) and totals[kind] and not np.any(checked[str(kind)] > 0)
    ]
    if missing:
        found.append(f"None to check on: {', '.join(missing)}.")
    return found


def _seen_by_base_model(groups: pd.DataFrame, config: TrainingConfig) -> list[str]:
    """Warn of too good metrics if the base model was trained on validation groups."""
    # In cross-validation every group is a validation group.
    rows = groups[groups["side"] != ""] if config.folds > 1 else groups[groups["side"] == CHECK]
    checked = {str(group) for group in rows["group"]}
    seen = len(groups_in_training_set(config.base_model, checked))
    if not seen:
        return []
    which = f"{seen} of the {len(checked)} groups" if seen < len(checked) else "all groups"
    return [
        f"The model to start from was trained on {which} that are checked on: the figures will "
        f"be too good. Annotate other metaphases to check on."
    ]


def _number(number: int, word: str) -> str:
    return f"{number} {word} is" if number == 1 else f"{number} {word}s are"


def _file(path: str) -> str:
    return path.replace("\\", "/").rpartition("/")[2]
