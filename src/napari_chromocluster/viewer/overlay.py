"""Color labels by cluster type, with marks for information that must not depend on color."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from napari_chromocluster.cluster_types import TYPES, ClusterType
from napari_chromocluster.imaging.regions import Region
from napari_chromocluster.results.features_table import build_table, unsure
from napari_chromocluster.viewer.hover_text import THRESHOLD, follow_mouse
from napari_chromocluster.viewer.layer_tables import table_of
from napari_chromocluster.viewer.layers import current_frame, find_layer, frame_shape
from napari_chromocluster.viewer.overlay_layers import (
    DASHES,
    LETTERS,
    empty_marks,
    marks_layer,
    remove_marks,
    show_dashes,
    show_letters,
)

#: Color of regions that are not classified.
UNCLASSIFIED = "#56B4E9"


def color_dict(
    table: pd.DataFrame, colors: Mapping[str, str] | None = None
) -> dict[int | None, str]:
    """Return the color of each label, for napari's DirectLabelColormap."""
    chosen = {str(kind): (colors or {}).get(str(kind), kind.color) for kind in TYPES}
    out: dict[int | None, str] = {0: "transparent", None: UNCLASSIFIED}
    for label, kind in zip(table["index"], table["cluster_type"], strict=True):
        out[int(label)] = chosen.get(kind, UNCLASSIFIED)
    return out


def frame_rows(table: pd.DataFrame, frame: int) -> pd.DataFrame:
    """Return the rows to color: only the given frame's if labels repeat across frames, else all."""
    if table["index"].duplicated().any():
        return table[table["frame"] == frame]
    return table


def show_overlay(
    viewer: Any,
    labels: Any,
    *,
    threshold: float = 0.7,
    fill: bool = False,
    text: bool = True,
    colors: Mapping[str, str] | None = None,
) -> Any:
    """Show the cluster types of a labels layer.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer.
    labels : Labels layer or str
        Has a features table.
    threshold : float
        Regions with less confidence get a dashed outline and a question mark.
    fill : bool
        Fill the regions instead of outlining them.
    text : bool
        Write a letter above each region that is not confidently single.
    colors : mapping of type to color, optional
        Instead of the default colors.

    Returns
    -------
    Points layer or None
        The letters.
    """
    layer = find_layer(viewer, labels, "labels")
    show_colors(viewer, layer, fill=fill, colors=colors)
    return show_marks(viewer, layer, threshold=threshold, text=text, colors=colors)


def show_colors(
    viewer: Any, labels: Any, *, fill: bool = False, colors: Mapping[str, str] | None = None
) -> None:
    """Show colors and outlines only, without letters and dashes.

    Parameters as in `show_overlay`.
    """
    rows = frame_rows(table_of(labels), current_frame(viewer, labels))
    color_labels(labels, rows, colors)
    for name, value in (
        ("contour", 0 if fill else outline_width(frame_shape(labels))),
        ("opacity", 0.5 if fill else 1.0),
    ):
        if getattr(labels, name) != value:
            setattr(labels, name, value)


def show_marks(
    viewer: Any,
    labels: Any,
    *,
    threshold: float = 0.7,
    text: bool = True,
    colors: Mapping[str, str] | None = None,
) -> Any:
    """Redraw letters and dashes only, which is enough when just the threshold changes.

    Parameters and return value as in `show_overlay`.
    """
    show_unsure(viewer, labels, threshold, colors)
    return show_types(viewer, labels, threshold=threshold, text=text, colors=colors)


def show_unsure(
    viewer: Any, labels: Any, threshold: float, colors: Mapping[str, str] | None = None
) -> None:
    """Outline regions, dashed if they are unsure, and enable the hover text."""
    table = table_of(labels)
    labels.metadata[THRESHOLD] = float(threshold)
    show_dashes(viewer, labels, table, unsure(table, threshold), colors)
    follow_mouse(viewer)


def show_plain_outlines(viewer: Any, labels: Any, regions: Sequence[Region]) -> None:
    """Draw dark lines around regions that have no types yet: they are seen on any stain."""
    rows = build_table(list(regions))
    show_dashes(viewer, labels, rows, np.zeros(len(rows), bool))


def show_types(
    viewer: Any,
    labels: Any,
    *,
    threshold: float,
    text: bool = True,
    colors: Mapping[str, str] | None = None,
) -> Any:
    """Draw the letters, or remove them; parameters as in `show_overlay`."""
    if not text:
        empty_marks(viewer, labels, LETTERS)
        return None
    table = table_of(labels)
    doubtful = unsure(table, threshold)
    # Confident singles, the vast majority, get no letter, so that their bands stay visible.
    known = ~table["cluster_type"].isin(["", str(ClusterType.SINGLE)]).to_numpy()
    marked = known | doubtful
    return show_letters(viewer, labels, table[marked], doubtful[marked], colors)


def color_labels(layer: Any, rows: pd.DataFrame, colors: Mapping[str, str] | None = None) -> None:
    """Color labels by type."""
    from napari.utils.colormaps import DirectLabelColormap

    layer.colormap = DirectLabelColormap(color_dict=color_dict(rows, colors))


def plain_colormap() -> Any:
    """Return the colormap for unclassified regions: a single color that means no type.

    With one color per label, napari would also have to compile code for it.
    """
    from napari.utils.colormaps import DirectLabelColormap

    return DirectLabelColormap(color_dict={0: "transparent", None: UNCLASSIFIED})


def outline_width(shape: Sequence[int]) -> int:
    """Return an outline width in px that is visible but does not hide the bands of the image.

    It is wider than the half of the dark line around a region that lies inside the region.
    """
    return int(min(12, max(1, round(max(shape[-2:]) / 450))))


def letters_layer(viewer: Any, labels: Any) -> Any:
    """Return the points layer with the letters of a labels layer, or None."""
    return marks_layer(viewer, labels, LETTERS)


def hide_overlay(viewer: Any, labels: Any) -> None:
    """Remove letters and dashes and restore napari's default label colors."""
    from napari.utils.colormaps import label_colormap

    for mark in (LETTERS, DASHES):
        remove_marks(viewer, labels, mark)
    labels.colormap = label_colormap(49)
    labels.contour = 0
