"""Follow a run folder from the main thread, in short steps that do not block it."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QObject, QTimer, Signal

from napari_chromocluster.training.runs.event_log import EventReader
from napari_chromocluster.training.runs.progress import RunProgress
from napari_chromocluster.training.runs.run_folder import RUNNING, Run

#: Milliseconds between two polls, and while catching up with a long event log.
_LOOK, _CATCH_UP = 250, 15
#: Number of polls between two checks whether the process is alive.
_ASK_EVERY = 4


class RunFollower(QObject):
    """Reports the events of a run until it ends.

    Parameters
    ----------
    run : Run
        The run folder.
    parent : QObject, optional
        Qt's owner.
    """

    #: There are new events; carries the accumulated `RunProgress`.
    progressed = Signal(object)
    #: An event other than progress, such as those of the rate finder.
    event_read = Signal(dict)
    #: The process has ended; carries the state of the run.
    ended = Signal(str)

    def __init__(self, run: Run, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.run = run
        self.progress = RunProgress(run.config)
        #: Whether the process was alive when following started.
        self.alive = run.process_alive()
        self._reader = EventReader(run.events_path)
        self._looks = 0
        self._timer = QTimer(self)
        self._timer.timeout.connect(self._look)

    def start(self) -> None:
        """Start following; also reports the events of a run that has already ended."""
        self._timer.start(_CATCH_UP)

    def stop(self) -> None:
        """Stop following."""
        self._timer.stop()

    def _look(self) -> None:
        # Checked before reading, so that everything a process wrote before it ended is read.
        gone = self._looks % _ASK_EVERY == 0 and not self.run.process_alive()
        new: list[dict[str, Any]] = self._reader.read()
        for event in new:
            self.progress.take(event)
            if event.get("kind") in ("rate", "end"):
                self.event_read.emit(event)
        if new:
            self.progressed.emit(self.progress)
        if self._reader.behind:
            self._looks = 0
            return
        self._timer.setInterval(_LOOK)
        self._looks += 1
        if gone:
            self.stop()
            state = self.run.state()
            if state == RUNNING:  # it was resumed in this moment
                self.start()
            else:
                self.ended.emit(state)
