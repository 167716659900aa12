"""The work off the main thread: finding regions, and classifying them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from napari_chromocluster.imaging.segmentation import (
    Foreground,
    SegmentationParameters,
    filter_regions,
    label_foreground,
)
from napari_chromocluster.models.classifier import ClusterClassifier, load_model
from napari_chromocluster.models.registry import list_models
from napari_chromocluster.results.table import merge_tables
from napari_chromocluster.viewer.layers import frame_shape, has_table, pixels, set_table, table_of
from napari_chromocluster.viewer.scripting import add_regions, segment_frames
from napari_chromocluster.widgets.classify.base import ClassifyBase
from napari_chromocluster.widgets.common.controls import choose
from napari_chromocluster.widgets.common.task import Task


class ClassifyWorking(ClassifyBase):
    """The part of the dock that finds and classifies regions."""

    _classifier: ClusterClassifier | None = None
    _classifier_key: tuple[str, str] | None = None

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
        choose(self.input.labels_combo, layer)
        self.input.sizes.setVisible(foreground is not None)
        self._update()

    def _parameters(self) -> SegmentationParameters:
        return SegmentationParameters(
            smallest_region=self.input.smallest.value(),
            largest_region=max(self.input.largest.value(), self.input.smallest.value() + 0.01),
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

    def refresh_models(self) -> None:
        """Offer the models of the list, and one that a file holds."""
        chosen = self.run.model_combo.currentText() or self.preferences.model
        self.run.model_combo.clear()
        for entry in list_models():
            if entry.kind != "backbone":
                self.run.model_combo.addItem(entry.name, str(entry.path))
        place = self.run.model_combo.findText(chosen)
        if place < 0 and Path(chosen).is_file():
            self.run.model_combo.addItem(Path(chosen).stem, chosen)
            place = self.run.model_combo.count() - 1
        self.run.model_combo.setCurrentIndex(max(place, 0))

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
        model, device = self.run.model_combo.currentData(), self.run.device_combo.currentText()
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
        if self._classifier is None or self._classifier_key != key:
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
        self.run.progress.setRange(0, 0)
        self.run.progress.setFormat(f"{what}…")
        self.run.progress.show()
        self.run.cancel_button.show()
        self._update()
        self.task.start()

    def _progressed(self, done: int, total: int) -> None:
        self.run.progress.setRange(0, total)
        self.run.progress.setValue(done)
        self.run.progress.setFormat(f"{done} of {total}")

    def _ended(self) -> None:
        self.task = None
        self.run.progress.hide()
        self.run.cancel_button.hide()
        self._update()

    def cancel(self) -> None:
        """Stop the work that runs."""
        if self.task is not None:
            self.task.cancel()
            self.run.progress.setFormat("Stopping…")
