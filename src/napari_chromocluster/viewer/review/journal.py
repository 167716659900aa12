"""Journal of changes as lines of text, so that each one is on disk before the next key press.

A journal contains the changes since the last full save.  Replaying it over a state that already has
some of its changes ends in the same state.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from napari_chromocluster.imaging.label_editing import LabelPatch
from napari_chromocluster.results.features_table import KEY, SCHEMA, validate_table
from napari_chromocluster.viewer.review.change_tracker import Key


@dataclass(frozen=True)
class Record:
    """One change: pixels, new or changed rows, and removed rows.

    Attributes
    ----------
    rows : DataFrame
        Full rows as they are after the change.
    removed : tuple of (frame, label)
        Regions that no longer exist.
    patches : tuple of (frame, LabelPatch)
        Changed pixels.
    """

    rows: pd.DataFrame
    removed: tuple[Key, ...] = ()
    patches: tuple[tuple[int, LabelPatch], ...] = field(default=())

    def to_json(self) -> str:
        """Return the record as one line."""
        return json.dumps(
            {
                "rows": json.loads(
                    self.rows[list(SCHEMA)].to_json(orient="values", double_precision=15)
                ),
                "further": json.loads(
                    self.rows[[n for n in self.rows if n not in SCHEMA]].to_json(orient="split")
                ),
                "removed": [list(key) for key in self.removed],
                "patches": [_packed(frame, patch) for frame, patch in self.patches],
            },
            separators=(",", ":"),
        )

    @classmethod
    def from_json(cls, line: str) -> Record:
        """Read a record; raises ValueError for a truncated line."""
        values = json.loads(line)
        rows = pd.DataFrame(values["rows"], columns=list(SCHEMA))
        further = values.get("further", {"columns": [], "data": []})
        for place, name in enumerate(further["columns"]):
            rows[name] = [row[place] for row in further["data"]]
        return cls(
            validate_table(rows),
            tuple((int(frame), int(label)) for frame, label in values["removed"]),
            tuple(_unpacked(one) for one in values["patches"]),
        )


def _packed(frame: int, patch: LabelPatch) -> dict[str, Any]:
    changed = patch.before != patch.after
    after = np.where(changed, patch.after, 0).astype(patch.after.dtype)
    return {
        "frame": frame,
        "at": [patch.y0, patch.x0],
        "shape": list(after.shape),
        "dtype": after.dtype.str,
        "after": _text(after.tobytes()),
        "changed": _text(np.packbits(changed).tobytes()),
    }


def _text(data: bytes) -> str:
    return base64.b64encode(zlib.compress(data, 1)).decode("ascii")


def _bytes(text: str) -> bytes:
    return zlib.decompress(base64.b64decode(text))


def _unpacked(values: dict[str, Any]) -> tuple[int, LabelPatch]:
    """Return a patch whose ``before`` differs from ``after`` exactly where pixels changed."""
    shape = tuple(int(n) for n in values["shape"])
    after = np.frombuffer(_bytes(values["after"]), np.dtype(values["dtype"])).reshape(shape)
    bits = np.frombuffer(_bytes(values["changed"]), np.uint8)
    changed = np.unpackbits(bits, count=after.size).astype(bool).reshape(shape)
    before = np.where(changed, after + np.ones((), after.dtype), after)
    y0, x0 = values["at"]
    return int(values["frame"]), LabelPatch(int(y0), int(x0), before, after.copy())


def append(path: Path, record: Record) -> None:
    """Append a record to a journal; the operating system has it when this returns.

    If it does not fit on the disk, nothing is added, since a partial line would hide later ones.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    line = (record.to_json() + "\n").encode("utf-8")
    with path.open("ab", buffering=0) as stream:
        before = stream.tell()
        try:
            while line:
                line = line[stream.write(line) :]
        except OSError:
            stream.truncate(before)
            raise


def read(paths: Iterable[Path]) -> Iterator[Record]:
    """Read the records of some journals in order, ignoring a truncated last line."""
    for path in paths:
        if not path.is_file():
            continue
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                yield Record.from_json(line)
            except (ValueError, KeyError, zlib.error):
                break


def replay(
    labels: np.ndarray[Any, Any], table: pd.DataFrame, records: Iterable[Record]
) -> pd.DataFrame:
    """Apply records to labels (in place) and a table.

    Returns
    -------
    DataFrame
        The table.
    """
    for record in records:
        for number, patch in record.patches:
            frame = labels[number] if labels.ndim == 3 else labels
            changed = patch.before != patch.after
            frame[patch.window][changed] = patch.after[changed]
        table = with_rows(table, record.rows, record.removed)
    return table


def with_rows(table: pd.DataFrame, rows: pd.DataFrame, removed: Iterable[Key] = ()) -> pd.DataFrame:
    """Return a table with some rows added, replaced, or removed."""
    gone = {*removed, *zip(rows["frame"].tolist(), rows["index"].tolist(), strict=True)}
    if not gone:
        return table
    keys = pd.MultiIndex.from_frame(table[KEY])
    stay = table[~keys.isin(list(gone))]
    parts = [part for part in (stay, rows) if len(part)]
    joined = pd.concat(parts, ignore_index=True) if parts else table.iloc[:0]
    joined = joined[[*table.columns, *(n for n in joined.columns if n not in table.columns)]]
    return joined.sort_values(KEY, kind="stable").reset_index(drop=True)
