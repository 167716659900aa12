"""Joins of the features table with tables of other programs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from napari_chromocluster.results.features_table import (
    HUMAN,
    KEY,
    PROBABILITIES,
    SCHEMA,
    detect_manual_edits,
    is_features_table,
    merge_tables,
    salvage_table,
    validate_table,
)


def join_tables(known: pd.DataFrame, given: pd.DataFrame) -> pd.DataFrame:
    """Join any table of regions with the current features table.

    Rows and types missing in the new table are kept, human decisions are not replaced by model
    results, and a type that was changed in it counts as a human decision. If it is not a features
    table (`is_features_table`), its columns are added, by the label.

    Parameters
    ----------
    known : DataFrame
        A features table.
    given : DataFrame
        Any table of the same regions.

    Returns
    -------
    DataFrame
        A features table with the columns of both.
    """
    if not is_features_table(given):
        return with_columns_of(known, given)
    given = detect_manual_edits(salvage_table(given))
    if known.empty:
        return given
    known = validate_table(known)
    out = merge_tables(known, given)
    old = known.set_index(KEY).reindex(pd.MultiIndex.from_frame(out[KEY]))
    new = given.set_index(KEY).reindex(old.index)
    typed = (old["cluster_type"].fillna("") != "").to_numpy()
    blank = (new["cluster_type"].fillna("") == "").to_numpy()
    opinion = ["model", *PROBABILITIES]
    decision = ["cluster_type", "confidence", "source", "stale"]

    def take(rows: NDArray[np.bool_], columns: Sequence[str], given: pd.DataFrame) -> None:
        for name in columns:
            mine, theirs = out[name].to_numpy(object), given[name].to_numpy(object)
            out[name] = np.where(rows, theirs, mine)

    # A table read before a human decision must not undo it; a newer decision in the table counts,
    # even if its row lacks probabilities.
    take((new["source"] == HUMAN).to_numpy(), decision, new)
    take(typed & blank, decision, old)
    take(typed & new[list(PROBABILITIES)].isna().any(axis=1).to_numpy(), opinion, old)
    said = ["cluster_type", "source", *opinion]
    equal = ((out[said].set_axis(old.index) == old[said]) | old[said].isna()).all(axis=1)
    take(typed & equal.to_numpy() & old["stale"].eq(True).to_numpy(), ["stale"], old)
    for name in ("area", "centroid_y", "centroid_x", "bbox"):
        missing = (new[name].isna() | (new[name] == "")).to_numpy()
        take(missing & old[name].notna().to_numpy(), [name], old)
    return with_columns_of(validate_table(out), known)


def with_columns_of(table: pd.DataFrame, other: pd.DataFrame) -> pd.DataFrame:
    """Add the other columns of another table of the same regions, by the label.

    The label is in a column ``index`` or ``label``.  Without one, rows are assigned to the
    regions in order if their numbers are equal, else row n to label n, as in napari.  A column
    with the name of a features column is added as ``NAME_other`` if its values differ.
    """
    ours = is_features_table(other)
    names = [
        name
        for name in other.columns
        if name not in table.columns or not (ours or name in (*KEY, "label"))
    ]
    if table.empty or other.empty or not names:
        return table
    keys = _keys_in(other, table)
    if keys is None:
        return table
    rows = other[names].set_axis(keys, axis=0)
    rows = rows[~rows.index.duplicated()]
    wanted: pd.Index[Any] = pd.MultiIndex.from_frame(table[KEY])
    if rows.index.nlevels == 1:
        wanted = wanted.get_level_values("index")
    rows = rows.reindex(wanted).set_axis(table.index, axis=0)
    out = table.copy()
    for name in names:
        place = f"{name}_other" if name in SCHEMA else name
        if place == name or not _says_the_same(out[name], rows[name]):
            out[place] = rows[name]
    return out


def _says_the_same(one: pd.Series[Any], other: pd.Series[Any]) -> bool:
    try:
        return bool(np.allclose(one.astype(float), other.astype(float), equal_nan=True))
    except (TypeError, ValueError):
        return list(one) == list(other)


def _keys_in(other: pd.DataFrame, table: pd.DataFrame) -> pd.Index[Any] | None:
    """Return frame and label of the rows of another table, or the label alone; None if unknown."""
    name = next((one for one in ("index", "label") if one in other.columns), "")
    if name:
        labels = pd.to_numeric(other[name], errors="coerce").fillna(0).astype(np.int64)
        if "frame" in other.columns and is_features_table(other):
            return pd.MultiIndex.from_arrays([other["frame"].astype(int), labels], names=KEY)
        return pd.Index(labels)
    if len(other) == len(table):
        return pd.MultiIndex.from_frame(table.sort_values(KEY)[KEY])
    return pd.Index(np.arange(len(other)))
