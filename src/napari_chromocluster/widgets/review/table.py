"""Following the rows that are chosen in napari's Features table.

napari takes the position of a row for the label it stands for, which is right
for no table that begins with label 1.  So the review reads the chosen rows itself.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication, QTableView, QWidget

from napari_chromocluster.viewer.review.tracker import Key


class TableFollower:
    """Tells which regions the user chooses in a Features table.

    Parameters
    ----------
    chosen : callable
        Called with the regions.
    """

    def __init__(self, chosen: Callable[[Sequence[Key]], None]) -> None:
        self._chosen = chosen
        self._known: list[QTableView] = []
        application = QApplication.instance()
        if isinstance(application, QApplication):
            application.focusChanged.connect(self._focus_changed)

    def end(self) -> None:
        """Stop following."""
        application = QApplication.instance()
        if isinstance(application, QApplication):
            with contextlib.suppress(TypeError, RuntimeError):
                application.focusChanged.disconnect(self._focus_changed)
        self._chosen = lambda keys: None

    def _focus_changed(self, old: QWidget | None, new: QWidget | None) -> None:
        """Listen to a table from the first time that the user turns to it."""
        if not isinstance(new, QTableView) or new in self._known:
            return
        if {"index", "cluster_type"} <= set(_columns(new)):
            self._known.append(new)
            new.selectionModel().selectionChanged.connect(lambda *_: self._selected(new))

    def _selected(self, table: QTableView) -> None:
        # Without the focus it is napari that moves the selection, after what we do ourselves.
        if table.hasFocus():
            keys = chosen_rows(table)
            if keys:
                self._chosen(keys)


def chosen_rows(table: QTableView) -> list[Key]:
    """Return frame and label of the rows in which cells are selected, from the top."""
    columns = _columns(table)
    model = table.model()

    def number(row: int, name: str) -> int:
        if name not in columns:
            return 0
        return int(float(model.index(row, columns.index(name)).data()))

    rows = sorted({index.row() for index in table.selectionModel().selectedIndexes()})
    keys = []
    for row in rows:
        with contextlib.suppress(TypeError, ValueError):
            keys.append((number(row, "frame"), number(row, "index")))
    return keys


def _columns(table: QTableView) -> list[Any]:
    model = table.model()
    if model is None:
        return []
    return [
        model.headerData(column, Qt.Orientation.Horizontal) for column in range(model.columnCount())
    ]
