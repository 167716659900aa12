"""The dock in which a metaphase is segmented, classified and looked at."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import Qt, QTimer
from qtpy.QtGui import QKeySequence, QShortcut
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)
from superqt import QLabeledDoubleSlider

from napari_chromocluster.imaging.regions import extract_regions
from napari_chromocluster.imaging.segmentation import (
    Foreground,
    SegmentationParameters,
    filter_regions,
    label_foreground,
)
from napari_chromocluster.models.classifier import ClusterClassifier, load_model
from napari_chromocluster.models.registry import list_models
from napari_chromocluster.results.figures import overlay_figure, save_figure
from napari_chromocluster.results.table import counts, merge_tables, unsure, write_table
from napari_chromocluster.viewer.layers import (
    current_frame,
    frame_shape,
    has_table,
    image_layers,
    labels_in_box,
    labels_layers,
    matching_labels,
    pixels,
    read_beside,
    set_table,
    table_of,
)
from napari_chromocluster.viewer.overlay import letters_layer, show_overlay
from napari_chromocluster.viewer.preferences import preferences
from napari_chromocluster.viewer.scripting import add_regions, segment_frames
from napari_chromocluster.widgets.common.parts import Banner, Legend, group, scrolling
from napari_chromocluster.widgets.common.task import Task, sentence

if TYPE_CHECKING:
    import napari

_BOX_LAYER = "selection box"


class ClassifyWidget(QWidget):
    """Find the regions of a metaphase, classify all or the selected ones, see and save the result.

    Parameters
    ----------
    napari_viewer : napari.Viewer
        The viewer.
    """

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        super().__init__()
        self.viewer = napari_viewer
        self.preferences = preferences()
        self.task: Task | None = None
        self._classifier: ClusterClassifier | None = None
        self._foreground: tuple[Any, Foreground] | None = None
        self._selection: set[int] = set()
        self._watched: Any = None
        self._picking = False
        self._counted: tuple[Any, int] = (None, 0)
        self._build()
        self._connect_viewer()
        self._refresh_layers()

    # ---------------------------------------------------------------- layout

    def _build(self) -> None:
        inner = QWidget()
        inner_layout = QVBoxLayout(inner)
        inner_layout.setContentsMargins(4, 4, 4, 4)
        for title, fill in (
            ("Input", self._build_input),
            ("Classify", self._build_classify),
            ("Result", self._build_result),
        ):
            box, layout = group(title)
            fill(layout)
            inner_layout.addWidget(box)
        inner_layout.addStretch(1)
        self.banner = Banner()
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(scrolling(inner), 1)
        outer.addWidget(self.banner)
        self.setMinimumWidth(300)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)
        self._escape = QShortcut(QKeySequence("Esc"), self)
        self._escape.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
        self._escape.activated.connect(self.cancel)

    def _build_input(self, layout: QVBoxLayout) -> None:
        form = _form()
        self.image_combo = _combo("The metaphase image, or a stack of them.")
        self.labels_combo = _combo("The regions of the image, one label each.")
        form.addRow("Image", self.image_combo)
        form.addRow("Regions", self.labels_combo)
        layout.addLayout(form)
        self.find_button = QPushButton("Find regions")
        self.find_button.setToolTip(
            "Find chromosomes and clusters; nuclei and debris are left out."
        )
        layout.addWidget(self.find_button)
        self.sizes = QWidget()
        sizes = _form(self.sizes)
        self.smallest = _slider(0.0, 1.0, SegmentationParameters().smallest_region)
        self.largest = _slider(1.0, 80.0, SegmentationParameters().largest_region)
        self.smallest.setToolTip(
            "Smaller regions are left out; 1 is this image's median chromosome."
        )
        self.largest.setToolTip("Larger regions are left out; 1 is this image's median chromosome.")
        sizes.addRow("Smallest", self.smallest)
        sizes.addRow("Largest", self.largest)
        self.sizes.hide()
        layout.addWidget(self.sizes)
        self.image_combo.currentIndexChanged.connect(self._image_changed)
        self.labels_combo.currentIndexChanged.connect(self._labels_changed)
        self.find_button.clicked.connect(self.find_regions)
        self.smallest.valueChanged.connect(self._preview_sizes)
        self.largest.valueChanged.connect(self._preview_sizes)

    def _build_classify(self, layout: QVBoxLayout) -> None:
        form = _form()
        self.model_combo = _combo("The model that tells the types.")
        self.device_combo = _combo("Where the model runs; auto takes the fastest there is.")
        self.device_combo.addItems(["auto", "cpu", "cuda", "mps"])
        self.device_combo.setCurrentText(self.preferences.device)
        self.refresh_models()
        form.addRow("Model", self.model_combo)
        form.addRow("Device", self.device_combo)
        layout.addLayout(form)
        row = QHBoxLayout()
        self.pick_button = QPushButton("Pick")
        self.pick_button.setCheckable(True)
        self.pick_button.setToolTip("Click regions in the picture to select them; again to let go.")
        self.box_button = QPushButton("Box")
        self.box_button.setCheckable(True)
        self.box_button.setToolTip("Draw a box in the picture; all regions in it are selected.")
        self.clear_button = QPushButton("Clear")
        self.clear_button.setToolTip("Select nothing.")
        for button in (self.pick_button, self.box_button, self.clear_button):
            row.addWidget(button)
        layout.addWidget(QLabel("Select regions"))
        layout.addLayout(row)
        self.all_button = QPushButton("Classify all")
        self.selected_button = QPushButton("Classify selected")
        layout.addWidget(self.all_button)
        layout.addWidget(self.selected_button)
        bar = QHBoxLayout()
        self.progress = QProgressBar()
        self.cancel_button = QPushButton("Cancel")
        self.cancel_button.setToolTip("Stop; regions that are done keep their types. (Esc)")
        bar.addWidget(self.progress, 1)
        bar.addWidget(self.cancel_button)
        self.progress.hide()
        self.cancel_button.hide()
        layout.addLayout(bar)
        self.pick_button.toggled.connect(self._set_picking)
        self.box_button.toggled.connect(self._set_boxing)
        self.clear_button.clicked.connect(self.clear_selection)
        self.all_button.clicked.connect(lambda: self.classify(None))
        self.selected_button.clicked.connect(lambda: self.classify(sorted(self._selection)))
        self.cancel_button.clicked.connect(self.cancel)

    def _build_result(self, layout: QVBoxLayout) -> None:
        self.legend = Legend()
        self.legend.set_colors(self.preferences.colors)
        layout.addWidget(self.legend)
        self.unsure_label = QLabel("")
        self.unsure_label.setWordWrap(True)
        layout.addWidget(self.unsure_label)
        form = _form()
        self.threshold = _slider(0.2, 1.0, self.preferences.threshold)
        self.threshold.setToolTip("Regions with less confidence are marked with a question mark.")
        form.addRow("Unsure below", self.threshold)
        layout.addLayout(form)
        row = QHBoxLayout()
        self.fill_box = QCheckBox("Fill")
        self.fill_box.setToolTip("Fill the regions with their colour instead of outlining them.")
        self.letters_box = QCheckBox("Letters")
        self.letters_box.setChecked(True)
        self.letters_box.setToolTip("Write the type's letter beside clusters and unsure regions.")
        self.table_button = QPushButton("Features table")
        self.table_button.setToolTip("Open napari's table of all regions.")
        row.addWidget(self.fill_box)
        row.addWidget(self.letters_box)
        row.addWidget(self.table_button, 1)
        layout.addLayout(row)
        row = QHBoxLayout()
        self.csv_button = QPushButton("Export CSV…")
        self.csv_button.setToolTip("Save the table exactly as it is shown.")
        self.figure_button = QPushButton("Export figure…")
        self.figure_button.setToolTip("Save the outlined metaphase with its legend as PNG or SVG.")
        row.addWidget(self.csv_button)
        row.addWidget(self.figure_button)
        layout.addLayout(row)
        # A slider gives many values in a row; the letters are drawn once it rests.
        self._restyle = QTimer(self)
        self._restyle.setSingleShot(True)
        self._restyle.setInterval(120)
        self._restyle.timeout.connect(self.show_result)
        self.threshold.valueChanged.connect(lambda _: self._restyle.start())
        self.fill_box.toggled.connect(self.show_result)
        self.letters_box.toggled.connect(self.show_result)
        self.table_button.clicked.connect(self._open_table)
        self.csv_button.clicked.connect(self._ask_csv)
        self.figure_button.clicked.connect(self._ask_figure)

    # ---------------------------------------------------------------- layers

    def _connect_viewer(self) -> None:
        events = self.viewer.layers.events
        events.inserted.connect(self._layer_inserted)
        events.removed.connect(self._refresh_layers)
        events.reordered.connect(self._refresh_layers)
        for layer in self.viewer.layers:
            layer.events.name.connect(self._refresh_layers)
        self.viewer.dims.events.current_step.connect(self._frame_changed)

    def _layer_inserted(self, event: Any) -> None:
        event.value.events.name.connect(self._refresh_layers)
        self._refresh_layers()
        if self.task is None and event.value in image_layers(self.viewer):
            _choose(self.image_combo, event.value)  # what was just opened is what is wanted
            self._open_beside()

    def _refresh_layers(self, event: Any = None) -> None:
        """Offer the layers that are open; keep the choice where it still exists."""
        images = image_layers(self.viewer)
        chosen = self.image
        _offer(self.image_combo, images, chosen if chosen in images else (images or [None])[-1])
        self._offer_labels()
        self._update()

    def _offer_labels(self) -> None:
        image = self.image
        fitting = matching_labels(self.viewer, image) if image is not None else []
        others = [layer for layer in labels_layers(self.viewer) if layer not in fitting]
        chosen = self.labels
        if chosen not in fitting:
            chosen = fitting[-1] if fitting else None
        _offer(self.labels_combo, [*fitting, *others], chosen, none="none yet")
        self._watch_labels()

    @property
    def image(self) -> Any:
        """The image layer that is chosen."""
        return self.image_combo.currentData()

    @property
    def labels(self) -> Any:
        """The labels layer that is chosen."""
        return self.labels_combo.currentData()

    def _image_changed(self) -> None:
        self._foreground = None
        self.sizes.hide()
        self._offer_labels()
        self._open_beside()
        self._update()

    def _labels_changed(self) -> None:
        self._watch_labels()
        self.clear_selection()
        self._update()

    def _watch_labels(self) -> None:
        if self._watched is not None and self._watched == self.labels:
            return
        if self._watched is not None:
            self._watched.events.selected_label.disconnect(self._label_picked)
            self._watched.events.features.disconnect(self._update)
        self._watched = self.labels
        if self._watched is not None:
            self._watched.events.selected_label.connect(self._label_picked)
            self._watched.events.features.connect(self._update)

    def _open_beside(self) -> None:
        """Open regions and types that lie beside the image's file."""
        image = self.image
        if image is None or self.labels is not None:
            return
        source = getattr(image.source, "path", None)
        try:
            file, table = read_beside(source)
            if file is None:
                return
            from napari_chromocluster.imaging.io import read_labels

            array = read_labels(file)
            if array.shape != frame_shape(image):
                return
            layer = add_regions(self.viewer, image, array)
            if table is not None:
                set_table(layer, table)
            self.banner.info(f"Opened {file.name}, which lies beside the image.")
        except ValueError as error:
            self.banner.error(sentence(error))
        self._offer_labels()
        self.show_result()

    def _frame_changed(self, event: Any = None) -> None:
        labels = self.labels
        if labels is None or len(frame_shape(labels)) < 3 or not has_table(labels):
            return
        if table_of(labels)["index"].duplicated().any():
            self._restyle.start()

    # ---------------------------------------------------------------- regions

    def find_regions(self) -> None:
        """Find the regions of the chosen image in the background."""
        image = self.image
        if image is None or self.task is not None:
            return
        parameters = self._parameters()
        array, rgb = pixels(image), bool(image.rgb)
        single = len(frame_shape(image)) == 2

        def work(progress: Any, stop: Any) -> Any:
            if single:
                foreground = label_foreground(np.asarray(array), parameters)
                return foreground, filter_regions(foreground, parameters)
            return None, segment_frames(array, rgb, parameters, progress)

        self._start(work, lambda result: self._regions_found(image, *result), "Finding regions")

    def _regions_found(
        self, image: Any, foreground: Foreground | None, labels: np.ndarray[Any, Any]
    ) -> None:
        if image not in self.viewer.layers:
            self.banner.info("The image was closed while its regions were sought.")
            return
        if not labels.any():
            self.banner.error("No region was found: choose a metaphase image or lower Smallest.")
            return
        layer = add_regions(self.viewer, image, labels)
        if foreground is not None:
            self._foreground = (layer, foreground)
        self._offer_labels()
        _choose(self.labels_combo, layer)
        self.sizes.setVisible(foreground is not None)
        self._update()

    def _parameters(self) -> SegmentationParameters:
        return SegmentationParameters(
            smallest_region=self.smallest.value(),
            largest_region=max(self.largest.value(), self.smallest.value() + 0.01),
        )

    def _preview_sizes(self) -> None:
        """Show at once what the size limits leave."""
        if self._foreground is None or self._foreground[0] != self.labels:
            return
        layer, foreground = self._foreground
        if has_table(layer):
            self.banner.info("The sizes can be changed before classifying: find regions again.")
            return
        layer.data = filter_regions(foreground, self._parameters())
        self._update()

    # ---------------------------------------------------------------- selection

    @property
    def selection(self) -> set[int]:
        """The labels that are selected."""
        return set(self._selection)

    def select(self, labels: set[int]) -> None:
        """Select regions by label."""
        self._selection = set(labels)
        self._update()

    def clear_selection(self) -> None:
        """Select nothing."""
        self.select(set())

    def _set_picking(self, on: bool) -> None:
        self._picking = on
        labels = self.labels
        if labels is None:
            return
        if on:
            self.box_button.setChecked(False)
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
        self.pick_button.setChecked(False)
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

    # ---------------------------------------------------------------- classify

    def refresh_models(self) -> None:
        """Offer the models of the list, and one that a file holds."""
        chosen = self.model_combo.currentText() or self.preferences.model
        self.model_combo.clear()
        for entry in list_models():
            if entry.kind != "backbone":
                self.model_combo.addItem(entry.name, str(entry.path))
        place = self.model_combo.findText(chosen)
        if place < 0 and Path(chosen).is_file():
            self.model_combo.addItem(Path(chosen).stem, chosen)
            place = self.model_combo.count() - 1
        self.model_combo.setCurrentIndex(max(place, 0))

    def classify(self, select: list[int] | None) -> None:
        """Classify all regions (None) or some, in the background."""
        image, labels = self.image, self.labels
        if image is None or labels is None or self.task is not None:
            return
        if frame_shape(image) != frame_shape(labels):
            self.banner.error(
                "Image and regions differ in shape: choose regions that belong to the image."
            )
            return
        model, device = self.model_combo.currentData(), self.device_combo.currentText()
        # Copies, so that painting meanwhile neither disturbs the work nor is mistaken for it.
        picture = pixels(image)
        regions = (
            np.array(pixels(labels)) if isinstance(pixels(labels), np.ndarray) else pixels(labels)
        )

        def work(progress: Any, stop: Any) -> Any:
            classifier = self._loaded(str(model), device)
            return classifier.classify(picture, regions, select, progress=progress, stop=stop)

        self._start(work, lambda table: self._classified(labels, table), "Classifying")

    def _loaded(self, model: str, device: str) -> ClusterClassifier:
        """Return the classifier, loaded once for each model and device."""
        key = (model, device)
        if self._classifier is None or getattr(self, "_classifier_key", None) != key:
            self._classifier = load_model(model, device)
            self._classifier_key = key
        return self._classifier

    def _classified(self, labels: Any, table: Any) -> None:
        if labels not in self.viewer.layers:
            self.banner.info("The regions were closed while they were classified.")
            return
        set_table(labels, merge_tables(table_of(labels), table))
        self.show_result()

    def _start(self, work: Any, done: Any, what: str) -> None:
        self.banner.clear()
        self.task = Task(work, self)
        self.task.progressed.connect(self._progressed)
        self.task.succeeded.connect(lambda result: self._guarded(done, result))
        self.task.failed.connect(self.banner.error)
        self.task.cancelled.connect(lambda: self.banner.info(f"{what} was cancelled."))
        self.task.ended.connect(self._ended)
        self.progress.setRange(0, 0)
        self.progress.setFormat(f"{what}…")
        self.progress.show()
        self.cancel_button.show()
        self._update()
        self.task.start()

    def _guarded(self, done: Any, result: Any) -> None:
        try:
            done(result)
        except (ValueError, OSError) as error:
            self.banner.error(sentence(error))

    def _progressed(self, done: int, total: int) -> None:
        self.progress.setRange(0, total)
        self.progress.setValue(done)
        self.progress.setFormat(f"{done} of {total}")

    def _ended(self) -> None:
        self.task = None
        self.progress.hide()
        self.cancel_button.hide()
        self._update()

    def cancel(self) -> None:
        """Stop the work that runs."""
        if self.task is not None:
            self.task.cancel()
            self.progress.setFormat("Stopping…")

    # ---------------------------------------------------------------- result

    def show_result(self) -> None:
        """Colour the regions by type."""
        labels = self.labels
        if labels is not None and labels in self.viewer.layers and has_table(labels):
            show_overlay(
                self.viewer,
                labels,
                threshold=self.threshold.value(),
                fill=self.fill_box.isChecked(),
                text=self.letters_box.isChecked(),
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
            threshold=self.threshold.value(),
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

    # ---------------------------------------------------------------- state

    def _update(self, event: Any = None) -> None:
        """Bring buttons, counts and tooltips in line with what is there."""
        image, labels, busy = self.image, self.labels, self.task is not None
        total = self._region_count(labels)
        self.all_button.setText(f"Classify all ({total})" if total else "Classify all")
        self.selected_button.setText(f"Classify selected ({len(self._selection)})")
        reason = _reason(image, labels, total, busy)
        _enable(self.all_button, reason, "Tell the type of every region.")
        nothing = reason or ("" if self._selection else "Select regions first: pick or draw a box.")
        _enable(self.selected_button, nothing, "Tell the type of the selected regions only.")
        idle = "Wait for the work that runs." if busy else ""
        _enable(
            self.find_button,
            idle if image is not None else "Open a metaphase image first.",
            "Find chromosomes and clusters; nuclei and debris are left out.",
        )
        for button in (self.pick_button, self.box_button, self.clear_button):
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
        self.legend.set_counts(counts(table) if classified and table is not None else None)
        doubtful = int(unsure(table, self.threshold.value()).sum()) if table is not None else 0
        self.unsure_label.setText(
            ""
            if not classified
            else f"{doubtful} unsure (marked ?)"
            if doubtful
            else "None is unsure."
        )
        for button in (self.table_button, self.csv_button, self.figure_button):
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


def _form(parent: QWidget | None = None) -> QFormLayout:
    form = QFormLayout(parent) if parent is not None else QFormLayout()
    form.setContentsMargins(0, 0, 0, 0)
    form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
    return form


def _combo(tooltip: str) -> QComboBox:
    combo = QComboBox()
    combo.setToolTip(tooltip)
    combo.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    combo.setMinimumContentsLength(8)
    return combo


def _slider(low: float, high: float, value: float) -> QLabeledDoubleSlider:
    slider = QLabeledDoubleSlider(Qt.Orientation.Horizontal)
    slider.setRange(low, high)
    slider.setDecimals(2)
    slider.setValue(value)
    return slider


def _offer(combo: QComboBox, layers: list[Any], chosen: Any, none: str = "open an image") -> None:
    """Fill a combo box with layers without telling anyone until it is done."""
    combo.blockSignals(True)
    combo.clear()
    if chosen is None:
        combo.addItem(none, None)
    for layer in layers:
        combo.addItem(layer.name, layer)
    _choose(combo, chosen)
    combo.blockSignals(False)


def _choose(combo: QComboBox, layer: Any) -> None:
    """Choose a layer; compared by equality, since napari hands plugins proxies of layers."""
    places = (i for i in range(combo.count()) if combo.itemData(i) == layer)
    combo.setCurrentIndex(next(places, 0))


def _reason(image: Any, labels: Any, total: int, busy: bool) -> str:
    """Say why nothing can be classified; empty where it can."""
    if busy:
        return "Wait for the work that runs, or cancel it."
    if image is None:
        return "Open a metaphase image first."
    if labels is None:
        return "Find regions first, or open a labels layer."
    return ""


def _enable(button: QPushButton, reason: str, tooltip: str) -> None:
    button.setEnabled(not reason)
    button.setToolTip(reason or tooltip)


__all__ = ["ClassifyWidget", "letters_layer"]
