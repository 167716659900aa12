"""Small helpers for rows of the features table and the regions they stand for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from napari_chromocluster.imaging.regions import Region, extract_regions
from napari_chromocluster.viewer.review.tracker import Key


def measure(frame: NDArray[Any], labels: Sequence[int], number: int) -> list[Region]:
    """Measure some regions of one frame."""
    found = extract_regions(frame, labels)
    return [Region(r.label, number, r.bbox, r.area, r.centroid, r.touches_border) for r in found]


def keys_of(table: pd.DataFrame) -> list[Key]:
    """Return frame and label of all rows."""
    return list(zip(table["frame"].tolist(), table["index"].tolist(), strict=True))


def is_among(table: pd.DataFrame, keys: Iterable[Key]) -> NDArray[np.bool_]:
    """Return which rows belong to some regions."""
    wanted = set(keys)
    labels = table["index"].to_numpy()
    # Most tables hold one frame and most questions are about few regions.
    out = np.isin(labels, np.array([label for _, label in wanted], dtype=labels.dtype))
    frames = table["frame"].to_numpy()
    for place in np.flatnonzero(out):
        out[place] = (int(frames[place]), int(labels[place])) in wanted
    return np.asarray(out, bool)


def among(table: pd.DataFrame, keys: Iterable[Key]) -> pd.DataFrame:
    """Return the rows of some regions."""
    return table[is_among(table, keys)]


def count_text(keys: Sequence[Key]) -> str:
    """Return ``region 12`` or ``3 regions``."""
    return f"region {keys[0][1]}" if len(keys) == 1 else f"{len(keys)} regions"
