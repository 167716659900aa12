"""Write a labels layer with its features table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from napari_chromocluster.imaging.io import write_labels
from napari_chromocluster.results.table import (
    HUMAN,
    TableError,
    read_table,
    validate_table,
    write_table,
)
from napari_chromocluster.viewer.layers import TABLE_SUFFIX


def write_regions(path: str, data: Any, attributes: dict[str, Any]) -> list[str]:
    """Write labels as TIFF and, beside it, their features table as CSV.

    Parameters
    ----------
    path : str
        Ends in ``.tif`` (or ``.csv``: the table alone).
    data : integer array
        The labels.
    attributes : dict
        The layer's attributes; ``features`` holds the table.

    Returns
    -------
    list of str
        The files written.

    Raises
    ------
    TableError
        If the table that is there holds decisions of a human that the new one lacks.
    """
    target = Path(path)
    features = pd.DataFrame(attributes.get("features", {}))
    check_decisions(target, features)
    written = []
    if target.suffix.lower() != ".csv":
        write_labels(target, np.asarray(data))
        written.append(str(target))
    if "cluster_type" in features and "index" in features:
        table = target if not written else table_path(target)
        write_table(table, validate_table(features))
        written.append(str(table))
    return written


def table_path(labels: str | Path) -> Path:
    """Return where the table lies that belongs to a label image."""
    file = Path(labels)
    return file.with_name(file.stem.removesuffix("_labels").removesuffix("_regions") + TABLE_SUFFIX)


def check_decisions(target: str | Path, table: pd.DataFrame) -> None:
    """Make sure that no decision of a human is lost when labels or a table are written.

    Parameters
    ----------
    target : path
        A label image, or a table that ends in ``.csv``.
    table : DataFrame
        The features table that is to lie there, or beside it; one without types is not written.

    Raises
    ------
    TableError
        If the table that is there holds decisions that the new one lacks.
    """
    file = Path(target) if Path(target).suffix.lower() == ".csv" else table_path(target)
    if not file.is_file() or not {"cluster_type", "index"} <= set(table):
        return
    table, key = validate_table(table), ["frame", "index"]
    try:
        old = read_table(file)
    except TableError:
        return  # none of ours
    decided = pd.MultiIndex.from_frame(old[old["source"] == HUMAN][key])
    mine = pd.MultiIndex.from_frame(table[table["source"] == HUMAN][key])
    if not decided.isin(mine).all():
        raise TableError(
            f"{file.name} holds types that a human decided: choose another name, or open it first."
        )
