"""Work that is needed once a session, done before it is waited for."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from napari_chromocluster.models.classifier import ClusterClassifier


def prepare_label_colors() -> None:
    """Compile what napari looks label colours up with, in the thread of the caller.

    napari translates labels with a typed dictionary of numba, which is compiled
    anew in each session, at the moment of the first colouring and in the main
    thread: the window stood still for a second.  Compiled before, it is there.
    Nothing runs in parallel here, which not every build of numba would bear.
    """
    try:
        typed, types = (importlib.import_module(f"numba.{name}") for name in ("typed", "types"))
    except ImportError:
        return  # napari does without, too
    mapping = typed.Dict.empty(key_type=types.int32, value_type=types.uint8)
    mapping[np.int32(1)] = np.uint8(1)


def classify_something(classifier: ClusterClassifier) -> None:
    """Classify a few squares: what is loaded and prepared for that is there for the first work."""
    labels = np.zeros((80, 80), np.uint8)
    for number, start in enumerate((5, 30, 55), start=1):
        labels[start : start + 18, start : start + 18] = number
    classifier.classify(np.where(labels > 0, 60, 200).astype(np.uint8), labels)
