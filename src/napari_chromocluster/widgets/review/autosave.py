"""Continuous saving of the review, and prompts if a file was changed on disk."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtWidgets import QFileDialog

from napari_chromocluster.widgets.common.worker import Worker
from napari_chromocluster.widgets.review.base import ReviewBase


class ReviewSaving(ReviewBase):
    """The part of the dock that saves the review."""

    def save(self) -> None:
        """Write the files in the background."""
        if self.keeper is None or self._saving is not None:
            return
        keeper = self.keeper
        snapshot = keeper.snapshot()
        if snapshot is not None:
            task = Worker(lambda _progress, _stop: keeper.write(snapshot), self, writes=True)
            task.failed.connect(self.banner.error)
            task.ended.connect(self._saved)
            self._saving = task
            task.start()
        self._update_saving()

    def _saved(self) -> None:
        self._saving = None
        # Failed writes are retried with the next change, and on exit.
        if self.keeper is not None and self.keeper.dirty and not self.keeper.problem:
            self._save_timer.start()
        self._update_saving()

    def _end_saving(self) -> None:
        self._save_timer.stop()
        if self._saving is not None:
            self._saving.wait()
            self._saving = None

    def _update_saving(self) -> None:
        keeper = self.keeper
        if keeper is None:
            self.saving.label.setText("")
            return
        if keeper.conflict and self.choice.isHidden():
            self.choice.ask(
                keeper.conflict,
                {
                    "Keep my review; the other file gets another name": self._keep_mine,
                    "Take the file; undo brings mine back": self._take_theirs,
                },
            )
        store = keeper.store
        if keeper.problem:
            self.saving.label.setText(keeper.problem)
        elif store is None:
            self.saving.label.setText("Saved with your first correction.")
        else:
            self.saving.label.setText(f"Saved in {store.folder.name or store.folder}")
            self.saving.label.setToolTip(str(store.table_path))

    def _keep_mine(self) -> None:
        if self.keeper is not None:
            self.keeper.keep_mine()
            self._update_saving()

    def _take_theirs(self) -> None:
        if self.keeper is not None:
            self._try(self.keeper.take_theirs)
            self._update_saving()

    def choose_folder(self, folder: str | None = None) -> None:
        """Save reviews in another folder from now on."""
        if folder is None:
            folder = QFileDialog.getExistingDirectory(self, "Save reviews in")
        if folder:
            self._folder = Path(folder)
            if self.keeper is not None:
                self._end_saving()
                self.keeper.move_to(self._folder)
            self._update_saving()
