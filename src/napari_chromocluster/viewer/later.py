"""Work that must wait until napari is done with what it is doing.

Layers that are removed while napari removes others make it raise, or crash in OpenGL.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import Any

_waiting: list[Callable[[], None]] = []


def later(work: Callable[[], None]) -> None:
    """Call a function in a later turn of the event loop.

    Parameters
    ----------
    work : callable
        Without a window there is no event loop: it is called by `run_waiting` then.
    """
    _waiting.append(work)
    qt = sys.modules.get("qtpy.QtCore")  # napari has loaded it where it has a window
    if qt is not None and qt.QCoreApplication.instance() is not None:
        qt.QTimer.singleShot(0, run_waiting)


def run_waiting() -> None:
    """Do all that waits."""
    while _waiting:
        _waiting.pop(0)()


def remove_later(viewer: Any, layers: Iterable[Any]) -> None:
    """Hide layers at once and remove them in a later turn of the event loop."""
    gone = list(layers)
    for layer in gone:
        layer.visible = False

    def remove() -> None:
        for layer in gone:
            if layer in viewer.layers:
                viewer.layers.remove(layer)

    if gone:
        later(remove)
