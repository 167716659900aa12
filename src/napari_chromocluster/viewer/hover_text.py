"""Text in a corner of the canvas that describes the region under the mouse."""

from __future__ import annotations

from typing import Any

import pandas as pd

from napari_chromocluster.cluster_types import TYPES, ClusterType
from napari_chromocluster.results.features_table import HUMAN
from napari_chromocluster.viewer.layer_tables import has_table
from napari_chromocluster.viewer.layers import current_frame, labels_layers

#: Key of ``layer.metadata`` for the confidence below which a region is unsure.
THRESHOLD = "chromocluster_threshold"


def describe(row: Any, threshold: float) -> str:
    """Describe the region of one row of a features table.

    Parameters
    ----------
    row : Series or mapping
        The row.
    threshold : float
        Confidence below which a region is unsure.
    """
    start = f"Region {int(row['index'])}: "
    if not row["cluster_type"]:
        return start + "not classified"
    kind = ClusterType(row["cluster_type"])
    stale = ", pixels changed since" if row["stale"] else ""
    if row["source"] == HUMAN:
        return f"{start}{kind.display_name}, decided by hand{stale}"
    confidence = float(row["confidence"])
    text = f"{start}{kind.display_name}, {confidence:.0%}"
    if confidence >= threshold:
        return text + stale
    others = [one for one in TYPES if one is not kind]
    second = max(others, key=lambda one: float(row[one.probability_column]))
    share = float(row[second.probability_column])
    return f"{text} — unsure, or {second.display_name}, {share:.0%}{stale}"


class HoverText:
    """Mouse-move callback that shows the region under the mouse in the text overlay."""

    def __init__(self) -> None:
        self._table: pd.DataFrame | None = None
        self._rows: dict[tuple[int, int], int] = {}
        self._said = ""

    def __call__(self, viewer: Any, event: Any) -> None:
        """Update the text for the current mouse position."""
        self.say(viewer, self.text_at(viewer, event.position))

    def text_at(self, viewer: Any, position: Any) -> str:
        """Return the text for a position in world coordinates; empty outside regions."""
        for layer in reversed(labels_layers(viewer)):
            if not (layer.visible and has_table(layer)):
                continue
            value = layer.get_value(position, world=True)
            label = value[1] if isinstance(value, tuple) else value
            if label:
                return self._words(layer, current_frame(viewer, layer), int(label))
        return ""

    def _words(self, layer: Any, frame: int, label: int) -> str:
        table = layer.features
        if table is not self._table:
            self._table = table
            keys = zip(table["frame"], table["index"], strict=True)
            self._rows = {(int(f), int(i)): place for place, (f, i) in enumerate(keys)}
        place = self._rows.get((frame, label))
        if place is None:
            return f"Region {label}: not classified"
        return describe(table.iloc[place], float(layer.metadata.get(THRESHOLD, 0.0)))

    def say(self, viewer: Any, text: str) -> None:
        """Show a text, unless another plugin or the user has set the overlay."""
        overlay = viewer.canvas.overlays.text
        if text == self._said or (overlay.text and overlay.text != self._said):
            return
        self._said = text
        overlay.text = text
        overlay.position = "bottom_left"
        overlay.font_size = 9
        overlay.visible = bool(text)


def follow_mouse(viewer: Any) -> HoverText:
    """Describe the region under the mouse from now on; does nothing if already active."""
    for callback in viewer.mouse_move_callbacks:
        if isinstance(callback, HoverText):
            return callback
    hover = HoverText()
    viewer.mouse_move_callbacks.append(hover)
    # The layer of the described region may be removed while the mouse does not move.
    viewer.layers.events.removed.connect(lambda event: hover.say(viewer, ""))
    return hover
