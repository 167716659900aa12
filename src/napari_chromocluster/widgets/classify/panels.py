"""The three groups of the dock, in workflow order; they do not access the viewer."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from qtpy.QtWidgets import (
    QCheckBox,
    QHBoxLayout,
    QLabel,
    QMenu,
    QProgressBar,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_chromocluster.imaging.region_filter import SegmentationParameters
from napari_chromocluster.results.summary import count_warning
from napari_chromocluster.viewer.settings import Preferences
from napari_chromocluster.widgets.common.controls import combo, form, slider
from napari_chromocluster.widgets.common.widgets import AMBER, Legend


class InputPanel(QWidget):
    """Image, regions, and segmentation settings."""

    def __init__(self) -> None:
        super().__init__()
        layout = _column(self)
        rows = form()
        self.image_combo = combo("The metaphase image, or a stack of them.")
        self.labels_combo = combo("The regions of the image, one label each.")
        self.channel_combo = combo(
            "The channel that shows the chromosomes; it is remembered for other files."
        )
        self._channel_label = QLabel("Channel")
        self.channel_note = _words()
        rows.addRow("Image", self.image_combo)
        rows.addRow(self._channel_label, self.channel_combo)
        rows.addRow(self.channel_note)
        rows.addRow("Regions", self.labels_combo)
        self.doubt = _words(AMBER)
        rows.addRow(self.doubt)
        self.show_channels((), -1, "")
        layout.addLayout(rows)
        self.find_button = _button(
            "Find regions", "Find chromosomes and clusters; nuclei and debris are left out."
        )
        layout.addWidget(self.find_button)
        self.left_out = _words()
        layout.addWidget(self.left_out)
        self.limits = QWidget()
        limits = form(self.limits)
        limits.addRow(QLabel("Region size, in median chromosomes"))
        self.smallest = slider(0.0, 1.0, SegmentationParameters().smallest_region)
        self.largest = slider(1.0, 80.0, SegmentationParameters().largest_region)
        self.smallest.setToolTip(
            "Smaller regions are left out; 1 is the area of this image's median chromosome."
        )
        self.largest.setToolTip(
            "Larger regions are left out; 1 is the area of this image's median chromosome."
        )
        self.tightness = slider(0.5, 2.0, 1.0)
        self.tightness.setToolTip(
            "Above 1 outlines are drawn tighter, so that neighbours part; below 1 wider, so that "
            "faint ends belong to their chromosome."
        )
        limits.addRow("Smallest", self.smallest)
        limits.addRow("Largest", self.largest)
        limits.addRow(QLabel("Outlines"))
        limits.addRow("Tightness", self.tightness)
        self.limits.hide()
        layout.addWidget(self.limits)

    def show_channels(self, names: Sequence[str], chosen: int, note: str) -> None:
        """Show the channels of the image's file, and a note on which one was selected.

        Parameters
        ----------
        names : sequence of str
            If empty, the control is hidden.
        chosen : int
            Index of the channel shown.
        note : str
            Note, or empty.
        """
        box = self.channel_combo
        if list(names) != [box.itemText(place) for place in range(box.count())]:
            box.clear()
            box.addItems(list(names))
        box.setCurrentIndex(chosen)
        for part in (self._channel_label, box):
            part.setVisible(bool(names))
        say(self.channel_note, note)


class RunPanel(QWidget):
    """Model and device, region selection, and classification with its progress.

    Parameters
    ----------
    preferences : Preferences
        The user's choices in napari's Preferences.
    """

    def __init__(self, preferences: Preferences) -> None:
        super().__init__()
        layout = _column(self)
        rows = form()
        self.model_combo = combo("The model that classifies the regions.")
        self.model_combo.setPlaceholderText("loading")
        self.device_combo = combo("Where the model runs; auto takes the fastest there is.")
        self.device_combo.addItems(["auto", "cpu", "cuda", "mps"])
        self.device_combo.setCurrentText(preferences.device)
        rows.addRow("Model", self.model_combo)
        rows.addRow("Device", self.device_combo)
        layout.addLayout(rows)
        self.pick_button = _button(
            "Pick", "Click regions in the picture to select them; click again to deselect."
        )
        self.pick_button.setCheckable(True)
        self.box_button = _button(
            "Box", "Draw a box in the picture; all regions in it are selected."
        )
        self.box_button.setCheckable(True)
        self.clear_button = _button("Clear", "Select nothing.")
        select = _row(QLabel("Select"), self.pick_button, self.box_button, self.clear_button)
        select.setSpacing(3)  # so that the dock stays narrow
        layout.addLayout(select)
        self.all_button = QPushButton("Classify all")
        self.selected_button = QPushButton("Classify selected")
        layout.addWidget(self.all_button)
        layout.addWidget(self.selected_button)
        self.progress = QProgressBar()
        self.cancel_button = _button(
            "Cancel", "Stop the work; what was there before stays as it is. (Esc)"
        )
        bar = _row(self.progress, self.cancel_button)
        bar.setStretch(0, 1)
        for part in (self.progress, self.cancel_button):
            # Widgets below must not move when work starts and ends.
            policy = part.sizePolicy()
            policy.setRetainSizeWhenHidden(True)
            part.setSizePolicy(policy)
            part.hide()
        layout.addLayout(bar)


class ResultPanel(QWidget):
    """Counts and legend, display options, and export.

    Parameters
    ----------
    preferences : Preferences
        The user's choices in napari's Preferences.
    """

    def __init__(self, preferences: Preferences) -> None:
        super().__init__()
        layout = _column(self)
        self.legend = Legend()
        self.legend.set_colors(preferences.colors)
        layout.addWidget(self.legend)
        self.chromosomes = _words()
        self.chromosomes.setToolTip(
            "Estimated from types and sizes. How many a cell has is set in the Preferences of "
            "Chromocluster; clusters are more or less likely accordingly."
        )
        self.advice = _words()
        self.unfamiliar = _words(AMBER)
        self.unfamiliar.setToolTip(
            "Measured by the network: how far its view of these regions is from its view of the "
            "training regions. Confidence is lowered accordingly."
        )
        for label in (self.chromosomes, self.advice, self.unfamiliar):
            label.hide()
            layout.addWidget(label)
        self.review_button = QPushButton("Review")
        layout.addWidget(self.review_button)
        rows = form()
        self.threshold = slider(0.2, 1.0, preferences.threshold)
        self.threshold.setToolTip(
            "Regions with less confidence get a dashed outline and a question mark."
        )
        rows.addRow("Unsure below", self.threshold)
        layout.addLayout(rows)
        self.fill_box = QCheckBox("Fill")
        self.fill_box.setToolTip("Fill the regions with their colour instead of outlining them.")
        self.letters_box = QCheckBox("Letters")
        self.letters_box.setChecked(True)
        self.letters_box.setToolTip(
            "Write the type's letter above each region that is not surely single."
        )
        looks = _row(self.fill_box, self.letters_box)
        looks.addStretch(1)
        layout.addLayout(looks)
        self.explain_button = QPushButton("Explain")
        self.table_button = QPushButton("Features table")
        self.export_button = QPushButton("Export")
        self.export_menu = QMenu(self)
        self.export_menu.setToolTipsVisible(True)
        self.export_button.setMenu(self.export_menu)
        layout.addLayout(_row(self.explain_button, self.table_button, self.export_button))

    def show_chromosomes(self, estimated: int | None, expected: int | None) -> None:
        """Show the estimated number of chromosomes; None if unknown."""
        known = estimated is not None
        beside = f" ({expected} expected)" if expected else ""
        self.chromosomes.setText(f"About {estimated} chromosomes{beside}" if known else "")
        self.chromosomes.setVisible(known)
        advice = "" if estimated is None else count_warning(estimated, expected)
        self.advice.setText(advice)
        self.advice.setVisible(bool(advice))
        for label in (self.chromosomes, self.advice):
            label.setStyleSheet(f"color: {AMBER};" if advice else "")

    def show_familiarity(self, warning: str) -> None:
        """Warn about images unlike the training data of the model; empty to hide."""
        say(self.unfamiliar, warning)

    def add_export(self, text: str, tooltip: str, slot: Callable[[], None]) -> None:
        """Add an entry to the export menu."""
        action = self.export_menu.addAction(text)
        action.setToolTip(tooltip)
        action.triggered.connect(lambda _: slot())


def _words(color: str = "") -> QLabel:
    """Return a word-wrapped label, hidden until it has text."""
    label = QLabel()
    label.setWordWrap(True)
    label.setStyleSheet(f"color: {color};" if color else "")
    label.hide()
    return label


def say(label: QLabel, sentence: str) -> None:
    """Show a sentence, or hide the label if it is empty."""
    label.setText(sentence)
    label.setVisible(bool(sentence))


def _column(widget: QWidget) -> QVBoxLayout:
    layout = QVBoxLayout(widget)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(6)
    return layout


def _row(*widgets: QWidget) -> QHBoxLayout:
    row = QHBoxLayout()
    for widget in widgets:
        row.addWidget(widget)
    return row


def _button(text: str, tooltip: str) -> QPushButton:
    button = QPushButton(text)
    button.setToolTip(tooltip)
    return button
