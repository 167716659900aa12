"""Work off the main thread: classify regions and explain them."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QTimer

from napari_chromocluster.imaging.regions import Selection
from napari_chromocluster.models.registry import list_models
from napari_chromocluster.results.features_table import mark_changed, merge_tables
from napari_chromocluster.viewer.colormap_warmup import classify_something, prepare_label_colors
from napari_chromocluster.viewer.explanation_layer import remove_explanation, show_explanation
from napari_chromocluster.viewer.layer_tables import set_familiarity, set_table, table_of
from napari_chromocluster.viewer.layers import belong_together, layer_data, layer_snapshot, mismatch
from napari_chromocluster.viewer.model_cache import cached_classifier
from napari_chromocluster.viewer.settings import list_models_in_preferences, preferences, remember
from napari_chromocluster.widgets.classify.base import ClassifyBase
from napari_chromocluster.widgets.common.worker import Worker

if TYPE_CHECKING:
    from napari_chromocluster.models.classifier import ClusterClassifier


class ClassifyWorking(ClassifyBase):
    """The part of the dock that classifies and explains regions."""

    _loading: Worker | None = None
    _models: Sequence[tuple[str, str]] = ()
    _began, _what, _alone = 0.0, "", False
    #: The regions as they were when some were explained.
    _explained_pixels: Any = None

    # ---------------------------------------------------------------- models

    def refresh_models(self) -> None:
        """List the available models, and one loaded from a file."""
        models = [(one.name, str(one.path)) for one in list_models() if one.kind != "backbone"]
        box, self._models = self.run.model_combo, models
        # A model that is not in the list is identified by its file.
        chosen = str(box.currentData() or self.preferences.model)
        box.clear()
        for name, path in models:
            box.addItem(name, path)
        self._choose_model(chosen)
        list_models_in_preferences([name for name, _ in models])

    def warm_up(self) -> None:
        """Load in a thread what the first classification needs: torch, the model, napari's colors.

        This is done once per session, while the dock opens.  Errors are ignored here, since they
        occur and are reported again when the model is used.
        """
        if "torch" in sys.modules:
            return
        self._take_choice()
        self._loading = Worker(lambda progress, stop: self._prepare(stop), self)
        self._loading.start()

    def _prepare(self, stop: Any) -> None:
        prepare_label_colors()
        classifier = self.classifier()
        if not stop():
            classify_something(classifier)

    def _choose_model(self, chosen: str) -> None:
        """Select a model by name or file; an unlisted one is added if its file exists."""
        box = self.run.model_combo
        place = max(box.findText(chosen), box.findData(chosen))
        if place < 0 and Path(chosen).is_file():
            box.addItem(Path(chosen).stem, chosen)
            place = box.count() - 1
        box.setCurrentIndex(max(place, 0))

    def _remember_model(self) -> None:
        """Remember the selected model, by name or, if it is not listed, by file."""
        box = self.run.model_combo
        listed = box.currentText() in {name for name, _ in self._models}
        remember("model", box.currentText() if listed else str(box.currentData()))

    def classifier(self) -> ClusterClassifier:
        """Return the selected model; called in the worker thread."""
        return cached_classifier(*self._key)

    def _take_choice(self) -> None:
        """Store model and device on the main thread, for the next task."""
        box = self.run.model_combo
        self._key = (str(box.currentData()), self.run.device_combo.currentText())

    _key: tuple[str, str] = ("default", "auto")

    # ---------------------------------------------------------------- classifying, explaining

    def classify(self, select: Selection | None) -> None:
        """Classify all regions (None) or some, in the background."""
        pair = self._pair()
        if pair is None:
            return
        image, labels, picture, regions = pair
        expected = preferences().expected

        def work(progress: Any, stop: Any) -> Any:
            return self.classifier().classify(
                picture, regions, select, expected=expected, progress=progress, stop=stop
            )

        def done(table: Any) -> None:
            self._classified(labels, table, regions, complete=select is None)

        self._start(work, done, "Classifying", image, labels)

    def explain(self) -> None:
        """Show what determined the types of the selected regions, in the background."""
        pair, select = self._pair(), sorted(self._keys)
        if pair is None or not select:
            return
        image, labels, picture, regions = pair
        expected = preferences().expected

        def work(progress: Any, stop: Any) -> Any:
            return self.classifier().explain(
                picture, regions, select, expected=expected, progress=progress, stop=stop
            )

        def done(heat: Any) -> None:
            self._explained(labels, heat, regions)

        self._start(work, done, "Explaining", image, labels)

    def _pair(self) -> tuple[Any, Any, Any, Any] | None:
        """Return the selected layers and their pixels, or None if they cannot be used."""
        image, labels = self.image, self.labels
        if image is None or labels is None or self.task is not None:
            return None
        self.banner.clear()
        if wrong := mismatch(image, labels):
            self.banner.error(wrong)
            return None
        belong_together(image, labels)
        self._take_choice()
        return image, labels, layer_data(image), layer_snapshot(labels)

    def _classified(self, labels: Any, table: Any, before: Any, complete: bool) -> None:
        """Apply the model's results to the regions that existed when it started."""
        old, now = table_of(labels), layer_data(labels)
        if before.shape != now.shape:
            self.banner.info("The regions were replaced while they were classified: do it again.")
            return
        if not isinstance(now, np.ndarray) or np.array_equal(before, now):
            merged = merge_tables(old, table, complete=complete)
        else:  # what was painted, split or decided meanwhile is newer
            merged = mark_changed(merge_tables(old, table), before, now)
        set_familiarity(labels, table)
        set_table(labels, merged)
        remove_explanation(self.viewer, labels)  # it explains the previous types
        QTimer.singleShot(0, lambda: self.show_result(labels))

    def _clear(self) -> None:
        """Clear the selection and the explanation."""
        self.clear_selection()
        if self.labels is not None:
            remove_explanation(self.viewer, self.labels)

    def _explained(self, labels: Any, heat: Any, before: Any) -> None:
        show_explanation(self.viewer, labels, heat)
        self._explained_pixels = before
        if not heat.any():
            self.banner.info("No part of these regions decided the type that the model gave them.")

    # ---------------------------------------------------------------- the task

    def _start(self, work: Any, done: Any, what: str, *layers: Any, alone: bool = False) -> None:
        """Start work in a thread; work that is alone shares nothing with the work after it."""
        self.banner.clear()
        self._alone = alone
        self._worked_on, self._stopped = layers, ""
        self.task = Worker(work, self)
        self.task.progressed.connect(self._progressed)
        self.task.succeeded.connect(lambda result: self._take(done, result))
        self.task.failed.connect(self.banner.error)
        self.task.cancelled.connect(
            lambda: self.banner.info(self._stopped or f"{what} was cancelled.")
        )
        self.task.ended.connect(self._ended)
        self._began = time.monotonic()
        self.run.progress.setRange(0, 0)
        self._what = what
        self.run.progress.setFormat(f"{what}…")
        self.run.progress.show()
        self.run.cancel_button.show()
        self._update()
        self.task.start()

    def _take(self, done: Callable[[Any], None], result: Any) -> None:
        """Handle a result, unless the dock or one of the layers was closed meanwhile."""
        if self._stopped:
            self.banner.info(self._stopped)
        elif not self.released:
            self._guarded(done, result)

    def _stop_work_on(self, layer: Any, why: str) -> None:
        """Stop work on a layer that was closed or has changed, and report why."""
        if self.task is None or layer not in self._worked_on:
            return
        self._stopped = f"{self._what} was stopped: {why}."
        self.cancel()

    def _progressed(self, done: int, total: int) -> None:
        self.run.progress.setRange(0, total)
        self.run.progress.setValue(done)
        passed = time.monotonic() - self._began
        left = passed / max(done, 1) * (total - done)
        estimate = f", {left:.0f} s left" if passed + left > 3 and left >= 1 else ""
        self.run.progress.setFormat(f"{self._what}: {done} of {total}{estimate}")

    def _ended(self) -> None:
        self.task, self._worked_on = None, ()
        self.run.progress.hide()
        self.run.cancel_button.hide()
        self._update()

    def cancel(self) -> None:
        """Stop the work that runs."""
        if self.task is None:
            return
        if self._alone:
            self.task.drop()
        else:
            self.task.cancel()
            self.run.progress.setRange(0, 0)
            self.run.progress.setFormat("Stopping…")
