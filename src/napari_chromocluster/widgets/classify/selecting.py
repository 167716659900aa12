"""Selecting regions in the picture: by clicks, with a box, or with napari's own picker."""

from __future__ import annotations

from typing import Any

import numpy as np

from napari_chromocluster.imaging.regions import Region, extract_regions
from napari_chromocluster.viewer.layers import current_frame, pixels
from napari_chromocluster.viewer.marks import Box, show_frames
from napari_chromocluster.viewer.selection import RegionPicker
from napari_chromocluster.widgets.classify.base import ClassifyBase


class ClassifySelecting(ClassifyBase):
    """The part of the dock that selects regions."""

    picker: RegionPicker
    _listed: tuple[Any, list[Region]] | None = None
    _last_label = 0

    def _build_picker(self) -> RegionPicker:
        return RegionPicker(
            self.viewer,
            lambda: self.labels,
            lambda label: self.select_keys(self._selection ^ self._here({label})),
            self._box_drawn,
            self._show_selection,
        )

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
        self._update()

    def _stop_selecting(self) -> None:
        self.run.pick_button.setChecked(False)
        self.run.box_button.setChecked(False)

    def _box_drawn(self, labels: set[int]) -> None:
        self.select_keys(self._selection | self._here(labels))
        # One box is mostly enough, and the next drag should move the picture again.
        self.run.box_button.setChecked(False)

    def _label_picked(self, event: Any = None) -> None:
        """Follow napari's own picker: the label that was picked is what is selected."""
        labels = self.labels
        label = int(labels.selected_label) if labels is not None else 0
        # napari also tells of it when only the colours change.
        if label == self._last_label or self.picker.mode or len(self._selection) > 1:
            return
        self._last_label = label
        listed = {(region.frame, region.label) for region in self._regions()}
        self.select_keys(self._here({label}) & listed)

    def _here(self, labels: set[int]) -> set[tuple[int, int]]:
        """Return labels of the frame that is shown."""
        frame = current_frame(self.viewer, self.labels)
        return {(frame, label) for label in labels}

    def _regions(self) -> list[Region]:
        array = pixels(self.labels) if self.labels is not None else None
        if not isinstance(array, np.ndarray):
            return []
        # Listing reads every pixel, so it is done once until the pixels change.
        if self._listed is None or self._listed[0] is not array:
            self._listed = (array, extract_regions(array) if (array > 0).any() else [])
        return self._listed[1]

    def _show_selection(self, drawn: Box | None = None) -> None:
        """Frame what is selected, and the box that is being drawn."""
        labels = self.labels
        if labels is None or labels not in self.viewer.layers:
            return
        boxes: list[Box] = [] if drawn is None else [drawn]
        for region in self._regions() if self._selection else []:
            if (region.frame, region.label) in self._selection:
                y0, x0, y1, x1 = region.bbox
                boxes.append((region.frame, y0, x0, y1 - 1, x1 - 1))
        show_frames(self.viewer, labels, boxes)
