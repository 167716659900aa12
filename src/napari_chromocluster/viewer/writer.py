"""Write a labels layer with its features table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from napari_chromocluster.imaging.io import write_labels
from napari_chromocluster.results.table import validate_table, write_table
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
    """
    target = Path(path)
    features = pd.DataFrame(attributes.get("features", {}))
    stem = target.stem.removesuffix("_labels").removesuffix("_regions")
    written = []
    if target.suffix.lower() != ".csv":
        write_labels(target, np.asarray(data))
        written.append(str(target))
    if "cluster_type" in features and "index" in features:
        table = target if not written else target.with_name(stem + TABLE_SUFFIX)
        write_table(table, validate_table(features))
        written.append(str(table))
    return written
