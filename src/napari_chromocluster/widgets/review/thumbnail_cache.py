"""A cache of thumbnails that are drawn off the main thread."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QObject, Qt, Signal
from qtpy.QtGui import QImage, QPixmap

from napari_chromocluster.viewer.review.change_tracker import Key
from napari_chromocluster.viewer.review.session import ReviewSession
from napari_chromocluster.viewer.review.thumbnails import thumbnail, usual_length
from napari_chromocluster.widgets.common.worker import forget, keep_track

_log = logging.getLogger(__name__)
#: Minimum, default and maximum side of a thumbnail, in px.
SMALLEST, TILE, LARGEST = 48, 72, 160
#: Maximum number of cached thumbnails (about 20 kB each).
_KEPT = 6000
#: Number of thumbnails per signal.
_BATCH = 24


class ThumbnailCache(QObject):
    """Draws requested thumbnails, the latest request first.

    Parameters
    ----------
    session : ReviewSession
        Provides the pixels.
    """

    made = Signal(object)
    writes = False

    def __init__(self, session: ReviewSession, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self._boxes = dict(_boxes(session))
        areas = session.table["area"].to_numpy(float)
        self._length = usual_length(areas[np.isfinite(areas)])
        self._size = TILE
        self._pixmaps: OrderedDict[tuple[Key, int], QPixmap] = OrderedDict()
        self._wanted: OrderedDict[tuple[Key, int], tuple[int, ...]] = OrderedDict()
        self._condition = threading.Condition()
        self._ended = self._failed = False
        self.made.connect(self._keep, Qt.ConnectionType.QueuedConnection)
        self.listeners: list[Any] = []
        self._thread = threading.Thread(target=self._run, daemon=True)
        keep_track(self)
        self._thread.start()

    def refresh_boxes(self) -> None:
        """Update the bounding boxes after an edit."""
        self._boxes = dict(_boxes(self._session))

    def set_size(self, size: int) -> None:
        """Change the size of thumbnails."""
        with self._condition:
            self._size = size
            self._wanted.clear()
            self._pixmaps.clear()

    def pixmap(self, key: Key) -> QPixmap | None:
        """Return a thumbnail, or None and request it."""
        name = (key, self._session.tracker.hash_of(key))
        found = self._pixmaps.get(name)
        if found is None and key in self._boxes:
            with self._condition:
                self._wanted[name] = self._boxes[key]
                self._wanted.move_to_end(name)
                self._condition.notify()
        return found

    @property
    def idle(self) -> bool:
        """Whether there are no pending requests."""
        return not self._wanted

    def end(self) -> None:
        """Stop the thread."""
        self.cancel()
        self.wait(5.0)
        forget(self)

    def cancel(self) -> None:
        """Stop drawing thumbnails."""
        with self._condition:
            self._ended = True
            self._wanted.clear()
            self._condition.notify()

    def wait(self, seconds: float) -> None:
        """Wait for the thread."""
        self._thread.join(seconds)

    @property
    def running(self) -> bool:
        """Whether the thread is running."""
        return self._thread.is_alive()

    def _run(self) -> None:
        done: list[tuple[tuple[Key, int], NDArray[np.uint8]]] = []
        while True:
            with self._condition:
                while not self._wanted and not self._ended and not done:
                    self._condition.wait()
                if self._ended:
                    return
                wish = self._wanted.popitem(last=True) if self._wanted else None
            if wish is not None:
                done.append((wish[0], self._draw(wish[0][0], wish[1])))
            if done and (wish is None or len(done) >= _BATCH):
                try:
                    self.made.emit(done)
                except RuntimeError:
                    return  # The dock is gone.
                done = []

    def _draw(self, key: Key, box: tuple[int, ...]) -> NDArray[np.uint8]:
        size = self._size
        y0, x0, y1, x1 = box
        frame, label = key
        try:
            mask = self._session.tracker.frame(frame)[y0:y1, x0:x1] == label
            signal = self._session.signal(frame)[y0:y1, x0:x1]
            return thumbnail(signal, mask, size, self._length)
        except (ValueError, IndexError):
            pass  # The labels changed in the meantime; the edit requests a new tile.
        except Exception:
            # Lazy images fail in many ways, which must not prevent the tiles of all other regions.
            if not self._failed:
                _log.warning("A thumbnail could not be made", exc_info=True)
            self._failed = True
        return np.zeros((size, size, 2), np.uint8)

    def _keep(self, done: list[tuple[tuple[Key, int], NDArray[np.uint8]]]) -> None:
        for name, planes in done:
            if len(planes) != self._size:  # another size was set meanwhile
                continue
            self._pixmaps[name] = _pixmap(planes)
        while len(self._pixmaps) > _KEPT:
            self._pixmaps.popitem(last=False)
        for listener in self.listeners:
            listener([name[0] for name, _ in done])


def _boxes(session: ReviewSession) -> Any:
    table = session.table
    for frame, label, box in zip(table["frame"], table["index"], table["bbox"], strict=True):
        numbers = tuple(int(one) for one in str(box).split(",")) if box else ()
        if len(numbers) == 4:
            yield (int(frame), int(label)), numbers


def _pixmap(planes: NDArray[np.uint8]) -> QPixmap:
    """Draw density as dark stain, transparent outside the region."""
    size = planes.shape[0]
    shade = 235 - (planes[..., 0].astype(np.int16) * 215 // 255)
    pixels = np.empty((size, size, 4), np.uint8)
    pixels[..., :3] = shade[..., None]
    pixels[..., 3] = planes[..., 1]
    image = QImage(pixels.tobytes(), size, size, 4 * size, QImage.Format.Format_RGBA8888)
    return QPixmap.fromImage(image)
