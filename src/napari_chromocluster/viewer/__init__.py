"""What touches a napari viewer but needs no Qt: the same work for widgets, console and scripts."""

from napari_chromocluster.viewer.overlay import show_overlay
from napari_chromocluster.viewer.scripting import (
    classify_layer,
    open_result,
    segment_layer,
    train_on_layers,
)

__all__ = ["classify_layer", "open_result", "segment_layer", "show_overlay", "train_on_layers"]
