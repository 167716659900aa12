"""The learning-rate finder of the dock: a short separate run, plotted live."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyqtgraph as pg
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QLabel, QVBoxLayout, QWidget

from napari_chromocluster.training.runs.process import start
from napari_chromocluster.training.runs.run_folder import Run, list_runs, runs_dir
from napari_chromocluster.widgets.common.worker import Worker
from napari_chromocluster.widgets.train.controls import button
from napari_chromocluster.widgets.train.progress_panel import headline
from napari_chromocluster.widgets.train.run_monitor import RunFollower


class LearningRatePanel(QWidget):
    """Shows loss against learning rate, and the suggested rate."""

    #: Row of the stage and the rate found for it.
    found = Signal(int, float)
    failed = Signal(str)
    ended = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._task: Worker | None = None
        self._follower: RunFollower | None = None
        self._row = 0
        self._released = False
        self._points: list[tuple[float, float]] = []
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self.label = QLabel("")
        self.label.setWordWrap(True)
        self.plot = pg.PlotWidget()
        self.plot.setBackground(None)
        self.plot.setFixedHeight(110)
        self.plot.setMenuEnabled(False)
        self.plot.hideButtons()
        self.plot.setMouseEnabled(x=False, y=False)
        self.plot.setLogMode(x=True, y=False)
        self.plot.setLabel("bottom", "learning rate of the head")
        self.plot.wheelEvent = lambda event: event.ignore()
        self._curve = self.plot.plot(pen=pg.mkPen("#56B4E9", width=2))
        self._line = pg.InfiniteLine(0, pen=pg.mkPen("#009E73", style=Qt.PenStyle.DashLine))
        self.cancel_button = button("Cancel", "End the search.", self.cancel)
        layout.addWidget(self.label)
        layout.addWidget(self.plot)
        layout.addWidget(self.cancel_button)
        self.hide()

    @property
    def busy(self) -> bool:
        """Whether a search is running."""
        return self._task is not None or self._follower is not None

    def search(self, prepare: Callable[[Path], Run], row: int) -> None:
        """Search a learning rate for a stage.

        Parameters
        ----------
        prepare : callable
            Creates the run folder at the given path; called in the background.
        row : int
            The stage.
        """
        if self.busy:
            return
        self._row, self._points = row, []
        self._curve.setData([], [])
        self.plot.removeItem(self._line)
        self.label.setText("Starting…")
        self.cancel_button.show()
        self.show()

        def work(progress: Any, stop: Any) -> Run:
            run = prepare(_free_folder())
            if stop():
                shutil.rmtree(run.folder, ignore_errors=True)
                return run
            start(run, find_rates=row)
            if stop():  # the search was cancelled meanwhile
                run.request_stop()
            return run

        self._task = Worker(work, self)
        self._task.succeeded.connect(self._started)
        self._task.failed.connect(self._failed)
        self._task.cancelled.connect(self.hide)
        self._task.ended.connect(self._task_ended)
        self._task.start()

    def cancel(self) -> None:
        """Cancel the search."""
        if self._task is not None:
            self._task.cancel()
        if self._follower is not None:
            self._follower.run.request_stop()
        self.label.setText("Stopping…")

    def release(self) -> None:
        """Cancel the search and stop following it when the dock closes."""
        self._released = True
        if self._task is not None:
            self._task.cancel()
        if self._follower is not None:
            self._follower.run.request_stop()
            self._follower.stop()

    def _started(self, run: Run) -> None:
        if self._released:  # it started just as the dock was closed
            run.request_stop()
            return
        self._follower = RunFollower(run, self)
        self._follower.progressed.connect(self._progressed)
        self._follower.event_read.connect(self._event_read)
        self._follower.ended.connect(self._ended)
        self._follower.start()

    def _task_ended(self) -> None:
        self._task = None
        if self._follower is None:
            self.ended.emit()

    def _failed(self, message: str) -> None:
        self.hide()
        self.failed.emit(message)

    def _progressed(self, progress: Any) -> None:
        if not self._points:
            self.label.setText(headline(progress))

    def _event_read(self, event: dict[str, Any]) -> None:
        if event["kind"] == "rate":
            self._points.append((float(event["rate"]), float(event["loss"])))
            rates, losses = zip(*self._points, strict=True)
            self._curve.setData(list(rates), list(losses))
            self.label.setText(f"Trying {rates[-1]:.1e}: loss {losses[-1]:.2f}")
        elif "suggestion" in event:
            rate = float(event["suggestion"])
            self.label.setText(f"The loss falls fastest at {rate:.1e}; it is in the table now.")
            self._line.setValue(math.log10(rate))
            self.plot.addItem(self._line)
            self.found.emit(self._row, rate)

    def _ended(self, state: str) -> None:
        if self._follower is None:
            return
        run, self._follower = self._follower.run, None
        self.cancel_button.hide()
        if state != "finished":
            message = run.message()
            self.hide()
            if state != "stopped":
                self.failed.emit(message)
        shutil.rmtree(run.folder, ignore_errors=True)
        self.ended.emit()


def _free_folder() -> Path:
    """Return an unused folder for a search, and delete those of searches that have ended."""
    folder = runs_dir() / ".rates"
    for old in list_runs(folder):
        if not old.process_alive():
            shutil.rmtree(old.folder, ignore_errors=True)
    number = 1
    while (folder / str(number)).exists():
        number += 1
    return folder / str(number)
