"""Track the viewer's layers, and open results saved next to an image."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from qtpy.QtCore import QTimer

from napari_chromocluster.imaging.io import read_labels
from napari_chromocluster.results.features_table import KEY, as_they_are
from napari_chromocluster.viewer.explanation_layer import remove_explanation
from napari_chromocluster.viewer.hover_text import THRESHOLD
from napari_chromocluster.viewer.layer_tables import has_table, set_table, table_of
from napari_chromocluster.viewer.layers import (
    frame_shape,
    front_image,
    hide_other_regions,
    image_layers,
    labels_layers,
    labels_of,
    layer_data,
    leave_picture,
    put_below_regions,
    show_only,
    shown_content,
    source_of,
)
from napari_chromocluster.viewer.reader import annotations_beside
from napari_chromocluster.viewer.region_selection import use_selection
from napari_chromocluster.viewer.scripting import add_regions
from napari_chromocluster.viewer.sidecar_files import read_sidecar_files
from napari_chromocluster.widgets.classify.channels import ClassifyChannels
from napari_chromocluster.widgets.classify.region_selection import ClassifySelecting
from napari_chromocluster.widgets.common.controls import select_item, set_choices
from napari_chromocluster.widgets.common.features_table import TableFollower
from napari_chromocluster.widgets.common.worker import error_message

#: Events for changed pixels; brush strokes in napari only emit the last two.
_PAINTED = ("set_data", "labels_update", "paint")


class ClassifyFollowing(ClassifySelecting, ClassifyChannels):
    """The part of the dock that keeps its choices in sync with the viewer."""

    _watched: Any = None
    #: The image for which the labels were selected.
    _labels_for: Any = None
    _restyle: QTimer
    _recount: QTimer
    _recolor: QTimer
    _arrange: QTimer
    _leave: QTimer
    _tables: TableFollower
    #: The observed image, and the hash of its content.
    _pictured: tuple[Any, str] | None = None
    _explained_pixels: Any

    def _listen(self, on: bool) -> None:
        """Connect to the viewer and its layers, or disconnect."""
        events = self.viewer.layers.events
        for emitter, slot in (
            (events.inserted, self._layer_inserted),
            (events.removed, self._layer_removed),
            (events.reordered, self._refresh_layers),
            (self.viewer.dims.events.current_step, self._frame_changed),
            *((layer.events.name, self._refresh_layers) for layer in self.viewer.layers),
        ):
            (emitter.connect if on else emitter.disconnect)(slot)
        if not on:
            self._watch(None)
            self._watch_image(None)

    def _layer_inserted(self, event: Any) -> None:
        event.value.events.name.connect(self._refresh_layers)
        self._refresh_layers()
        # If many are opened together, all but one are hidden.
        seen = event.value.visible and event.value in image_layers(self.viewer)
        if self.task is None and seen:
            select_item(self.input.image_combo, event.value)  # an image just opened is selected
            self._arrange.start()  # after napari has added it
            self._open_beside()

    def _arrange_layers(self) -> None:
        """Move a newly opened image below all regions, and hide regions of other images."""
        image = self.image
        if image is None or image not in self.viewer.layers:
            return
        put_below_regions(self.viewer, image)
        hidden = hide_other_regions(self.viewer, image)
        if hidden and not self.banner.text:
            self.banner.info(f"{hidden[0].name!r} is hidden: choose its image above to see it.")

    def _layer_removed(self, event: Any) -> None:
        layer = event.value
        if self.task is not None and layer in self._worked_on:
            is_image = layer == self._worked_on[0]
            closed = "image was" if is_image else "regions were"
            self._stop_work_on(layer, f"the {closed} closed")
            for labels in self._worked_on[1:] if is_image else ():
                labels.visible = False  # outlines without an image
        self._refresh_layers()

    def _refresh_layers(self, event: Any = None) -> None:
        """List the open layers; keep the selection if it still exists."""
        if self.released:
            return
        images = image_layers(self.viewer)
        chosen = self.image if self.image in images else front_image(self.viewer)
        if chosen != self.image:
            self.banner.clear()
        set_choices(self.input.image_combo, images, chosen)
        self._offer_labels()
        self.pixel_sizes.look_up()
        self._find_channels()
        self._update()

    def _offer_labels(self) -> None:
        """List labels; keep the selection for this image, else select those that belong to it."""
        image, chosen = self.image, self.labels
        mine = labels_of(self.viewer, image) if image is not None else []
        others = [layer for layer in labels_layers(self.viewer) if layer not in mine]
        kept = self._labels_for is not None and self._labels_for == image
        if not kept or chosen not in [*mine, *others]:
            chosen = mine[-1] if mine else None
        self._labels_for = image
        self._watch_image(image)
        set_choices(self.input.labels_combo, [*mine, *others], chosen, none="no regions yet")
        self._watch_labels()
        self._show_what_came()

    def _image_changed(self) -> None:
        self.banner.clear()  # it was about the other image
        self._foreground = None
        self.input.limits.hide()
        self._offer_labels()
        self._open_beside()
        self._find_channels()
        self._update()

    def _image_picked(self) -> None:
        """Show the metaphase that the user selected, and hide the others."""
        if self.image is not None:
            show_only(self.viewer, self.image, self.labels)
            self.viewer.fit_to_view(layers=[self.image])

    def _watch_image(self, image: Any) -> None:
        """Observe the selected image, since its data may be replaced."""
        if image is not None and self._pictured is not None and image == self._pictured[0]:
            return
        if self._pictured is not None:
            self._pictured[0].events.data.disconnect(self._picture_changed)
        self._pictured = None
        if image is not None:
            self._pictured = (image, shown_content(image))
            image.events.data.connect(self._picture_changed)

    def _picture_changed(self, event: Any = None) -> None:
        if self._pictured is None:
            return
        image, before = self._pictured
        now = shown_content(image)
        if before and now == before:
            return
        self._pictured = (image, now)
        self._stop_work_on(image, f"{image.name!r} shows another picture now")
        self._leave.start()

    def _leave_picture(self) -> None:
        """Treat an image layer whose data was replaced as a different image."""
        image = self.image
        if image is None or image not in self.viewer.layers:
            return
        before = self.labels
        leave_picture(self.viewer, image)
        self._foreground, self._labels_for = None, None
        self.input.limits.hide()
        self._offer_labels()
        self._update()
        if self.task is None and before is not None and before != self.labels:
            self.banner.info(
                f"{image.name!r} shows another picture now: the regions of the one before are "
                f"hidden."
            )

    def _labels_changed(self) -> None:
        self.banner.clear()  # it was about the other regions
        self._let_go()
        self._watch_labels()
        self._show_what_came()
        self._update()

    def _labels_picked(self) -> None:
        """Show the regions that the user selected, if they are hidden."""
        if self.labels is not None:
            self.labels.visible = True

    def _show_what_came(self) -> None:
        """Outline regions that already have types, from a file or a script."""
        labels = self.labels
        if labels is not None and has_table(labels) and THRESHOLD not in labels.metadata:
            self._recolor.start()

    def _let_go(self) -> None:
        """Reset state that belongs to the previously selected labels layer."""
        self._listed = None
        self._stop_selecting()

    def _watch_labels(self) -> None:
        """Observe the selected labels layer, and no other."""
        if self._watched is None or self._watched != self.labels:
            self._watch(self.labels)

    def _watch(self, labels: Any) -> None:
        if self._watched is not None:
            self._watched.events.features.disconnect(self._update)
            for change in _PAINTED:
                self._watched.events[change].disconnect(self._pixels_changed)
        if self.selected is not None:
            self.selected.picking = False
            self.selected.changed.disconnect(self._selection_changed)
            self.selected.leave(self._boxes)
            self.selected = None
        self._listed = None
        self._watched = labels
        if self._watched is not None:
            self.selected = use_selection(self.viewer, labels, self._boxes)
            self.selected.changed.connect(self._selection_changed)
            self._watched.events.features.connect(self._update)
            for change in _PAINTED:
                self._watched.events[change].connect(self._pixels_changed)

    def _selection_changed(self) -> None:
        self._update()
        self._tables.update_rows()

    def _pixels_changed(self, event: Any = None) -> None:
        """Count the regions again once painting pauses."""
        self._recount.start()

    def _count_anew(self) -> None:
        self._listed = None
        labels = self.labels
        if labels is not None and isinstance(layer_data(labels), np.ndarray):
            if self._keys and self.selected is not None:
                here = {(region.frame, region.label) for region in self._regions()}
                self.select_keys([key for key in self._keys if key in here])
                self.selected.draw()  # update the frames
            self._mark_stale(labels)
            if not has_table(labels):
                self._restyle.start()
            if not np.array_equal(self._explained_pixels, layer_data(labels)):
                remove_explanation(self.viewer, labels)
        self._update()

    def _mark_stale(self, labels: Any) -> None:
        """Mark types of changed regions as stale, as the review does."""
        if not has_table(labels) or not self._regions():
            return
        table = table_of(labels)
        now = as_they_are(table, self._regions())
        keys = pd.MultiIndex.from_frame(now[KEY])
        rows = pd.MultiIndex.from_frame(table[KEY]).isin(keys)
        if now["stale"].sum() != table.loc[rows, "stale"].sum():
            # Rows of removed regions are kept, since undo may restore the regions.
            set_table(labels, pd.concat([now, table[~rows]]).sort_values(KEY))

    def _open_beside(self) -> None:
        """Open regions and types saved next to the image's file."""
        image = self.image
        if image is None or self.labels is not None:
            return
        try:
            found = _beside(source_of(image))
        except ValueError as error:
            self.banner.error(error_message(error))
            return
        if found is None or found[0].shape != frame_shape(image):
            return
        array, table, name = found
        add_regions(self.viewer, image, array, table)
        self._offer_labels()
        self.show_result()
        self.banner.info(f"Opened {name}, found next to the image.")

    def _frame_changed(self, event: Any = None) -> None:
        labels = self.labels
        if labels is None or len(frame_shape(labels)) < 3:
            return
        self._update()
        if not has_table(labels):
            return
        if table_of(labels)["index"].duplicated().any():
            self._recolor.start()


def _beside(source: str | None) -> tuple[Any, Any, str] | None:
    """Return labels, table and file name of results saved next to an image's file."""
    file, table = read_sidecar_files(source)
    # A table has more information than an annotation file, which has more than regions alone.
    annotated = annotations_beside(source) if table is None else None
    if annotated is None and file is not None:
        return read_labels(file), table, file.name
    return annotated
