"""Write labels layers with their features tables, alone or with all other layers."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import npe2
import numpy as np
import pandas as pd

from napari_chromocluster.imaging.io import write_labels
from napari_chromocluster.results.features_table import (
    HUMAN,
    TableError,
    is_features_table,
    validate_table,
)
from napari_chromocluster.results.table_files import read_table, write_table
from napari_chromocluster.viewer.overlay_layers import DASHES, FRAMES, LETTERS
from napari_chromocluster.viewer.sidecar_files import TABLE_SUFFIX


class SaveError(RuntimeError):
    """Layers that were not saved; napari takes a ValueError as a missing writer."""


def write_regions(path: str, data: Any, attributes: dict[str, Any]) -> list[str]:
    """Write labels as TIFF and their features table as CSV next to it.

    Parameters
    ----------
    path : str
        Ends in ``.tif`` (or ``.csv``: the table alone).
    data : integer array
        The labels.
    attributes : dict
        The layer's attributes; ``features`` is the table.

    Returns
    -------
    list of str
        The files written.

    Raises
    ------
    TableError
        If the existing table has human decisions that the new one lacks.
    """
    target = Path(path)
    features = pd.DataFrame(attributes.get("features", {}))
    check_decisions(target, features)
    written = []
    if target.suffix.lower() != ".csv":
        write_labels(target, np.asarray(data))
        written.append(str(target))
    if is_features_table(features):
        table = target if not written else table_path(target)
        write_table(table, validate_table(features))
        written.append(str(table))
    return written


#: File suffixes of the layers that napari itself writes.
_SUFFIXES = {
    "image": ".tif", "labels": ".tif", "points": ".csv", "shapes": ".csv", "vectors": ".svg"
}  # fmt: skip
#: Metadata keys of layers that are drawn over regions and recreated with them.
_DRAWN = (LETTERS, DASHES, FRAMES)


def write_folder(path: str, layers: list[tuple[Any, dict[str, Any], str]]) -> list[str]:
    """Write layers to a folder: regions with their types, all others as napari does.

    Letters, dashes and frames are skipped, since they are recreated from the types.

    Parameters
    ----------
    path : str
        The folder.
    layers : list of layer data
        Data, attributes and kind of each layer.

    Returns
    -------
    list of str
        The files written.

    Raises
    ------
    SaveError
        If human decisions in an existing file would be lost.
    """
    folder = Path(path)
    chosen = [one for one in layers if not set(_DRAWN) & set(one[1].get("metadata", {}))]
    names = _file_names([str(attributes.get("name", kind)) for _, attributes, kind in chosen])
    regions = [
        (folder / f"{name.removesuffix(' regions')}_labels.tif", data, attributes)
        for name, (data, attributes, kind) in zip(names, chosen, strict=True)
        if kind == "labels" and _has_types(attributes)
    ]
    for file, _, attributes in regions:  # nothing is written if one of them must not be
        try:
            check_decisions(file, pd.DataFrame(attributes["features"]))
        except TableError as error:
            raise SaveError(str(error)) from error
    folder.mkdir(parents=True, exist_ok=True)
    written = [name for one in regions for name in write_regions(str(one[0]), *one[1:])]
    for name, (data, attributes, kind) in zip(names, chosen, strict=True):
        if not (kind == "labels" and _has_types(attributes)):
            target = str(folder / f"{name}{_SUFFIXES[kind]}")
            try:
                written += npe2.write(target, [(data, attributes, kind)])
            except ValueError:  # no plugin for it is installed
                warnings.warn(f"The {kind} layer {name!r} was not saved.", stacklevel=2)
    return written


def _has_types(attributes: dict[str, Any]) -> bool:
    features = pd.DataFrame(attributes.get("features", {}))
    return len(features) > 0 and is_features_table(features)


def _file_names(names: Sequence[str]) -> list[str]:
    """Return names of layers as unique file names."""
    out: list[str] = []
    for name in names:
        plain = "".join("_" if one in '<>:"/\\|?*' or ord(one) < 32 else one for one in name)
        wanted, number = plain.strip(" .") or "layer", 2
        made = wanted
        while made.lower() in {one.lower() for one in out}:
            made, number = f"{wanted}-{number}", number + 1
        out.append(made)
    return out


def table_path(labels: str | Path) -> Path:
    """Return the path of the table that belongs to a label image."""
    file = Path(labels)
    return file.with_name(file.stem.removesuffix("_labels").removesuffix("_regions") + TABLE_SUFFIX)


def check_decisions(target: str | Path, table: pd.DataFrame) -> None:
    """Check that writing labels or a table would lose no human decision.

    Parameters
    ----------
    target : path
        A label image, or a table that ends in ``.csv``.
    table : DataFrame
        The features table to be written there, or next to it; one without types is not written.

    Raises
    ------
    TableError
        If the existing table has decisions that the new one lacks.
    """
    file = Path(target) if Path(target).suffix.lower() == ".csv" else table_path(target)
    if not file.is_file() or not is_features_table(table):
        return
    table, key = validate_table(table), ["frame", "index"]
    try:
        old = read_table(file)
    except TableError:
        return  # not one of ours
    decided = pd.MultiIndex.from_frame(old[old["source"] == HUMAN][key])
    mine = pd.MultiIndex.from_frame(table[table["source"] == HUMAN][key])
    if not decided.isin(mine).all():
        raise TableError(
            f"{file.name} holds types that a human decided: choose another name, or open it first."
        )
