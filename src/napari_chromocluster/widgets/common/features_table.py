"""Keep the rows of napari's Features table in sync with the selected regions.

napari takes the index of a row for its label, which is wrong for any table that starts with label
1, skips a label, or has several frames.  So the rows that the user selects are read here, and the
rows that napari highlights are corrected.
"""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Callable
from typing import Any

from qtpy.QtCore import (
    QEvent,
    QItemSelection,
    QItemSelectionModel,
    QObject,
    QSignalBlocker,
    QSortFilterProxyModel,
    Qt,
    QTimer,
)
from qtpy.QtWidgets import QMainWindow, QTableView, QWidget

from napari_chromocluster.viewer.layer_tables import has_table
from napari_chromocluster.viewer.region_selection import RegionSelection
from napari_chromocluster.viewer.review.change_tracker import Key

_CHOOSING = (
    QEvent.Type.MouseButtonPress,
    QEvent.Type.MouseMove,
    QEvent.Type.MouseButtonRelease,
    QEvent.Type.KeyPress,
)


class TableFollower(QObject):
    """Keeps the rows selected in Features tables and the selected regions in sync.

    Parameters
    ----------
    dock : QWidget
        Its window contains the tables.
    selection : callable
        Returns the selection, or None.
    """

    def __init__(self, dock: QWidget, selection: Callable[[], RegionSelection | None]) -> None:
        super().__init__(dock)
        self._dock, self._selection = dock, selection
        #: Weak, since a reference to the window would keep the viewer alive.
        self._window: Callable[[], QMainWindow | None] = lambda: None
        self._known: list[QTableView] = []
        #: The table that the user last interacted with.
        self._touched: QTableView | None = None
        # After napari, which moves the highlight with the label.
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.setInterval(0)
        self._soon.timeout.connect(self._settle)
        dock.installEventFilter(self)

    def end(self) -> None:
        """Stop following."""
        self._soon.stop()
        self._selection = lambda: None
        watched = [self._window(), self._dock]
        for table in self._known:
            with contextlib.suppress(RuntimeError):  # it may be deleted
                watched += [table, table.viewport()]
        for one in watched:
            if one is not None:
                with contextlib.suppress(RuntimeError):
                    one.removeEventFilter(self)
        self._window, self._touched = lambda: None, None
        self._known.clear()

    def update_rows(self) -> None:
        """Highlight the rows of the selected regions, in tables that are open or opened later."""
        self._soon.start()

    def eventFilter(self, watched: Any, event: Any) -> bool:
        """Detect tables that are opened, and user input in one."""
        kind = event.type()
        opened = kind == QEvent.Type.ChildAdded and watched is self._window()
        if opened or (kind == QEvent.Type.Show and watched is self._dock):
            self._soon.start()
        elif kind in _CHOOSING and not _hovering(event):
            table = watched if watched in self._known else watched.parent()
            if table in self._known:
                self._touched = table
                self._soon.start()
        return False

    def _settle(self) -> None:
        self._find()
        touched, self._touched = self._touched, None
        selection = self._selection()
        if selection is None or selection.labels not in selection.viewer.layers.selection:
            return
        layer = str(selection.labels.name)
        if touched is not None:
            keys = chosen_rows(touched, layer)
            if keys and set(keys) != set(selection.keys):
                selection.seek(keys)
            elif keys:
                selection.select(selection.keys)  # napari has selected another label
        for table in self._known:
            with contextlib.suppress(RuntimeError):  # it may be deleted
                self._highlight(table, selection)

    def _find(self) -> None:
        """Find the Features tables of the window."""
        window = self._window()
        if window is None:
            place: QObject | None = self._dock
            while place is not None and not isinstance(place, QMainWindow):
                place = place.parent()
            if place is None:
                return
            window, self._window = place, weakref.ref(place)
            window.installEventFilter(self)
        for table in window.findChildren(QTableView):
            if table not in self._known and {"index", "cluster_type"} <= set(_columns(table)):
                self._known.append(table)
                table.installEventFilter(self)
                table.viewport().installEventFilter(self)
                table.selectionModel().selectionChanged.connect(self.update_rows)
                table.model().layoutChanged.connect(self.update_rows)

    def _highlight(self, table: QTableView, selection: RegionSelection) -> None:
        rows = rows_of(table, selection)
        if rows is None or rows == {one.row() for one in table.selectionModel().selectedIndexes()}:
            return
        model = table.model()
        wanted = QItemSelection()
        for row in sorted(rows):
            wanted.select(model.index(row, 0), model.index(row, model.columnCount() - 1))
        # napari must not take these rows for labels.
        blocker = QSignalBlocker(table.selectionModel())
        table.selectionModel().select(wanted, QItemSelectionModel.SelectionFlag.ClearAndSelect)
        blocker.unblock()
        if rows:
            table.scrollTo(model.index(min(rows), max(0, table.columnAt(0))))
        table.viewport().update()


def chosen_rows(table: QTableView, layer: str) -> list[Key]:
    """Return frame and label of the rows with selected cells, the current row last."""
    columns = _columns(table)
    model = table.model()
    current = table.currentIndex().row()
    rows = {index.row() for index in table.selectionModel().selectedIndexes()}
    keys = []
    for row in sorted(rows, key=lambda one: (one == current, one)):
        # Tables of several layers have a column for the layer.
        if "Layer" in columns and _value(model, row, columns.index("Layer")) != layer:
            continue
        with contextlib.suppress(TypeError, ValueError):
            frame = _value(model, row, columns.index("frame")) if "frame" in columns else 0
            label = _value(model, row, columns.index("index"))
            keys.append((int(float(frame)), int(float(label))))
    return keys


def rows_of(table: QTableView, selection: RegionSelection) -> set[int] | None:
    """Return the rows of the selected regions; None for a table of other or several layers."""
    labels, model = selection.labels, table.model()
    active = selection.viewer.layers.selection.active
    if active is None or active != labels or not has_table(labels):
        return None
    features, wanted = labels.features, set(selection.keys)
    source = model.sourceModel() if isinstance(model, QSortFilterProxyModel) else model
    if source.rowCount() != len(features):
        return None
    keys = zip(features["frame"].tolist(), features["index"].tolist(), strict=True)
    places = [place for place, key in enumerate(keys) if key in wanted] if wanted else []
    return {row for row in (_shown_row(model, place) for place in places) if row >= 0}


def _shown_row(model: Any, place: int) -> int:
    """Return the row of a feature in a sorted and filtered table; negative if not shown."""
    if not isinstance(model, QSortFilterProxyModel):
        return place
    return int(model.mapFromSource(model.sourceModel().index(place, 0)).row())


def _hovering(event: Any) -> bool:
    """Return whether the mouse moves with no button pressed."""
    moves = event.type() == QEvent.Type.MouseMove
    return moves and bool(event.buttons() == Qt.MouseButton.NoButton)


def _value(model: Any, row: int, column: int) -> Any:
    return model.index(row, column).data()


def _columns(table: QTableView) -> list[Any]:
    model = table.model()
    if model is None:
        return []
    return [
        model.headerData(column, Qt.Orientation.Horizontal) for column in range(model.columnCount())
    ]
