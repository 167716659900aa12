"""Select regions in the canvas, by clicking or drawing a box."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_chromocluster.imaging.regions import Region, extract_regions
from napari_chromocluster.viewer.layers import current_frame, layer_data, layer_doubt, mismatch
from napari_chromocluster.viewer.overlay_layers import Box
from napari_chromocluster.viewer.region_selection import RegionPicker
from napari_chromocluster.viewer.review.change_tracker import Key
from napari_chromocluster.widgets.classify.base import ClassifyBase


class ClassifySelecting(ClassifyBase):
    """The part of the dock that selects regions."""

    picker: RegionPicker
    _listed: tuple[Any, list[Region]] | None = None
    _doubted: tuple[Any, str] | None = None

    def _build_picker(self) -> RegionPicker:
        return RegionPicker(
            self.viewer, lambda: self.labels, self._clicked, self._box_drawn, self._draw_box
        )

    def _clicked(self, label: int) -> None:
        if self.selected is not None:
            self.selected.toggle(self._here(label))

    def _draw_box(self, drawn: NDArray[np.float64] | None) -> None:
        if self.selected is not None:
            self.selected.draw(drawn)

    def _set_picking(self, on: bool) -> None:
        if on:
            self.run.box_button.setChecked(False)
        self._set_mode()

    def _set_boxing(self, on: bool) -> None:
        if on:
            self.run.pick_button.setChecked(False)
        self._set_mode()

    def _set_mode(self) -> None:
        picking, boxing = self.run.pick_button.isChecked(), self.run.box_button.isChecked()
        if (picking or boxing) and self.labels is not None:
            self.viewer.layers.selection.active = self.labels
        self.picker.set_mode("pick" if picking else "box" if boxing else "")
        if self.selected is not None:
            self.selected.picking = bool(self.picker.mode)
        self._update()

    def _stop_selecting(self) -> None:
        self.run.pick_button.setChecked(False)
        self.run.box_button.setChecked(False)

    def _box_drawn(self, labels: set[int]) -> None:
        self.select_keys([*self._keys, *(self._here(label) for label in sorted(labels))])
        # One box is usually enough, and the next drag should pan the image again.
        self.run.box_button.setChecked(False)

    def _here(self, label: int) -> Key:
        """Return the key of a label in the frame that is shown."""
        return current_frame(self.viewer, self.labels), label

    def _regions(self) -> list[Region]:
        array = layer_data(self.labels) if self.labels is not None else None
        if not isinstance(array, np.ndarray):
            return []
        # Listing reads every pixel, so the result is cached until the pixels change.
        if self._listed is None or self._listed[0] is not array:
            self._listed = (array, extract_regions(array) if (array > 0).any() else [])
        return self._listed[1]

    def _doubt(self) -> str:
        """Return what looks wrong with the selected regions; empty if nothing does."""
        labels = self.labels
        if labels is None or self.image is None:
            return ""
        wrong = mismatch(self.image, labels)
        if wrong or not self._regions():
            return wrong
        if self._doubted is None or self._doubted[0] is not self._listed:
            self._doubted = (self._listed, layer_doubt(layer_data(labels), self._regions()))
        return f"{labels.name}: {self._doubted[1]}" if self._doubted[1] else ""

    def _boxes(self, keys: Collection[Key]) -> list[Box]:
        """Return the bounding boxes of some regions."""
        wanted = set(keys)
        return [
            (region.frame, y0, x0, y1 - 1, x1 - 1)
            for region in self._regions()
            if (region.frame, region.label) in wanted
            for y0, x0, y1, x1 in [region.bbox]
        ]
