"""Viewer functions that need no Qt, shared by the widgets, the napari console and scripts.

The functions are loaded on first use, so that checking a file or opening a dock does not import
torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

#: Maps each public name to the module of this package that defines it.
_WHERE = {
    "classify_layer": "scripting",
    "explain_region": "explanation_layer",
    "open_result": "scripting",
    "segment_layer": "scripting",
    "show_overlay": "overlay",
    "train_on_layers": "layer_annotations",
}

__all__ = [
    "classify_layer",
    "explain_region",
    "open_result",
    "segment_layer",
    "show_overlay",
    "train_on_layers",
]

if TYPE_CHECKING:
    from napari_chromocluster.viewer.explanation_layer import explain_region
    from napari_chromocluster.viewer.layer_annotations import train_on_layers
    from napari_chromocluster.viewer.overlay import show_overlay
    from napari_chromocluster.viewer.scripting import classify_layer, open_result, segment_layer


def __getattr__(name: str) -> Any:
    """Load a public name on first access."""
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_WHERE[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names."""
    return list(__all__)
