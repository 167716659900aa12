"""The keys of the review: one registry that binds them and prints the help sheet.

The keys hold where the gallery has the focus, so none of them takes a key from
napari's canvas, but for the one that ends drawing a line there, while one is to
be drawn; they are bound when the dock opens and unbound when it closes.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtGui import QKeySequence, QShortcut
from qtpy.QtWidgets import QWidget

from napari_chromocluster.taxonomy import TYPES


@dataclass(frozen=True)
class KeyCommand:
    """What a key does.

    Attributes
    ----------
    key : str
        As Qt writes it.
    text : str
        For the help sheet.
    action : str
        Method of the dock.
    argument : object
        What the method is called with, None for nothing.
    leaves : bool
        Whether it ends drawing in the picture: then it holds there, too, and only meanwhile.
    """

    key: str
    text: str
    action: str
    argument: Any = None
    leaves: bool = False


#: All keys of the review, in the order of the help sheet.
COMMANDS: tuple[KeyCommand, ...] = (
    *(KeyCommand(k.key, f"{k.letter}  {k.display_name}", "set_type", k) for k in TYPES),
    KeyCommand("N", "next region that waits for you", "go", 1),
    KeyCommand("P", "previous region that waits for you", "go", -1),
    KeyCommand("Space", "accept the type, then the next one", "accept"),
    KeyCommand("U", "back to the model's opinion", "restore_model"),
    KeyCommand("Ctrl+Z", "undo the last decision", "undo"),
    KeyCommand("Ctrl+Y", "redo it", "redo"),
    KeyCommand("F", "next frame of a stack", "next_frame"),
    KeyCommand("Esc", "leave Split by a line", "leave_line", leaves=True),
    KeyCommand("?", "this sheet", "show_keys"),
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


class Keys:
    """The keys, bound to a widget.

    Parameters
    ----------
    widget : QWidget
        The keys hold while it, or a widget in it, has the focus.
    target : object
        Has the methods that the registry names.
    """

    def __init__(self, widget: QWidget, target: Any) -> None:
        self._widget, self._target = widget, target
        self._shortcuts: list[QShortcut] = []
        self._leaving: list[QShortcut] = []

    @property
    def bound(self) -> bool:
        """Whether the keys hold."""
        return bool(self._shortcuts)

    def bind(self) -> None:
        """Bind all keys; does nothing where they are bound."""
        if self._shortcuts:
            return
        for command in COMMANDS:
            shortcut = QShortcut(QKeySequence(command.key), self._widget)
            context = Qt.ShortcutContext.WidgetWithChildrenShortcut
            if command.leaves:
                # The canvas may be in another window than the dock.
                context = Qt.ShortcutContext.ApplicationShortcut
                shortcut.setEnabled(False)
                self._leaving.append(shortcut)
            shortcut.setContext(context)
            shortcut.activated.connect(lambda one=command: self._call(one))
            # A menu of the window may know the same key: with the gallery in focus, ours is meant.
            shortcut.activatedAmbiguously.connect(lambda one=command: self._call(one))
            self._shortcuts.append(shortcut)

    def unbind(self) -> None:
        """Give all keys back."""
        for shortcut in self._shortcuts:
            shortcut.setEnabled(False)
            shortcut.setParent(None)
            shortcut.deleteLater()
        self._shortcuts.clear()
        self._leaving.clear()

    def hold_leaving(self, on: bool) -> None:
        """Let the keys that end drawing hold, while something is drawn."""
        for shortcut in self._leaving:
            shortcut.setEnabled(on)

    def _call(self, command: KeyCommand) -> None:
        method = getattr(self._target, command.action)
        if command.argument is None:
            method()
        else:
            method(command.argument)
