"""Select the metaphase, and start, restore and end its review."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import numpy as np
from qtpy.QtWidgets import QApplication

from napari_chromocluster.viewer.layer_tables import set_table, table_of
from napari_chromocluster.viewer.layers import (
    frame_shape,
    image_layers,
    labels_layers,
    labels_of,
    layer_data,
    leave_picture,
    matching_labels,
)
from napari_chromocluster.viewer.overlay import letters_layer
from napari_chromocluster.viewer.region_selection import use_selection
from napari_chromocluster.viewer.review.autosave import (
    Autosave,
    RestoreDecision,
    find_saved_review,
    folders_for,
    merge_saved_table,
)
from napari_chromocluster.viewer.review.canvas import ReviewCanvas
from napari_chromocluster.viewer.review.overlay_updater import Painter
from napari_chromocluster.viewer.review.session import ReviewSession
from napari_chromocluster.viewer.scripting import add_regions
from napari_chromocluster.widgets.common.controls import select_item, set_choices
from napari_chromocluster.widgets.review.autosave import ReviewSaving
from napari_chromocluster.widgets.review.selection_sync import ReviewFollowing
from napari_chromocluster.widgets.review.thumbnail_cache import ThumbnailCache

_KEPT = "The regions were removed from the viewer; their review is saved."


class ReviewOpening(ReviewFollowing, ReviewSaving):
    """The part of the dock that selects, opens and closes reviews."""

    def _listen(self, on: bool) -> None:
        """Connect to the viewer and its layers, or disconnect."""
        events = self.viewer.layers.events
        for emitter, slot in (
            (events.inserted, self._layer_inserted),
            (events.removed, self._layer_removed),
            (self.viewer.dims.events.current_step, self._frame_changed),
            *((layer.events.name, self._refresh_layers) for layer in self.viewer.layers),
        ):
            (emitter.connect if on else emitter.disconnect)(slot)
        application = QApplication.instance()
        if application is not None:
            quits = application.aboutToQuit
            with suppress(TypeError, RuntimeError):  # it may have quit
                (quits.connect if on else quits.disconnect)(self.release)

    def _layer_inserted(self, event: Any) -> None:
        event.value.events.name.connect(self._refresh_layers)
        if event.value in image_layers(self.viewer):
            self.leave_line()  # The new image covers the one across which the line was to be drawn.
        self._refresh_layers()
        if event.value in labels_layers(self.viewer):
            self._came = event.value
        # Other listeners come first, since they may open the regions next to the file.
        self._settle_timer.start()

    def _layer_removed(self, event: Any) -> None:
        # After napari has finished, since closing and opening reviews removes and adds layers.
        self._removed_timer.start()

    def _refresh_layers(self, event: Any = None) -> None:
        """List the open layers; keep the selection if it still exists."""
        if self._opening or self.released:
            return
        self.pixel_sizes.look_up()
        images = image_layers(self.viewer)
        image = self.image if self.image in images else (images[-1] if images else None)
        self._offer(image, restore=False)

    def _settle(self) -> None:
        """Handle a new layer after its other listeners have finished."""
        self._follow_new_regions()
        self._restore()

    def _follow_new_regions(self) -> None:
        """Review new regions that replaced the reviewed ones, which are now hidden."""
        came, self._came = self._came, None
        old, image = self.labels, self.image
        if came is None or old is None or came == old or old.visible or not came.visible:
            return
        if came not in labels_of(self.viewer, image):
            return
        select_item(self.labels_combo, came)
        if self.session is not None:
            self.banner.info(f"{old.name!r} is hidden: {came.name!r} is reviewed now.")

    def _restore(self) -> None:
        """Restore the saved review of an image that has no regions yet."""
        if self.session is None and self.image is not None and not self.released:
            self._open()

    def _offer(self, image: Any, restore: bool = True) -> None:
        set_choices(self.image_combo, image_layers(self.viewer), image, "open an image")
        fitting = matching_labels(self.viewer, image) if image is not None else []
        mine = labels_of(self.viewer, image) if image is not None else []
        # Images from one camera have the same shape, so labels selected for another one are
        # dropped.
        kept = self._offered_for is not None and self._offered_for == image
        chosen = self.labels if kept else None
        if chosen not in fitting:
            chosen = mine[-1] if mine else None
        self._offered_for = image
        set_choices(self.labels_combo, fitting, chosen, "no regions yet")
        self._open(restore)

    def _leave_soon(self) -> None:
        self._replaced_timer.start()

    def _leave_picture(self) -> None:
        """End the review of an image whose layer now shows a different one."""
        session, image = self.session, self.image
        if session is None or session.image != image:
            return
        name = session.labels.name
        self._close_session()
        leave_picture(self.viewer, image)
        self._offered_for = None
        self._offer(image)
        if not self.banner.text:
            self.banner.info(
                f"{image.name!r} shows another picture now: the review of {name!r} is closed."
            )

    def _image_chosen(self) -> None:
        self._offer(self.image)

    def choose_image(self, layer: Any) -> None:
        """Review another open image."""
        select_item(self.image_combo, layer)

    @property
    def image(self) -> Any:
        """The selected image layer."""
        return self.image_combo.currentData()

    # ---------------------------------------------------------------- opening

    def _open(self, restore: bool = True) -> None:
        """Start reviewing the selected layers, or restore their saved review.

        Without ``restore`` an image without regions is skipped, so that removed regions do not
        reappear automatically.
        """
        if self._opening or self.released:
            return
        image, labels = self.image, self.labels
        session = self.session
        if session is not None:
            # napari gives plugins a new proxy of a layer each time: equal, not identical.
            same = labels is not None and session.image == image and session.labels == labels
            if same and tuple(session.tracker.labels.shape) == tuple(layer_data(labels).shape):
                return
        kept = image is not None and labels is None and not restore and self._is_kept()
        if session is not None:
            self.banner.clear()  # it was about the other review
        self._close_session()
        if kept:
            self.choice.ask(_KEPT, {"Open it again": self._restore})
        else:
            self.choice.hide()
        if image is None or (labels is None and not restore):
            self._update_state()
            return
        if labels is not None and labels.unique_id in self._declined:
            self._start(labels, None)
            return
        finding = self._try(lambda: find_saved_review(image, labels, self._folder))
        if finding is not None:
            self._follow(finding, image, labels)
        self._update_state()

    def _is_kept(self) -> bool:
        """Return whether regions with a saved review were removed, now or before."""
        if self.session is None:
            return bool(self.choice.text == _KEPT)
        gone = self.session.labels not in labels_layers(self.viewer)
        return gone and self.keeper is not None and self.keeper.store is not None

    def _follow(self, finding: RestoreDecision, image: Any, labels: Any) -> None:
        saved = finding.saved
        if finding.kind == "open" and saved is not None:
            if saved.labels.shape == frame_shape(image):
                self._open_saved(finding, image)
        elif finding.kind == "same" and saved is not None:
            if not np.array_equal(layer_data(labels), saved.labels):
                labels.data = saved.labels.astype(layer_data(labels).dtype)
            set_table(labels, merge_saved_table(saved, table_of(labels)))
            self._start(labels, finding)
        elif finding.kind == "conflict":
            name = labels.name

            def keep() -> None:
                self._declined.add(labels.unique_id)
                self._open()

            self.choice.ask(
                finding.message,
                {
                    "Review the saved regions": lambda: self._go_back(finding, image, labels),
                    f"Review {name!r}; keep the saved files": keep,
                },
            )
        elif labels is not None:
            self._start(labels, None)
        if finding.kind == "damaged":
            self.banner.error(finding.message)

    def _go_back(self, finding: RestoreDecision, image: Any, others: Any) -> None:
        """Review the saved regions instead of others; they may already be open, but hidden."""
        saved = finding.saved
        if saved is None:
            return
        others.visible = False  # Two overlapping sets of outlines are unreadable.
        fitting = (one for one in labels_of(self.viewer, image) if one != others)
        same = next((one for one in fitting if np.array_equal(layer_data(one), saved.labels)), None)
        if same is None:
            self._open_saved(finding, image)
            return
        same.visible = True
        select_item(self.labels_combo, same)

    def _open_saved(self, finding: RestoreDecision, image: Any) -> None:
        """Add the saved regions as a layer and review it."""
        saved = finding.saved
        if saved is None:
            return
        self._opening = True
        try:
            layer = add_regions(self.viewer, image, saved.labels)
            set_table(layer, saved.table)
            fitting = matching_labels(self.viewer, image)
            set_choices(self.labels_combo, fitting, layer, "no regions yet")
        finally:
            self._opening = False
        self._start(layer, finding)
        self._update_state()

    def _start(self, labels: Any, finding: RestoreDecision | None) -> None:
        image = self.image
        session = self._try(lambda: ReviewSession(image, labels, self._shown_frame))
        if session is None:
            return
        self.session = session
        self._colored = letters_layer(self.viewer, labels) is not None
        store = finding.saved.store if finding is not None and finding.saved is not None else None
        self.keeper = Autosave(session, folders_for(image, self._folder), store)
        session.recorded.connect(self._recorded)
        session.changed.connect(self._changed)
        session.behind.connect(self._check_soon)
        session.replaced.connect(self._leave_soon)
        self.painter = Painter(
            self.viewer, session, self.preferences.colors, self.preferences.threshold
        )
        self._uncolored = None
        self.selected = use_selection(self.viewer, labels, self._boxes)
        self.selected.changed.connect(self._selection_changed)
        self.selected.sought.connect(self._sought)
        self.canvas = ReviewCanvas(
            self.viewer, session, self.selected, self._picked, self.split_line, self.leave_line
        )
        self._tiles = ThumbnailCache(session)
        self._tiles.set_size(self.tile_size.value())
        self._tiles.listeners.append(self.gallery.gallery.tiles_made)
        self.gallery.gallery.tiles = self._tiles
        self._hold_keys()
        self._show_entries()
        self._remember_order()
        if (session.table["cluster_type"] != "").any():
            self._uncolored = set()
            if not self._colored:
                self.painter.show_outlines()
            self.painter.adopt_colors()
            self._reletter()
        if finding is not None and finding.message:
            self.banner.info(finding.message)
        if finding is not None and finding.saved is not None and finding.saved.recovered:
            # Write the recovered journal to the files.
            self.keeper.mark_dirty()
            self._save_timer.start()

    def _close_session(self) -> None:
        session, self.session = self.session, None
        if session is None:
            return
        if self.task is not None:
            self.task.cancel()
        self._hold_keys()
        self.leave_line()
        self._end_saving()
        if self.keeper is not None:
            self.keeper.close()
        if self.canvas is not None:
            self.canvas.close()
        if self._tiles is not None:
            self._tiles.end()
        if self.selected is not None:
            self.selected.changed.disconnect(self._selection_changed)
            self.selected.sought.disconnect(self._sought)
            self.selected.leave(self._boxes)
        session.close()
        self.keeper = self.canvas = self.painter = self._tiles = self.selected = None
        self.gallery.gallery.tiles = None
        self.gallery.show_entries([])
