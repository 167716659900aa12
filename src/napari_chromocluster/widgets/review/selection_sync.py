"""Keep the gallery, the canvas and the features table in sync."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from qtpy.QtCore import Qt, QTimer

from napari_chromocluster.viewer.layers import current_frame
from napari_chromocluster.viewer.overlay import letters_layer
from napari_chromocluster.viewer.overlay_layers import Box
from napari_chromocluster.viewer.review.canvas import frame_table
from napari_chromocluster.viewer.review.change_tracker import Key
from napari_chromocluster.viewer.review.journal import Record
from napari_chromocluster.viewer.review.review_queue import entries
from napari_chromocluster.widgets.review.base import ReviewBase

_HOW_TO_DRAW = "Drag across the region in the picture, from edge to edge; Esc leaves it."


class ReviewFollowing(ReviewBase):
    """The part of the dock that keeps gallery, canvas and table in sync."""

    def _show_entries(self) -> None:
        if self.session is None:
            return
        rows = frame_table(self.session, self.viewer)
        self.gallery.show_entries(entries(rows, self.preferences.threshold))
        self._show_selected()

    def _recorded(self, record: Record) -> None:
        if record.patches and self._tiles is not None:
            self._tiles.refresh_boxes()

    def _changed(self, keys: list[Key]) -> None:
        self._show_entries()
        if self.session is not None and self.selected is not None:
            there = self.session.tracker.hash_of
            self.selected.select([key for key in self.selected.keys if there(key)])
            self.selected.draw()  # update the frames
        if self._uncolored is not None:
            self._uncolored.update(keys)
        self._color_timer.start()
        # Not restarted by each change: otherwise marks would be outdated while decisions are fast.
        if not self._letter_timer.isActive():
            self._letter_timer.start()
        self._save_timer.start()
        if self.edit_panel.automatic.isChecked():
            QTimer.singleShot(0, self._classify_waiting)

    def _frame_changed(self, event: Any = None) -> None:
        if self.session is None or self.session.labels not in self.viewer.layers:
            return
        if self.session.tracker.frames > 1:
            self.session.check_pixels(current_frame(self.viewer, self.session.labels))
            self._show_entries()
            self._remember_order()
            self._letter_timer.start()
            if self.painter is not None and self.painter.repeats:
                self._uncolored = None
                self._color_timer.start()

    def _check_soon(self) -> None:
        self._check_timer.start()

    def _check_pixels(self) -> None:
        """Handle pixels changed by fast painting."""
        if self.session is not None:
            self.session.check_all()

    def _remember_order(self) -> None:
        self._order = [(one.frame, one.label) for one in self.gallery.gallery.entries]

    def _boxes(self, keys: Collection[Key]) -> list[Box]:
        """Return the bounding boxes of some regions."""
        if self.session is None:
            return []
        rows = self.session.rows(keys)
        return [
            (int(frame), y0, x0, y1 - 1, x1 - 1)
            for frame, box in zip(rows["frame"], rows["bbox"], strict=True)
            if box
            for y0, x0, y1, x1 in [[int(edge) for edge in str(box).split(",")]]
        ]

    def _visited(self, keys: list[Key]) -> None:
        """Show the regions selected in the gallery in the canvas."""
        if self.canvas is not None and self.selected is not None:
            current = self.gallery.current_key()
            if keys:
                self.canvas.go_to(current if current in keys else keys[0])
            self.selected.select(sorted(keys, key=lambda key: key == current))
        self._update_state()

    def _picked(self, key: Key, add: bool) -> None:
        """Handle a click in the canvas, and move the focus to the review's keys."""
        self._remember_order()
        if self.selected is not None:
            if add:
                self.selected.toggle(key)
            else:
                self.selected.select([key])
        self.gallery.setFocus(Qt.FocusReason.OtherFocusReason)

    def _selection_changed(self) -> None:
        """Handle a changed selection, from here or elsewhere."""
        self._show_selected()
        self._tables.update_rows()

    def _show_selected(self) -> None:
        """Select in the gallery those of its regions that are selected."""
        if self.selected is not None:
            shown = self.gallery.gallery.index_of
            keys = [key for key in self.selected.keys if shown(key).isValid()]
            if set(keys) != set(self.gallery.selected_keys()):
                self.gallery.select(keys)
        self._update_state()

    def _sought(self, key: Key) -> None:
        """Show a region requested elsewhere, such as in the Features table."""
        if self.canvas is not None:
            self.canvas.go_to(key)

    def _draw_line(self, on: bool) -> None:
        self.keys.hold_leaving(on)
        if self.canvas is not None:
            self.canvas.draw(on)
            if on:
                self.banner.info(_HOW_TO_DRAW)
            elif self.banner.text == _HOW_TO_DRAW:
                self.banner.clear()

    def leave_line(self) -> None:
        """Stop drawing a line, so that a drag pans the image again."""
        self.edit_panel.line.setChecked(False)

    def _recolor(self) -> None:
        """Color the changed regions in the canvas by type."""
        keys, self._uncolored = self._uncolored, set()
        if self.painter is not None and keys is not None:
            self.painter.color(keys)
        elif self.painter is not None:
            self.painter.color_all()

    def _reletter(self) -> None:
        """Redraw the letters, unless the user has hidden them."""
        if self.session is None or self.painter is None:
            return
        letters = letters_layer(self.viewer, self.session.labels)
        # A layer without types shown yet gets outlines, so that the bands stay visible.
        if not self._colored:
            self.painter.show_outlines()
        self._colored = True
        self.painter.mark(letters is None or bool(letters.visible))
