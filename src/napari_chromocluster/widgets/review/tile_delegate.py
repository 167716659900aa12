"""Drawing of tiles and group headers in the gallery."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qtpy.QtCore import QModelIndex, QRect, QSize, Qt
from qtpy.QtGui import QBrush, QColor, QFont, QPainter, QPalette, QPen
from qtpy.QtWidgets import QStyle, QStyledItemDelegate, QStyleOptionViewItem

from napari_chromocluster.viewer.review.review_queue import ReviewItem, letter
from napari_chromocluster.widgets.review.gallery import ITEM_ROLE, GalleryView, Header, colors_of
from napari_chromocluster.widgets.review.thumbnail_cache import TILE

_MARGIN = 3
_HEAD = 24
_AROUND = 2 * _MARGIN + 2
_GROUND = {True: "#c9c9c9", False: "#f2f2f2"}


class TileDelegate(QStyledItemDelegate):
    """Draws regions with color, letter, and marks for unsure, stale and decided by hand.

    Parameters
    ----------
    view : GalleryView
        The gallery.
    colors : mapping of type to color
        From the Preferences.
    """

    def __init__(self, view: GalleryView, colors: Mapping[str, str]) -> None:
        super().__init__(view)
        self._view = view
        self.colors = colors
        #: Side of a thumbnail, in px.
        self.tile = TILE
        self._sizes = ((-1, -1), QSize(), QSize())

    def sizeHint(self, option: QStyleOptionViewItem, index: QModelIndex) -> QSize:
        """Return the size of a tile; group headers take up a whole line."""
        # Called for every region whenever the list is laid out: thousands of times.
        view = self._view
        if (view.line, self.tile) != self._sizes[0]:
            # Tiles share the width evenly, so that no column stays empty.
            width, cell = view.line - 2, self.tile + _AROUND
            tile = QSize(max(cell, width // max(1, width // cell)), cell)
            self._sizes = ((view.line, self.tile), QSize(max(40, width), _HEAD), tile)
        return self._sizes[1 if index.row() in view.gallery.heads else 2]

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: QModelIndex) -> None:
        """Draw one row."""
        item = index.data(ITEM_ROLE)
        painter.save()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        if isinstance(item, Header):
            self._paint_header(painter, option, item)
        elif isinstance(item, ReviewItem):
            self._paint_tile(painter, option, index, item)
        painter.restore()

    def _paint_header(self, painter: QPainter, option: QStyleOptionViewItem, item: Header) -> None:
        rect = option.rect
        swatch = QRect(rect.left() + 4, rect.top() + 4, 18, 17)
        self._badge(painter, swatch, item.kind)
        font = QFont(option.font)
        font.setBold(True)
        painter.setFont(font)
        painter.setPen(option.palette.color(QPalette.ColorRole.Text))
        place = rect.adjusted(28, 0, -2, 0)
        painter.drawText(place, Qt.AlignmentFlag.AlignVCenter, item.text)

    def _paint_tile(
        self, painter: QPainter, option: QStyleOptionViewItem, index: QModelIndex, item: ReviewItem
    ) -> None:
        rect = option.rect.adjusted(_MARGIN, _MARGIN, -_MARGIN, -_MARGIN)
        dark = option.palette.color(QPalette.ColorRole.Base).lightness() < 128
        color = QColor(colors_of(self.colors, item.kind))
        selected = bool(option.state & QStyle.StateFlag.State_Selected)
        if selected:
            halo = option.palette.color(QPalette.ColorRole.Text)
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(halo)
            painter.drawRoundedRect(option.rect, 6, 6)
            rect = rect.adjusted(1, 1, -1, -1)
        painter.setBrush(QColor(_GROUND[dark]))
        style = Qt.PenStyle.DashLine if item.unsure else Qt.PenStyle.SolidLine
        painter.setPen(QPen(color, 2.5, style))
        painter.drawRoundedRect(rect, 4, 4)
        pixmap = index.data(int(Qt.ItemDataRole.DecorationRole))
        if pixmap is not None:
            at = rect.center() - pixmap.rect().center()
            painter.drawPixmap(at, pixmap)
        if item.stale:
            painter.setPen(Qt.PenStyle.NoPen)
            painter.setBrush(QBrush(QColor(0, 0, 0, 110), Qt.BrushStyle.BDiagPattern))
            painter.drawRoundedRect(rect, 4, 4)
        self._marks(painter, rect, item)

    def _marks(self, painter: QPainter, rect: QRect, item: ReviewItem) -> None:
        badge = QRect(rect.left(), rect.bottom() - 15, 15, 16)
        self._badge(painter, badge, item.kind)
        font = QFont(painter.font())
        font.setPixelSize(11)
        font.setBold(True)
        painter.setFont(font)
        painter.setPen(QColor("#202020"))
        words = "".join(
            mark for mark, on in (("?", item.unsure), ("↻", item.stale), ("✓", item.human)) if on
        )
        corner = rect.adjusted(0, 1, -3, 0)
        painter.drawText(corner, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignTop, words)
        font.setBold(False)
        font.setPixelSize(9)
        painter.setFont(font)
        painter.setPen(QColor("#404040"))
        corner = rect.adjusted(0, 0, -3, -1)
        side: Any = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignBottom
        painter.drawText(corner, side, str(item.label))

    def _badge(self, painter: QPainter, rect: QRect, kind: str) -> None:
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(QColor(colors_of(self.colors, kind)))
        painter.drawRoundedRect(rect, 3, 3)
        font = QFont(painter.font())
        font.setPixelSize(12)
        font.setBold(True)
        painter.setFont(font)
        painter.setPen(QColor("black"))
        painter.drawText(rect, Qt.AlignmentFlag.AlignCenter, letter(kind))
