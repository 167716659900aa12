"""Marks over a labels layer that are visible on any image: letters, lines, dashes, frames."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from napari_chromocluster.cluster_types import ClusterType
from napari_chromocluster.imaging.regions import topmost_point
from napari_chromocluster.viewer.later import later, remove_later, weak
from napari_chromocluster.viewer.layers import (
    EXPLANATION,
    frame_shape,
    image_of,
    spatial_metadata,
)
from napari_chromocluster.viewer.outline_vectors import outline_vectors, region_masks

#: Keys of ``layer.metadata`` for the labels layer that marks belong to.
LETTERS, DASHES = "chromocluster_letters_of", "chromocluster_dashes_of"
FRAMES = "chromocluster_frames_of"
#: Key of ``layer.metadata`` for the id of the layer whose marks already follow it.
_FOLLOWED = "chromocluster_followed"
#: Attributes of a layer's position that have napari events.
_PLACED = ("scale", "translate", "rotate", "shear", "affine")
#: Colors of the line around outlines and of the background of letters; every type is visible on one
#: of them.
_DARK, _LIGHT = "#000000E6", "#FFFFFFE6"
#: Luminance above which a color is visible on a dark background.
_BRIGHT = 0.1
#: Diameter of the background of a letter, in screen px (napari draws it half as large again).
_GROUND = 15
#: Distance of a letter above its region in px, when the whole image is shown.
_ABOVE = 9.0
#: Color of the selection: no type or unclassified region has it, and it is visible on dark and
#: light images.
SELECTION_COLOR = "#9A4DFF"
#: Relative error in the width of a frame that is tolerated before it is redrawn.
_SAME_WIDTH = 0.2
#: Milliseconds after which an empty layer of marks is removed. Removal takes half a second, in
#: which napari collects garbage, so it is not done each time marks come and go.
_EMPTY_FOR = 2000
#: Px between a region's box and the frame around it.
_FRAME_PAD = 3.0

Box = tuple[int, float, float, float, float]


def marks_layer(viewer: Any, labels: Any, mark: str) -> Any:
    """Return the layer with one kind of marks of a labels layer, or None."""
    return next((one for one in viewer.layers if is_mark(one, mark, labels.unique_id)), None)


def is_mark(layer: Any, mark: str, owner: Any) -> bool:
    """Return whether a layer contains one kind of marks of the labels layer with that id."""
    return bool(layer.metadata.get(mark) == owner)


def letter_places(layer: Any, rows: pd.DataFrame) -> tuple[NDArray[np.float64], list[int]]:
    """Return the positions of letters above regions, and the row number of each.

    Returns
    -------
    (N, D) float array
        Positions in px of the layer.
    list of int
        Row numbers they belong to.
    """
    places, kept = [], []
    ndim = len(frame_shape(layer))
    for number in range(len(rows)):
        for _, frame, top, left, mask in region_masks(layer, rows.iloc[number : number + 1]):
            y, x = topmost_point(mask)
            # So that the bands of the region stay visible.
            place = (top + y - _ABOVE * _grain(layer), left + x)
            places.append((float(frame), *place) if ndim == 3 else place)
            kept.append(number)
    return np.array(places).reshape(-1, ndim), kept


def show_letters(
    viewer: Any,
    labels: Any,
    rows: pd.DataFrame,
    doubtful: NDArray[np.bool_],
    colors: Mapping[str, str] | None,
) -> Any:
    """Draw a letter above each region of some rows, with a question mark if it is unsure."""
    places, kept = letter_places(labels, rows)
    old = marks_layer(viewer, labels, LETTERS)
    if not kept:
        empty_marks(viewer, labels, LETTERS)
        return None
    kinds = [ClusterType(kind) for kind in rows["cluster_type"].iloc[kept]]
    words = [k.letter + "?" * bool(doubtful[i]) for k, i in zip(kinds, kept, strict=True)]
    shades = [(colors or {}).get(str(kind), kind.color) for kind in kinds]
    text = {
        "string": "{letter}",
        "size": 12,
        "color": shades,
        "anchor": "center",
    }
    if old is not None:
        # Creating a layer takes much longer than filling one, and the layer list would flicker.
        fill_letters(old, places, words, text)
        return old
    grounds = _grounds(shades)
    return _add(
        viewer, labels, LETTERS, "add_points", places,
        name=mark_name(viewer, labels, "types"), size=1, canvas_size_limits=(_GROUND, _GROUND),
        face_color=grounds, border_color=grounds, border_width=0, symbol="disc",
        features=pd.DataFrame({"letter": words}), text=text,
    )  # fmt: skip


def assign(layer: Any, data: NDArray[np.float64]) -> None:
    """Set the data of a layer of marks, unless it is unchanged."""
    if layer.data.shape != data.shape or not np.array_equal(layer.data, data):
        layer.data = data
        if not layer.visible:
            layer.set_view_slice()  # napari does not update the view of a hidden layer


def fill_letters(
    layer: Any, places: NDArray[np.float64], words: Sequence[str], text: Mapping[str, Any]
) -> None:
    """Replace letters, even while their layer is hidden.

    napari does not update which points of a hidden layer are in view, and would look up the new
    letters by the old positions; so the text stays empty until the view is updated.
    """
    if layer.visible:
        assign(layer, places)
    else:
        layer.text = {"string": {"constant": ""}}
        layer.data = places
        layer.set_view_slice()
    layer.features = pd.DataFrame({"letter": list(words)})
    layer.text = dict(text)
    if len(places):
        # napari draws a border around a point with limited size, even if its width is 0.
        layer.face_color = layer.border_color = _grounds(text["color"])


def _grounds(colors: Sequence[str]) -> NDArray[np.float64]:
    """Return the background on which each letter color is visible, whatever the image."""
    from napari.utils.colormaps.standardize_color import transform_color

    found = np.asarray(transform_color(list(colors)), float)
    bright = found[:, :3] ** 2.2 @ [0.2126, 0.7152, 0.0722] > _BRIGHT
    dark, light = transform_color([_DARK, _LIGHT])
    return np.asarray(np.where(bright[:, None], dark, light), float)


def show_dashes(
    viewer: Any,
    labels: Any,
    rows: pd.DataFrame,
    doubtful: NDArray[np.bool_],
    colors: Mapping[str, str] | None = None,
) -> Any:
    """Draw dark lines around regions, with dashes in the type's color where they are unsure.

    The dark line makes an outline visible on any stain.
    """
    from napari.utils.colormaps.standardize_color import transform_color

    halo, dashes, owners = outline_vectors(labels, rows)
    if not len(halo):
        empty_marks(viewer, labels, DASHES)
        return None
    dashed = rows[doubtful]
    shades = {
        (frame, label): (colors or {}).get(str(kind), ClusterType(kind).color)
        for frame, label, kind in zip(
            dashed["frame"], dashed["index"], dashed["cluster_type"], strict=True
        )
    }
    # The dashes of sure regions are not seen, but there: other lines take napari much longer
    # than other colours.
    names = ["transparent", _DARK, *sorted(set(shades.values()))]
    places = [names.index(shades.get(one, "transparent")) for one in owners]
    drawn = np.asarray(transform_color(names))[[1] * len(halo) + places]
    vectors, old = np.concatenate([halo, dashes]), marks_layer(viewer, labels, DASHES)
    if old is None:
        return _add(
            viewer, labels, DASHES, "add_vectors", vectors,
            name=mark_name(viewer, labels, "outlines"), edge_width=1.2 * _grain(labels),
            edge_color=drawn, vector_style="line",
        )  # fmt: skip
    assign(old, vectors)
    if not np.array_equal(old.edge_color, drawn):
        old.edge_color = drawn
    return old


def show_selection_boxes(
    viewer: Any,
    labels: Any,
    boxes: Sequence[Box],
    drawn: NDArray[np.float64] | None = None,
) -> Any:
    """Draw frames around regions.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer.
    labels : Labels layer
        The regions.
    boxes : sequence of (frame, y0, x0, y1, x1)
        Boxes in px of the layer; an empty sequence removes the frames.
    drawn : (N, 2, D) float array, optional
        Additional lines, as vectors.
    """
    vectors = frame_vectors(boxes, len(frame_shape(labels)))
    if drawn is not None:
        vectors = np.concatenate([vectors, drawn])
    if not len(vectors):
        empty_marks(viewer, labels, FRAMES)
        return None
    old, width = marks_layer(viewer, labels, FRAMES), _line_width(viewer, labels)
    if old is not None:
        old.data = vectors
        if abs(old.edge_width - width) > _SAME_WIDTH * width:
            old.edge_width = width
        return old
    return _add(
        viewer, labels, FRAMES, "add_vectors", vectors,
        name=mark_name(viewer, labels, "selected"), edge_width=width,
        edge_color=SELECTION_COLOR, vector_style="line",
    )  # fmt: skip


def frame_vectors(boxes: Sequence[Box], ndim: int) -> NDArray[np.float64]:
    """Return the four sides of each box as vectors (4N, 2, D), slightly outside the box."""
    out = np.zeros((len(boxes), 4, 2, ndim))
    for number, (frame, *edges) in enumerate(boxes):
        y0, x0, y1, x1 = np.array(edges) + _FRAME_PAD * np.array([-1, -1, 1, 1])
        corners = np.array([[y0, x0], [y0, x1], [y1, x1], [y1, x0], [y0, x0]])
        out[number, :, 0, -2:] = corners[:4]
        out[number, :, 1, -2:] = np.diff(corners, axis=0)
        if ndim == 3:
            out[number, :, 0, 0] = frame
    return out.reshape(-1, 2, ndim)


def _grain(labels: Any) -> float:
    """Return the approximate image px per screen px when the whole image is shown."""
    return max(1.0, max(frame_shape(labels)[-2:]) / 700)


def _line_width(viewer: Any, labels: Any) -> float:
    """Return a line width in px of the image that is visible at any zoom."""
    shown = float(viewer.scene.camera.zoom) * abs(float(labels.scale[-1]))
    return float(np.clip(2.5 / max(shown, 1e-3), 0.5, 6.0))


def mark_name(viewer: Any, labels: Any, what: str) -> str:
    """Return the name of a layer of marks: the image's name plus what the marks show."""
    image = image_of(viewer, labels) if labels in viewer.layers else None
    return f"{labels.name if image is None else image.name} · {what}"


@contextmanager
def unselected(viewer: Any) -> Iterator[None]:
    """Add layers within this context without selecting them or emitting selection events.

    Otherwise the Features table, which shows the selected layer, would lose a click on a row.
    """
    selection = viewer.layers.selection
    selected = set(selection)
    with selection.events.blocker_all():
        try:
            yield
        finally:
            viewer.layers.selection = selected


def _add(viewer: Any, labels: Any, mark: str, add: str, data: Any, **options: Any) -> Any:
    """Add a layer of marks aligned with the labels, without changing the selection."""
    if labels not in viewer.layers:
        return None
    with unselected(viewer):
        layer = getattr(viewer, add)(data, opacity=1.0, **spatial_metadata(labels), **options)
    layer.editable = False
    layer.visible = labels.visible
    layer.metadata[mark] = labels.unique_id
    follow(viewer, labels)
    return layer


def follow(viewer: Any, labels: Any) -> None:
    """Keep visibility, position and removal of marks and explanation in sync with their labels."""
    owner = labels.unique_id
    # A duplicated layer copies the metadata, so the metadata stores which layer is followed.
    if labels.metadata.get(_FOLLOWED) == owner:
        return
    labels.metadata[_FOLLOWED] = owner

    def mine(*kinds: str) -> list[Any]:
        return [x for x in viewer.layers if any(is_mark(x, kind, owner) for kind in kinds)]

    def seen(event: Any) -> None:
        for mark in mine(LETTERS, DASHES, FRAMES):
            mark.visible = event.source.visible
        if not event.source.visible:  # it is not shown again automatically
            for layer in mine(EXPLANATION):
                layer.visible = False

    def moved(event: Any) -> None:
        place = spatial_metadata(event.source)
        for layer in mine(LETTERS, DASHES, FRAMES, EXPLANATION):
            for name, value in place.items():
                setattr(layer, name, value)

    def gone(event: Any) -> None:
        if event.value.unique_id != owner:
            return
        take_away(viewer, mine(LETTERS, DASHES, FRAMES, EXPLANATION))
        # Nothing is followed any more; if the layer is added again, its new marks will be.
        viewer.layers.events.removed.disconnect(gone)
        event.value.events.visible.disconnect(seen)
        for name in _PLACED:
            event.value.events[name].disconnect(moved)
        event.value.metadata.pop(_FOLLOWED, None)

    labels.events.visible.connect(seen)
    for name in _PLACED:
        labels.events[name].connect(moved)
    viewer.layers.events.removed.connect(gone)


def empty_marks(viewer: Any, labels: Any, mark: str) -> None:
    """Remove all marks of one kind; their layer is removed later if it stays empty."""
    layer = marks_layer(viewer, labels, mark)
    if layer is None or not len(layer.data):
        return
    _empty(layer)
    viewer_of = weak(viewer)

    def remove() -> None:
        there = viewer_of()
        if there is not None and not len(layer.data) and layer.metadata.get(mark) is not None:
            take_away(there, [layer])

    later(remove, _EMPTY_FOR)


def _empty(layer: Any) -> None:
    """Remove all marks from their layer."""
    if LETTERS in layer.metadata:
        look = {"string": "{letter}", "size": layer.text.size, "anchor": "center"}
        fill_letters(layer, layer.data[:0], [], look)
    else:
        layer.data = layer.data[:0]


def remove_marks(viewer: Any, labels: Any, mark: str) -> None:
    """Remove one kind of marks."""
    layer = marks_layer(viewer, labels, mark)
    if layer is not None:
        take_away(viewer, [layer])


def take_away(viewer: Any, layers: Sequence[Any]) -> None:
    """Empty layers of marks and remove them later; new marks get new layers.

    OpenGL may crash when removing a text layer that was hidden when it was last drawn (napari 0.9),
    so such layers are shown, empty, until they are removed.
    """
    for layer in layers:
        if EXPLANATION in layer.metadata:
            layer.visible = False
        else:
            layer.visible = True
            _empty(layer)
        for kind in {LETTERS, DASHES, FRAMES, EXPLANATION} & layer.metadata.keys():
            layer.metadata[kind] = None
    remove_later(viewer, layers)
