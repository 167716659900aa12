"""The overlay of a review: type colors, letters, dashes; only what has changed is redrawn."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from napari_chromocluster.cluster_types import ClusterType
from napari_chromocluster.results.features_table import unsure
from napari_chromocluster.viewer.compat import Box, recolor, with_spares
from napari_chromocluster.viewer.hover_text import THRESHOLD, follow_mouse
from napari_chromocluster.viewer.layers import current_frame, frame_shape
from napari_chromocluster.viewer.overlay import (
    UNCLASSIFIED,
    color_dict,
    frame_rows,
    outline_width,
)
from napari_chromocluster.viewer.overlay_layers import (
    LETTERS,
    empty_marks,
    fill_letters,
    letter_places,
    marks_layer,
    show_dashes,
    show_letters,
)
from napari_chromocluster.viewer.review.change_tracker import Key
from napari_chromocluster.viewer.review.session import ReviewSession

#: Maximum number of letters per frame, least certain first; more would be unreadable.
MOST_LETTERS = 250
#: If more regions change, the colormap is replaced instead.
_MOST_SINGLY = 60


class Painter:
    """Keeps the overlay in sync with the table of a review.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer.
    session : ReviewSession
        The review.
    colors : mapping of type to color
        From the Preferences.
    threshold : float
        Confidence below which a region is unsure.
    """

    def __init__(
        self, viewer: Any, session: ReviewSession, colors: Mapping[str, str], threshold: float
    ) -> None:
        self.viewer, self.session = viewer, session
        self.colors, self.threshold = dict(colors), threshold
        self._places: dict[tuple[Key, int], NDArray[np.float64] | None] = {}
        self._mapped: Any = None

    # ---------------------------------------------------------------- colors

    def show_outlines(self) -> None:
        """Outline the regions instead of filling them, so that the bands stay visible."""
        labels = self.session.labels
        if labels.contour == 0:
            labels.contour = outline_width(frame_shape(labels))
        if labels.opacity != 1.0:
            labels.opacity = 1.0

    def color_all(self) -> None:
        """Color all regions by type."""
        from napari.utils.colormaps import DirectLabelColormap

        labels = self.session.labels
        rows = frame_rows(self.session.table, current_frame(self.viewer, labels))
        colors = with_spares(color_dict(rows, self.colors), self.colors)
        self._mapped = DirectLabelColormap(color_dict=colors)
        with self.session.quiet():
            labels.colormap = self._mapped

    def adopt_colors(self) -> None:
        """Color all regions by type, unless another dock has already done so."""
        labels = self.session.labels
        rows = frame_rows(self.session.table, current_frame(self.viewer, labels))
        given = getattr(labels.colormap, "color_dict", {})
        wanted = np.array([_rgba(self._color_of(str(kind))) for kind in rows["cluster_type"]])
        found = [given.get(int(label)) for label in rows["index"]]
        if any(one is None for one in found) or not np.allclose(np.array(found), wanted, atol=1e-4):
            self.color_all()
        else:
            self._mapped = _bare(labels.colormap)

    def color(self, keys: Collection[Key]) -> None:
        """Color some regions by type."""
        shown = current_frame(self.viewer, self.session.labels)
        if len(keys) <= _MOST_SINGLY and self._color_singly(keys, shown):
            return
        self.color_all()

    def _color_singly(self, keys: Collection[Key], shown: int) -> bool:
        labels = self.session.labels
        if self._mapped is None or _bare(labels.colormap) is not self._mapped:
            return False  # The colormap was replaced elsewhere.
        rows = self.session.rows(keys)
        if (rows["frame"] != shown).any():
            return False
        colors, boxes = {}, {}
        for label, kind, box in zip(rows["index"], rows["cluster_type"], rows["bbox"], strict=True):
            colors[int(label)] = _rgba(self._color_of(str(kind)))
            boxes[int(label)] = _box(box)
        with self.session.quiet():
            return recolor(labels, colors, boxes, shown)

    def _color_of(self, kind: str) -> str:
        return self.colors.get(kind, ClusterType(kind).color) if kind else UNCLASSIFIED

    @property
    def repeats(self) -> bool:
        """Whether labels repeat across frames, so that colors depend on the frame shown."""
        return bool(self.session.table["index"].duplicated().any())

    # ---------------------------------------------------------------- marks

    def mark(self, letters: bool = True) -> None:
        """Draw letters and dashes for the frame that is shown."""
        labels = self.session.labels
        labels.metadata[THRESHOLD] = float(self.threshold)
        follow_mouse(self.viewer)
        table = self.session.table
        rows = table[(table["frame"] == current_frame(self.viewer, labels)).to_numpy()]
        doubtful = unsure(rows, self.threshold)
        known = ~rows["cluster_type"].isin(["", str(ClusterType.SINGLE)]).to_numpy()
        order = np.argsort(rows["confidence"].to_numpy(float), kind="stable")
        chosen = [place for place in order if doubtful[place] or known[place]][:MOST_LETTERS]
        dashed = np.isin(np.arange(len(rows)), chosen) & doubtful
        show_dashes(self.viewer, labels, rows, dashed, self.colors)
        if letters:
            self._write_letters(rows.iloc[chosen], doubtful[chosen])
        else:
            empty_marks(self.viewer, labels, LETTERS)

    def _names(self, rows: pd.DataFrame) -> list[tuple[Key, int]]:
        keys = [(int(f), int(n)) for f, n in zip(rows["frame"], rows["index"], strict=True)]
        return [(key, self.session.tracker.hash_of(key)) for key in keys]

    def _write_letters(self, rows: pd.DataFrame, doubtful: NDArray[np.bool_]) -> None:
        labels = self.session.labels
        names = self._names(rows)
        for number, name in enumerate(names):
            if name not in self._places:
                found, _ = letter_places(labels, rows.iloc[number : number + 1])
                self._places[name] = found[0] if len(found) else None
        old = marks_layer(self.viewer, labels, LETTERS)
        if old is None or not names:
            show_letters(self.viewer, labels, rows, doubtful, self.colors)
            return
        kept = [i for i, name in enumerate(names) if self._places[name] is not None]
        kinds = [str(kind) for kind in rows["cluster_type"].iloc[kept]]
        words = [
            ClusterType(kind).letter + "?" * bool(doubtful[i])
            for kind, i in zip(kinds, kept, strict=True)
        ]
        look = {
            "string": "{letter}",
            "size": old.text.size,
            "color": [self._color_of(kind) for kind in kinds],
            "anchor": "center",
        }
        fill_letters(old, np.array([self._places[names[i]] for i in kept]), words, look)


def _bare(thing: Any) -> Any:
    """Return the object behind a napari proxy."""
    return getattr(thing, "__wrapped__", thing)


@lru_cache(maxsize=64)
def _rgba(color: str) -> NDArray[np.float32]:
    from napari.utils.colormaps.standardize_color import transform_color

    return np.asarray(transform_color(color)[0], np.float32)


def _box(text: Any) -> Box:
    y0, x0, y1, x1 = (int(one) for one in str(text).split(","))
    return y0, x0, y1, x1
