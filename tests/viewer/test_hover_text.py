"""Text for the region under the mouse."""

from types import SimpleNamespace

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_chromocluster.cluster_types import TYPES
from napari_chromocluster.imaging.regions import extract_regions
from napari_chromocluster.results.features_table import build_table, mark_stale, set_types
from napari_chromocluster.viewer.hover_text import describe, follow_mouse
from napari_chromocluster.viewer.layer_tables import set_table
from napari_chromocluster.viewer.overlay import show_overlay


def row(chances, stale=False):
    labels = np.zeros((6, 6), np.uint8)
    labels[1:3, 1:4] = 7
    table = build_table(extract_regions(labels), np.array([chances]), model="m")
    return mark_stale(table, [7], stale=stale)


def test_sure_unsure_and_stale():
    assert describe(row([0.9, 0.1, 0, 0, 0]).iloc[0], 0.7) == "Region 7: single, 90%"
    doubtful = describe(row([0.1, 0.55, 0.35, 0, 0]).iloc[0], 0.7)
    assert doubtful == "Region 7: touching, 55% — unsure, or overlapping, 35%"
    assert describe(row([1, 0, 0, 0, 0], True).iloc[0], 0.7).endswith("pixels changed since")


def test_a_human_decision_has_no_confidence():
    table = set_types(row([0.9, 0.1, 0, 0, 0]), [7], "overlapping")
    assert describe(table.iloc[0], 0.7) == "Region 7: overlapping, decided by hand"


@pytest.fixture
def viewer(metaphase):
    viewer = ViewerModel()
    viewer.add_image(metaphase.image)
    labels = viewer.add_labels(metaphase.labels, name="r", scale=(0.1, 0.1), translate=(5, 7))
    regions = extract_regions(metaphase.labels)
    chances = np.tile([0.95, 0.05, 0, 0, 0], (len(regions), 1))
    set_table(labels, build_table(regions, chances, model="m"))
    show_overlay(viewer, labels)
    return viewer


def move(viewer, labels, label):
    y, x = np.argwhere(labels.data == label)[0]
    event = SimpleNamespace(position=labels.data_to_world((y, x)))
    for callback in viewer.mouse_move_callbacks:
        callback(viewer, event)
    return viewer.canvas.overlays.text.text


def test_the_mouse_is_followed_in_scaled_layers(viewer):
    labels = viewer.layers["r"]
    assert move(viewer, labels, 3) == "Region 3: single, 95%"
    assert viewer.canvas.overlays.text.visible
    assert move(viewer, labels, 0) == ""
    assert not viewer.canvas.overlays.text.visible
    set_table(labels, set_types(labels.features, [3], "touching"))
    assert move(viewer, labels, 3) == "Region 3: touching, decided by hand"
    labels.visible = False
    assert move(viewer, labels, 4) == ""


def test_nothing_is_said_of_a_layer_that_was_removed(viewer):
    labels = viewer.layers["r"]
    assert move(viewer, labels, 3)
    viewer.layers.remove(labels)
    assert viewer.canvas.overlays.text.text == ""
    assert not viewer.canvas.overlays.text.visible


def test_one_callback_a_viewer_and_nobody_elses_text_is_touched(viewer):
    before = len(viewer.mouse_move_callbacks)
    follow_mouse(viewer)
    assert len(viewer.mouse_move_callbacks) == before
    viewer.canvas.overlays.text.text = "somebody else's"
    assert move(viewer, viewer.layers["r"], 3) == "somebody else's"


def test_all_types_have_words():
    for place, kind in enumerate(TYPES):
        chances = np.eye(len(TYPES))[place]
        assert kind.display_name in describe(row(chances).iloc[0], 0.7)
