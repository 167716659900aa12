"""Merge the tables of all metaphases of a batch into one file, with little memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import Any

import pandas as pd

from napari_chromocluster.batch.files import BatchError
from napari_chromocluster.imaging.files import atomic_path
from napari_chromocluster.results.features_table import COLUMNS, SCHEMA, TableError
from napari_chromocluster.results.table_files import read_table

#: Number of tables that are written at a time.
_CHUNK = 500
#: Name of the column that is added.
METAPHASE = "metaphase"


def check_parquet() -> None:
    """Check that Parquet can be written.

    Raises
    ------
    BatchError
        If the extra is not installed.
    """
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError as error:
        raise BatchError(
            "Parquet needs the extra 'parquet': pip install 'napari-chromocluster[parquet]'."
        ) from error


def foreign_columns(paths: Iterable[Path]) -> dict[str, bool]:
    """Return the columns of tables that are not in the schema, and whether all are numbers."""
    standard = ",".join(COLUMNS)
    found: dict[str, bool] = {}
    for path in paths:
        try:
            with path.open(encoding="utf-8", errors="replace") as stream:
                if stream.readline().rstrip("\r\n") == standard:
                    continue
            table = read_table(path)
        except (OSError, TableError):  # reported when it is merged
            continue
        for name in table.columns.difference([*COLUMNS, METAPHASE], sort=False):
            number = pd.api.types.is_numeric_dtype(table[name])
            found[str(name)] = found.get(str(name), True) and number
    return found


def write_merged(
    tables: Iterator[tuple[str, pd.DataFrame]],
    csv: Path,
    parquet: Path | None,
    foreign: Mapping[str, bool],
) -> None:
    """Write the tables of metaphases as one CSV file and one Parquet file.

    Parameters
    ----------
    tables : iterator of (str, DataFrame)
        The name of each metaphase and its table; without any, nothing is written.
    csv : path
        The CSV file.
    parquet : path, optional
        The Parquet file.
    foreign : mapping of str to bool
        As returned by `foreign_columns`.
    """
    columns = [*COLUMNS, METAPHASE, *foreign]
    texts = [name for name, number in foreign.items() if not number]
    with ExitStack() as files:
        stream: Any = None
        while chunk := list(islice(tables, _CHUNK)):
            if first := stream is None:
                path = files.enter_context(atomic_path(csv))
                stream = files.enter_context(path.open("w", encoding="utf-8", newline=""))
                writer = None if parquet is None else _parquet_writer(files, parquet, foreign)
            merged = pd.concat([table.assign(metaphase=name) for name, table in chunk])
            merged = merged.reindex(columns=columns)
            merged.to_csv(stream, header=first, index=False, lineterminator="\n")
            if writer is not None:
                import pyarrow

                for name in texts:  # numbers in one table may be text in another
                    merged[name] = merged[name].map(str, na_action="ignore")
                writer.write_table(
                    pyarrow.Table.from_pandas(merged, writer.schema, preserve_index=False)
                )


def write_parquet(path: Path, table: pd.DataFrame) -> None:
    """Write a table as Parquet, atomically."""
    with atomic_path(path) as temporary:
        table.to_parquet(temporary, engine="pyarrow", index=False)


def _parquet_writer(files: ExitStack, path: Path, foreign: Mapping[str, bool]) -> Any:
    import pyarrow
    from pyarrow.parquet import ParquetWriter

    types = {
        "label": pyarrow.int64(), "int": pyarrow.int64(), "float": pyarrow.float64(),
        "str": pyarrow.string(), "bool": pyarrow.bool_(),
    }  # fmt: skip
    fields = {name: types[kind] for name, kind in SCHEMA.items()} | {METAPHASE: types["str"]}
    fields |= {name: types["float" if number else "str"] for name, number in foreign.items()}
    temporary = files.enter_context(atomic_path(path))
    writer = ParquetWriter(temporary, pyarrow.schema(fields), compression="zstd")
    return files.enter_context(writer)
