"""The selected regions, and selecting them with the mouse by clicking or drawing a box."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Any, Literal
from weakref import WeakValueDictionary

import numpy as np
from numpy.typing import NDArray
from psygnal import Signal

from napari_chromocluster.viewer.later import later
from napari_chromocluster.viewer.layer_tables import has_table
from napari_chromocluster.viewer.layers import current_frame, frame_shape, labels_in_box, layer_data
from napari_chromocluster.viewer.overlay_layers import Box, frame_vectors, show_selection_boxes
from napari_chromocluster.viewer.review.change_tracker import Key

Mode = Literal["", "pick", "box"]
#: Returns the boxes of those of the given regions that exist.
Boxes = Callable[[Collection[Key]], list[Box]]
#: Maximum number of framed regions; more would be confusing.
_MOST_FRAMES = 400

#: Selections by the id of their labels layer; kept alive by the docks that use them.
_open: WeakValueDictionary[Any, RegionSelection] = WeakValueDictionary()


class RegionSelection:
    """The selected regions of a labels layer, shared by all docks and napari.

    napari has a single selected label, which is set to the region selected last.  Changes through
    its picker and spin box are followed.

    Parameters
    ----------
    viewer : napari.Viewer
        Shows the frames around selected regions.
    labels : Labels layer
        Its selected label is kept in sync.

    Attributes
    ----------
    changed : Signal
        The selection has changed.
    sought : Signal
        A region is to be shown; carries its key.
    keys : tuple of (frame, label)
        The selected regions, in the order of selection.
    picking : bool
        Whether clicks in the canvas currently select, so that no other callback handles them.
    """

    changed = Signal()
    sought = Signal(object)

    def __init__(self, viewer: Any, labels: Any) -> None:
        self.viewer, self.labels = viewer, labels
        self.keys: tuple[Key, ...] = ()
        self.picking = False
        self._users: list[Boxes] = []
        self._label = int(labels.selected_label)
        self._following = False
        labels.events.selected_label.connect(self._label_event)

    def select(self, keys: Iterable[Key]) -> None:
        """Select regions and deselect all others."""
        wanted = tuple(dict.fromkeys((int(frame), int(label)) for frame, label in keys))
        if wanted and self.labels.selected_label != wanted[-1][1]:
            self._label = wanted[-1][1]
            self.labels.selected_label = self._label
        if wanted == self.keys:
            return
        self.keys = wanted
        self.draw()
        self.changed.emit()

    def seek(self, keys: Sequence[Key]) -> None:
        """Select regions and bring the last one into view."""
        self.sought.emit(keys[-1])
        self.select(keys)

    def toggle(self, key: Key) -> None:
        """Add a region to the selection, or remove it."""
        others = [one for one in self.keys if one != key]
        self.select(others if key in self.keys else [*others, key])

    def draw(self, drawn: NDArray[np.float64] | None = None) -> None:
        """Draw frames around the selected regions, plus any vectors being drawn."""
        if self.labels in self.viewer.layers:
            show_selection_boxes(
                self.viewer, self.labels, self._boxes(self.keys[:_MOST_FRAMES]), drawn
            )

    def leave(self, boxes: Boxes) -> None:
        """Stop using the selection; it is closed when its last user leaves."""
        self._users.remove(boxes)
        if self._users:
            return
        self.select([])
        self.labels.events.selected_label.disconnect(self._label_event)
        _open.pop(self.labels.unique_id, None)

    def _boxes(self, keys: Collection[Key]) -> list[Box]:
        """Return the boxes of those regions that exist."""
        if not keys or not self._users:
            return []
        return self._users[-1](keys) or self._boxes_by_table(keys)

    def _boxes_by_table(self, keys: Collection[Key]) -> list[Box]:
        """Return boxes from the features table, without reading lazy labels."""
        if isinstance(layer_data(self.labels), np.ndarray) or not has_table(self.labels):
            return []
        table, wanted = self.labels.features, set(keys)
        return [
            (frame, y0, x0, y1 - 1, x1 - 1)
            for frame, label, box in zip(table["frame"], table["index"], table["bbox"], strict=True)
            if (frame, label) in wanted
            for y0, x0, y1, x1 in [[int(edge) for edge in str(box).split(",")]]
        ]

    def _label_event(self, event: Any = None) -> None:
        # napari also emits it with every new colormap.
        if self.labels.selected_label == self._label or self._following:
            return
        # The Features table first reports a wrong label; what the docks derive from its rows is
        # right.
        self._following = True
        later(self._follow_label)

    def _follow_label(self) -> None:
        """Select the region whose label was picked in napari."""
        self._following = False
        label = int(self.labels.selected_label)
        if label == self._label:
            return
        self._label = label
        key = self._key_of(label)
        self.select([] if key is None else [key])

    def _key_of(self, label: int) -> Key | None:
        """Return the region with a label: in the frame shown, or the only one."""
        shown = (current_frame(self.viewer, self.labels), label)
        if self._boxes([shown]):
            return shown
        if not has_table(self.labels):
            return None
        table = self.labels.features
        frames = table.loc[table["index"] == label, "frame"].tolist()
        key = (int(frames[0]), label) if len(frames) == 1 else None
        return key if key is not None and self._boxes([key]) else None


def use_selection(viewer: Any, labels: Any, boxes: Boxes) -> RegionSelection:
    """Return the selection of a labels layer; each user must call `RegionSelection.leave`.

    Parameters
    ----------
    viewer, labels
        As for `RegionSelection`.
    boxes : callable
        Returns the boxes ``(frame, y0, x0, y1, x1)``, ends included, of those of the given regions
        that exist.
    """
    found = _open.get(labels.unique_id)
    if found is None:
        found = _open[labels.unique_id] = RegionSelection(viewer, labels)
    found._users.append(boxes)
    return found


class RegionPicker:
    """Mouse handling in the canvas while regions are selected.

    napari's own picker is not used: it emits no event when the same region is clicked again, and it
    leaves the layer ready to be painted on.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer.
    labels : callable
        Returns the labels layer, or None.
    picked : callable
        Called with a label that was clicked.
    boxed : callable
        Called with the labels in a box that was drawn.
    drawing : callable
        Called with the sides of the box as vectors while it is drawn, and with None when it is
        finished.
    """

    def __init__(
        self,
        viewer: Any,
        labels: Callable[[], Any],
        picked: Callable[[int], None],
        boxed: Callable[[set[int]], None],
        drawing: Callable[[NDArray[np.float64] | None], None],
    ) -> None:
        self.viewer = viewer
        self.mode: Mode = ""
        self._labels = labels
        self._picked, self._boxed, self._drawing = picked, boxed, drawing
        viewer.mouse_drag_callbacks.append(self._on_drag)
        # napari re-enables panning whenever another layer is selected; its callback runs first.
        viewer.layers.selection.events.active.connect(self._keep_mode, position="last")

    def set_mode(self, mode: Mode) -> None:
        """Switch between picking, drawing boxes, and napari's default mouse handling."""
        self.mode = mode
        # In box mode a drag draws the box and must not pan the image.
        self.viewer.scene.camera.mouse_pan = mode != "box"
        labels = self._labels()
        if mode and labels is not None and str(labels.mode) != "pan_zoom":
            labels.mode = "pan_zoom"

    def _keep_mode(self, event: Any = None) -> None:
        if self.mode == "box":
            self.viewer.scene.camera.mouse_pan = False

    def close(self) -> None:
        """Restore napari's mouse handling permanently."""
        if self.mode:
            self.set_mode("")
        self.viewer.layers.selection.events.active.disconnect(self._keep_mode)
        if self._on_drag in self.viewer.mouse_drag_callbacks:
            self.viewer.mouse_drag_callbacks.remove(self._on_drag)

    def _on_drag(self, viewer: Any, event: Any) -> Iterator[None]:
        labels, active = self._labels(), viewer.layers.selection.active
        busy = active is not None and str(active.mode) != "pan_zoom"
        if not self.mode or labels is None or event.button != 1 or busy:
            return
        start = np.asarray(event.position, float)
        if self.mode == "box":
            yield from self._box(event, labels, start)
            return
        dragged = False
        yield
        while event.type == "mouse_move":
            dragged = True
            yield
        label = 0 if dragged else self.label_at(labels, start)
        if label:
            self._picked(label)

    def _box(self, event: Any, labels: Any, start: Any) -> Iterator[None]:
        frame = current_frame(self.viewer, labels)
        # In px of the layer, which may be rotated, so that the box drawn is the box selected.
        ends = np.array([labels.world_to_data(start)] * 2)
        yield
        while event.type == "mouse_move":
            ends[1] = labels.world_to_data(np.asarray(event.position, float))
            (y0, x0), (y1, x1) = (one(ends[:, -2:], axis=0).tolist() for one in (np.min, np.max))
            self._drawing(frame_vectors([(frame, y0, x0, y1, x1)], labels.ndim))
            yield
        self._drawing(None)
        corners = [labels.data_to_world(one) for one in ends]
        self._boxed(labels_in_box(labels, corners, frame))

    def label_at(self, labels: Any, position: Any) -> int:
        """Return the label at a position in world coordinates, or 0."""
        y, x = (round(float(one)) for one in labels.world_to_data(position)[-2:])
        height, width = frame_shape(labels)[-2:]
        if not (0 <= y < height and 0 <= x < width):
            return 0
        array = layer_data(labels)
        plane = array[current_frame(self.viewer, labels)] if len(array.shape) == 3 else array
        return int(np.asarray(plane[y, x]))
