"""The review dock: gallery, keys and saving for one metaphase at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QSize, Qt
from qtpy.QtWidgets import (
    QCheckBox,
    QDockWidget,
    QFormLayout,
    QFrame,
    QHBoxLayout,
    QLabel,
    QSizePolicy,
    QSlider,
    QVBoxLayout,
    QWidget,
)

from napari_chromocluster.results.features_table import counts
from napari_chromocluster.results.summary import summarise
from napari_chromocluster.viewer.layers import (
    current_frame,
    labels_layers,
    show_only,
)
from napari_chromocluster.viewer.review.canvas import frame_table
from napari_chromocluster.viewer.review.review_queue import waiting_rows
from napari_chromocluster.viewer.settings import on_preferences_changed, preferences, remember
from napari_chromocluster.widgets.common.controls import combo
from napari_chromocluster.widgets.common.exporting import EXPORTS
from napari_chromocluster.widgets.common.features_table import TableFollower
from napari_chromocluster.widgets.common.widgets import (
    CollapsibleGroup,
    MessageBar,
    Scroller,
    frames_text,
    group,
)
from napari_chromocluster.widgets.review.actions import ReviewActions
from napari_chromocluster.widgets.review.gallery import GalleryView
from napari_chromocluster.widgets.review.panels import (
    EditPanel,
    PromptBar,
    SavePanel,
    SummaryPanel,
    TypeBar,
)
from napari_chromocluster.widgets.review.session_lifecycle import ReviewOpening
from napari_chromocluster.widgets.review.shortcuts import Shortcuts
from napari_chromocluster.widgets.review.thumbnail_cache import LARGEST, SMALLEST, TILE
from napari_chromocluster.widgets.review.tile_delegate import TileDelegate

if TYPE_CHECKING:
    import napari

RANK_STACK = "Rank the frames of this stack"
#: Milliseconds without a change before the files are written; the journal is written immediately.
_SAVE_AFTER = 1500
_RECOLOR_AFTER = 40
_LETTERS_AFTER = 120
_CHECK_AFTER = 120
#: Milliseconds until Qt has laid out an expanded group.
_UNFOLDED_AFTER = 50


class ReviewWidget(ReviewOpening, ReviewActions):
    """Review the regions of a metaphase with the keyboard, saving every correction.

    Parameters
    ----------
    napari_viewer : napari.Viewer
        The viewer.
    """

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        super().__init__(napari_viewer, preferences())
        self._build()
        self.keys = Shortcuts(self.gallery, self, self.viewer)
        self._timers()
        self._tables = TableFollower(self, lambda: self.selected)
        self._place: QDockWidget | None = None
        self.ending.callback(on_preferences_changed(self.while_open(self.take_preferences)))
        self._listen(True)
        self.ending.callback(self._end)
        self._refresh_layers()
        self._restore()

    # ---------------------------------------------------------------- layout

    def _build(self) -> None:
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(4, 4, 4, 4)
        layout.setSpacing(5)
        form = QFormLayout()
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        self.image_combo = combo("The metaphase that is reviewed.")
        self.labels_combo = combo("Its regions.")
        form.addRow("Image", self.image_combo)
        form.addRow("Regions", self.labels_combo)
        layout.addLayout(form)
        self.choice = PromptBar()
        layout.addWidget(self.choice)
        self.status = QLabel("")
        self.status.setWordWrap(True)
        self.tile_size = QSlider(Qt.Orientation.Horizontal)
        self.tile_size.setRange(SMALLEST, LARGEST)
        self.tile_size.setValue(TILE)
        self.tile_size.setFixedWidth(70)
        self.tile_size.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.tile_size.setToolTip("Size of the pictures of the regions.")
        self.tile_size.setAccessibleName("Size of the pictures")
        row = QHBoxLayout()
        row.addWidget(self.status, 1)
        row.addWidget(self.tile_size)
        layout.addLayout(row)
        self.gallery = GalleryView()
        self.setFocusProxy(self.gallery)
        self.delegate = TileDelegate(self.gallery, self.preferences.colors)
        self.gallery.setItemDelegate(self.delegate)
        layout.addWidget(self.gallery, 1)
        self.types = TypeBar(self.preferences.colors, self)
        layout.addWidget(self.types)
        self.go_on = QCheckBox("Go on to the next region after a type")
        self.go_on.setChecked(True)
        self.go_on.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.go_on.setToolTip("Off: keys and buttons of the types stay at the region.")
        layout.addWidget(self.go_on)
        layout.addWidget(self._build_groups())
        self.saving = SavePanel(self._menu())
        layout.addWidget(self.saving)
        self.banner = MessageBar()
        layout.addWidget(self.banner)
        self.types.chosen.connect(self.set_type)
        self.tile_size.valueChanged.connect(self._resize_tiles)
        self.gallery.visited.connect(self._visited)
        self.gallery.pressed.connect(lambda _: self._remember_order())
        self.gallery.gallery.dropped.connect(self.drop)
        self.image_combo.currentIndexChanged.connect(self._image_chosen)
        self.labels_combo.currentIndexChanged.connect(lambda _: self._open())
        for box in (self.image_combo, self.labels_combo):
            box.activated.connect(lambda _: show_only(self.viewer, self.image, self.labels))

    def _resize_tiles(self, size: int) -> None:
        """Change the size of the tiles."""
        self.delegate.tile = size
        if self._tiles is not None:
            self._tiles.set_size(size)
        self.gallery.scheduleDelayedItemsLayout()
        self.gallery.viewport().update()

    def _build_groups(self) -> QWidget:
        inner = QWidget()
        column = QVBoxLayout(inner)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        self.edit_panel = EditPanel(self)
        self.edit_panel.line_toggled.connect(self._draw_line)
        self.edit_panel.automatic.toggled.connect(lambda _: self._classify_waiting())
        self.summary = SummaryPanel(self.preferences.colors, self.preferences.expected)
        self.summary.expected_changed.connect(lambda number: remember("expected", number))
        self.summary.chosen.connect(self.open_ranked)
        self._groups: list[CollapsibleGroup] = []
        for title, panel in (("Edit regions", self.edit_panel), ("Metaphase", self.summary)):
            box, inside = group(title)
            inside.addWidget(panel)
            box.header.setChecked(False)
            column.addWidget(box)
            self._groups.append(box)
        self._scroller = _Shrinking(inner)
        return self._scroller

    def _show_ranking_table(self) -> None:
        """Expand the group with the ranking, then scroll to it."""
        for box in self._groups:
            if box.isAncestorOf(self.summary.table):
                box.header.setChecked(True)
        self._reveal_timer.start()

    def _reveal_ranking(self) -> None:
        self._scroller.ensureWidgetVisible(self.summary.table, 0, 0)

    def _menu(self) -> list[tuple[str, str, Any]]:

        def export(what: str) -> Callable[[], None]:
            return lambda: self.export(what)

        return [
            (_title("csv"), "The features table, exactly as it is shown.", export("csv")),
            (_title("annotations"), "What you decided, for the Train dock.",
             export("annotations")),
            ("", "", None),
            (_title("overlay"), "The outlined metaphase with its legend.", export("overlay")),
            (_title("sheet"), "All regions by type.", export("sheet")),
            (_title("chart"), "Types in each ranked metaphase.", export("chart")),
            ("", "", None),
            (RANK_STACK, "From best to worst.", self.rank_stack),
            ("Rank a folder…", "All reviewed metaphases in it.", self.rank_folder),
            ("", "", None),
            ("Save the review in another folder…", "From now on.", self.choose_folder),
            ("Keys", "What each key does (?).", self.show_keys),
        ]  # fmt: skip

    def _timers(self) -> None:
        self._save_timer = self.timer(_SAVE_AFTER, self.save)
        self._color_timer = self.timer(_RECOLOR_AFTER, self._recolor)
        self._check_timer = self.timer(_CHECK_AFTER, self._check_pixels)
        self._letter_timer = self.timer(_LETTERS_AFTER, self._reletter)
        self._settle_timer = self.timer(0, self._settle)
        self._removed_timer = self.timer(0, self._refresh_layers)
        self._replaced_timer = self.timer(0, self._leave_picture)
        self._focus_timer = self.timer(0, self._take_focus)
        self._reveal_timer = self.timer(_UNFOLDED_AFTER, self._reveal_ranking)

    # ---------------------------------------------------------------- state

    def _update_state(self) -> None:
        """Update status, buttons and summary to the current state."""
        session = self.session
        if session is None:
            self.status.setText(self._why_empty())
            self.types.set_steps("", "")
            self.edit_panel.set_state(0, 0, False)
            self._update_saving()
            return
        shown = self.gallery.gallery.entries
        open_ones = self.gallery.gallery.waiting
        left, stale = len(open_ones), sum(one.stale for one in open_ones)
        frame = current_frame(self.viewer, session.labels)
        place = (
            f"Frame {frame + 1} of {session.tracker.frames}: " if session.tracker.frames > 1 else ""
        )
        note = f", {stale} with changed pixels" if stale else ""
        elsewhere = self._waiting_elsewhere(frame) if place else 0
        more = f"; {elsewhere} in other frames" if elsewhere else ""
        self.status.setText(
            f"{place}{left} of {len(shown)} to review{note}{more}"
            if left
            else f"{place}{len(shown)} regions, all reviewed{more}"
        )
        stack = session.tracker.frames > 1
        alone = "" if stack else "This image is not a stack."
        self.saving.enable(RANK_STACK, alone)
        many = stack or self._ranked is not None
        self.saving.enable(_title("chart"), "" if many else "Rank a folder first, or open a stack.")
        self.types.set_steps(session.history.undo_text, session.history.redo_text)
        self.edit_panel.set_state(
            len(self.gallery.selected_keys()),
            len(session.needs_classification()),
            self.task is not None,
        )
        rows = frame_table(session, self.viewer)
        self.summary.show_summary(summarise(rows, self.preferences.expected), stale)
        known = bool((session.table["cluster_type"] != "").any())
        self.summary.legend.set_frames(
            frames_text(len(rows), len(session.table), session.tracker.frames) if stack else "",
            counts(session.table) if stack and known else None,
        )
        self._update_saving()

    def _waiting_elsewhere(self, frame: int) -> int:
        """Return the number of regions that need review in other frames."""
        if self.session is None:
            return 0
        rows = self.session.table[(self.session.table["frame"] != frame).to_numpy()]
        return int(waiting_rows(rows, self.preferences.threshold).sum())

    def _why_empty(self) -> str:
        if not self.choice.isHidden():
            return ""
        if self.image is None:
            return "Open a metaphase image to review its regions."
        if not labels_layers(self.viewer):
            return "No regions yet: find and classify them in the Classify dock."
        return "Choose regions that belong to this image."

    def take_preferences(self) -> None:
        """Show choices made in another dock or in napari's Preferences."""
        old, chosen = self.preferences, preferences()
        if chosen == old:
            return
        self.preferences = chosen
        self.summary.expected.setValue(chosen.expected or 0)
        if (chosen.colors, chosen.threshold) == (old.colors, old.threshold):
            self._update_state()
            return
        self.delegate.colors = chosen.colors
        self.types.set_colors(chosen.colors)
        self.summary.legend.set_colors(chosen.colors)
        if self.painter is not None:
            self.painter.colors, self.painter.threshold = dict(chosen.colors), chosen.threshold
            self._uncolored = None
            self._color_timer.start()
            self._letter_timer.start()
        self._show_entries()
        self.gallery.viewport().update()

    # ---------------------------------------------------------------- showing and closing

    def showEvent(self, event: Any) -> None:
        """Bind the keys while the dock is open."""
        super().showEvent(event)
        if not self.released:
            self.keys.bind()
            self._hold_keys()
            self._take_focus()
            self._watch_place()

    def _watch_place(self) -> None:
        """Observe the dock's tab: Qt sends no show or hide events for tabbed docks."""
        place: QWidget | None = self.parentWidget()
        while place is not None and not isinstance(place, QDockWidget):
            place = place.parentWidget()
        if place is not None and place is not self._place:
            self._place = place
            place.visibilityChanged.connect(self._came_up)

    def _came_up(self, visible: bool) -> None:
        if visible and not self.released:
            # After the click on the tab has been handled, which gives the focus to the window.
            self._focus_timer.start()

    def _take_focus(self) -> None:
        """Take the focus so that the keys work; in napari, the key 2 starts painting."""
        if self.isVisible():
            self.gallery.setFocus(Qt.FocusReason.OtherFocusReason)

    def hideEvent(self, event: Any) -> None:
        """Unbind the keys and save when the dock is closed or covered."""
        super().hideEvent(event)
        self.keys.unbind()
        self.leave_line()
        if self.keeper is not None:
            self._end_saving()
            self.keeper.save_now()

    def _end(self) -> None:
        """Save, and disconnect from the viewer."""
        self.keys.unbind()
        self.pixel_sizes.end()
        self._tables.end()
        self._close_session()
        self._listen(False)


class _Shrinking(Scroller):
    """Scrolls vertically, and is never taller than its content."""

    _MOST = 330

    def __init__(self, content: QWidget) -> None:
        super().__init__()
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Maximum)
        content.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.setWidget(content)
        content.installEventFilter(self)

    def sizeHint(self) -> QSize:
        """Return the size of the content, up to a limit."""
        hint = self.widget().sizeHint()
        return QSize(hint.width(), min(hint.height() + 2, self._MOST))

    def minimumSizeHint(self) -> QSize:
        """Return a height at which the headings are visible."""
        return QSize(super().minimumSizeHint().width(), min(self.sizeHint().height(), 60))


def _title(what: str) -> str:
    return f"{EXPORTS[what].title}…"
