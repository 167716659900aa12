"""The features table: one row per region, the same columns in napari, CSV and Python.

Every function returns a new table and does not change its argument.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from napari_chromocluster.cluster_types import TYPES, ClusterType, type_word
from napari_chromocluster.imaging.regions import Region, extract_regions

#: Words for true in several languages, as written by spreadsheets.
_TRUE = ("true", "1", "1.0", "yes", "wahr", "vrai", "vero", "verdadero", "verdadeiro", "waar",
         "prawda", "sant", "sand", "sann", "doğru", "истина", "真")  # fmt: skip
#: Valid values of the column of types; empty if not classified.
_WORDS = {str(kind) for kind in TYPES} | {""}
PROBABILITIES: tuple[str, ...] = tuple(kind.probability_column for kind in TYPES)
#: Columns and their kind: ``int`` and ``label`` whole numbers, ``float``, ``str``, ``bool``.
SCHEMA: dict[str, str] = {
    "index": "label",
    "frame": "int",
    "cluster_type": "str",
    "confidence": "float",
    **dict.fromkeys(PROBABILITIES, "float"),
    "source": "str",
    "model": "str",
    "stale": "bool",
    "area": "float",
    "centroid_y": "float",
    "centroid_x": "float",
    "bbox": "str",
}
#: Columns of the features table, in order.
COLUMNS: tuple[str, ...] = tuple(SCHEMA)
#: Columns that identify a row.
KEY = ["frame", "index"]
MODEL, HUMAN = "model", "human"


class TableError(ValueError):
    """A table that is not a features table."""


def empty_table() -> pd.DataFrame:
    """Return a features table without rows."""
    return _typed(pd.DataFrame({name: [] for name in COLUMNS}))


def build_table(
    regions: Sequence[Region],
    probabilities: NDArray[Any] | None = None,
    *,
    model: str = "",
    frame: int | None = None,
) -> pd.DataFrame:
    """Create the features table of regions.

    Parameters
    ----------
    regions : sequence of Region, length N
        The regions.
    probabilities : (N, 5) float array, optional
        Probability of each type in the order of ``cluster_types.TYPES``; without it the regions are
        not classified.
    model : str
        Name of the model.
    frame : int, optional
        Frame of all regions (default: each region's own).

    Returns
    -------
    DataFrame
        N rows with the columns ``COLUMNS``.
    """
    n = len(regions)
    table = pd.DataFrame(
        {
            "index": [region.label for region in regions],
            "frame": [region.frame if frame is None else frame for region in regions],
            "area": [float(region.area) for region in regions],
            "centroid_y": [region.centroid[0] for region in regions],
            "centroid_x": [region.centroid[1] for region in regions],
            "bbox": [",".join(str(v) for v in region.bbox) for region in regions],
        }
    )
    table["stale"] = False
    table["model"] = model
    table["source"] = "" if probabilities is None else MODEL
    values = np.full((n, len(TYPES)), np.nan)
    if probabilities is not None:
        values = np.asarray(probabilities, dtype=float).reshape(n, len(TYPES))
    for column, name in enumerate(PROBABILITIES):
        table[name] = values[:, column]
    table = _typed(table)
    return table if probabilities is None else _with_model_opinion(table, np.ones(n, bool))


def _with_model_opinion(table: pd.DataFrame, rows: NDArray[np.bool_]) -> pd.DataFrame:
    """Set type and confidence of some rows from their probabilities."""
    table = table.copy()
    kinds, confidence = _likeliest(table.loc[rows])
    table.loc[rows, "cluster_type"] = kinds
    table.loc[rows, "confidence"] = confidence
    table.loc[rows, "source"] = np.where(kinds != "", MODEL, "")
    return table


def _likeliest(table: pd.DataFrame) -> tuple[NDArray[np.object_], NDArray[np.float64]]:
    """Return the likeliest type of each row and its probability; "" and NaN if unknown."""
    values = table[list(PROBABILITIES)].to_numpy(float)
    known = np.isfinite(values).all(axis=1)
    best = np.where(known, np.nan_to_num(values).argmax(axis=1), 0)
    names = np.array([str(kind) for kind in TYPES], dtype=object)
    confidence = values[np.arange(len(values)), best]
    return np.where(known, names[best], ""), np.where(known, confidence, np.nan)


def _typed(table: pd.DataFrame) -> pd.DataFrame:
    """Convert columns to their type and order, followed by any other columns."""
    out = table.copy()
    for name, kind in SCHEMA.items():
        column = out[name] if name in out else pd.Series(_missing(kind), index=out.index)
        out[name] = _cast(column, kind)
    return out[[*COLUMNS, *(name for name in out.columns if name not in SCHEMA)]]


def _missing(kind: str) -> Any:
    return {"label": 0, "int": 0, "float": np.nan, "str": "", "bool": False}[kind]


def _cast(column: pd.Series[Any], kind: str) -> pd.Series[Any]:
    if kind == "float":
        return pd.to_numeric(column, errors="coerce").astype(float)
    if kind in ("int", "label"):
        if column.isna().any():
            column = column.fillna(0)
        if column.dtype == object or column.dtype.kind not in "iufb":
            # Spreadsheets write whole numbers as 3.0.
            column = column.astype(str).str.strip().str.replace(r"\.0+$", "", regex=True)
        if kind == "int":
            return column.astype(np.int64)
        # Labels may be as large as uint64 allows; use int64 if sufficient.
        values = [int(value) for value in column]
        large = bool(values) and max(values) > np.iinfo(np.int64).max
        return pd.Series(values, index=column.index, dtype=np.uint64 if large else np.int64)
    if kind == "bool":
        if column.dtype == bool:
            return column
        truth = column.astype(str).str.strip().str.lower()
        return truth.isin(_TRUE)
    return column.fillna("").astype(str).astype(object)


def validate_table(table: pd.DataFrame) -> pd.DataFrame:
    """Check a table and convert it to the schema.

    Raises
    ------
    TableError
        If a column that identifies a row is missing, a type is unknown, or a region has two rows;
        the message includes the line.
    """
    if "index" not in table:
        raise TableError("A features table needs the column 'index' (the label of the region).")
    try:
        out = _typed(table.reset_index(drop=True))
    except (TypeError, ValueError) as error:
        raise TableError(f"The column 'index' or 'frame' holds no whole number: {error}.") from None
    out["source"] = out["source"].str.strip().str.lower()
    typed = out["cluster_type"]
    words = {name: type_word(name) for name in typed.unique()}
    out["cluster_type"] = typed.map(words).astype(object)
    for line, name in enumerate(typed, start=2):
        if words[name] not in _WORDS:
            raise TableError(
                f"Line {line}: {name!r} is no cluster type; use one of {', '.join(TYPES)}."
            )
    twice = out.duplicated(KEY)
    if twice.any():
        place = int(np.argmax(twice.to_numpy()))
        raise TableError(f"Line {place + 2}: region {out['index'][place]} stands there twice.")
    return out


def salvage_table(table: pd.DataFrame) -> pd.DataFrame:
    """Return the valid part of a table that `validate_table` rejects.

    Unknown types are dropped, and of several rows for one region the first is kept.
    The result is empty if rows cannot be assigned to regions.
    """
    try:
        out = _typed(table.reset_index(drop=True))
    except (TypeError, ValueError):
        return empty_table()
    wrong = ~out["cluster_type"].map(type_word).isin(_WORDS)
    out.loc[wrong, ["cluster_type", "source"]] = ""
    return validate_table(out[~out.duplicated(KEY)])


def merge_tables(old: pd.DataFrame, new: pd.DataFrame, *, complete: bool = False) -> pd.DataFrame:
    """Merge a new model run into an existing table, keeping human decisions.

    Rows in ``new`` replace rows of the same region.  If a human decided, type, confidence, source
    and stale are kept, and only the model's result (``p_*``, ``model``) and the measures of the
    region are updated.  Other rows of ``old`` are kept, unless ``new`` is ``complete``: then their
    regions no longer exist.

    Returns
    -------
    DataFrame
        In the order of frame and label.
    """
    if old.empty:
        return validate_table(new)
    old, new = validate_table(old), validate_table(new)
    human = old[old["source"] == HUMAN].set_index(KEY)
    merged = new.set_index(KEY)
    kept = merged.index.intersection(human.index)
    for name in ("cluster_type", "confidence", "source", "stale"):
        merged.loc[kept, name] = human.loc[kept, name]
    rest = old.set_index(KEY)
    rest = rest[~rest.index.isin(merged.index) & (not complete)]
    # Keep the user's own columns.
    own = [name for name in old.columns if name not in SCHEMA]
    for name in own:
        if name not in merged:
            merged[name] = old.set_index(KEY)[name].reindex(merged.index)
    parts = [part for part in (rest, merged) if len(part)]
    joined = pd.concat(parts).sort_index().reset_index() if parts else old.iloc[:0]
    return _typed(joined)


def drop_missing_regions(table: pd.DataFrame, regions: Sequence[Region]) -> pd.DataFrame:
    """Drop rows of regions that no longer exist."""
    places = [one.frame for one in regions], [one.label for one in regions]
    here = pd.MultiIndex.from_arrays(places, names=KEY)
    kept = pd.MultiIndex.from_frame(table[KEY]).isin(here)
    return table if kept.all() else table[kept].reset_index(drop=True)


def mark_changed(
    table: pd.DataFrame, before: NDArray[np.integer], now: NDArray[np.integer]
) -> pd.DataFrame:
    """Update a table of earlier labels to the current labels.

    Rows of regions that no longer exist are dropped; those of regions with changed pixels are
    marked stale.  A human may have decided after the change; such rows are marked stale only if
    the measures differ.

    Parameters
    ----------
    table : DataFrame
        A features table.
    before, now : (H, W) or (N, H, W) integer arrays of one shape
        The labels of the table, and the current labels.
    """
    out = as_they_are(table, extract_regions(now) if now.any() else [])
    stack = before.ndim == 3
    for frame in range(len(before)) if stack else (0,):
        old, new = (before[frame], now[frame]) if stack else (before, now)
        differ = old != new
        touched = np.union1d(old[differ], new[differ])
        rows = rows_of(out, touched.tolist(), frame) & (out["source"] == MODEL).to_numpy()
        out = mark_stale(out, out["index"][rows].tolist(), frame)
    return out


def as_they_are(table: pd.DataFrame, regions: Sequence[Region]) -> pd.DataFrame:
    """Update rows to the current regions, dropping those of regions that no longer exist.

    Where a region has changed its size or position, its type is marked stale and its measures
    are updated.
    """
    measures = build_table(regions).set_index(KEY)[["area", "centroid_y", "centroid_x", "bbox"]]
    kept = validate_table(table).set_index(KEY)
    kept = kept[kept.index.isin(measures.index)]
    now = measures.loc[kept.index]
    other = (now["area"] != kept["area"]) | (now["bbox"] != kept["bbox"])
    kept["stale"] |= other & (kept["cluster_type"] != "")
    kept.update(measures)
    return _typed(kept.reset_index())


def keep_regions(table: pd.DataFrame, regions: Sequence[Region]) -> pd.DataFrame:
    """Update a table to the current regions.

    Rows are updated as by `as_they_are`; new regions are added without a type.
    """
    fresh, kept = build_table(regions), as_they_are(table, regions)
    added = fresh[~pd.MultiIndex.from_frame(fresh[KEY]).isin(pd.MultiIndex.from_frame(kept[KEY]))]
    parts = [part for part in (kept, added) if len(part)]
    joined = pd.concat(parts) if parts else empty_table()
    return _typed(joined.sort_values(KEY).reset_index(drop=True))


def rows_of(
    table: pd.DataFrame, labels: Collection[int], frame: int | None = None
) -> NDArray[np.bool_]:
    """Return which rows belong to the given labels (of one frame, or of all)."""
    rows = table["index"].isin([int(label) for label in labels]).to_numpy()
    return rows if frame is None else rows & (table["frame"] == frame).to_numpy()


def set_types(
    table: pd.DataFrame,
    labels: Collection[int],
    cluster_type: ClusterType | str,
    frame: int | None = None,
) -> pd.DataFrame:
    """Set the type of regions by a human decision (confidence 1, source human)."""
    out = validate_table(table)
    rows = rows_of(out, labels, frame)
    out.loc[rows, "cluster_type"] = str(ClusterType(cluster_type))
    out.loc[rows, "confidence"] = 1.0
    out.loc[rows, "source"] = HUMAN
    out.loc[rows, "stale"] = False
    return out


def confirm_types(
    table: pd.DataFrame, labels: Collection[int], frame: int | None = None
) -> pd.DataFrame:
    """Confirm the current types of regions as a human decision."""
    out = validate_table(table)
    rows = rows_of(out, labels, frame) & (out["cluster_type"] != "").to_numpy()
    out.loc[rows, "confidence"] = 1.0
    out.loc[rows, "source"] = HUMAN
    out.loc[rows, "stale"] = False
    return out


def revert_to_model(
    table: pd.DataFrame, labels: Collection[int], frame: int | None = None
) -> pd.DataFrame:
    """Undo a human decision and restore the model's result."""
    out = validate_table(table)
    return _typed(_with_model_opinion(out, rows_of(out, labels, frame)))


def mark_stale(
    table: pd.DataFrame, labels: Collection[int], frame: int | None = None, stale: bool = True
) -> pd.DataFrame:
    """Mark regions whose pixels have changed since they were classified."""
    out = validate_table(table)
    out.loc[rows_of(out, labels, frame), "stale"] = stale
    return out


def unsure(table: pd.DataFrame, threshold: float) -> NDArray[np.bool_]:
    """Return which rows the model classified with a lower confidence than ``threshold``."""
    decided = (table["cluster_type"] != "") & (table["source"] == MODEL)
    return (decided & (table["confidence"] < threshold)).to_numpy(dtype=bool)


def counts(table: pd.DataFrame) -> dict[ClusterType, int]:
    """Count the regions of each type, in the order of the types."""
    found = table["cluster_type"].value_counts()
    return {kind: int(found.get(str(kind), 0)) for kind in TYPES}


def detect_manual_edits(table: pd.DataFrame) -> pd.DataFrame:
    """Treat types that were changed in a spreadsheet as human decisions.

    In such a row another type has a higher probability than the given one.  Equal probabilities
    do not count, because of rounding.  Without probabilities, a row is a human decision only if
    it has no source.
    """
    out = table.copy()
    best, _ = _likeliest(out)
    kinds = out["cluster_type"].to_numpy(object)
    values = out[list(PROBABILITIES)].to_numpy(float)
    names = [str(kind) for kind in TYPES]
    column = [names.index(kind) if kind else 0 for kind in kinds]
    written = values[np.arange(len(values)), column] if len(values) else np.zeros(0)
    with np.errstate(invalid="ignore"):
        other = (best != "") & (written < np.nan_to_num(values).max(axis=1, initial=0.0))
    source = out["source"].to_numpy(object)
    by_hand = (kinds != "") & (source != HUMAN) & (other | ((source == "") & (best == "")))
    out.loc[by_hand, "source"] = HUMAN
    out.loc[by_hand, "confidence"] = 1.0
    blank = (kinds == "") & (source == HUMAN)
    out.loc[blank, "source"] = np.where(best[blank] != "", MODEL, "")
    return out


def is_features_table(table: pd.DataFrame) -> bool:
    """Return whether a table is a features table, even one with errors."""
    if not {"index", "cluster_type"} <= set(table.columns):
        return False
    types = table["cluster_type"]
    words = [type_word(str(word)) for word in types[types.notna()].unique()]
    return set(COLUMNS) <= set(table.columns) or all(word in _WORDS for word in words)
