"""Follow a run folder from the main thread, in bites too small to be felt."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QObject, QTimer, Signal

from napari_chromocluster.training.event_log import EventReader
from napari_chromocluster.training.progress import RunProgress
from napari_chromocluster.training.run_folder import RUNNING, Run

#: Milliseconds between two looks; while a long past is read, between two bites of it.
_LOOK, _CATCH_UP = 250, 15
#: Looks between two questions whether the process is still there.
_ASK_EVERY = 4


class RunFollower(QObject):
    """Tells of a run whatever its events tell, until it ends.

    Parameters
    ----------
    run : Run
        The run folder.
    parent : QObject, optional
        Qt's owner.
    """

    #: Something is new; the gathered `RunProgress` comes with it.
    progressed = Signal(object)
    #: An event that is no progress, such as those of the rate finder.
    told = Signal(dict)
    #: The process is gone; the state of the run comes with it.
    ended = Signal(str)

    def __init__(self, run: Run, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.run = run
        self.progress = RunProgress(run.config)
        #: Whether the process was there when this began to follow it.
        self.alive = run.process_alive()
        self._reader = EventReader(run.events_path)
        self._looks = 0
        self._timer = QTimer(self)
        self._timer.timeout.connect(self._look)

    def start(self) -> None:
        """Begin; a run that ended long ago is read and told of as well."""
        self._timer.start(_CATCH_UP)

    def stop(self) -> None:
        """Look no more."""
        self._timer.stop()

    def _look(self) -> None:
        # Asked before reading: what a process wrote before it went is then always read.
        gone = self._looks % _ASK_EVERY == 0 and not self.run.process_alive()
        new: list[dict[str, Any]] = self._reader.read()
        for event in new:
            self.progress.take(event)
            if event.get("kind") in ("rate", "end"):
                self.told.emit(event)
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
            if state == RUNNING:  # it was resumed in this very moment
                self.start()
            else:
                self.ended.emit(state)
