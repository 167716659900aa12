"""Selecting regions with the mouse: one by one, or all that a box holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Literal

import numpy as np

from napari_chromocluster.viewer.layers import current_frame, frame_shape, labels_in_box, pixels
from napari_chromocluster.viewer.marks import Box

Mode = Literal["", "pick", "box"]


class RegionPicker:
    """What the mouse does in the canvas while regions are selected.

    napari's own picker would not do: it says nothing when the same region is
    clicked again, and it leaves the layer ready to be painted on.

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
        Called with the box while it is drawn, and with None when it is done.
    """

    def __init__(
        self,
        viewer: Any,
        labels: Callable[[], Any],
        picked: Callable[[int], None],
        boxed: Callable[[set[int]], None],
        drawing: Callable[[Box | None], None],
    ) -> None:
        self.viewer = viewer
        self.mode: Mode = ""
        self._labels = labels
        self._picked, self._boxed, self._drawing = picked, boxed, drawing
        viewer.mouse_drag_callbacks.append(self._on_drag)
        # napari lets a drag move the picture again whenever another layer is chosen; it is first.
        viewer.layers.selection.events.active.connect(self._keep_mode, position="last")

    def set_mode(self, mode: Mode) -> None:
        """Pick, draw boxes, or leave the mouse to napari."""
        self.mode = mode
        # A drag draws the box then, and must not move the picture.
        self.viewer.scene.camera.mouse_pan = mode != "box"
        labels = self._labels()
        if mode and labels is not None and str(labels.mode) != "pan_zoom":
            labels.mode = "pan_zoom"

    def _keep_mode(self, event: Any = None) -> None:
        if self.mode == "box":
            self.viewer.scene.camera.mouse_pan = False

    def close(self) -> None:
        """Leave the mouse to napari for good."""
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
        # In px of the layer, which may be turned: what is framed is what is selected.
        ends = np.array([labels.world_to_data(start)] * 2)
        yield
        while event.type == "mouse_move":
            ends[1] = labels.world_to_data(np.asarray(event.position, float))
            (y0, x0), (y1, x1) = (one(ends[:, -2:], axis=0).tolist() for one in (np.min, np.max))
            self._drawing((frame, y0, x0, y1, x1))
            yield
        self._drawing(None)
        corners = [labels.data_to_world(one) for one in ends]
        self._boxed(labels_in_box(labels, corners, frame))

    def label_at(self, labels: Any, position: Any) -> int:
        """Return the label at a place in world coordinates, 0 where there is none."""
        y, x = (round(float(one)) for one in labels.world_to_data(position)[-2:])
        height, width = frame_shape(labels)[-2:]
        if not (0 <= y < height and 0 <= x < width):
            return 0
        array = pixels(labels)
        plane = array[current_frame(self.viewer, labels)] if len(array.shape) == 3 else array
        return int(np.asarray(plane[y, x]))
