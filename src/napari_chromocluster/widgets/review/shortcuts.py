"""The keys of the review: one registry that binds them and generates the help sheet.

The keys are active while the gallery has the focus. Those for deciding and navigating are also
active in napari's canvas, so that nothing is painted by accident. napari's own keys are restored
when the dock is closed or nothing is reviewed.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtGui import QKeySequence, QShortcut
from qtpy.QtWidgets import QWidget

from napari_chromocluster.cluster_types import TYPES


@dataclass(frozen=True)
class Shortcut:
    """The action of a key.

    Attributes
    ----------
    key : str
        In Qt's notation.
    text : str
        Text in the help sheet.
    action : str
        Method of the dock.
    argument : object
        Argument of the method; None for no argument.
    leaves : bool
        Whether it ends drawing in the canvas; if so, it is active everywhere, but only while
        drawing.
    canvas : str
        Method of the dock that the key calls in the canvas; empty if napari's key is kept there.
    """

    key: str
    text: str
    action: str
    argument: Any = None
    leaves: bool = False
    canvas: str = ""


#: All keys of the review, in the order of the help sheet.
COMMANDS: tuple[Shortcut, ...] = (
    *(
        Shortcut(k.key, f"{k.letter}  {k.display_name}", "set_type", k, canvas="set_type")
        for k in TYPES
    ),
    Shortcut("N", "next region that waits for you", "go", 1, canvas="go"),
    Shortcut("P", "previous region that waits for you", "go", -1, canvas="go"),
    Shortcut("Space", "accept the type, then the next one", "accept", canvas="accept"),
    Shortcut("U", "back to the model's type", "restore_model", canvas="restore_model"),
    Shortcut("Ctrl+Z", "undo the last decision", "undo", canvas="undo_in_picture"),
    Shortcut("Ctrl+Y", "redo it", "redo", canvas="redo_in_picture"),
    Shortcut("F", "next frame of a stack", "next_frame"),
    Shortcut("Esc", "leave Split by a line", "leave_line", leaves=True),
    Shortcut("?", "this sheet", "show_keys"),
)


def key_of(action: str, argument: Any = None) -> str:
    """Return the key that calls a method of the dock."""
    return next(one.key for one in COMMANDS if one.action == action and one.argument == argument)


def help_sheet() -> str:
    """Return the help sheet as rich text."""
    rows = "".join(
        f"<tr><td align='right'><b>{escape(one.key)}</b>&nbsp;&nbsp;</td>"
        f"<td>{escape(one.text)}</td></tr>"
        for one in COMMANDS
    )
    mouse = (
        "<tr><td align='right'><b>drag</b>&nbsp;&nbsp;</td>"
        "<td>to another group: that type</td></tr>"
        "<tr><td align='right'><b>Ctrl, Shift</b>&nbsp;&nbsp;</td><td>select several</td></tr>"
    )
    return f"<table cellspacing='2'>{rows}{mouse}</table>"


class Shortcuts:
    """The keys, bound to a widget.

    Parameters
    ----------
    widget : QWidget
        The keys are active while it, or a widget in it, has the focus.
    target : object
        Has the methods that the registry names.
    viewer : napari.Viewer
        Some keys are also active in its canvas.
    """

    def __init__(self, widget: QWidget, target: Any, viewer: Any) -> None:
        self._widget, self._target, self._viewer = widget, target, viewer
        self._in_canvas = False
        #: Owner, key and previous binding of the keys overridden in the canvas.
        self._taken: list[tuple[Any, str, Any]] = []
        self._shortcuts: list[QShortcut] = []
        self._leaving: list[QShortcut] = []

    @property
    def bound(self) -> bool:
        """Whether the keys are bound."""
        return bool(self._shortcuts)

    def bind(self) -> None:
        """Bind all keys; does nothing if already bound."""
        if self._shortcuts:
            return
        for command in COMMANDS:
            shortcut = QShortcut(QKeySequence(command.key), self._widget)
            context = Qt.ShortcutContext.WidgetWithChildrenShortcut
            if command.leaves:
                # The canvas may be in a different window than the dock.
                context = Qt.ShortcutContext.ApplicationShortcut
                shortcut.setEnabled(False)
                self._leaving.append(shortcut)
            shortcut.setContext(context)
            shortcut.activated.connect(lambda one=command: self._call(one))
            # A menu of the window may use the same key; with the gallery in focus, ours takes
            # precedence.
            shortcut.activatedAmbiguously.connect(lambda one=command: self._call(one))
            self._shortcuts.append(shortcut)

    def hold_in_canvas(self, on: bool) -> None:
        """Bind keys in the canvas, whichever layer is active, or restore napari's keys."""
        if on == self._in_canvas:
            return
        self._in_canvas = on
        active = self._viewer.layers.selection.events.active
        (active.connect if on else active.disconnect)(self._follow_active)
        if on:
            self._bind_canvas(self._viewer)
            self._follow_active()
        else:
            for provider, key, old in self._taken:
                provider.bind_key(key, old, overwrite=True)
            self._taken.clear()

    def _follow_active(self, event: Any = None) -> None:
        """Override the keys of the active layer, which take precedence over those of the viewer."""
        layer = self._viewer.layers.selection.active
        if layer is not None and not any(one == layer for one, _, _ in self._taken):
            self._bind_canvas(layer)

    def _bind_canvas(self, provider: Any) -> None:
        for command in COMMANDS:
            if not command.canvas:
                continue
            key = command.key.replace("Ctrl+", "Control-")

            def press(_provider: Any, one: Shortcut = command) -> None:
                self._call(one, one.canvas)

            old = provider.bind_key(key, press, overwrite=True)
            self._taken.append((provider, key, old))

    def unbind(self) -> None:
        """Unbind all keys and restore napari's."""
        self.hold_in_canvas(False)
        for shortcut in self._shortcuts:
            shortcut.setEnabled(False)
            shortcut.setParent(None)
            shortcut.deleteLater()
        self._shortcuts.clear()
        self._leaving.clear()

    def hold_leaving(self, on: bool) -> None:
        """Enable the keys that end drawing, or disable them."""
        for shortcut in self._leaving:
            shortcut.setEnabled(on)

    def _call(self, command: Shortcut, action: str = "") -> None:
        method = getattr(self._target, action or command.action)
        if command.argument is None:
            method()
        else:
            method(command.argument)
