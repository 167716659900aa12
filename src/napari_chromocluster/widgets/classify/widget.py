"""The classify dock, assembled from its parts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from qtpy.QtCore import Qt
from qtpy.QtGui import QKeySequence, QShortcut
from qtpy.QtWidgets import QSizePolicy, QVBoxLayout, QWidget

from napari_chromocluster.results.features_table import counts, unsure
from napari_chromocluster.results.summary import estimate_chromosomes, familiarity_warning
from napari_chromocluster.viewer.layer_tables import familiarity_of, has_table
from napari_chromocluster.viewer.layers import current_frame, frame_shape, layer_data, mismatch
from napari_chromocluster.viewer.settings import (
    models_changed,
    on_preferences_changed,
    preferences,
    remember,
)
from napari_chromocluster.widgets.classify.inference import ClassifyWorking
from napari_chromocluster.widgets.classify.layer_sync import ClassifyFollowing
from napari_chromocluster.widgets.classify.panels import say
from napari_chromocluster.widgets.classify.result_display import ClassifyShowing
from napari_chromocluster.widgets.classify.segmentation_controls import ClassifyFinding
from napari_chromocluster.widgets.common.controls import set_enabled
from napari_chromocluster.widgets.common.features_table import TableFollower
from napari_chromocluster.widgets.common.widgets import frames_text, group, scrolling

if TYPE_CHECKING:
    import napari

_NO_IMAGE = "Open a metaphase image first."
_READING = "The channels of the file are being read: wait a moment."
_NO_LABELS = "Find regions first, or open a labels layer."


class ClassifyWidget(ClassifyFollowing, ClassifyFinding, ClassifyWorking, ClassifyShowing):
    """Find the regions of a metaphase, classify all or selected ones, view and save the result.

    Parameters
    ----------
    napari_viewer : napari.Viewer
        The viewer.
    """

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        super().__init__(napari_viewer)
        self.picker = self._build_picker()
        self._build()
        self._add_exports()
        self._connect()
        self._tables = TableFollower(self, lambda: self.selected)
        self._listen(True)
        self.ending.callback(self._end)
        self.refresh_models()
        self.warm_up()
        self._refresh_layers()
        self._open_beside()  # the image may have been opened before the dock

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
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)
        # Regardless of the focus, but only while there is something to stop.
        self._escape = QShortcut(QKeySequence("Esc"), self)
        self._escape.setContext(Qt.ShortcutContext.ApplicationShortcut)
        # A slider emits many values in a row; the marks are drawn once it stops.
        self._restyle = self.timer(80, self.show_marks)
        self._threshold = self.timer(80, self._remember_threshold)
        self._letter = self.timer(10, self._show_letters)
        self._recolor = self.timer(60, self.show_result)
        self._arrange = self.timer(0, self._arrange_layers)
        self._leave = self.timer(0, self._leave_picture)
        self._recount = self.timer(300, self._count_anew)
        self._outline = self.timer(250, self._preview_outlines)
        # Immediate if fast; if slow, not once for each step of the slider.
        self._sizes = self.timer(0, self._preview_sizes)

    def _connect(self) -> None:
        self._escape.activated.connect(self._stop)
        # Esc also ends drawing a line in the review: if both are active, each press stops one.
        self._escape.activatedAmbiguously.connect(self._stop)
        self.input.image_combo.currentIndexChanged.connect(self._image_changed)
        self.input.image_combo.activated.connect(self._image_picked)
        self.input.channel_combo.activated.connect(self._channel_picked)
        self.input.labels_combo.currentIndexChanged.connect(self._labels_changed)
        self.input.labels_combo.activated.connect(self._labels_picked)
        self.input.find_button.clicked.connect(self.find_regions)
        self.input.smallest.valueChanged.connect(lambda _: self._sizes.start())
        self.input.largest.valueChanged.connect(lambda _: self._sizes.start())
        self.input.tightness.valueChanged.connect(lambda _: self._outline.start())
        self.run.model_combo.activated.connect(self._remember_model)
        self.run.device_combo.activated.connect(
            lambda _: remember("device", self.run.device_combo.currentText())
        )
        self.run.pick_button.toggled.connect(self._set_picking)
        self.run.box_button.toggled.connect(self._set_boxing)
        self.run.clear_button.clicked.connect(self._clear)
        self.run.all_button.clicked.connect(lambda: self.classify(None))
        self.run.selected_button.clicked.connect(lambda: self.classify(sorted(self._keys)))
        self.run.cancel_button.clicked.connect(self.cancel)
        self.result.threshold.valueChanged.connect(lambda _: self._restyle.start())
        self.result.threshold.valueChanged.connect(lambda _: self._threshold.start())
        changed, listed = map(self.while_open, (self.take_preferences, self.refresh_models))
        self.ending.callback(on_preferences_changed(changed))
        models_changed.connect(listed)
        self.ending.callback(models_changed.disconnect, listed)
        self.result.fill_box.toggled.connect(lambda _: self.show_result())
        self.result.letters_box.toggled.connect(self._show_letters)
        self.result.review_button.clicked.connect(self.open_review)
        self.result.explain_button.clicked.connect(self.explain)
        self.result.table_button.clicked.connect(self.open_table)

    def _stop(self) -> None:
        """Stop the current task, or else region selection."""
        if self.task is not None:
            self.cancel()
        else:
            self._stop_selecting()

    # ---------------------------------------------------------------- state

    def _update(self, event: Any = None) -> None:
        """Update buttons, counts and tooltips to the current state."""
        if self.released:
            return
        image, labels, busy = self.image, self.labels, self.task is not None
        total = self._region_count(labels)
        self.run.all_button.setText(f"Classify all ({total})" if total else "Classify all")
        self.run.selected_button.setText(f"Classify selected ({len(self._keys)})")
        reading = _READING if self.reading is not None else ""
        reason = reading or _reason(image, labels, total, busy)
        set_enabled(self.run.all_button, reason, "Find the type of every region.")
        set_enabled(
            self.run.selected_button,
            reason or ("" if self._keys else "Select regions first: pick or draw a box."),
            "Find the type of the selected regions only.",
        )
        idle = "Wait for the work that runs, or cancel it." if busy else ""
        set_enabled(
            self.input.find_button,
            (idle or reading) if image is not None else _NO_IMAGE,
            "Find chromosomes and clusters; nuclei and debris are left out.",
        )
        self._escape.setEnabled(busy or bool(self.picker.mode))
        self._update_channels()
        say(self.input.doubt, self._doubt())
        say(self.input.left_out, self._left_out[1] if self._left_out[0] == labels else "")
        self._update_selecting(labels)
        self._update_result(reason)

    def _update_selecting(self, labels: Any) -> None:
        missing = "" if labels is not None else _NO_LABELS
        for button, tooltip in (
            (
                self.run.pick_button,
                "Click regions in the picture to select them; click again to deselect.",
            ),
            (self.run.box_button, "Draw a box in the picture; all regions in it are selected."),
        ):
            set_enabled(button, missing, tooltip)
        nothing = "" if self._keys else "Nothing is selected."
        set_enabled(self.run.clear_button, missing or nothing, "Select nothing.")

    def _region_count(self, labels: Any) -> int | None:
        """Return the number of regions; None if counting would read a lazy array."""
        if labels is None:
            return 0
        if isinstance(layer_data(labels), np.ndarray):
            return len(self._regions())
        return len(labels.features) if has_table(labels) else None

    def _update_result(self, reason: str) -> None:
        everything = self._table()
        classified = bool((everything["cluster_type"] != "").any())
        table, here, frames = self._shown_frame(everything)
        total = self._region_count(self.labels)
        self.result.legend.set_frames(
            frames_text(here, total, frames) if frames > 1 and total else "",
            counts(everything) if classified else None,
        )
        self.result.legend.set_counts(counts(table) if classified else None)
        whole = bool((table["cluster_type"] != "").all()) and 0 < len(table) == here
        estimated = estimate_chromosomes(table) if whole else None
        self.result.show_chromosomes(estimated, self.preferences.expected)
        familiar = familiarity_of(self.labels) if classified else {}
        self.result.show_familiarity(familiarity_warning(familiar))
        doubtful = int(unsure(everything, self.result.threshold.value()).sum())
        self.result.review_button.setText(f"Review {doubtful} unsure" if doubtful else "Review")
        first = "" if classified else "Classify regions first."
        set_enabled(
            self.result.review_button,
            first,
            f"Go through the {doubtful} regions that the model is unsure of, with keys."
            if doubtful
            else "No region is unsure; go through all of them, with keys.",
        )
        set_enabled(self.result.table_button, first, "Open napari's table of all regions.")
        set_enabled(self.result.export_button, first, "Save regions, table or figure.")
        chosen = len(self._keys)
        self.result.explain_button.setText(f"Explain ({chosen})" if chosen else "Explain")
        set_enabled(
            self.result.explain_button,
            reason or ("" if chosen else "Select a region first: pick it in the picture."),
            "Show which parts of the selected regions decided their type.",
        )

    def _shown_frame(self, table: pd.DataFrame) -> tuple[pd.DataFrame, int, int]:
        """Return the rows and region count of the frame shown, and the number of frames."""
        labels = self.labels
        shape = frame_shape(labels) if labels is not None else ()
        if len(shape) != 3:
            return table, self._region_count(labels) or 0, 1
        frame = current_frame(self.viewer, labels)
        rows = table[(table["frame"] == frame).to_numpy()]
        listed = self._regions()
        here = sum(one.frame == frame for one in listed) if listed else len(rows)
        return rows, here, shape[0]

    def take_preferences(self) -> None:
        """Show choices made in another dock or in napari's Preferences."""
        old, chosen = self.preferences, preferences()
        if chosen == old:
            return
        self.preferences = chosen
        self.result.threshold.setValue(chosen.threshold)
        if chosen.model != old.model:
            self._choose_model(chosen.model)
        self.run.device_combo.setCurrentText(chosen.device)
        if chosen.colors != old.colors:
            self.result.legend.set_colors(chosen.colors)
            self.show_result()
        else:
            self._update()

    def _end(self) -> None:
        """Stop the work that runs and disconnect from the viewer."""
        for work in (self.task, self.reading):
            if work is not None:
                work.cancel()
        if self.saving is not None:
            self.saving.wait()  # napari may be closed right after
        self.pixel_sizes.end()
        self.picker.close()
        self._escape.setEnabled(False)
        self._tables.end()
        self._listen(False)


def _reason(image: Any, labels: Any, total: int | None, busy: bool) -> str:
    """Return why classification is not possible; empty if it is."""
    if busy:
        return "Wait for the work that runs, or cancel it."
    if image is None:
        return _NO_IMAGE
    if labels is None:
        return _NO_LABELS
    if wrong := mismatch(image, labels):
        return wrong
    return "" if total is None or total else "This layer holds no region: find regions first."
