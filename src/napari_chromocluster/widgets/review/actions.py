"""Actions of the keys and buttons of the review dock."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog, QMessageBox

from napari_chromocluster.cluster_types import ClusterType
from napari_chromocluster.imaging.label_editing import LabelEditError
from napari_chromocluster.results.table_files import write_table
from napari_chromocluster.viewer.layers import current_frame, image_layers, show_only, source_of
from napari_chromocluster.viewer.model_cache import cached_classifier
from napari_chromocluster.viewer.review import exports
from napari_chromocluster.viewer.review.change_tracker import Key
from napari_chromocluster.viewer.review.classify_job import ClassifyJob, frames_of
from napari_chromocluster.viewer.review.review_queue import (
    ReviewItem,
    entries,
    needs_review,
    next_waiting,
    of_next_frame,
)
from napari_chromocluster.viewer.review.table_rows import count_text
from napari_chromocluster.viewer.sidecar_files import path_next_to_image
from napari_chromocluster.widgets.common.exporting import ask_where
from napari_chromocluster.widgets.common.worker import Worker
from napari_chromocluster.widgets.review.base import ReviewBase
from napari_chromocluster.widgets.review.shortcuts import help_sheet

if TYPE_CHECKING:
    from napari_chromocluster.viewer.review.session import ReviewSession


class ReviewActions(ReviewBase):
    """The part of the dock that decides, edits, classifies and exports regions."""

    # ---------------------------------------------------------------- deciding

    def _chosen(self) -> list[Key]:
        """Return the selected regions; shows a message if there are none."""
        keys = self.gallery.selected_keys() if self.session is not None else []
        if not keys:
            self.banner.info("Select a region first: click it in the gallery or in the picture.")
        return keys

    def set_type(self, kind: ClusterType) -> None:
        """Set the type of the selected regions, and go to the next one that needs review."""
        keys = self._chosen()
        if self.session is not None and keys:
            self.banner.clear()
            self.session.set_type(keys, kind)
            self.gallery.select(keys)
            if self.go_on.isChecked():
                self.go(1)

    def drop(self, keys: Sequence[Key], kind: str) -> None:
        """Set the type of regions that were dropped on its group."""
        if self.session is not None and self.selected is not None and keys:
            self.banner.clear()
            self.session.set_type(keys, kind)
            self.selected.select(keys)

    def accept(self) -> None:
        """Accept the types of the selected regions and go to the next one that needs review."""
        keys = self._chosen()
        if self.session is not None and keys:
            self.banner.clear()
            self.session.accept(keys)
            self.go(1)

    def restore_model(self) -> None:
        """Restore the model's types of the selected regions."""
        keys = self._chosen()
        if self.session is None or not keys:
            return
        self.banner.clear()
        self.session.restore_model(keys)
        if (self.session.rows(keys)["source"] == "human").any():
            self.banner.info("No model has looked at this region: use Classify again.")

    def undo(self) -> None:
        """Undo the last decision and go to its regions."""
        self._step(self.session.undo() if self.session is not None else None, "undo")

    def undo_in_picture(self) -> None:
        """Undo the last decision, or the last stroke while the user is painting."""
        labels = self.labels
        if labels is not None and labels == self._painted_on():
            labels.undo()
        else:
            self.undo()

    def redo_in_picture(self) -> None:
        """Redo the last undone decision, or stroke while the user is painting."""
        labels = self.labels
        if labels is not None and labels == self._painted_on():
            labels.redo()
        else:
            self.redo()

    def _painted_on(self) -> Any:
        """Return the layer that the user is painting on, or None in pan/zoom mode."""
        active = self.viewer.layers.selection.active
        return active if active is not None and str(active.mode) != "pan_zoom" else None

    def redo(self) -> None:
        """Redo the last undone decision."""
        self._step(self.session.redo() if self.session is not None else None, "redo")

    def _step(self, change: Any, word: str) -> None:
        if change is None:
            self.banner.info(f"There is nothing to {word}.")
            return
        self.banner.clear()
        if self.session is not None and self.canvas is not None:
            frames = frames_of(change.keys)
            if self._shown_frame() not in frames:
                self.canvas.show_frame(frames[0])
            alive = [key for key in change.keys if self.session.tracker.hash_of(key)]
            self._choose(alive)

    def _choose(self, keys: list[Key]) -> None:
        """Select new or changed regions, and update their frames."""
        self.gallery.select(keys, tell=True)
        # If the selection is the same as before, it emits no signal.
        if self.selected is not None:
            self.selected.draw()

    def go(self, step: int) -> None:
        """Go to the next (1) or previous (-1) region that needs review.

        If the frame that is shown has none left, go to another frame.
        """
        if self.session is None:
            return
        # Qt makes the first region current automatically; only start from an actual selection.
        start = self.gallery.current_key() if self.gallery.selected_keys() else None
        entry = next_waiting(self._in_visiting_order(), start, step)
        if entry is None:
            shown = self._shown_frame()
            listed = entries(self.session.table, self.preferences.threshold)
            elsewhere = [one for one in listed if needs_review(one) and one.frame != shown]
            found = of_next_frame(elsewhere, shown, step)
            if not found:
                self.banner.info("No other region waits for you: all are sure or decided by hand.")
                return
            entry = found[0 if step > 0 else -1]
        self.banner.clear()
        self._go_to(entry)

    def go_to_unsure(self) -> None:
        """Go to the first region that the model is unsure of, in any frame."""
        if self.session is None:
            return
        listed = entries(self.session.table, self.preferences.threshold)
        doubtful = [one for one in listed if one.unsure]
        found = of_next_frame(doubtful, self._shown_frame())
        if found:
            self._go_to(found[0])

    def _go_to(self, entry: ReviewItem) -> None:
        """Select a region and show its frame."""
        if self.canvas is not None:
            self.canvas.show_frame(entry.frame)
        self.gallery.select([(entry.frame, entry.label)], tell=True)

    def _in_visiting_order(self) -> list[ReviewItem]:
        """Return the regions in the order they had when the user last selected one.

        A decision moves a region to another group; continuing from there would skip the regions
        after its old position.
        """
        shown = {(one.frame, one.label): one for one in self.gallery.gallery.entries}
        known = [shown[key] for key in self._order if key in shown]
        old = set(self._order)
        return [*known, *(one for key, one in shown.items() if key not in old)]

    def next_frame(self) -> None:
        """Go to the next frame of a stack."""
        if self.canvas is not None:
            self.canvas.next_frame()

    def show_keys(self) -> None:
        """Show the non-modal help sheet."""
        box = QMessageBox(self)
        box.setWindowTitle("Keys of the review")
        box.setTextFormat(Qt.TextFormat.RichText)
        box.setText(help_sheet())
        box.setModal(False)
        box.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        box.show()

    # ---------------------------------------------------------------- editing

    def split_watershed(self) -> None:
        """Split the selected region at its narrowest place."""
        session, keys = self.session, self._chosen()
        if session is not None and keys:
            self._mended(self._try(lambda: session.split_watershed(keys[0])))

    def split_line(self, points: np.ndarray[Any, Any]) -> None:
        """Split the region under a drawn line."""
        session, canvas = self.session, self.canvas
        self.leave_line()
        # The line was drawn in the canvas, so return the focus to the review's keys.
        self.gallery.setFocus(Qt.FocusReason.OtherFocusReason)
        if session is None or canvas is None:
            return
        key = canvas.region_under(points, self.gallery.selected_keys())
        if key is None:
            self._try(lambda: _refuse("The line crosses no region: draw it right across one."))
            return
        self._mended(self._try(lambda: session.split_line(key, points)))

    def merge(self) -> None:
        """Merge the selected regions."""
        session, keys = self.session, self._chosen()
        if session is None or not keys:
            return

        def merge() -> None:
            self._mended(self._try(lambda: session.merge(keys)))

        if session.are_apart(keys):
            self.choice.ask(
                f"These {len(keys)} regions do not touch each other: make them one region?",
                {"Merge them anyway": merge, "Keep them apart": lambda: None},
            )
        else:
            merge()

    def delete(self) -> None:
        """Turn the selected regions into background."""
        session, keys = self.session, self._chosen()
        if session is not None and keys:
            self._try(lambda: session.delete(keys))
            if not self.banner.text:
                self.banner.info(f"Deleted {count_text(keys)}; undo brings them back.")

    def _mended(self, pieces: list[Key] | None) -> None:
        """Select the new regions and classify them immediately."""
        if not pieces:
            return
        self._choose(pieces)
        self._fresh.update(pieces)
        self._classify_waiting()

    # ---------------------------------------------------------------- the model

    def reclassify(self) -> None:
        """Classify all regions that are new or have changed."""
        if self.session is not None:
            self._classify(self.session.job())

    def _classify_waiting(self) -> None:
        """Classify regions that need it without asking."""
        if self.session is None or self.task is not None:
            return
        waiting = self.session.needs_classification()
        if not self.edit_panel.automatic.isChecked():
            waiting = [key for key in waiting if key in self._fresh]
        self._fresh.clear()
        if waiting:
            self._classify(self.session.job(waiting))

    def _classify(self, job: ClassifyJob | None) -> None:
        if job is None or self.task is not None:
            return
        session = self.session
        chosen = self.preferences.model, self.preferences.device
        number = self.preferences.expected

        def work(progress: Callable[[int, int], None], stop: Callable[[], bool]) -> Any:
            return job.run(cached_classifier(*chosen), progress, stop, expected=number)

        def taken(result: pd.DataFrame) -> None:
            if session is not None and session is self.session:
                count = session.take(job, result)
                self.banner.info(f"Classified {count} of {len(job.keys)} regions again.")

        def ended() -> None:
            self.task = None
            if self.released:
                return
            self._update_state()
            if self.edit_panel.automatic.isChecked() or self._fresh:
                self._classify_waiting()

        def failed(message: str) -> None:
            if self.released:
                return
            # Automatic retries would only fail again.
            self.edit_panel.automatic.setChecked(False)
            self.banner.error(message)

        task = Worker(work, self)
        task.succeeded.connect(taken)
        task.failed.connect(failed)
        task.ended.connect(ended)
        self.task = task
        self._update_state()
        task.start()

    # ---------------------------------------------------------------- exporting

    def export(self, what: str, path: str | None = None) -> None:
        """Export ``csv``, ``overlay``, ``sheet``, ``chart`` or ``annotations`` to a file."""
        session = self.session
        if session is None:
            self.banner.info("Open a metaphase with its regions first.")
            return
        folder = self._export_folder()
        path = self._try(
            lambda: (
                ask_where(self, what, session.image, session.name, folder)
                if path is None
                else path_next_to_image(session.image, path)
            )
        )
        if path:
            self._write(what, path, session)

    def _export_folder(self) -> Path:
        source = source_of(self.session.image) if self.session else ""
        return Path(source).parent if source else self._folder or Path.home()

    def _write(self, what: str, path: str, session: ReviewSession) -> None:
        frame = current_frame(self.viewer, session.labels)
        source = source_of(session.image) or None
        size = exports.micrometres_per_pixel(session.image)
        colors = self.preferences.colors
        if what == "annotations" and self.keeper is not None:
            self.keeper.save_now()
        store = self.keeper.store if self.keeper is not None else None
        labels = store.labels_path if store is not None else None
        work: dict[str, Callable[[], Any]] = {
            "csv": lambda: write_table(path, session.table),
            "overlay": lambda: exports.save_overlay(
                path, session, frame, threshold=self.preferences.threshold,
                colors=colors, pixel_size=size,
            ),
            "sheet": lambda: exports.save_contact_sheet(path, session, frame, colors, size),
            "chart": lambda: exports.save_chart(
                path, self._ranked or exports.stack_tables(session), colors
            ),
            "annotations": lambda: exports.save_annotations(path, session, source, labels),
        }  # fmt: skip
        task = Worker(lambda _progress, _stop: work[what](), self, writes=True)
        task.succeeded.connect(lambda _: self.banner.info(f"Saved {Path(path).name}."))
        task.failed.connect(self.banner.error)
        task.start()

    _ranked: dict[str, pd.DataFrame] | None = None
    _ranked_folder: Path | None = None

    def rank_stack(self) -> None:
        """Rank the frames of the stack."""
        if self.session is not None:
            self._ranked_folder = None
            self._show_ranking(exports.stack_tables(self.session))

    def rank_folder(self, folder: str | None = None) -> None:
        """Rank all reviewed metaphases of a folder."""
        if folder is None:
            start = str(self._export_folder())
            folder = QFileDialog.getExistingDirectory(self, "Rank the metaphases in", start)
        if not folder:
            return
        if self.keeper is not None:
            self._end_saving()
            self.keeper.save_now()  # Current decisions count in the ranking, too.

        def read(found: tuple[dict[str, pd.DataFrame], dict[str, str]]) -> None:
            self._ranked_folder = Path(folder)
            self._show_ranking(found[0])
            if found[1]:
                self.banner.error(exports.unread_text(found[1]))

        task = Worker(lambda _progress, _stop: exports.folder_tables(folder), self)
        task.succeeded.connect(read)
        task.failed.connect(self.banner.error)
        task.start()

    def _show_ranking(self, tables: dict[str, pd.DataFrame]) -> None:
        self._ranked = tables
        self._update_state()
        self.summary.show_ranking(exports.ranking(tables, self.preferences.expected))
        self._show_ranking_table()

    def open_ranked(self, name: str) -> None:
        """Go to a metaphase of the ranking."""
        if self._ranked_folder is None:
            if self.canvas is not None and name.startswith("frame "):
                self.canvas.show_frame(int(name.removeprefix("frame ")) - 1)
            return
        path = exports.image_of(self._ranked_folder, name)
        if path is None:
            self.banner.error(f"The image of {name} is not in {self._ranked_folder.name}.")
            return
        opened = [x for x in image_layers(self.viewer) if str(path) == source_of(x)]
        if not opened:
            opened = self._try(lambda: self.viewer.open(str(path), layer_type="image")) or []
        if opened:
            self.choose_image(opened[0])
            show_only(self.viewer, opened[0], self.labels)


def _refuse(message: str) -> None:
    raise LabelEditError(message)
