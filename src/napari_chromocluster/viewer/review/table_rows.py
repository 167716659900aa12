"""Helpers for rows of the features table and their regions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from napari_chromocluster.imaging.regions import Region, extract_regions
from napari_chromocluster.viewer.review.change_tracker import Key


def measure(
    frame: NDArray[Any],
    labels: Sequence[int],
    number: int,
    window: tuple[slice, slice] | None = None,
) -> list[Region]:
    """Measure some regions of one frame, optionally only within a window that contains them."""
    window = window or (slice(0, frame.shape[0]), slice(0, frame.shape[1]))
    top, left = window[0].start, window[1].start
    out = []
    for r in extract_regions(frame[window], labels):
        y0, x0, y1, x1 = r.bbox
        box = (y0 + top, x0 + left, y1 + top, x1 + left)
        border = box[0] == 0 or box[1] == 0 or box[2:] == frame.shape
        centroid = (r.centroid[0] + top, r.centroid[1] + left)
        out.append(Region(r.label, number, box, r.area, centroid, border))
    return out


def window_around(
    boxes: Iterable[Any], windows: Iterable[tuple[slice, slice]] = ()
) -> tuple[slice, slice] | None:
    """Return the window around some boxes (in the table's format) and windows."""
    edges = [[int(one) for one in str(box).split(",")] for box in boxes if box]
    edges += [[y.start, x.start, y.stop, x.stop] for y, x in windows]
    if not edges:
        return None
    low, high = np.min(edges, axis=0), np.max(edges, axis=0)
    return slice(int(low[0]), int(high[2])), slice(int(low[1]), int(high[3]))


def keys_of(table: pd.DataFrame) -> list[Key]:
    """Return frame and label of all rows."""
    return list(zip(table["frame"].tolist(), table["index"].tolist(), strict=True))


def is_among(table: pd.DataFrame, keys: Iterable[Key]) -> NDArray[np.bool_]:
    """Return which rows belong to some regions."""
    wanted = set(keys)
    labels = table["index"].to_numpy()
    # Most tables have one frame and most queries are about few regions.
    out = np.isin(labels, np.array([label for _, label in wanted], dtype=labels.dtype))
    frames = table["frame"].to_numpy()
    for place in np.flatnonzero(out):
        out[place] = (int(frames[place]), int(labels[place])) in wanted
    return np.asarray(out, bool)


def select_rows(table: pd.DataFrame, keys: Iterable[Key]) -> pd.DataFrame:
    """Return the rows of some regions."""
    return table[is_among(table, keys)]


def count_text(keys: Sequence[Key]) -> str:
    """Return ``region 12`` or ``3 regions``."""
    return f"region {keys[0][1]}" if len(keys) == 1 else f"{len(keys)} regions"
