"""Change colors or pixels of a few regions of a Labels layer without redrawing the whole layer.

Replacing the colormap of a Labels layer, or refreshing it, makes napari recompute all contours: a
tenth of a second for a one-megapixel metaphase, on the main thread.

This is the only module that uses private attributes of napari (``tests/viewer/test_compat.py``
checks that no other module does, and fails if napari changes them).  If they are missing, the
functions return False, and the caller replaces the colormap or refreshes the layer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_chromocluster.cluster_types import TYPES
from napari_chromocluster.viewer.layers import frame_shape
from napari_chromocluster.viewer.overlay import UNCLASSIFIED

_MOST_WINDOWS = 12
#: Top, left, bottom, right in px, half open.
Box = tuple[int, int, int, int]


def with_spares(colors: Mapping[int | None, str], chosen: Mapping[str, str]) -> dict[Any, str]:
    """Return colors by label, plus one unused label per color so that every color is present."""
    out: dict[Any, str] = dict(colors)
    top = max((label for label in out if label is not None), default=0)
    wanted = [chosen.get(str(kind), kind.color) for kind in TYPES]
    for number, color in enumerate([*wanted, UNCLASSIFIED], start=1):
        out[top + number] = color
    return out


def recolor(
    layer: Any, colors: Mapping[int, NDArray[np.float32]], boxes: Mapping[int, Box], frame: int
) -> bool:
    """Give some regions colors that the layer's colormap already contains.

    Parameters
    ----------
    layer : Labels layer
        With a `DirectLabelColormap`, from `with_spares`.
    colors : mapping of label to (4,) array
        RGBA from 0 to 1.
    boxes : mapping of label to box
        Their bounding boxes.
    frame : int
        Their frame, which must be the frame shown.

    Returns
    -------
    bool
        False if this is not possible and the colormap must be replaced.
    """
    inner = getattr(layer, "__wrapped__", layer)
    try:
        if not _map_labels(inner, colors):
            return False
        if inner.data.dtype.itemsize <= 2:
            # Such labels are used as the texture directly, so only the color table is uploaded.
            inner.events.colormap()
        else:
            for box in _together([boxes[label] for label in colors]):
                _draw_window(inner, box, frame)
        inner._selected_color = inner.get_color(inner.selected_label)
    except (AttributeError, KeyError, TypeError, IndexError):
        return False
    inner.events.selected_label()
    return True


def redraw(layer: Any, boxes: list[Box], frame: int) -> bool:
    """Show pixels changed within some boxes; unlike `refresh`, does not redraw everything.

    Parameters
    ----------
    layer : Labels layer
        With an array in memory, so that napari shows a view of it.
    boxes : list of box
        Where pixels were changed in the frame that is shown.
    frame : int
        That frame.

    Returns
    -------
    bool
        False if this is not possible and the layer must be refreshed.
    """
    inner = getattr(layer, "__wrapped__", layer)
    try:
        if not (inner.visible and inner.loaded) or len(inner._slice_input.displayed) != 2:
            return False
        if not np.may_share_memory(inner._slice.image.raw, inner.data):
            return False  # a copy, which does not change with the data
        for box in _together(boxes):
            _map_window(inner, _window(inner, box, frame))
        inner._update_thumbnail()
    except (AttributeError, KeyError, TypeError, IndexError, ValueError):
        return False
    # As after a refresh: napari uploads its texture, and listeners count the regions again.
    inner.events.set_data()
    return True


def _map_labels(inner: Any, colors: Mapping[int, NDArray[np.float32]]) -> bool:
    """Set colors in the colormap and in its caches."""
    colormap = inner.colormap
    if getattr(inner, "multiscale", False) or colormap.use_selection:
        return False
    numbers, known = colormap._label_mapping_and_color_dict
    wanted: dict[int, int] = {}
    for label, color in colors.items():
        same = (n for n, one in known.items() if n and np.allclose(one, color, atol=1e-4))
        number = next(same, None)
        if number is None:
            return False
        wanted[label] = number
    for label, color in colors.items():
        colormap.color_dict[label] = np.asarray(color, np.float32)
        numbers[label] = wanted[label]
    if inner.data.dtype.itemsize <= 2:
        # Computing the color of all 65536 possible labels again would take a tenth of a second.
        for table in colormap._cache_mapping.values():
            for label, color in colors.items():
                table[label] = color
        return True
    colormap.__dict__.pop("_array_map", None)
    for name, table in colormap._cache_other.items():
        if name.endswith("_typed_dict"):
            kind = np.dtype(name[1 : -len("_typed_dict")]).type
            value = inner._slice.image.view.dtype.type
            for label, number in wanted.items():
                table[kind(label)] = value(number)
    return True


def _together(boxes: list[Box]) -> list[Box]:
    """Return the boxes to draw, joined into one if there are many."""
    if len(boxes) <= _MOST_WINDOWS:
        return boxes
    edges = np.array(boxes)
    low, high = edges.min(axis=0), edges.max(axis=0)
    return [(int(low[0]), int(low[1]), int(high[2]), int(high[3]))]


def _draw_window(inner: Any, box: Box, frame: int) -> None:
    window = _window(inner, box, frame)
    _map_window(inner, window)
    inner._updated_slice = window
    inner._partial_labels_refresh()


def _window(inner: Any, box: Box, frame: int) -> tuple[slice, ...]:
    """Return the index of a box in the data, with a margin for contours."""
    height, width = frame_shape(inner)[-2:]
    pad = max(1, int(inner.contour))
    rows = slice(max(0, box[0] - pad), min(height, box[2] + pad))
    columns = slice(max(0, box[1] - pad), min(width, box[3] + pad))
    stack = (slice(frame, frame + 1),) if len(frame_shape(inner)) == 3 else ()
    return (*stack, rows, columns)


def _map_window(inner: Any, window: tuple[slice, ...]) -> None:
    """Map the pixels of a window to display values."""
    shown = tuple(window[axis] for axis in inner._slice_input.displayed)
    image = inner._slice.image
    image.view[shown] = inner._raw_to_displayed(image.raw, shown)
