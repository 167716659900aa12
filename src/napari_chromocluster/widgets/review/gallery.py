"""The gallery: a virtual list of all regions, grouped by type, least certain first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from qtpy.QtCore import (
    QAbstractListModel,
    QByteArray,
    QItemSelection,
    QItemSelectionModel,
    QMimeData,
    QModelIndex,
    Qt,
    Signal,
)
from qtpy.QtWidgets import QAbstractItemView, QListView, QSizePolicy, QWidget

from napari_chromocluster.cluster_types import ClusterType
from napari_chromocluster.viewer.review.change_tracker import Key
from napari_chromocluster.viewer.review.review_queue import (
    GROUPS,
    ReviewItem,
    display_name,
    needs_review,
)
from napari_chromocluster.widgets.review.thumbnail_cache import ThumbnailCache

_MIME = "application/x-chromocluster-regions"
#: Role of a row's `ReviewItem` or `Header`.
ITEM_ROLE = int(Qt.ItemDataRole.UserRole)


@dataclass(frozen=True)
class Header:
    """Header of a group."""

    kind: str
    count: int
    waiting: int

    @property
    def text(self) -> str:
        """Name and region count, and how many of them need review."""
        base = f"{display_name(self.kind)}  {self.count}"
        return f"{base}  ({self.waiting} left)" if self.waiting and self.kind else base


class GalleryModel(QAbstractListModel):
    """Regions and group headers, as rows.

    Parameters
    ----------
    parent : QObject
        Owner.
    """

    #: Regions were dropped on another type.
    dropped = Signal(object, str)

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._rows: list[ReviewItem | Header] = []
        #: The regions in the order of the gallery, and those that need review.
        self.entries: tuple[ReviewItem, ...] = ()
        self.waiting: tuple[ReviewItem, ...] = ()
        #: Rows with group headers.
        self.heads: frozenset[int] = frozenset()
        # By frame, then label: thousands of tuples would keep the garbage collector busy.
        self._place: dict[int, dict[int, int]] = {}
        self.tiles: ThumbnailCache | None = None

    def show(self, entries: Sequence[ReviewItem]) -> None:
        """Show regions in the given order, keeping the selection."""
        rows, place, heads = _with_headers(entries)
        self.layoutAboutToBeChanged.emit()
        old = self.persistentIndexList()
        new = []
        for index in old:
            item = self._rows[index.row()] if index.row() < len(self._rows) else None
            row = _row_of(place, item) if isinstance(item, ReviewItem) else None
            new.append(QModelIndex() if row is None else self.createIndex(row, 0))
        self._rows, self._place, self.heads = rows, place, heads
        self.entries = tuple(row for row in rows if isinstance(row, ReviewItem))
        self.waiting = tuple(entry for entry in self.entries if needs_review(entry))
        self.changePersistentIndexList(old, new)
        self.layoutChanged.emit()

    def tiles_made(self, keys: Iterable[Key]) -> None:
        """Redraw rows whose thumbnail has become available."""
        found = (_row_of(self._place, key) for key in keys)
        rows = sorted(row for row in found if row is not None)
        if rows:
            self.dataChanged.emit(
                self.index(rows[0]), self.index(rows[-1]), [Qt.ItemDataRole.DecorationRole]
            )

    def index_of(self, key: Key) -> QModelIndex:
        """Return the index of a region; invalid if it is not shown."""
        row = _row_of(self._place, key)
        return QModelIndex() if row is None else self.index(row)

    def item(self, index: QModelIndex) -> ReviewItem | Header | None:
        """Return the item in a row."""
        return self._rows[index.row()] if 0 <= index.row() < len(self._rows) else None

    # ------------------------------------------------------------------- Qt

    def rowCount(self, parent: QModelIndex | None = None) -> int:
        """Return the number of rows."""
        # Called twice for every region whenever the list is laid out.
        return len(self._rows) if parent is None or not parent.isValid() else 0

    def data(self, index: QModelIndex, role: int = int(Qt.ItemDataRole.DisplayRole)) -> Any:
        """Return the data of a row for a role."""
        item = self.item(index)
        if item is None:
            return None
        if role == ITEM_ROLE:
            return item
        if isinstance(item, Header):
            if role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.AccessibleTextRole):
                return item.text
            return None
        if role == Qt.ItemDataRole.DecorationRole and self.tiles is not None:
            return self.tiles.pixmap((item.frame, item.label))
        if role in (
            Qt.ItemDataRole.DisplayRole,
            Qt.ItemDataRole.ToolTipRole,
            Qt.ItemDataRole.AccessibleTextRole,
        ):
            return describe(item)
        return None

    def flags(self, index: QModelIndex) -> Any:
        """Regions can be selected and dragged; groups accept drops."""
        item = self.item(index)
        if isinstance(item, Header):
            return Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsDropEnabled
        return (
            Qt.ItemFlag.ItemIsEnabled
            | Qt.ItemFlag.ItemIsSelectable
            | Qt.ItemFlag.ItemIsDragEnabled
            | Qt.ItemFlag.ItemIsDropEnabled
        )

    def supportedDropActions(self) -> Any:
        """Regions are moved."""
        return Qt.DropAction.MoveAction

    def mimeTypes(self) -> list[str]:
        """Only our own regions are accepted."""
        return [_MIME]

    def mimeData(self, indexes: Iterable[QModelIndex]) -> QMimeData:
        """Serialize the dragged regions."""
        items = [self.item(index) for index in indexes]
        text = ";".join(f"{one.frame},{one.label}" for one in items if isinstance(one, ReviewItem))
        data = QMimeData()
        data.setData(_MIME, QByteArray(text.encode()))
        return data

    def canDropMimeData(
        self, data: QMimeData, action: Any, row: int, column: int, parent: QModelIndex
    ) -> bool:
        """Return whether regions may be dropped at a position."""
        return data.hasFormat(_MIME) and bool(self._kind_at(row, parent))

    def dropMimeData(
        self, data: QMimeData, action: Any, row: int, column: int, parent: QModelIndex
    ) -> bool:
        """Set the type of regions to that of the group they were dropped on."""
        kind = self._kind_at(row, parent)
        if not kind or not data.hasFormat(_MIME):
            return False
        pairs = bytes(data.data(_MIME)).decode().split(";")
        keys = [(int(a), int(b)) for a, b in (pair.split(",") for pair in pairs if pair)]
        self.dropped.emit(keys, kind)
        # The rows move because their type changes, not because Qt moves them.
        return False

    def _kind_at(self, row: int, parent: QModelIndex) -> str:
        item = self.item(parent) if parent.isValid() else None
        if item is None and 0 < row <= len(self._rows):
            item = self._rows[row - 1]
        return item.kind if item is not None else ""


def _with_headers(
    entries: Sequence[ReviewItem],
) -> tuple[list[ReviewItem | Header], dict[int, dict[int, int]], frozenset[int]]:
    """Return the rows, the row of each region, and the rows of the group headers."""
    groups: dict[str, list[ReviewItem]] = {kind: [] for kind in GROUPS}
    for entry in entries:
        groups[entry[2]].append(entry)  # by index, for speed
    rows: list[ReviewItem | Header] = []
    place: dict[int, dict[int, int]] = {}
    heads = set()
    for kind, members in groups.items():
        # Empty groups are shown too, since they accept drops; the unnamed one is not.
        if not members and (not kind or not entries):
            continue
        heads.add(len(rows))
        rows.append(Header(kind, len(members), sum(map(needs_review, members))))
        for row, entry in enumerate(members, start=len(rows)):
            place.setdefault(entry[0], {})[entry[1]] = row
        rows.extend(members)
    return rows, place, frozenset(heads)


def _row_of(place: Mapping[int, Mapping[int, int]], key: Sequence[Any]) -> int | None:
    """Return the row of a region, given by frame and label."""
    return place.get(key[0], {}).get(key[1])


def describe(entry: ReviewItem) -> str:
    """Return a text description of a region, for tooltips and screen readers."""
    if not entry.kind:
        return f"Region {entry.label}: not classified"
    name = ClusterType(entry.kind).display_name
    who = "decided by hand" if entry.human else f"model, {entry.confidence:.0%} sure"
    notes = [note for note, on in (("unsure", entry.unsure), ("pixels changed", entry.stale)) if on]
    return ", ".join([f"Region {entry.label}: {name}", who, *notes])


class GalleryView(QListView):
    """Shows a `GalleryModel` as tiles."""

    #: The user has selected other regions.
    visited = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._quiet = False
        #: Viewport width in px; cached, since it is used for each region at every layout.
        self.line = self.viewport().width()
        self.gallery = GalleryModel(self)
        self.setModel(self.gallery)
        self.setFlow(QListView.Flow.LeftToRight)
        self.setWrapping(True)
        self.setResizeMode(QListView.ResizeMode.Adjust)
        self.setMovement(QListView.Movement.Static)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setVerticalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOn)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setDragEnabled(True)
        self.setAcceptDrops(True)
        self.setDropIndicatorShown(True)
        self.setDragDropMode(QAbstractItemView.DragDropMode.DragDrop)
        self.setDefaultDropAction(Qt.DropAction.MoveAction)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setMinimumHeight(120)
        self.setAccessibleName("Regions by type")

    def resizeEvent(self, event: Any) -> None:
        """Store the width before Qt lays out the list."""
        self.line = event.size().width()
        super().resizeEvent(event)

    def keyboardSearch(self, search: str) -> None:
        """Disable, since letters are shortcuts of the review."""

    def show_entries(self, entries: Sequence[ReviewItem]) -> None:
        """Show regions; changes of rows do not count as a selection by the user."""
        before, self._quiet = self._quiet, True
        try:
            self.gallery.show(entries)
        finally:
            self._quiet = before

    def selected_keys(self) -> list[Key]:
        """Return the selected regions, in the order of the gallery."""
        rows = sorted(index.row() for index in self.selectionModel().selectedIndexes())
        items = [self.gallery.item(self.gallery.index(row)) for row in rows]
        return [(one.frame, one.label) for one in items if isinstance(one, ReviewItem)]

    def current_key(self) -> Key | None:
        """Return the current region."""
        item = self.gallery.item(self.currentIndex())
        return (item.frame, item.label) if isinstance(item, ReviewItem) else None

    def select(self, keys: Sequence[Key], *, tell: bool = False, add: bool = False) -> None:
        """Select regions and scroll to the first.

        Parameters
        ----------
        keys : sequence of (frame, label)
            The regions; those not shown are ignored.
        tell : bool
            Whether `visited` is emitted.
        add : bool
            Keep the current selection, and toggle the regions in it.
        """
        indexes = [index for key in keys if (index := self.gallery.index_of(key)).isValid()]
        model = self.selectionModel()
        flag = QItemSelectionModel.SelectionFlag
        self._quiet = not tell
        try:
            if not add and not indexes:
                model.clearSelection()
                return
            how = flag.Toggle if add else flag.ClearAndSelect
            chosen = QItemSelection()
            for index in indexes:
                chosen.select(index, index)
            if indexes:
                model.setCurrentIndex(indexes[0], flag.NoUpdate)
            model.select(chosen, how)
        finally:
            self._quiet = False
        if indexes:
            self.scrollTo(indexes[0], QAbstractItemView.ScrollHint.EnsureVisible)

    def selectionChanged(self, selected: QItemSelection, deselected: QItemSelection) -> None:
        """Emit a selection made by the user."""
        super().selectionChanged(selected, deselected)
        if not self._quiet:
            self.visited.emit(self.selected_keys())


def colors_of(preferences: Mapping[str, str], kind: str) -> str:
    """Return the color of a type, or that of unclassified regions."""
    from napari_chromocluster.viewer.overlay import UNCLASSIFIED

    return preferences.get(kind, ClusterType(kind).color) if kind else UNCLASSIFIED
