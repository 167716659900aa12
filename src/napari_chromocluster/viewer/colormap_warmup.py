"""One-time work per session that is done before it is needed."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from napari_chromocluster.models.classifier import ClusterClassifier


def prepare_label_colors() -> None:
    """Compile the numba code that napari uses to look up label colors, in the calling thread.

    napari maps labels with a typed numba dictionary. It is compiled once per session, at the first
    coloring and on the main thread, which would freeze the window for about a second. No parallel
    numba code runs here, since not every build of numba supports it.
    """
    try:
        typed, types = (importlib.import_module(f"numba.{name}") for name in ("typed", "types"))
    except ImportError:
        return  # napari then works without numba, too
    mapping = typed.Dict.empty(key_type=types.int32, value_type=types.uint8)
    mapping[np.int32(1)] = np.uint8(1)


def classify_something(classifier: ClusterClassifier) -> None:
    """Classify a few squares, so that everything the first classification needs is loaded."""
    labels = np.zeros((80, 80), np.uint8)
    for number, start in enumerate((5, 30, 55), start=1):
        labels[start : start + 18, start : start + 18] = number
    classifier.classify(np.where(labels > 0, 60, 200).astype(np.uint8), labels)
