"""Files of results next to an image: label image, table and review."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from napari_chromocluster.results.table_files import read_table
from napari_chromocluster.viewer.layers import LayerError, source_of

#: File name suffixes of results saved next to an image.
TABLE_SUFFIX = "_regions.csv"
#: Suffix of the file that records which image the saved review belongs to.
REVIEW_SUFFIX = "_review.json"
LABEL_SUFFIXES = ("_labels.tif", "_labels.tiff", "_labels.png")


def sidecar_files(source: str | Path | None) -> tuple[Path | None, Path | None]:
    """Return the label image and table saved next to an image file, each None if missing."""
    if not source:
        return None, None
    file = Path(source)
    table = file.with_name(file.stem + TABLE_SUFFIX)
    return labels_in(file.parent, file.stem), table if table.is_file() else None


def labels_in(folder: Path, name: str) -> Path | None:
    """Return the label image of a metaphase in a folder, or None."""
    places = (folder / f"{name}{suffix}" for suffix in LABEL_SUFFIXES)
    return next((place for place in places if place.is_file()), None)


def read_sidecar_files(source: str | Path | None) -> tuple[Path | None, pd.DataFrame | None]:
    """Return the path of the label image next to an image file, and its table."""
    labels, table = sidecar_files(source)
    return labels, None if table is None else read_table(table)


def path_next_to_image(image: Any, path: str) -> str:
    """Return a path to write to, unless it is the image itself or belongs to a review.

    Raises
    ------
    LayerError
        If it is.
    """
    source = source_of(image) if image is not None else ""
    if source and Path(path).resolve() == Path(source).resolve():
        raise LayerError(f"{Path(path).name} is the image itself: choose another name.")
    file = Path(path)
    for end in (TABLE_SUFFIX, LABEL_SUFFIXES[0]):
        own = file.with_name(file.name.removesuffix(end) + REVIEW_SUFFIX)
        if file.name.endswith(end) and own.is_file() and file.is_file():
            raise LayerError(
                f"{file.name} belongs to a review, which is saved there by itself: choose another "
                f"name."
            )
    return path
