"""Past and running training runs: attach to one, resume it, discard it and restore it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qtpy.QtCore import Qt, QTimer, QUrl, Signal
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import (
    QHBoxLayout,
    QHeaderView,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_chromocluster.training.runs.report_data import read_report
from napari_chromocluster.training.runs.run_folder import (
    FINISHED,
    RUNNING,
    STOPPED,
    Run,
    RunError,
    discard,
    list_runs,
    restore,
)
from napari_chromocluster.widgets.common.worker import Worker
from napari_chromocluster.widgets.train.controls import button

_RUN = Qt.ItemDataRole.UserRole
#: Maximum number of runs listed, newest first.
_MOST = 50
#: Milliseconds between two polls while a training run is running.
_LOOK = 3000


@dataclass(frozen=True)
class RunRow:
    """One row of the list, read in the background."""

    run: Run
    name: str
    state: str
    shown: str
    message: str
    score: float | None
    resumable: bool
    stamp: float


def read_line(run: Run) -> RunRow | None:
    """Read what the list shows of a run; None for a folder that cannot be read."""
    try:
        config = run.config
        state = run.state()
        # A stopped training run also has a model, like a finished one.
        shown = STOPPED if state == FINISHED and run.should_stop() else state
        report = read_report(run) if state == FINISHED else None
        score = None if report is None else float(report.new["macro_sensitivity"])
        resumable, stamp = run.can_resume(), _stamp(run)
        return RunRow(run, config.model_name, state, shown, run.message(), score, resumable, stamp)
    except (RunError, KeyError, TypeError):
        return None


def _stamp(run: Run) -> float:
    """Return the time of a run's last event."""
    try:
        return run.events_path.stat().st_mtime
    except OSError:
        return 0.0


def read_lines(known: Mapping[Path, RunRow]) -> list[RunRow]:
    """Read the list, without reading known finished runs again."""
    found = []
    for run in list_runs()[:_MOST]:
        line = known.get(run.folder)
        if line is None or line.stamp != _stamp(run):
            line = read_line(run)
        if line is not None:
            found.append(line)
    return found


class RunsPanel(QWidget):
    """The list of runs."""

    #: A run was selected to be shown.
    chosen = Signal(object)
    #: A run is to be resumed.
    resumed = Signal(object)
    #: The list was read; carries its rows.
    listed = Signal(list)
    failed = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self._task: Worker | None = None
        self._again = self._released = False
        self._discarded: Path | None = None
        self.lines: list[RunRow] = []
        # There is no event for training runs that another program runs.
        self._timer = QTimer(self)
        self._timer.setInterval(_LOOK)
        self._timer.timeout.connect(self.refresh)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self.tree = QTreeWidget()
        self.tree.setHeaderLabels(["Started", "Name", "State", "Score"])
        self.tree.headerItem().setToolTip(3, "Macro sensitivity on metaphases it never saw.")
        self.tree.setRootIsDecorated(False)
        self.tree.setMinimumHeight(80)
        self.tree.setMaximumHeight(140)
        self.tree.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        header = self.tree.header()
        header.setStretchLastSection(False)
        header.setMinimumSectionSize(24)
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(1, QHeaderView.ResizeMode.Stretch)
        layout.addWidget(self.tree)
        row = QHBoxLayout()
        self.resume_button = button(
            "Resume", "Go on from the last finished epoch.", self._with_chosen(self.resumed.emit)
        )
        self.report_button = button(
            "Report", "Open the report of this training.", self._with_chosen(open_report)
        )
        self.discard_button = button(
            "Discard", "Put this training away; it can be brought back.",
            self._with_chosen(self.discard),
        )  # fmt: skip
        self.undo_button = button("Undo", "Bring the last discarded training back.", self.undo)
        for one in (
            self.resume_button, self.report_button, self.discard_button, self.undo_button,
        ):  # fmt: skip
            row.addWidget(one)
        layout.addLayout(row)
        self.tree.itemSelectionChanged.connect(self._selected)
        self._update()

    def refresh(self) -> None:
        """Read the list again, in the background."""
        if self._released:
            return
        if self._task is not None:
            self._again = True
            return
        known = {line.run.folder: line for line in self.lines if line.state == FINISHED}
        self._task = Worker(lambda progress, stop: read_lines(known), self)
        self._task.succeeded.connect(self._show)
        self._task.ended.connect(self._read)
        self._task.start()

    def _read(self) -> None:
        self._task = None
        if self._again:
            self._again = False
            self.refresh()

    @property
    def going(self) -> list[Run]:
        """The training runs that were running at the last poll."""
        return [line.run for line in self.lines if line.state == RUNNING]

    def release(self) -> None:
        """Stop polling."""
        self._released = True
        self._timer.stop()
        self._again = False
        if self._task is not None:
            self._task.cancel()

    def _show(self, lines: list[RunRow]) -> None:
        if self._released:  # otherwise it would poll while a training run is running
            return
        run, self.lines = self.current, lines
        if not self.going:
            self._timer.stop()
        elif not self._timer.isActive():
            self._timer.start()
        self.tree.blockSignals(True)
        self.tree.clear()
        for line in lines:
            score = "" if line.score is None else f"{line.score:.2f}"
            item = QTreeWidgetItem([_when(line.run), line.name, line.shown, score])
            item.setData(0, _RUN, line)
            for column in range(4):
                item.setToolTip(column, line.message or str(line.run.folder))
            self.tree.addTopLevelItem(item)
            if run is not None and line.run.folder == run.folder:
                self.tree.setCurrentItem(item)
        self.tree.blockSignals(False)
        self._update()
        self.listed.emit(lines)

    @property
    def line(self) -> RunRow | None:
        """The selected row."""
        items = self.tree.selectedItems()
        return items[0].data(0, _RUN) if items else None

    @property
    def current(self) -> Run | None:
        """The selected run."""
        return self.line.run if self.line is not None else None

    def select(self, run: Run | None) -> None:
        """Select a run without emitting signals."""
        self.tree.blockSignals(True)
        self.tree.clearSelection()
        for row in range(self.tree.topLevelItemCount()):
            item = self.tree.topLevelItem(row)
            if run is not None and item.data(0, _RUN).run.folder == run.folder:
                self.tree.setCurrentItem(item)
        self.tree.blockSignals(False)
        self._update()

    def _selected(self) -> None:
        self._update()
        if self.current is not None:
            self.chosen.emit(self.current)

    def _with_chosen(self, action: Callable[[Run], Any]) -> Callable[[], None]:
        def act() -> None:
            if self.current is not None:
                action(self.current)

        return act

    def discard(self, run: Run) -> None:
        """Discard a run."""
        try:
            self._discarded = discard(run)
        except RunError as error:
            self.failed.emit(str(error))
        self._update()
        self.refresh()

    def undo(self) -> None:
        """Restore the last discarded run."""
        if self._discarded is None:
            return
        try:
            run = restore(self._discarded)
        except RunError as error:
            self.failed.emit(str(error))
            return
        self._discarded = None
        self._update()
        self.refresh()
        self.chosen.emit(run)

    def _update(self) -> None:
        line = self.line
        running = line is not None and line.state == RUNNING
        self.resume_button.setEnabled(line is not None and line.resumable)
        self.report_button.setEnabled(
            line is not None and (line.run.report_folder / "report.html").exists()
        )
        self.discard_button.setEnabled(line is not None and not running)
        self.undo_button.setVisible(self._discarded is not None)


def open_report(run: Run) -> None:
    """Open the report of a run in the browser."""
    QDesktopServices.openUrl(QUrl.fromLocalFile(str(run.report_folder / "report.html")))


def _when(run: Run) -> str:
    """Return the start time of a run, abbreviated from its folder's name."""
    name = run.folder.name
    parts = name.split("_")
    if len(parts) >= 2 and len(parts[0]) == 10:
        return f"{parts[0][5:]} {parts[1][:5].replace('-', ':')}"
    return name[:12]
