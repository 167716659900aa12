"""Select the channel of an image file that shows the chromosomes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from napari_chromocluster.imaging.image_file import open_image
from napari_chromocluster.imaging.planes import ImageFile
from napari_chromocluster.viewer.channels import (
    channel_layer,
    channel_of,
    may_have_channels,
    read_channel,
    show_channel,
)
from napari_chromocluster.viewer.layers import frame_shape, show_only, source_of
from napari_chromocluster.viewer.settings import preferences, remember
from napari_chromocluster.widgets.classify.base import ClassifyBase
from napari_chromocluster.widgets.common.controls import select_item
from napari_chromocluster.widgets.common.worker import Worker


class ClassifyChannels(ClassifyBase):
    """The part of the dock that reads one channel of a multichannel file."""

    def _find_channels(self) -> None:
        """Read the file of the selected image in the background if it may have channels."""
        image = self.image
        if image is None or self.reading is not None or image.unique_id in self._plain:
            return
        if not may_have_channels(image):
            self._plain.add(image.unique_id)
            return
        shown, path, wanted = frame_shape(image), source_of(image), preferences().channel
        self._read(image, lambda: read_channel(path, shown, wanted))

    def _read(self, image: Any, work: Callable[[], ImageFile | None]) -> None:
        def done(opened: ImageFile | None) -> None:
            if self.released or image != self.image or image not in self.viewer.layers:
                return
            if opened is None:
                self._plain.add(image.unique_id)
            else:
                select_item(self.input.image_combo, show_channel(self.viewer, image, opened))

        def ended() -> None:
            self.reading = None
            if not self.released:
                self._find_channels()  # for an image selected in the meantime
                self._update()

        self.reading = Worker(lambda _progress, _stop: work(), self)
        self.reading.succeeded.connect(done)
        self.reading.failed.connect(self.banner.error)
        self.reading.ended.connect(ended)
        self._update()
        self.reading.start()

    def _channel_picked(self, place: int) -> None:
        """Show another channel of the file, and remember the choice for other files."""
        image, number = self.image, place + 1
        if self.reading is not None or number == channel_of(image)[1]:
            return
        remember("channel", self.input.channel_combo.itemText(place))
        layer, path = channel_layer(self.viewer, image, number), source_of(image)
        if layer is None:
            self._read(image, lambda: open_image(path, number))
        else:
            select_item(self.input.image_combo, layer)
            show_only(self.viewer, layer, self.labels)

    def _update_channels(self) -> None:
        """Show the channels of the selected image's file."""
        names, number, notes = channel_of(self.image)
        self.input.show_channels(names, number - 1, notes)
