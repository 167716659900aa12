"""The canvas part of a review: go to a region, frame it, pick one, draw a line across one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_chromocluster.viewer.layers import current_frame, frame_shape, show_frame
from napari_chromocluster.viewer.region_selection import RegionSelection
from napari_chromocluster.viewer.review.change_tracker import Key
from napari_chromocluster.viewer.review.session import ReviewSession

#: Margin between a region moved into view and the edge of the view, as a share of the view.
_EDGE = 0.05


class ReviewCanvas:
    """Canvas interaction of a review.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer.
    session : ReviewSession
        The review.
    selection : RegionSelection
        The selected regions.
    picked : callable
        Called with a region that was clicked and whether to add it to the selection.
    drawn : callable
        Called with the ``(y, x)`` points of a line, in px of the labels.
    left : callable
        Called when the user starts painting instead of drawing a line.
    """

    def __init__(
        self,
        viewer: Any,
        session: ReviewSession,
        selection: RegionSelection,
        picked: Callable[[Key, bool], None],
        drawn: Callable[[NDArray[np.float64]], None],
        left: Callable[[], None],
    ) -> None:
        self.viewer, self.session, self.selection = viewer, session, selection
        self._picked, self._drawn, self._left = picked, drawn, left
        self._drawing = False
        viewer.mouse_drag_callbacks.append(self._on_drag)

    def close(self) -> None:
        """Remove the mouse callback."""
        self.draw(False)
        if self._on_drag in self.viewer.mouse_drag_callbacks:
            self.viewer.mouse_drag_callbacks.remove(self._on_drag)

    # ---------------------------------------------------------------- going

    def go_to(self, key: Key) -> None:
        """Show the frame of a region, and move it into view if it is not visible."""
        rows = self.session.rows([key])
        if rows.empty:
            return
        labels = self.session.labels
        if len(frame_shape(labels)) == 3:
            self.show_frame(key[0])
        self._move_into_view(key[0], str(rows["bbox"].iloc[0]))

    def _move_into_view(self, frame: int, box: str) -> None:
        """Pan just enough to show a whole region, without changing the zoom."""
        if not box or self.viewer.dims.ndisplay != 2:
            return
        labels = self.session.labels
        y0, x0, y1, x1 = (float(one) for one in box.split(","))
        before = [float(frame)] if len(frame_shape(labels)) == 3 else []
        corners = np.array(
            [labels.data_to_world([*before, y, x])[-2:] for y in (y0, y1) for x in (x0, x1)], float
        )
        camera = self.viewer.scene.camera
        half = np.array(self.viewer.canvas.size, float) / camera.zoom / 2
        now = np.array(camera.center[-2:], float)
        low, high = corners.min(axis=0), corners.max(axis=0)
        hidden = (low < now - half) | (high > now + half)
        if not hidden.any():
            return
        edge = 2 * _EDGE * half
        least, most = high + edge - half, low - edge + half
        # A region larger than the view is centered.
        wanted = np.where(
            least > most, (low + high) / 2, np.clip(now, least, np.maximum(least, most))
        )
        camera.center = tuple(float(one) for one in np.where(hidden, wanted, now))

    def show_frame(self, frame: int) -> None:
        """Show a frame of a stack."""
        show_frame(self.viewer, self.session.labels, frame)

    def next_frame(self) -> None:
        """Go to the next frame of a stack, from the last to the first."""
        count = self.session.tracker.frames
        if count > 1:
            self.show_frame((current_frame(self.viewer, self.session.labels) + 1) % count)

    # ---------------------------------------------------------------- picking

    def draw(self, on: bool) -> None:
        """Make the next drag draw a line instead of panning, or stop doing so."""
        if on == self._drawing:
            return
        camera, active = self.viewer.scene.camera, self.viewer.layers.selection.active
        if on:
            if active is not None and str(active.mode) != "pan_zoom":
                active.mode = "pan_zoom"
            self._drawing, camera.mouse_pan = True, False
            camera.events.mouse_pan.connect(self._keep_drawing)
        else:
            camera.events.mouse_pan.disconnect(self._keep_drawing)
            self._drawing = False
            camera.mouse_pan = active is None or active.mouse_pan

    def _keep_drawing(self, event: Any = None) -> None:
        """Keep panning off: napari turns it on whenever a layer is selected."""
        if self._drawing and self.viewer.scene.camera.mouse_pan:
            self.viewer.scene.camera.mouse_pan = False

    def _on_drag(self, viewer: Any, event: Any) -> Iterator[None]:
        active = viewer.layers.selection.active
        busy = active is not None and str(active.mode) != "pan_zoom"
        if self._drawing and busy:
            self._left()
        if event.button != 1 or busy or (self.selection.picking and not self._drawing):
            return
        if self._drawing:
            yield from self._line(event)
            return
        dragged = False
        yield
        while event.type == "mouse_move":
            dragged = True
            yield
        if not dragged:
            key = self.region_at(event.position)
            if key is not None:
                # A vispy key equals its name, but has a different repr.
                add = any(name in event.modifiers for name in ("Control", "Shift"))
                self._picked(key, add)

    def _line(self, event: Any) -> Iterator[None]:
        points = [self._data(event.position)]
        yield
        while event.type == "mouse_move":
            points.append(self._data(event.position))
            self.selection.draw(self._vector(points) if self._drawing else None)
            yield
        self.selection.draw()
        if not self._drawing:  # The user has changed their mind.
            return
        self._drawn(np.array(points if len(points) > 1 else [points[0], points[0]]))

    def _vector(self, points: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
        """Return the straight line from the first point to the last."""
        labels = self.session.labels
        vector = np.zeros((1, 2, labels.ndim))
        vector[0, 0, -2:], vector[0, 1, -2:] = points[0], points[-1] - points[0]
        if labels.ndim == 3:
            vector[0, 0, 0] = current_frame(self.viewer, labels)
        return vector

    def _data(self, position: Any) -> NDArray[np.float64]:
        return np.asarray(self.session.labels.world_to_data(position)[-2:], float)

    def region_at(self, position: Any) -> Key | None:
        """Return the region at a position in world coordinates, or None."""
        labels = self.session.labels
        frame = current_frame(self.viewer, labels)
        y, x = (round(float(one)) for one in self._data(position))
        array = self.session.tracker.frame(frame)
        if not (0 <= y < array.shape[0] and 0 <= x < array.shape[1]):
            return None
        label = int(array[y, x])
        return (frame, label) if label else None

    def region_under(self, points: NDArray[np.float64], among: Sequence[Key]) -> Key | None:
        """Return the region that a line is meant for.

        This is one of the selected regions if the line crosses any, else the region with the most
        crossed pixels.
        """
        frame = current_frame(self.viewer, self.session.labels)
        array = self.session.tracker.frame(frame)
        found: dict[int, int] = {}
        for start, end in pairwise(points):
            steps = max(2, int(np.abs(end - start).max()) + 1)
            for y, x in np.round(np.linspace(start, end, steps)).astype(int):
                if 0 <= y < array.shape[0] and 0 <= x < array.shape[1] and array[y, x]:
                    label = int(array[y, x])
                    found[label] = found.get(label, 0) + 1
        chosen = [label for number, label in among if number == frame and label in found]
        best = max(chosen or found, key=lambda label: found[label], default=0)
        return (frame, best) if best else None


def frame_table(session: ReviewSession, viewer: Any) -> Any:
    """Return the rows of the frame that is shown."""
    frame = current_frame(viewer, session.labels)
    return session.table[session.table["frame"] == frame]
