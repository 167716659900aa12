"""Work off the main thread with progress and cancellation, reporting through Qt signals."""

from __future__ import annotations

import atexit
import gc
import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

from qtpy.QtCore import QCoreApplication, QObject, Signal

_log = logging.getLogger(__name__)
#: Minimum seconds between two progress signals, to limit the load on the event loop.
_PACE = 0.05
#: Seconds that napari waits on exit for work that is being stopped, and for files that are being
#: written.
_PATIENCE, _WRITING = 1.0, 10.0
#: The same for a script without an event loop: aborting the work would lose its exit status.
_PATIENCE_OF_SCRIPTS = 60.0


class Stoppable(Protocol):
    """A thread that must end before Python exits."""

    #: Whether it writes files, in which case napari waits longer.
    writes: bool

    def cancel(self) -> None:
        """Ask it to end."""

    def wait(self, seconds: float) -> None:
        """Wait for it to end."""

    @property
    def running(self) -> bool:
        """Whether it is running."""


_going: set[Stoppable] = set()


def stop_all(seconds: float) -> bool:
    """Stop all work within some seconds; returns whether it has ended.

    A thread that is inside Qt or torch when Python exits would abort or block the process.
    """
    going = list(_going)
    for one in going:
        one.cancel()
    begun = time.monotonic()
    for one in going:
        limit = max(seconds, _WRITING) if one.writes else seconds
        one.wait(max(0.0, begun + limit - time.monotonic()))
    return not any(one.running for one in going)


class _End:
    """Stops all work at the end of napari's event loop, and of the process."""

    def __init__(self) -> None:
        self._watched: Any = None
        self._waited = False
        self._error: Any = None

    def watch(self) -> None:
        """Connect to the current application."""
        application = QCoreApplication.instance()
        if application is not None and application is not self._watched:
            if self._watched is None:
                atexit.register(self._leave)
            self._watched = application
            application.aboutToQuit.connect(self._quit)

    def _quit(self) -> None:
        stop_all(_PATIENCE)
        self._waited, self._error = True, _last_error()

    def _leave(self) -> None:
        """End the process immediately if work cannot be stopped in time, such as loading a library.

        Scripts may have no event loop, or start work after it.
        """
        if not stop_all(0.2 if self._waited else _PATIENCE_OF_SCRIPTS):
            sys.stdout.flush()
            sys.stderr.flush()
            # Never report success if it is unknown: aborted work, or an error after the event loop.
            os._exit(int(not self._waited or _last_error() is not self._error))
        # Otherwise Python would collect all objects of torch and napari, which takes seconds.
        gc.freeze()


def _last_error() -> Any:
    """Return the last uncaught exception."""
    return getattr(sys, "last_value", None)


_end = _End()


def keep_track(work: Stoppable) -> None:
    """Register a thread to be stopped when napari exits."""
    _going.add(work)
    _end.watch()


def forget(work: Stoppable) -> None:
    """Unregister a thread that has ended."""
    _going.discard(work)


class Worker(QObject):
    """A task that runs in a thread.

    The Qt object is deleted once `ended` was emitted, so that neither the work nor its listeners
    keep images alive for as long as the owner; `cancel`, `wait` and `running` can still be used on
    a finished task.

    Parameters
    ----------
    work : callable
        Called as ``work(progress, stop)``: ``progress(done, total)`` may be called from the thread,
        ``stop()`` returns whether the user cancelled.
    owner : QObject, optional
        When Qt deletes it, the work is cancelled, and no signal is emitted after that.
    writes : bool
        Whether files are written, in which case napari waits for it on exit.
    """

    #: Not C integers, since a count of bytes may exceed their range.
    progressed = Signal(object, object)
    succeeded = Signal(object)
    failed = Signal(str)
    cancelled = Signal()
    ended = Signal()
    #: What the thread reports, delivered on the main thread.
    _reported = Signal(str, object)

    def __init__(
        self, work: Callable[..., Any], owner: QObject | None = None, *, writes: bool = False
    ) -> None:
        # Not a child of its owner: Qt must not delete it while the thread emits a signal.
        super().__init__()
        self.writes = writes
        self._stop = threading.Event()
        self._last, self._abandoned = 0.0, False
        # The thread drops its reference to the work when done; the task would keep it.
        self._thread = threading.Thread(target=self._run, args=(work,), daemon=True)
        self._reported.connect(self._deliver)
        if owner is not None:
            owner.destroyed.connect(self._abandon)

    def start(self) -> None:
        """Start the thread."""
        keep_track(self)
        self._thread.start()

    def cancel(self) -> None:
        """Ask the work to stop; it ends at its next step."""
        self._stop.set()

    def drop(self) -> None:
        """Cancel, and report the end at once; a result that still arrives is discarded."""
        self.cancel()
        if not self._abandoned:
            self._abandoned = True
            self.cancelled.emit()
            self.ended.emit()

    def wait(self, seconds: float = 10.0) -> None:
        """Wait for the thread."""
        self._thread.join(seconds)

    @property
    def running(self) -> bool:
        """Whether the thread is running."""
        return self._thread.is_alive()

    def _run(self, work: Callable[..., Any]) -> None:
        try:
            result = work(self._progress, self._stop.is_set)
        except Exception as error:
            if self._stop.is_set():
                self._reported.emit("cancelled", ())
            else:
                if not isinstance(error, (ValueError, OSError)):
                    _log.exception("Work beside the viewer failed")  # unexpected error
                self._reported.emit("failed", (error_message(error),))
        else:
            if self._stop.is_set():
                self._reported.emit("cancelled", ())
            else:
                self._reported.emit("succeeded", (result,))
        self._reported.emit("ended", ())

    def _progress(self, done: int, total: int) -> None:
        now = time.monotonic()
        if done >= total or now - self._last >= _PACE:
            self._last = now
            self._reported.emit("progressed", (done, total))

    def _deliver(self, name: str, values: tuple[Any, ...]) -> None:
        """Emit on the main thread what the thread reports."""
        try:
            if not self._abandoned:
                getattr(self, name).emit(*values)
        finally:
            if name == "ended":
                self._thread.join()
                forget(self)
                self.deleteLater()

    def _abandon(self) -> None:
        self._abandoned = True
        self.cancel()


def error_message(error: BaseException) -> str:
    """Return the user-facing message of an error: its first line, or its type."""
    lines = str(error).strip().splitlines()
    if isinstance(error, (ValueError, OSError)) and lines:
        return lines[0]
    return f"{type(error).__name__}: {lines[0] if lines else 'no details'}"
