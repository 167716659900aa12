"""Exports of a review: tables, figures, annotations for training, rankings."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from napari_chromocluster.cluster_types import ClusterType
from napari_chromocluster.imaging.files import IMAGE_SUFFIXES
from napari_chromocluster.imaging.image_file import pixel_size
from napari_chromocluster.results.annotations import write_annotations
from napari_chromocluster.results.features_table import HUMAN, TableError, counts
from napari_chromocluster.results.figures import (
    batch_chart,
    contact_sheet,
    overlay_figure,
    save_figure,
)
from napari_chromocluster.results.summary import sort_by_score
from napari_chromocluster.results.table_files import read_table
from napari_chromocluster.viewer.layers import GROUP, source_of
from napari_chromocluster.viewer.review.session import ReviewSession
from napari_chromocluster.viewer.sidecar_files import TABLE_SUFFIX

#: Maximum number of unreadable files that are named.
_NAMED_FILES = 5


class ExportError(ValueError):
    """Something that cannot be exported in its current state."""


def micrometres_per_pixel(image: Any) -> float | None:
    """Return micrometers per pixel if the layer or its file provides them, else None."""
    units = [str(one) for one in getattr(image, "units", ())][-2:]
    scale = float(np.asarray(image.scale)[-1])
    factor = {"micrometer": 1.0, "micrometre": 1.0, "nanometer": 1e-3, "millimeter": 1e3}
    if units and units[-1] in factor:
        return scale * factor[units[-1]]
    # napari's own reader ignores the pixel size of ImageJ and OME-TIFF files.
    return pixel_size(source_of(image)) if scale == 1 else None


def save_overlay(
    path: str | Path,
    session: ReviewSession,
    frame: int,
    *,
    threshold: float,
    colors: Mapping[str, str],
    pixel_size: float | None = None,
) -> None:
    """Save the outlined metaphase with legend, and scale bar if the pixel size is known."""
    figure = overlay_figure(
        session.image_frame(frame),
        session.tracker.frame(frame),
        _rows(session, frame),
        threshold=threshold,
        title=session.name,
        pixel_size=pixel_size,
        colors=colors,
    )
    save_figure(path, figure)


def save_contact_sheet(
    path: str | Path,
    session: ReviewSession,
    frame: int,
    colors: Mapping[str, str],
    pixel_size: float | None = None,
) -> None:
    """Save all regions by type on one sheet, with a scale bar if the pixel size is known."""
    image, labels = session.image_frame(frame), session.tracker.frame(frame)
    rows = _rows(session, frame)
    figure = contact_sheet(image, labels, rows, colors=colors, pixel_size=pixel_size)
    save_figure(path, figure)


def save_chart(
    path: str | Path, tables: Mapping[str, pd.DataFrame], colors: Mapping[str, str]
) -> None:
    """Save a bar chart of the types in many metaphases."""
    save_figure(path, batch_chart({name: counts(one) for name, one in tables.items()}, colors))


def save_annotations(
    path: str | Path, session: ReviewSession, image: str | None, labels: Path | None
) -> int:
    """Save human decisions as an annotation file for training; returns the number of rows.

    Raises
    ------
    ExportError
        If nothing is decided by hand, or there is no file to refer to.
    """
    human = session.table["source"] == HUMAN
    rows = session.table[human & ~session.table["stale"]]
    if rows.empty:
        raise ExportError(
            "All decisions are on pixels that have changed since: look at these regions again."
            if human.any()
            else "Nothing is decided by hand yet: accept regions or give them a type."
        )
    if session.tracker.frames > 1:
        raise ExportError(
            "Annotations name one image: let the Train dock learn from the open stack."
        )
    if not image:
        raise ExportError("Annotations name the image's file: save the image and open it again.")
    if labels is None:
        raise ExportError(
            "Annotations name the file of the regions, and the review is not saved: choose a "
            "folder for it first."
        )
    table = pd.DataFrame(
        {
            "image": str(Path(image).resolve()),
            "labels": str(labels.resolve()),
            "label": rows["index"].to_numpy(),
            "cluster_type": rows["cluster_type"].to_numpy(),
            # Without a named group the image is its own group, wherever the file is read.
            "group": str(session.image.metadata.get(GROUP, "")),
        }
    )
    write_annotations(path, table)
    return len(table)


def _rows(session: ReviewSession, frame: int) -> pd.DataFrame:
    return session.table[session.table["frame"] == frame]


def stack_tables(session: ReviewSession) -> dict[str, pd.DataFrame]:
    """Return the table of each frame, by the name shown in a ranking."""
    if session.tracker.frames == 1:
        return {session.name: session.table}
    frames = sorted({int(frame) for frame in session.table["frame"]})
    return {f"frame {frame + 1}": _rows(session, frame) for frame in frames}


def folder_tables(folder: str | Path) -> tuple[dict[str, pd.DataFrame], dict[str, str]]:
    """Return the tables of all reviewed or classified metaphases in a folder.

    Returns
    -------
    dict of str to DataFrame
        By the name of the metaphase.
    dict of str to str
        Files that could not be read, and why.

    Raises
    ------
    ExportError
        If there are none.
    """
    tables: dict[str, pd.DataFrame] = {}
    unread: dict[str, str] = {}
    for path in sorted(Path(folder).glob(f"*{TABLE_SUFFIX}")):
        try:
            tables[path.name.removesuffix(TABLE_SUFFIX)] = read_table(path)
        except (TableError, OSError) as error:
            unread[path.name] = str(error)
    if not tables:
        raise ExportError(
            f"{Path(folder).name} holds no reviewed metaphase: choose another folder."
            + (f" {unread_text(unread)}" if unread else "")
        )
    return tables, unread


def unread_text(unread: Mapping[str, str]) -> str:
    """Return a text naming the unreadable files, with reasons for the first few."""
    first = list(unread.items())[:_NAMED_FILES]
    named = "; ".join(f"{name} ({reason.rstrip('.')})" for name, reason in first)
    more = len(unread) - len(first)
    return f"Not read: {named}{f'; and {more} more' if more else ''}."


def ranking(tables: Mapping[str, pd.DataFrame], expected: int | None) -> pd.DataFrame:
    """Return the metaphases from best to worst, in the columns that are shown."""
    table = sort_by_score(tables, expected)
    clusters = [str(kind) for kind in ClusterType if kind.is_cluster]
    return pd.DataFrame(
        {
            "metaphase": table["metaphase"],
            "score": table["score"],
            "chromosomes": table["chromosomes"],
            "clusters": table[clusters].sum(axis=1) if len(table) else [],
        }
    )


def image_of(folder: str | Path, name: str) -> Path | None:
    """Return the image file of a metaphase in a folder, or None."""
    places = (Path(folder) / f"{name}{suffix}" for suffix in IMAGE_SUFFIXES)
    return next((place for place in places if place.is_file()), None)
