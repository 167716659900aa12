"""A metaphase to review, and functions to drive the review dock as a user does."""

from __future__ import annotations

from contextlib import contextmanager

import numpy as np
from napari.utils._proxies import PublicOnlyProxy
from qtpy.QtCore import Qt

from napari_chromocluster.imaging.regions import extract_regions
from napari_chromocluster.imaging.synthetic_metaphase import synthetic_metaphase
from napari_chromocluster.models.registry import register_model
from napari_chromocluster.results.features_table import build_table
from napari_chromocluster.viewer.layers import current_frame
from napari_chromocluster.viewer.overlay_layers import FRAMES, marks_layer
from napari_chromocluster.viewer.settings import remember
from napari_chromocluster.widgets.review.widget import ReviewWidget

MADE, OTHER = (synthetic_metaphase(seed=seed, chromosomes=24) for seed in (6, 7))


def seeded(labels, seed=0):
    regions = extract_regions(labels)
    chances = np.random.default_rng(seed).dirichlet(np.full(5, 0.4), len(regions))
    return build_table(regions, chances, model="seeded")


def use_model(path, name):
    """Choose a model for all docks."""
    register_model(path, name)
    remember("model", name)


def press(dock, qtbot, name, modifier=Qt.KeyboardModifier.NoModifier):
    qtbot.keyClick(dock.gallery, getattr(Qt.Key, f"Key_{name}"), modifier)


def row(dock, key):
    return dock.session.rows([key]).iloc[0]


def choose(dock, qtbot, key, modifier=Qt.KeyboardModifier.NoModifier):
    """Click a tile."""
    index = dock.gallery.gallery.index_of(key)
    dock.gallery.scrollTo(index)
    place = dock.gallery.visualRect(index).center()
    qtbot.mouseClick(dock.gallery.viewport(), Qt.MouseButton.LeftButton, modifier, place)


def native_canvas(dock):
    return dock.viewer.__wrapped__.window._qt_viewer.canvas.native


@contextmanager
def reviewing(viewer, qtbot):
    """Open the review dock with its keys bound."""
    # napari gives plugin docks a proxy that refuses private access.
    widget = ReviewWidget(PublicOnlyProxy(viewer))
    viewer.window.add_dock_widget(widget, name="Review", area="right")
    widget.gallery.setFocus()
    qtbot.waitUntil(lambda: widget.keys.bound and widget.gallery.hasFocus(), timeout=5000)
    yield widget
    widget.release()


def framed(dock):
    """Return the number of regions with a selection frame in the frame shown."""
    layer = marks_layer(dock.viewer, dock.labels, FRAMES)
    if layer is None:
        return 0
    vectors = np.asarray(layer.data)
    if vectors.shape[-1] == 3:
        vectors = vectors[vectors[:, 0, 0] == current_frame(dock.viewer, dock.labels)]
    return len(vectors) // 4


class Event:
    """A click in the canvas."""

    button, type, modifiers = 1, "mouse_press", ()

    def __init__(self, position):
        self.position = position
