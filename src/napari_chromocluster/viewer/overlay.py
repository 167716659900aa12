"""Colour labels by their cluster types, with letters for what must not hang on colour."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from napari_chromocluster.results.table import unsure
from napari_chromocluster.taxonomy import TYPES, ClusterType
from napari_chromocluster.viewer.layers import current_frame, find_layer, frame_shape, table_of

#: Width of the outlines, in px.
CONTOUR = 2
#: Colour of regions that are not classified.
UNCLASSIFIED = "#56B4E9"
_SUFFIX = " · types"


def color_dict(
    table: pd.DataFrame, colors: Mapping[str, str] | None = None
) -> dict[int | None, str]:
    """Return the colour of each label, for napari's DirectLabelColormap."""
    chosen = {str(kind): (colors or {}).get(str(kind), kind.color) for kind in TYPES}
    out: dict[int | None, str] = {0: "transparent", None: UNCLASSIFIED}
    for label, kind in zip(table["index"], table["cluster_type"], strict=True):
        out[int(label)] = chosen.get(kind, UNCLASSIFIED)
    return out


def frame_rows(table: pd.DataFrame, frame: int) -> pd.DataFrame:
    """Return the rows to colour: one frame's where labels repeat across frames, else all."""
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
        Carries a features table.
    threshold : float
        Regions with less confidence are marked with a question mark.
    fill : bool
        Fill the regions instead of outlining them.
    text : bool
        Write letters beside clusters and unsure regions.
    colors : mapping of type to colour, optional
        Instead of the default colours.

    Returns
    -------
    Points layer or None
        The letters.
    """
    from napari.utils.colormaps import DirectLabelColormap

    layer = find_layer(viewer, labels, "labels")
    table = frame_rows(table_of(layer), current_frame(viewer, layer))
    layer.colormap = DirectLabelColormap(color_dict=color_dict(table, colors))
    layer.contour = 0 if fill else CONTOUR
    layer.opacity = 0.5 if fill else 1.0
    return _letters(viewer, layer, table_of(layer), threshold, text, colors)


def _letters(
    viewer: Any,
    layer: Any,
    table: pd.DataFrame,
    threshold: float,
    visible: bool,
    colors: Mapping[str, str] | None,
) -> Any:
    """Make or renew the points layer with the letters; it selects nothing and edits nothing."""
    name = layer.name + _SUFFIX
    old = letters_layer(viewer, layer)
    doubtful = pd.Series(unsure(table, threshold), index=table.index)
    shown = table[(table["cluster_type"].isin([str(k) for k in TYPES if k.is_cluster])) | doubtful]
    places, words, shades = [], [], []
    columns = (shown["cluster_type"], shown["bbox"], shown["frame"], doubtful[shown.index])
    for kind, box, frame, question in zip(*columns, strict=True):
        y0, _, _, x1 = (float(value) for value in str(box).split(","))
        stacked = [float(frame)] if len(frame_shape(layer)) == 3 else []
        places.append([*stacked, y0, x1 + 2.0])
        words.append(ClusterType(kind).letter + ("?" if question else ""))
        shades.append((colors or {}).get(kind, ClusterType(kind).color))
    if old is not None:
        viewer.layers.remove(old)
    if not places or not visible:
        return None
    selected = set(viewer.layers.selection)
    points = viewer.add_points(
        np.array(places),
        name=name,
        size=1,
        opacity=1.0,
        face_color="transparent",
        border_color="transparent",
        features=pd.DataFrame({"letter": words}),
        text={"string": "{letter}", "size": 11, "color": shades, "anchor": "upper_left"},
        scale=layer.scale,
        translate=layer.translate,
    )
    points.editable = False
    points.metadata["chromocluster_letters_of"] = layer.unique_id
    viewer.layers.selection = selected
    return points


def letters_layer(viewer: Any, labels: Any) -> Any:
    """Return the points layer with the letters of a labels layer, if there is one."""
    for layer in viewer.layers:
        if layer.metadata.get("chromocluster_letters_of") == labels.unique_id:
            return layer
    return None


def hide_overlay(viewer: Any, labels: Any) -> None:
    """Take the letters away and let napari colour the labels as it likes."""
    from napari.utils.colormaps import label_colormap

    letters = letters_layer(viewer, labels)
    if letters is not None:
        viewer.layers.remove(letters)
    labels.colormap = label_colormap(49)
    labels.contour = 0
