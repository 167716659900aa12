"""Selecting regions in the picture: by picking them, or with a box."""

from __future__ import annotations

from typing import Any

import numpy as np
from qtpy.QtCore import QTimer

from napari_chromocluster.viewer.layers import current_frame, frame_shape, labels_in_box
from napari_chromocluster.widgets.classify.base import ClassifyBase

_BOX_LAYER = "selection box"


class ClassifySelecting(ClassifyBase):
    """The part of the dock that selects regions."""

    _picking = False

    def _set_picking(self, on: bool) -> None:
        self._picking = on
        labels = self.labels
        if labels is None:
            return
        if on:
            self.run.box_button.setChecked(False)
            self.viewer.layers.selection.active = labels
        labels.mode = "pick" if on else "pan_zoom"

    def _label_picked(self, event: Any = None) -> None:
        labels = self.labels
        if not self._picking or labels is None or not labels.selected_label:
            return
        self.select(self._selection ^ {int(labels.selected_label)})
        # Picking makes napari paint; the user wants to pick on.
        QTimer.singleShot(0, self._keep_picking)

    def _keep_picking(self) -> None:
        labels = self.labels
        if self._picking and labels is not None:
            labels.mode = "pick"

    def _set_boxing(self, on: bool) -> None:
        if not on:
            self._remove_box_layer()
            return
        self.run.pick_button.setChecked(False)
        labels = self.labels
        if labels is None:
            return
        layer = self.viewer.add_shapes(
            name=_BOX_LAYER,
            ndim=2,
            edge_color="#56B4E9",
            face_color="transparent",
            edge_width=2,
        )
        layer.mode = "add_rectangle"
        layer.metadata["chromocluster_box"] = True
        layer.events.data.connect(self._box_drawn)

    def _box_layer(self) -> Any:
        for layer in self.viewer.layers:
            if layer.metadata.get("chromocluster_box"):
                return layer
        return None

    def _box_drawn(self, event: Any = None) -> None:
        box, labels = self._box_layer(), self.labels
        if box is None or labels is None or not len(box.data):
            return
        corners = [box.data_to_world(corner) for corner in box.data[-1]]
        ndim = len(frame_shape(labels))
        frame = current_frame(self.viewer, labels)
        padded = [np.concatenate([np.zeros(ndim - 2), np.asarray(c)[-2:]]) for c in corners]
        self.select(self._selection | labels_in_box(labels, np.array(padded), frame))

    def _remove_box_layer(self) -> None:
        box = self._box_layer()
        if box is not None:
            self.viewer.layers.remove(box)
        if self.labels is not None:
            self.viewer.layers.selection.active = self.labels
