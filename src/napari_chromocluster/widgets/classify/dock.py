"""The classify dock, put together from its parts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import Qt, QTimer
from qtpy.QtGui import QKeySequence, QShortcut
from qtpy.QtWidgets import QSizePolicy, QVBoxLayout, QWidget

from napari_chromocluster.imaging.regions import extract_regions
from napari_chromocluster.results.table import counts, unsure
from napari_chromocluster.viewer.layers import has_table, pixels, table_of
from napari_chromocluster.widgets.classify.following import ClassifyFollowing
from napari_chromocluster.widgets.classify.showing import ClassifyShowing
from napari_chromocluster.widgets.classify.working import ClassifyWorking
from napari_chromocluster.widgets.common.controls import enable
from napari_chromocluster.widgets.common.parts import group, scrolling

if TYPE_CHECKING:
    import napari


class ClassifyWidget(ClassifyFollowing, ClassifyWorking, ClassifyShowing):
    """Find the regions of a metaphase, classify all or the selected ones, see and save the result.

    Parameters
    ----------
    napari_viewer : napari.Viewer
        The viewer.
    """

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        super().__init__(napari_viewer)
        self._counted: tuple[Any, int] = (None, 0)
        self._build()
        self._connect()
        self._connect_viewer()
        self.refresh_models()
        self._refresh_layers()

    def _build(self) -> None:
        inner = QWidget()
        column = QVBoxLayout(inner)
        column.setContentsMargins(4, 4, 4, 4)
        for title, panel in (
            ("Input", self.input),
            ("Classify", self.run),
            ("Result", self.result),
        ):
            box, layout = group(title)
            layout.addWidget(panel)
            column.addWidget(box)
        column.addStretch(1)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(scrolling(inner), 1)
        outer.addWidget(self.banner)
        self.setMinimumWidth(300)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)
        self._escape = QShortcut(QKeySequence("Esc"), self)
        self._escape.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
        # A slider gives many values in a row; the letters are drawn once it rests.
        self._restyle = QTimer(self)
        self._restyle.setSingleShot(True)
        self._restyle.setInterval(120)

    def _connect(self) -> None:
        self._escape.activated.connect(self.cancel)
        self._restyle.timeout.connect(self.show_result)
        self.input.image_combo.currentIndexChanged.connect(self._image_changed)
        self.input.labels_combo.currentIndexChanged.connect(self._labels_changed)
        self.input.find_button.clicked.connect(self.find_regions)
        self.input.smallest.valueChanged.connect(self._preview_sizes)
        self.input.largest.valueChanged.connect(self._preview_sizes)
        self.run.pick_button.toggled.connect(self._set_picking)
        self.run.box_button.toggled.connect(self._set_boxing)
        self.run.clear_button.clicked.connect(self.clear_selection)
        self.run.all_button.clicked.connect(lambda: self.classify(None))
        self.run.selected_button.clicked.connect(lambda: self.classify(sorted(self._selection)))
        self.run.cancel_button.clicked.connect(self.cancel)
        self.result.threshold.valueChanged.connect(lambda _: self._restyle.start())
        self.result.fill_box.toggled.connect(self.show_result)
        self.result.letters_box.toggled.connect(self.show_result)
        self.result.table_button.clicked.connect(self._open_table)
        self.result.csv_button.clicked.connect(self._ask_csv)
        self.result.figure_button.clicked.connect(self._ask_figure)

    def _update(self, event: Any = None) -> None:
        """Bring buttons, counts and tooltips in line with what is there."""
        image, labels, busy = self.image, self.labels, self.task is not None
        total = self._region_count(labels)
        self.run.all_button.setText(f"Classify all ({total})" if total else "Classify all")
        self.run.selected_button.setText(f"Classify selected ({len(self._selection)})")
        reason = _reason(image, labels, total, busy)
        enable(self.run.all_button, reason, "Tell the type of every region.")
        nothing = reason or ("" if self._selection else "Select regions first: pick or draw a box.")
        enable(self.run.selected_button, nothing, "Tell the type of the selected regions only.")
        idle = "Wait for the work that runs." if busy else ""
        enable(
            self.input.find_button,
            idle if image is not None else "Open a metaphase image first.",
            "Find chromosomes and clusters; nuclei and debris are left out.",
        )
        for button in (self.run.pick_button, self.run.box_button, self.run.clear_button):
            button.setEnabled(labels is not None)
        self._update_result(labels)

    def _region_count(self, labels: Any) -> int:
        if labels is None:
            return 0
        if has_table(labels) and len(labels.features):
            return len(labels.features)
        array = pixels(labels)
        if not isinstance(array, np.ndarray):
            return 0
        # Counting reads every pixel, so it is done once for each array.
        if self._counted[0] is not array:
            self._counted = (array, len(extract_regions(array)) if array.any() else 0)
        return self._counted[1]

    def _update_result(self, labels: Any) -> None:
        ready = labels is not None and has_table(labels)
        table = table_of(labels) if ready else None
        classified = table is not None and bool((table["cluster_type"] != "").any())
        self.result.legend.set_counts(counts(table) if classified and table is not None else None)
        doubtful = (
            int(unsure(table, self.result.threshold.value()).sum()) if table is not None else 0
        )
        self.result.unsure_label.setText(
            ""
            if not classified
            else f"{doubtful} unsure (marked ?)"
            if doubtful
            else "None is unsure."
        )
        for button in (self.result.table_button, self.result.csv_button, self.result.figure_button):
            button.setEnabled(classified)
            if not classified:
                button.setToolTip("Classify regions first.")

    def closeEvent(self, event: Any) -> None:
        """Stop the work and let go of the viewer when the dock closes."""
        self.release()
        super().closeEvent(event)

    def release(self) -> None:
        """Stop the work and disconnect from the viewer."""
        if self.task is not None:
            self.task.cancel()
        events = self.viewer.layers.events
        events.inserted.disconnect(self._layer_inserted)
        events.removed.disconnect(self._refresh_layers)
        events.reordered.disconnect(self._refresh_layers)
        self.viewer.dims.events.current_step.disconnect(self._frame_changed)


def _reason(image: Any, labels: Any, total: int, busy: bool) -> str:
    """Say why nothing can be classified; empty where it can."""
    if busy:
        return "Wait for the work that runs, or cancel it."
    if image is None:
        return "Open a metaphase image first."
    if labels is None:
        return "Find regions first, or open a labels layer."
    return ""
