"""Base of the docks: what opens once and ends when the dock is closed."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any
from weakref import WeakMethod, ref

from qtpy.compat import isalive
from qtpy.QtCore import QEvent, QTimer
from qtpy.QtWidgets import QWidget


class Dock(QWidget):
    """A dock that disconnects from the viewer when it is closed or removed.

    Attributes
    ----------
    released : bool
        Whether that has happened; results of work that ends later are ignored.
    ending : contextlib.ExitStack
        What ends with the dock, the last first.
    """

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__()
        self.viewer = napari_viewer
        self.released = False
        self.ending = ExitStack()

    def timer(self, milliseconds: int, slot: Callable[[], Any]) -> QTimer:
        """Return a timer that fires once after each start, until the dock is closed."""
        made = QTimer(self)
        made.setSingleShot(True)
        made.setInterval(milliseconds)
        made.timeout.connect(slot)
        self.ending.callback(made.stop)
        return made

    def while_open(self, method: Callable[[], Any]) -> Callable[..., None]:
        """Return a callback that calls a method of this dock as long as the dock exists.

        Qt deletes a dock together with its window, without an event that releases it.
        """
        dock, weak = ref(self), WeakMethod(method)

        def call(*_: Any) -> None:
            owner, bound = dock(), weak()
            if owner is not None and bound is not None and isalive(owner) and not owner.released:
                bound()

        return call

    def release(self) -> None:
        """Disconnect from the viewer."""
        if not self.released:
            self.released = True
            self.ending.close()

    def event(self, event: Any) -> bool:
        """Disconnect when napari removes the dock, which sends no close event."""
        done = bool(super().event(event))
        if event.type() == QEvent.Type.ParentChange and self.parent() is None:
            self.release()
        return done

    def closeEvent(self, event: Any) -> None:
        """Disconnect when the dock is closed."""
        self.release()
        super().closeEvent(event)
