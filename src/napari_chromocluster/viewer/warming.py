"""Work that is needed once a session, done before it is waited for."""

from __future__ import annotations

import importlib

import numpy as np


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
