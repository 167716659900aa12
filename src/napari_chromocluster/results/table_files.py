"""Features tables as CSV files, also those that were edited in a spreadsheet."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from napari_chromocluster.imaging.files import atomic_path
from napari_chromocluster.results.delimited import DelimitedTextError, read_delimited
from napari_chromocluster.results.features_table import (
    PROBABILITIES,
    SCHEMA,
    TableError,
    detect_manual_edits,
    validate_table,
)

#: Tolerance of probabilities above 1, for rounding.
_ROUNDED = 0.005


def read_table(path: str | Path) -> pd.DataFrame:
    """Read a features table from CSV, including those edited in a spreadsheet.

    Raises
    ------
    TableError
        If it is not a features table; the message includes the line.
    """
    file = Path(path)
    try:
        text = read_delimited(file)
    except DelimitedTextError as error:
        raise TableError(str(error)) from error
    for line, row in zip(text.lines, text.rows, strict=True):
        if len(row) != len(text.header):
            raise TableError(
                f"{file.name}, line {line}: {len(row)} values for {len(text.header)} columns."
            )
    table = text.to_frame()
    for name in table.columns.intersection([n for n, kind in SCHEMA.items() if kind == "float"]):
        table[name] = _numbers(table[name], file.name, text.lines)
    for name in [one for one in table.columns if one not in SCHEMA]:
        with suppress(ValueError):
            table[name] = pd.to_numeric(table[name].replace("", np.nan))
    table = table.replace("", np.nan).infer_objects()
    return detect_manual_edits(validate_table(table))


def _numbers(cells: pd.Series[Any], file: str, lines: Sequence[int]) -> pd.Series[Any]:
    """Parse numbers in the formats of spreadsheets: 0.5, 0,5, 50 %, 1.234,5.

    Raises
    ------
    TableError
        If a probability or the confidence cannot be read.
    """
    out = pd.to_numeric(cells, errors="coerce")
    if (out.isna() & (cells != "")).any():
        out = _spreadsheet_numbers(cells)
    if str(cells.name) in (*PROBABILITIES, "confidence"):
        wrong = (cells != "") & ~out.between(0, 1 + _ROUNDED)
        if wrong.any():
            wrong &= ~cells.astype(str).str.strip().str.lower().isin(["", "nan", "none"])
        if wrong.any():
            place = int(np.argmax(wrong.to_numpy()))
            raise TableError(
                f"{file}, line {lines[place]}: {str(cells.iloc[place])!r} in the column "
                f"{cells.name!r} is no probability from 0 to 1 or 0 % to 100 %: correct the "
                f"column, or leave it empty."
            )
    return out


def _spreadsheet_numbers(cells: pd.Series[Any]) -> pd.Series[Any]:
    text = cells.astype(str).str.replace(r"[\s\u00a0\u202f']", "", regex=True)
    percent = text.str.endswith("%")
    text = text.str.removesuffix("%")
    both = text.str.contains(",") & text.str.contains(".", regex=False)
    comma_last = text.str.rfind(",") > text.str.rfind(".")
    text = text.mask(both & comma_last, text.str.replace(".", "", regex=False))
    text = text.mask(both & ~comma_last, text.str.replace(",", "", regex=False))
    out = pd.to_numeric(text.str.replace(",", ".", regex=False), errors="coerce")
    return out.where(~percent, out / 100)


def write_table(path: str | Path, table: pd.DataFrame) -> None:
    """Write a features table as CSV, atomically."""
    with atomic_path(path) as temporary:
        validate_table(table).to_csv(temporary, index=False, lineterminator="\n")
