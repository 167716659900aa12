"""The review dock: gallery, keys and saving, kept together for one metaphase at a time."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QEvent, QSize, Qt, QTimer
from qtpy.QtWidgets import (
    QApplication,
    QComboBox,
    QFileDialog,
    QFormLayout,
    QFrame,
    QLabel,
    QScrollArea,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from napari_chromocluster.results.summary import summarise
from napari_chromocluster.viewer.layers import (
    current_frame,
    frame_shape,
    image_layers,
    labels_layers,
    matching_labels,
    pixels,
    set_table,
    table_of,
)
from napari_chromocluster.viewer.overlay import (
    color_dict,
    frame_rows,
    letters_layer,
    show_overlay,
)
from napari_chromocluster.viewer.preferences import preferences
from napari_chromocluster.viewer.review.canvas import Canvas, frame_table
from napari_chromocluster.viewer.review.journal import Record
from napari_chromocluster.viewer.review.keeper import (
    Finding,
    Keeper,
    combined,
    folders_for,
    look_for,
)
from napari_chromocluster.viewer.review.order import entries, waiting
from napari_chromocluster.viewer.review.session import ReviewSession
from napari_chromocluster.viewer.review.tracker import Key
from napari_chromocluster.viewer.scripting import add_regions
from napari_chromocluster.widgets.common.parts import Banner, group
from napari_chromocluster.widgets.common.task import Task
from napari_chromocluster.widgets.review.actions import ReviewActions
from napari_chromocluster.widgets.review.delegate import TileDelegate
from napari_chromocluster.widgets.review.gallery import GalleryView
from napari_chromocluster.widgets.review.keys import Keys
from napari_chromocluster.widgets.review.panels import (
    ChoiceBar,
    MendPanel,
    SavePanel,
    SummaryPanel,
    TypeBar,
)
from napari_chromocluster.widgets.review.tiles import TileMaker

if TYPE_CHECKING:
    import napari

#: Milliseconds without a change after which the files are written; the journal is never late.
_SAVE_AFTER = 1500
_RECOLOR_AFTER = 40
_LETTERS_AFTER = 500


class ReviewWidget(ReviewActions):
    """Check the regions of a metaphase one by one, with keys, and never lose a correction.

    Parameters
    ----------
    napari_viewer : napari.Viewer
        The viewer.
    """

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        super().__init__()
        self.viewer = napari_viewer
        self.preferences = preferences()
        self.session: ReviewSession | None = None
        self.keeper: Keeper | None = None
        self.canvas: Canvas | None = None
        self.classifier: Any = None
        self.task: Task | None = None
        self._saving: Task | None = None
        self._tiles: TileMaker | None = None
        self._order: list[Key] = []
        self._fresh: set[Key] = set()
        self._folder: Path | None = None
        self._declined: set[tuple[int, int]] = set()
        self._opening = self._released = self._colored = False
        self._build()
        self.keys = Keys(self.gallery, self)
        self._timers()
        self._connect_viewer()
        self._refresh_layers()

    # ---------------------------------------------------------------- layout

    def _build(self) -> None:
        self.setMinimumWidth(300)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(4, 4, 4, 4)
        layout.setSpacing(5)
        form = QFormLayout()
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        self.image_combo = _combo("The metaphase that is reviewed.")
        self.labels_combo = _combo("Its regions.")
        form.addRow("Image", self.image_combo)
        form.addRow("Regions", self.labels_combo)
        layout.addLayout(form)
        self.choice = ChoiceBar()
        layout.addWidget(self.choice)
        self.status = QLabel("")
        self.status.setWordWrap(True)
        layout.addWidget(self.status)
        self.gallery = GalleryView()
        self.gallery.setItemDelegate(TileDelegate(self.gallery, self.preferences.colors))
        layout.addWidget(self.gallery, 1)
        self.types = TypeBar(self.preferences.colors, self)
        layout.addWidget(self.types)
        layout.addWidget(self._build_groups())
        self.saving = SavePanel(self._menu())
        layout.addWidget(self.saving)
        self.banner = Banner()
        layout.addWidget(self.banner)
        self.types.chosen.connect(self.set_type)
        self.gallery.visited.connect(self._visited)
        self.gallery.pressed.connect(lambda _: self._remember_order())
        self.gallery.gallery.dropped.connect(self.drop)
        self.image_combo.currentIndexChanged.connect(self._image_chosen)
        self.labels_combo.currentIndexChanged.connect(self._open)

    def _build_groups(self) -> QWidget:
        inner = QWidget()
        column = QVBoxLayout(inner)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        self.mend = MendPanel(self)
        self.mend.line_toggled.connect(self._draw_line)
        self.mend.automatic.toggled.connect(lambda _: self._classify_waiting())
        self.summary = SummaryPanel(self.preferences.colors, self.preferences.expected)
        self.summary.expected_changed.connect(lambda _: self._update_state())
        self.summary.chosen.connect(self.open_ranked)
        for title, panel in (("Mend regions", self.mend), ("Metaphase", self.summary)):
            box, inside = group(title)
            inside.addWidget(panel)
            box.header.setChecked(False)
            column.addWidget(box)
        return _Shrinking(inner)

    def _menu(self) -> list[tuple[str, str, Any]]:
        export = lambda what: lambda: self.export(what)  # noqa: E731
        return [
            ("Table as CSV…", "The features table, exactly as it is shown.", export("csv")),
            ("Annotations for training…", "What you decided, for the Train dock.",
             export("annotations")),
            ("", "", None),
            ("Annotated metaphase…", "PNG, SVG or PDF with legend.", export("overlay")),
            ("Contact sheet…", "All regions by type.", export("sheet")),
            ("Bar chart of many…", "Types in each ranked metaphase.", export("chart")),
            ("", "", None),
            ("Rank the frames of this stack", "From best to worst.", self.rank_stack),
            ("Rank a folder…", "All reviewed metaphases in it.", self.rank_folder),
            ("", "", None),
            ("Save the review in another folder…", "From now on.", self.choose_folder),
            ("Keys", "What each key does (?).", self.show_keys),
        ]  # fmt: skip

    def _timers(self) -> None:
        self._save_timer = _timer(self, _SAVE_AFTER, self.save)
        self._color_timer = _timer(self, _RECOLOR_AFTER, self._recolor)
        self._letter_timer = _timer(self, _LETTERS_AFTER, self._reletter)

    # ---------------------------------------------------------------- layers

    def _connect_viewer(self) -> None:
        events = self.viewer.layers.events
        events.inserted.connect(self._layer_inserted)
        events.removed.connect(self._refresh_layers)
        for layer in self.viewer.layers:
            layer.events.name.connect(self._refresh_layers)
        self.viewer.dims.events.current_step.connect(self._frame_changed)
        application = QApplication.instance()
        if application is not None:
            application.aboutToQuit.connect(self.release)

    def _layer_inserted(self, event: Any) -> None:
        event.value.events.name.connect(self._refresh_layers)
        self._refresh_layers()

    def _refresh_layers(self, event: Any = None) -> None:
        """Offer the layers that are open; keep the choice where it still exists."""
        if self._opening:
            return
        images = image_layers(self.viewer)
        image = self.image if self.image in images else (images[-1] if images else None)
        self._offer(image)

    def _offer(self, image: Any) -> None:
        _fill(self.image_combo, image_layers(self.viewer), image, "open an image")
        fitting = matching_labels(self.viewer, image) if image is not None else []
        chosen = self.labels if self.labels in fitting else (fitting[-1] if fitting else None)
        _fill(self.labels_combo, fitting, chosen, "none yet")
        self._open()

    def _image_chosen(self) -> None:
        self._offer(self.image)

    def choose_image(self, layer: Any) -> None:
        """Review another image that is open."""
        self.image_combo.setCurrentIndex(self.image_combo.findData(layer))

    @property
    def image(self) -> Any:
        """The image layer that is chosen."""
        return self.image_combo.currentData()

    @property
    def labels(self) -> Any:
        """The labels layer that is chosen."""
        return self.labels_combo.currentData()

    # ---------------------------------------------------------------- opening

    def _open(self) -> None:
        """Begin to review what is chosen, or go on with what was saved of it."""
        if self._opening:
            return
        image, labels = self.image, self.labels
        session = self.session
        if session is not None:
            same = session.image is image and session.labels is labels
            if same and tuple(session.tracker.labels.shape) == tuple(pixels(labels).shape):
                return
        self._close_session()
        self.choice.hide()
        if image is None:
            self._update_state()
            return
        asked = (id(image), id(labels))
        if labels is not None and asked in self._declined:
            self._start(labels, None)
            return
        finding = self._try(lambda: look_for(image, labels, self._folder))
        if finding is not None:
            self._follow(finding, image, labels)
        self._update_state()

    def _follow(self, finding: Finding, image: Any, labels: Any) -> None:
        saved = finding.saved
        if finding.kind == "open" and saved is not None:
            if saved.labels.shape == frame_shape(image):
                self._open_saved(finding, image)
        elif finding.kind == "same" and saved is not None:
            if not np.array_equal(pixels(labels), saved.labels):
                labels.data = saved.labels.astype(pixels(labels).dtype)
            set_table(labels, combined(saved.table, table_of(labels)))
            self._start(labels, finding)
        elif finding.kind == "conflict":
            name = labels.name

            def keep() -> None:
                self._declined.add((id(image), id(labels)))
                self._open()

            self.choice.ask(
                finding.message,
                {
                    "Review the saved regions": lambda: self._open_saved(finding, image),
                    f"Review {name!r}; keep the saved files": keep,
                },
            )
        elif labels is not None:
            self._start(labels, None)
        if finding.kind == "damaged":
            self.banner.error(finding.message)

    def _open_saved(self, finding: Finding, image: Any) -> None:
        """Add the saved regions as a layer and review that."""
        saved = finding.saved
        if saved is None:
            return
        self._opening = True
        try:
            layer = add_regions(self.viewer, image, saved.labels)
            set_table(layer, saved.table)
            fitting = matching_labels(self.viewer, image)
            _fill(self.labels_combo, fitting, layer, "none yet")
        finally:
            self._opening = False
        self._start(layer, finding)
        self._update_state()

    def _start(self, labels: Any, finding: Finding | None) -> None:
        image = self.image
        session = self._try(lambda: ReviewSession(image, labels))
        if session is None:
            return
        self.session = session
        self._colored = letters_layer(self.viewer, labels) is not None
        store = finding.saved.store if finding is not None and finding.saved is not None else None
        self.keeper = Keeper(session, folders_for(image, self._folder), store)
        session.recorded.connect(self._recorded)
        session.changed.connect(self._changed)
        self.canvas = Canvas(self.viewer, session, self._picked, self.split_line)
        self._tiles = TileMaker(session)
        self._tiles.listeners.append(self.gallery.gallery.tiles_made)
        self.gallery.gallery.tiles = self._tiles
        labels.events.selected_label.connect(self._label_chosen)
        self._show_entries()
        self._remember_order()
        if (session.table["cluster_type"] != "").any():
            self._recolor()
            self._reletter()
        if finding is not None and finding.message:
            self.banner.info(finding.message)
        if finding is not None and finding.saved is not None and finding.saved.recovered:
            # What the journal held goes into the files now.
            self.keeper.mark_dirty()
            self._save_timer.start()

    def _close_session(self) -> None:
        session, self.session = self.session, None
        if session is None:
            return
        if self.task is not None:
            self.task.cancel()
        self._end_saving()
        if self.keeper is not None:
            self.keeper.close()
        if self.canvas is not None:
            self.canvas.close()
        if self._tiles is not None:
            self._tiles.end()
        session.labels.events.selected_label.disconnect(self._label_chosen)
        session.close()
        self.keeper = self.canvas = self._tiles = None
        self.gallery.gallery.tiles = None
        self.gallery.gallery.show([])

    # ---------------------------------------------------------------- following

    def _show_entries(self) -> None:
        if self.session is None:
            return
        rows = frame_table(self.session, self.viewer)
        self.gallery.gallery.show(entries(rows, self.preferences.threshold))
        self._update_state()

    def _recorded(self, record: Record) -> None:
        if record.patches and self._tiles is not None:
            self._tiles.refresh_boxes()

    def _changed(self, keys: list[Key]) -> None:
        self._show_entries()
        self._color_timer.start()
        self._letter_timer.start()
        self._save_timer.start()
        if self.mend.automatic.isChecked():
            QTimer.singleShot(0, self._classify_waiting)

    def _frame_changed(self, event: Any = None) -> None:
        if self.session is not None and self.session.tracker.frames > 1:
            self.session.check_pixels(current_frame(self.viewer, self.session.labels))
            self._show_entries()
            self._remember_order()
            self._color_timer.start()

    def _remember_order(self) -> None:
        self._order = [(one.frame, one.label) for one in self.gallery.gallery.entries]

    def _visited(self, keys: list[Key]) -> None:
        """Follow the gallery in the canvas."""
        if self.canvas is not None and self.session is not None:
            current = self.gallery.current_key()
            if keys:
                self.canvas.go_to(current if current in keys else keys[0])
            self.canvas.frame(keys)
        self._update_state()

    def _picked(self, key: Key, add: bool) -> None:
        """Follow a click in the canvas; the keys of the review hold from here on."""
        self._remember_order()
        self.gallery.select([key], add=add)
        if self.canvas is not None and self.session is not None:
            self.canvas.frame(self.gallery.selected_keys())
            self.session.labels.selected_label = key[1]
        self.gallery.setFocus(Qt.FocusReason.OtherFocusReason)
        self._update_state()

    def _label_chosen(self, event: Any = None) -> None:
        """Follow the Features table and napari's own label spin box."""
        if self.session is None or self.canvas is None:
            return
        label = int(self.session.labels.selected_label)
        key = (current_frame(self.viewer, self.session.labels), label)
        if key not in self.gallery.selected_keys() and self.gallery.gallery.index_of(key).isValid():
            self.gallery.select([key])
            self.canvas.frame([key])
            self._update_state()

    def _draw_line(self, on: bool) -> None:
        if self.canvas is not None:
            self.canvas.draw(on)
            if on:
                self.banner.info("Drag across the region in the picture, from edge to edge.")

    def _recolor(self) -> None:
        """Give the regions in the picture the colours of their types."""
        from napari.utils.colormaps import DirectLabelColormap

        if self.session is None:
            return
        labels = self.session.labels
        rows = frame_rows(self.session.table, current_frame(self.viewer, labels))
        colors = color_dict(rows, self.preferences.colors)
        labels.colormap = DirectLabelColormap(color_dict=colors)

    def _reletter(self) -> None:
        """Write the letters anew, unless the user has taken them away."""
        if self.session is None:
            return
        labels = self.session.labels
        letters = letters_layer(self.viewer, labels)
        shown = letters is None or bool(letters.visible)
        # A layer that shows no types yet gets outlines: the bands must stay visible.
        filled = self._colored and labels.contour == 0
        self._colored = True
        show_overlay(
            self.viewer,
            labels,
            threshold=self.preferences.threshold,
            fill=filled,
            text=shown,
            colors=self.preferences.colors,
        )

    # ---------------------------------------------------------------- saving

    def save(self) -> None:
        """Write the files in the background."""
        if self.keeper is None or self._saving is not None:
            return
        keeper = self.keeper
        snapshot = keeper.snapshot()
        if snapshot is not None:
            task = Task(lambda _progress, _stop: keeper.write(snapshot), self)
            task.failed.connect(self.banner.error)
            task.ended.connect(self._saved)
            self._saving = task
            task.start()
        self._update_saving()

    def _saved(self) -> None:
        self._saving = None
        if self.keeper is not None and self.keeper.dirty:
            self._save_timer.start()
        self._update_saving()

    def _end_saving(self) -> None:
        self._save_timer.stop()
        if self._saving is not None:
            self._saving.wait()
            self._saving = None

    def _update_saving(self) -> None:
        keeper = self.keeper
        if keeper is None:
            self.saving.label.setText("")
            return
        if keeper.conflict and self.choice.isHidden():
            self.choice.ask(
                keeper.conflict,
                {
                    "Keep my review; the other file gets another name": self._keep_mine,
                    "Take the file; undo brings mine back": self._take_theirs,
                },
            )
        store = keeper.store
        if keeper.problem:
            self.saving.label.setText(keeper.problem)
        elif store is None:
            self.saving.label.setText("Saved with your first correction.")
        else:
            self.saving.label.setText(f"Saved in {store.folder.name or store.folder}")
            self.saving.label.setToolTip(str(store.table_path))

    def _keep_mine(self) -> None:
        if self.keeper is not None:
            self.keeper.keep_mine()
            self._update_saving()

    def _take_theirs(self) -> None:
        if self.keeper is not None:
            self._try(self.keeper.take_theirs)
            self._update_saving()

    def choose_folder(self, folder: str | None = None) -> None:
        """Save reviews in another folder from now on."""
        if folder is None:
            folder = QFileDialog.getExistingDirectory(self, "Save reviews in")
        if folder:
            self._folder = Path(folder)
            if self.keeper is not None:
                self._end_saving()
                self.keeper.move_to(self._folder)
            self._update_saving()

    # ---------------------------------------------------------------- state

    def _update_state(self) -> None:
        """Bring status, buttons and summary in line with what is there."""
        session = self.session
        if session is None:
            self.status.setText(self._why_empty())
            self.types.set_steps("", "")
            self.mend.set_state(0, 0, False)
            self._update_saving()
            return
        shown = self.gallery.gallery.entries
        left = sum(waiting(one) for one in shown)
        stale = sum(one.stale for one in shown)
        frame = current_frame(self.viewer, session.labels)
        place = f"Frame {frame} of {session.tracker.frames}: " if session.tracker.frames > 1 else ""
        note = f", {stale} with changed pixels" if stale else ""
        self.status.setText(
            f"{place}{left} of {len(shown)} to look at{note}"
            if left
            else f"{place}{len(shown)} regions, none left to look at"
        )
        self.types.set_steps(session.history.undo_text, session.history.redo_text)
        self.mend.set_state(
            len(self.gallery.selected_keys()),
            len(session.waiting_for_model()),
            self.task is not None,
        )
        rows = frame_table(session, self.viewer)
        self.summary.show_summary(summarise(rows, self.summary.expected.value()), stale)
        self._update_saving()

    def _why_empty(self) -> str:
        if not self.choice.isHidden():
            return ""
        if self.image is None:
            return "Open a metaphase image to review its regions."
        if not labels_layers(self.viewer):
            return "No regions yet: find and classify them in the Classify dock."
        return "Choose regions that belong to this image."

    # ---------------------------------------------------------------- showing and closing

    def showEvent(self, event: Any) -> None:
        """The keys hold while the dock is open."""
        super().showEvent(event)
        if not self._released:
            self.keys.bind()
            self.gallery.setFocus(Qt.FocusReason.OtherFocusReason)

    def hideEvent(self, event: Any) -> None:
        """Give the keys back and save when the dock is closed or covered."""
        super().hideEvent(event)
        self.keys.unbind()
        self.mend.line.setChecked(False)
        if self.keeper is not None:
            self._end_saving()
            self.keeper.save_now()

    def event(self, event: Any) -> bool:
        """Let go of everything when napari takes the dock away."""
        done = bool(super().event(event))
        if event.type() == QEvent.Type.ParentChange and self.parent() is None:
            self.release()
        return done

    def closeEvent(self, event: Any) -> None:
        """Save and let go of the viewer when the dock closes."""
        self.release()
        super().closeEvent(event)

    def release(self) -> None:
        """Save, and disconnect from the viewer."""
        if self._released:
            return
        self._released = True
        self.keys.unbind()
        self._close_session()
        for timer in (self._save_timer, self._color_timer, self._letter_timer):
            timer.stop()
        events = self.viewer.layers.events
        events.inserted.disconnect(self._layer_inserted)
        events.removed.disconnect(self._refresh_layers)
        self.viewer.dims.events.current_step.disconnect(self._frame_changed)


class _Shrinking(QScrollArea):
    """Scrolls up and down, and is never higher than what it holds."""

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

    def eventFilter(self, watched: Any, event: Any) -> bool:
        """Follow the content when a group is folded or unfolded."""
        if event.type() == QEvent.Type.LayoutRequest:
            self.updateGeometry()
        return bool(super().eventFilter(watched, event))

    def sizeHint(self) -> QSize:
        """Return the size of the content, up to a limit."""
        hint = self.widget().sizeHint()
        return QSize(hint.width(), min(hint.height() + 2, self._MOST))

    def minimumSizeHint(self) -> QSize:
        """Return a height at which the headings are seen."""
        return QSize(10, min(self.sizeHint().height(), 60))


def _combo(tooltip: str) -> QComboBox:
    combo = QComboBox()
    combo.setToolTip(tooltip)
    combo.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    combo.setMinimumContentsLength(8)
    return combo


def _fill(combo: QComboBox, layers: list[Any], chosen: Any, none: str) -> None:
    """Fill a combo box with layers without telling anyone."""
    blocked = combo.blockSignals(True)
    combo.clear()
    if not layers:
        combo.addItem(none, None)
    for layer in layers:
        combo.addItem(layer.name, layer)
    place = next((i for i in range(combo.count()) if combo.itemData(i) is chosen), 0)
    combo.setCurrentIndex(place)
    combo.blockSignals(blocked)


def _timer(parent: QWidget, milliseconds: int, slot: Any) -> QTimer:
    timer = QTimer(parent)
    timer.setSingleShot(True)
    timer.setInterval(milliseconds)
    timer.timeout.connect(slot)
    return timer
