"""Work that must wait until napari has finished its current work.

Removing layers while napari is removing others makes it raise, or crash in OpenGL.
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable, Iterable
from typing import Any

#: Milliseconds before each removal, so that napari can draw; otherwise OpenGL may crash.
_BEFORE = 300
#: Pending work: lists of one function, emptied when it is called.
_waiting: list[list[Callable[[], None]]] = []


def later(work: Callable[[], None], milliseconds: int = 0) -> None:
    """Call a function in a later turn of the event loop.

    Parameters
    ----------
    work : callable
        Without a window there is no event loop; `run_waiting` calls it then.
    milliseconds : int
        Delay.
    """
    waiting = [work]
    _waiting.append(waiting)
    qt = sys.modules.get("qtpy.QtCore")  # napari has loaded it if it has a window
    if qt is not None and qt.QCoreApplication.instance() is not None:
        qt.QTimer.singleShot(milliseconds, lambda: _run(waiting))


def run_waiting() -> None:
    """Run all pending work."""
    while _waiting:
        _run(_waiting[0])


def _run(waiting: list[Callable[[], None]]) -> None:
    if waiting:  # `run_waiting` may have called it already
        _waiting.remove(waiting)
        waiting.pop()()


def weak(viewer: Any) -> Callable[[], Any]:
    """Return a weak reference to a viewer, even if napari passed a proxy of it."""
    return weakref.ref(getattr(viewer, "__wrapped__", viewer))


def remove_later(viewer: Any, layers: Iterable[Any]) -> None:
    """Remove layers one at a time, each in a later turn of the event loop."""
    gone = list(layers)
    # Pending work must not keep a closed viewer alive.
    viewer_of = weak(viewer)

    def remove() -> None:
        layer, there = gone.pop(), viewer_of()
        if there is None:
            return
        if layer in there.layers:
            there.layers.remove(layer)
        if gone:
            later(remove, _BEFORE)

    if gone:
        later(remove, _BEFORE)
