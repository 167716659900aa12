"""Work that must wait until napari is done with what it is doing.

Layers that are removed while napari removes others make it raise, or crash in OpenGL.
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable, Iterable
from typing import Any

#: Milliseconds before each removal, in which napari draws: without that OpenGL may crash.
_BEFORE = 300
#: What waits: lists of one function, emptied when it is called.
_waiting: list[list[Callable[[], None]]] = []


def later(work: Callable[[], None], milliseconds: int = 0) -> None:
    """Call a function in a later turn of the event loop.

    Parameters
    ----------
    work : callable
        Without a window there is no event loop: it is called by `run_waiting` then.
    milliseconds : int
        How much later.
    """
    waiting = [work]
    _waiting.append(waiting)
    qt = sys.modules.get("qtpy.QtCore")  # napari has loaded it where it has a window
    if qt is not None and qt.QCoreApplication.instance() is not None:
        qt.QTimer.singleShot(milliseconds, lambda: _run(waiting))


def run_waiting() -> None:
    """Do all that waits."""
    while _waiting:
        _run(_waiting[0])


def _run(waiting: list[Callable[[], None]]) -> None:
    if waiting:  # it may have been called by `run_waiting`
        _waiting.remove(waiting)
        waiting.pop()()


def weak(viewer: Any) -> Callable[[], Any]:
    """Return a weak reference to a viewer, also where napari gave a proxy of it."""
    return weakref.ref(getattr(viewer, "__wrapped__", viewer))


def remove_later(viewer: Any, layers: Iterable[Any]) -> None:
    """Remove layers in later turns of the event loop, one in each."""
    gone = list(layers)
    # What waits must not keep a viewer that is closed.
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
