"""Show the result, review what is unsure, and save."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from qtpy.QtCore import QTimer

from napari_chromocluster.imaging.regions import extract_regions
from napari_chromocluster.results.features_table import keep_regions
from napari_chromocluster.results.table_files import write_table
from napari_chromocluster.viewer.layer_tables import has_table, table_of
from napari_chromocluster.viewer.layers import (
    IMAGE,
    current_frame,
    frame_shape,
    layer_data,
    layer_snapshot,
)
from napari_chromocluster.viewer.overlay import (
    show_colors,
    show_overlay,
    show_plain_outlines,
    show_types,
    show_unsure,
)
from napari_chromocluster.viewer.settings import remember
from napari_chromocluster.viewer.writer import check_decisions, write_regions
from napari_chromocluster.widgets.classify.base import ClassifyBase
from napari_chromocluster.widgets.common.controls import select_item
from napari_chromocluster.widgets.common.exporting import EXPORTS, ask_where
from napari_chromocluster.widgets.common.worker import Worker

_PLUGIN = "napari-chromocluster"
_LABELS_FILES = (".tif", ".tiff", ".png")


class ClassifyShowing(ClassifyBase):
    """The part of the dock that shows and saves the result, and opens other docks for it."""

    _restyle: QTimer
    _letter: QTimer
    #: The current or last save task.
    saving: Worker | None = None

    def show_result(self, labels: Any = None) -> None:
        """Color the regions by type; marks are updated afterwards.

        Parameters
        ----------
        labels : Labels layer, optional
            The regions (default: the selected layer).  Another layer may have been classified while
            the user selected a different metaphase.
        """
        if self.released:
            return
        if labels is not None and labels != self.labels:
            if labels in self.viewer.layers:
                self._show_apart(labels)
        elif self._has_result():
            fill = self.result.fill_box.isChecked()
            show_colors(self.viewer, self.labels, fill=fill, colors=self.preferences.colors)
            # In a later turn of the event loop, so that no turn takes long.
            self._restyle.start()
        self._update()

    def _show_apart(self, labels: Any) -> None:
        show_overlay(
            self.viewer,
            labels,
            threshold=self.result.threshold.value(),
            fill=self.result.fill_box.isChecked(),
            text=self.result.letters_box.isChecked(),
            colors=self.preferences.colors,
        )

    def show_marks(self) -> None:
        """Redraw letters and dashes, without the colors."""
        if self._has_result():
            threshold = self.result.threshold.value()
            show_unsure(self.viewer, self.labels, threshold, self.preferences.colors)
            # Each creates a layer the first time, so each runs in its own turn of the event loop.
            self._letter.start()
        elif self._is_plain():
            show_plain_outlines(self.viewer, self.labels, self._regions())
        self._update()

    def _is_plain(self) -> bool:
        """Whether the regions are outlined but have no types yet."""
        labels = self.labels
        there = labels is not None and labels in self.viewer.layers
        return there and IMAGE in labels.metadata and bool(labels.contour) and not has_table(labels)

    def _show_letters(self) -> None:
        if self._has_result():
            show_types(
                self.viewer,
                self.labels,
                threshold=self.result.threshold.value(),
                text=self.result.letters_box.isChecked(),
                colors=self.preferences.colors,
            )

    def _remember_threshold(self) -> None:
        """Let the other docks use the threshold, once the slider rests."""
        remember("threshold", round(self.result.threshold.value(), 2))

    def _has_result(self) -> bool:
        labels = self.labels
        return labels is not None and labels in self.viewer.layers and has_table(labels)

    # ---------------------------------------------------------------- other docks

    def open_review(self) -> None:
        """Open the review dock at the first region that is unsure."""
        image, labels = self.image, self.labels
        review = self._open_tab(_PLUGIN, "Review")
        review.choose_image(image)
        select_item(review.labels_combo, labels)
        self._remember_threshold()
        review.go_to_unsure()

    def open_table(self) -> None:
        """Open napari's own features table."""
        self.viewer.layers.selection.active = self.labels
        self._open_tab("napari", "Features table widget")

    def _open_tab(self, plugin: str, name: str) -> Any:
        """Open a dock as a tab, so that this one is not squeezed, and bring it to the front."""
        dock, widget = self.viewer.window.add_plugin_dock_widget(plugin, name, tabify=True)
        # Otherwise a dock that is already open stays behind its tab.
        dock.show()
        dock.raise_()
        return widget

    # ---------------------------------------------------------------- saving

    def _add_exports(self) -> None:
        for what, tooltip, save in (
            ("regions", "So that all of it is back when the image is opened again.",
             self.export_regions),
            ("csv", "The features table, exactly as it is shown.", self.export_csv),
            ("overlay", "The outlined metaphase with its legend.", self.export_figure),
        ):  # fmt: skip
            self.result.add_export(f"{EXPORTS[what].title}…", tooltip, self._asking(what, save))

    def _asking(self, what: str, save: Callable[[str], None]) -> Callable[[], None]:
        def work() -> None:
            image = self.image
            path = ask_where(self, what, image, "metaphase" if image is None else image.name)
            if path:
                save(path)

        return lambda: self._guarded(work)

    def export_regions(self, path: str) -> None:
        """Save the label image and its features table next to it."""
        if Path(path).suffix.lower() not in _LABELS_FILES:
            raise ValueError(
                f"{Path(path).name} cannot hold regions: give it a name that ends in .tif."
            )
        labels = self.labels
        table, array = table_of(labels), layer_snapshot(labels)

        def write() -> list[str]:
            regions = np.asarray(array)
            current = keep_regions(table, extract_regions(regions))
            return write_regions(path, regions, {"features": current})

        self._save(write)

    def export_csv(self, path: str) -> None:
        """Save the features table for the existing regions."""
        table, array = table_of(self.labels), layer_snapshot(self.labels)

        def write() -> list[str]:
            current = keep_regions(table, extract_regions(array))
            check_decisions(path, current)
            write_table(path, current)
            return [path]

        self._save(write)

    def export_figure(self, path: str) -> None:
        """Save the outlined metaphase (for a stack: the frame that is shown)."""
        # Drawing imports matplotlib, which is not needed just to open the dock.
        from napari_chromocluster.results.figures import overlay_figure, save_figure

        image, labels = self.image, self.labels
        frame = current_frame(self.viewer, labels)
        stack = len(frame_shape(labels)) == 3
        table = self._table()
        threshold, title = self.result.threshold.value(), image.name
        colors = dict(self.preferences.colors)
        picture, regions = layer_data(image), layer_snapshot(labels)

        def write() -> list[str]:
            figure = overlay_figure(
                np.asarray(picture[frame] if stack else picture),
                np.asarray(regions[frame] if stack else regions),
                table[table["frame"] == frame] if stack else table,
                threshold=threshold,
                title=title,
                colors=colors,
            )
            save_figure(path, figure)
            return [path]

        self._save(write)

    def _save(self, write: Callable[[], list[str]]) -> None:
        """Write files off the main thread, since figures and large tables take about a second."""
        task = Worker(lambda _progress, _stop: write(), self, writes=True)
        task.succeeded.connect(
            lambda written: self.banner.info(
                f"Saved {' and '.join(Path(one).name for one in written)}."
            )
        )
        task.failed.connect(self.banner.error)
        self.saving = task
        task.start()
