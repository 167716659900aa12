"""Showing the result and saving it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from qtpy.QtWidgets import QFileDialog

from napari_chromocluster.results.figures import overlay_figure, save_figure
from napari_chromocluster.results.table import write_table
from napari_chromocluster.viewer.layers import (
    current_frame,
    frame_shape,
    has_table,
    pixels,
    table_of,
)
from napari_chromocluster.viewer.overlay import show_overlay
from napari_chromocluster.widgets.classify.base import ClassifyBase
from napari_chromocluster.widgets.common.task import sentence


class ClassifyShowing(ClassifyBase):
    """The part of the dock that shows and saves the result."""

    def show_result(self) -> None:
        """Colour the regions by type."""
        labels = self.labels
        if labels is not None and labels in self.viewer.layers and has_table(labels):
            show_overlay(
                self.viewer,
                labels,
                threshold=self.result.threshold.value(),
                fill=self.result.fill_box.isChecked(),
                text=self.result.letters_box.isChecked(),
                colors=self.preferences.colors,
            )
        self._update()

    def _open_table(self) -> None:
        self.viewer.layers.selection.active = self.labels
        self.viewer.window.add_plugin_dock_widget("napari", "Features table widget")

    def _ask_csv(self) -> None:
        path, _ = QFileDialog.getSaveFileName(
            self, "Export CSV", self._stem("_regions.csv"), "CSV (*.csv)"
        )
        if path:
            self.export_csv(path)

    def _ask_figure(self) -> None:
        path, _ = QFileDialog.getSaveFileName(
            self,
            "Export figure",
            self._stem("_overlay.png"),
            "PNG (*.png);;SVG (*.svg);;PDF (*.pdf)",
        )
        if path:
            self.export_figure(path)

    def _stem(self, end: str) -> str:
        image = self.image
        source = getattr(image.source, "path", None) if image is not None else None
        return str(Path(source).with_name(Path(source).stem + end)) if source else f"metaphase{end}"

    def export_csv(self, path: str) -> None:
        """Save the features table."""
        self._save(path, lambda: write_table(path, table_of(self.labels)))

    def export_figure(self, path: str) -> None:
        """Save the outlined metaphase (of a stack: the frame that is shown)."""
        image, labels = self.image, self.labels
        frame = current_frame(self.viewer, labels)
        stack = len(frame_shape(labels)) == 3
        picture = np.asarray(pixels(image)[frame] if stack else pixels(image))
        regions = np.asarray(pixels(labels)[frame] if stack else pixels(labels))
        table = table_of(labels)
        figure = overlay_figure(
            picture,
            regions,
            table[table["frame"] == frame] if stack else table,
            threshold=self.result.threshold.value(),
            title=image.name,
            colors=self.preferences.colors,
        )
        self._save(path, lambda: save_figure(path, figure))

    def _save(self, path: str, write: Any) -> None:
        try:
            write()
        except (ValueError, OSError) as error:
            self.banner.error(sentence(error))
        else:
            self.banner.info(f"Saved {Path(path).name}.")
