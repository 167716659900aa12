"""Looking up the pixel sizes of image files in the background."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QObject

from napari_chromocluster.imaging.image_file import pixel_size
from napari_chromocluster.viewer.layers import source_of
from napari_chromocluster.viewer.units import set_pixel_sizes, without_units
from napari_chromocluster.widgets.common.worker import Worker


class PixelSizes:
    """Gives images the pixel size that their files know, for a dock.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer.
    dock : QObject
        With it the work ends.
    """

    def __init__(self, viewer: Any, dock: QObject) -> None:
        self.viewer, self._dock = viewer, dock
        self._task: Worker | None = None
        self._ended = False

    def look_up(self) -> None:
        """Look up what is not known of the images that are open."""
        if self._task is not None or self._ended:
            return
        waiting = without_units(self.viewer)
        if not waiting:
            return
        files = [source_of(layer) for layer in waiting]
        self._task = Worker(lambda _progress, _stop: [pixel_size(one) for one in files], self._dock)
        self._task.succeeded.connect(lambda sizes: self._found(waiting, sizes))
        self._task.ended.connect(self._again)
        self._task.start()

    def _found(self, layers: list[Any], sizes: list[float | None]) -> None:
        if not self._ended:
            set_pixel_sizes(self.viewer, zip(layers, sizes, strict=True))

    def _again(self) -> None:
        self._task = None
        self.look_up()  # of images that were opened meanwhile

    def end(self) -> None:
        """Leave the viewer alone."""
        self._ended = True
        if self._task is not None:
            self._task.cancel()
