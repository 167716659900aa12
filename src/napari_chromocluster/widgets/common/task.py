"""Work off the main thread, with progress and cancel; results come back by Qt signals."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from qtpy.QtCore import QObject, Signal

_log = logging.getLogger(__name__)
#: Least seconds between two progress signals: the bar needs no more, the event loop no less.
_PACE = 0.05


class Task(QObject):
    """One piece of work in a thread.

    Qt's half of it is deleted once `ended` was told, so that neither the work nor what listens to
    it keeps images for as long as there is an owner; `cancel`, `wait` and `running` may be asked
    of a finished task all the same.

    Parameters
    ----------
    work : callable
        Called as ``work(progress, stop)``: ``progress(done, total)`` may be
        called from the thread, ``stop()`` says whether the user cancelled.
    parent : QObject
        Owner on the Qt side.
    """

    #: No C integers: a count of bytes may be larger than these.
    progressed = Signal(object, object)
    succeeded = Signal(object)
    failed = Signal(str)
    cancelled = Signal()
    ended = Signal()

    def __init__(self, work: Callable[..., Any], parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._stop = threading.Event()
        self._last = 0.0
        # The thread lets go of the work once it is done; the task would keep it.
        self._thread = threading.Thread(target=self._run, args=(work,), daemon=True)
        self.ended.connect(self._delete)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def cancel(self) -> None:
        """Ask the work to stop; it ends at its next step."""
        self._stop.set()

    def wait(self, seconds: float = 10.0) -> None:
        """Wait for the thread."""
        self._thread.join(seconds)

    @property
    def running(self) -> bool:
        """Whether the work goes on."""
        return self._thread.is_alive()

    def _run(self, work: Callable[..., Any]) -> None:
        try:
            result = work(self._progress, self._stop.is_set)
        except Exception as error:
            from napari_chromocluster.models.classifier import Cancelled

            if isinstance(error, Cancelled) or self._stop.is_set():
                self._tell("cancelled")
            else:
                if not isinstance(error, (ValueError, OSError)):
                    _log.exception("Work beside the viewer failed")  # nobody foresaw it
                self._tell("failed", sentence(error))
        else:
            if self._stop.is_set():
                self._tell("cancelled")
            else:
                self._tell("succeeded", result)
        self._tell("ended")

    def _delete(self) -> None:
        # Not while the thread is still telling: Qt must not lose the teller then.
        self._thread.join()
        self.deleteLater()

    def _progress(self, done: int, total: int) -> None:
        now = time.monotonic()
        if done >= total or now - self._last >= _PACE:
            self._last = now
            self._tell("progressed", done, total)

    def _tell(self, name: str, *values: Any) -> None:
        # The dock may have been closed while the work ran: then there is nobody to tell.
        with contextlib.suppress(RuntimeError):
            getattr(self, name).emit(*values)


def sentence(error: BaseException) -> str:
    """Return what a user reads of an error: its first line, or its kind."""
    lines = str(error).strip().splitlines()
    if isinstance(error, (ValueError, OSError)) and lines:
        return lines[0]
    return f"{type(error).__name__}: {lines[0] if lines else 'no details'}"
