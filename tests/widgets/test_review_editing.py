"""Edit regions in the review dock, and find regions again."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_chromocluster.cluster_types import ClusterType
from napari_chromocluster.imaging.regions import extract_regions
from napari_chromocluster.viewer.layers import labels_layers
from review_dock import MADE, Event, framed, native_canvas, press, row, use_model


@pytest.fixture
def dock(review):
    return review


def test_split_is_classified_at_once_and_undone(dock, qtbot, tiny_model):
    use_model(tiny_model, "tiny")
    label = next(n for n, kind in MADE.types.items() if kind is ClusterType.TOUCHING)
    pixels, table = dock.labels.data.copy(), dock.session.table.copy()
    dock.gallery.select([(0, label)])
    dock.split_watershed()
    pieces = dock.gallery.selected_keys()
    assert len(pieces) == 2
    qtbot.waitUntil(lambda: set(dock.session.rows(pieces)["model"]) == {"tiny"}, timeout=20000)
    assert (dock.session.rows(pieces)["cluster_type"] != "").all()
    qtbot.waitUntil(lambda: dock.task is None)
    press(dock, qtbot, "Z", Qt.KeyboardModifier.ControlModifier)
    np.testing.assert_array_equal(dock.labels.data, pixels)
    assert dock.session.table.equals(table)


def test_changed_pixels_are_classified_by_themselves(dock, qtbot, tiny_model):
    use_model(tiny_model, "tiny")
    dock.edit_panel.automatic.setChecked(True)
    region = extract_regions(MADE.labels)[4]
    dock.labels.brush_size = 5
    dock.labels.paint((region.bbox[0] - 1, region.bbox[1] + 2), region.label)
    assert dock.session.stale() == [(0, region.label)]
    qtbot.waitUntil(lambda: not dock.session.stale(), timeout=20000)
    assert row(dock, (0, region.label))["model"] == "tiny"
    qtbot.waitUntil(lambda: dock.task is None)


def find_anew(dock, name="metaphase regions [2]"):
    """Add regions and hide the existing ones, as the Classify dock does."""
    labels = MADE.labels.copy()
    labels[labels == 2] = 0
    layer = dock.viewer.add_labels(labels, name=name)
    dock.viewer.layers["metaphase regions"].visible = False
    return layer


def test_review_follows_to_regions_that_took_the_place_of_its_own(dock, qtbot):
    layer = find_anew(dock)
    qtbot.waitUntil(lambda: dock.session is not None and dock.session.labels == layer)
    assert dock.labels_combo.currentText() == layer.name
    assert "'metaphase regions' is hidden" in dock.banner.text
    assert len(dock.gallery.gallery.entries) == len(MADE.types) - 1


def test_decisions_on_hidden_regions_are_saved_and_come_back(dock, qtbot):
    key = dock.session.region_keys()[0]
    dock.session.set_type([key], ClusterType.OTHER)
    layer = find_anew(dock)
    qtbot.waitUntil(lambda: "Which" in dock.choice.text)
    assert layer.name in dock.choice.text
    saved = dock.choice.answers["Review the saved regions"]
    qtbot.mouseClick(saved, Qt.MouseButton.LeftButton)
    assert dock.session.labels.name == "metaphase regions"
    assert dock.session.labels.visible
    assert not layer.visible
    assert row(dock, key)[["cluster_type", "source"]].tolist() == ["other", "human"]
    assert len(labels_layers(dock.viewer)) == 2, "what is open already is not opened again"


def test_review_stays_where_its_regions_are_seen_or_no_others_came(dock, qtbot):
    mine = dock.session.labels
    dock.viewer.add_labels(MADE.labels.copy(), name="metaphase by hand")
    qtbot.waitUntil(lambda: not dock._settle_timer.isActive())
    mine.visible = False
    dock.viewer.add_image(np.flipud(MADE.image), name="another")
    dock.viewer.add_labels(np.flipud(MADE.labels), name="another regions")
    qtbot.waitUntil(lambda: not dock._settle_timer.isActive())
    assert dock.session.labels == mine


def draw_line(dock, region, during=lambda: None):
    """Drag across a region, from top to bottom."""
    y0, x0, y1, x1 = region.bbox
    event = Event((y0 - 3.0, (x0 + x1) / 2))
    callback = dock.canvas._on_drag(dock.viewer, event)
    next(callback)
    event.type, event.position = "mouse_move", (y1 + 3.0, (x0 + x1) / 2)
    next(callback)
    during()
    event.type = "mouse_release"
    for _ in callback:
        pass


def test_line_splits_what_it_crosses(dock):
    dock.edit_panel.line.setChecked(True)
    assert not dock.viewer.scene.camera.mouse_pan
    draw_line(dock, max(extract_regions(MADE.labels), key=lambda r: r.area))
    assert len(dock.gallery.selected_keys()) >= 2
    assert dock.viewer.scene.camera.mouse_pan
    assert not dock.edit_panel.line.isChecked()
    dock.undo()


def test_a_line_can_be_drawn_whatever_layer_is_chosen(dock):
    dock.edit_panel.line.setChecked(True)
    for chosen in (dock.image, dock.labels, None):
        dock.viewer.layers.selection.active = chosen
        assert not dock.viewer.scene.camera.mouse_pan
    draw_line(dock, max(extract_regions(MADE.labels), key=lambda r: r.area))
    assert len(dock.gallery.selected_keys()) >= 2
    dock.viewer.layers.selection.active = dock.image
    assert dock.viewer.scene.camera.mouse_pan


@pytest.mark.parametrize("where", ["gallery", "canvas"])
def test_escape_leaves_the_line(dock, qtbot, where):
    dock.edit_panel.line.setChecked(True)
    assert "Esc" in dock.banner.text
    widget = dock.gallery if where == "gallery" else native_canvas(dock)
    widget.setFocus()
    qtbot.keyClick(widget, Qt.Key.Key_Escape)
    assert not dock.edit_panel.line.isChecked()
    assert dock.viewer.scene.camera.mouse_pan
    assert not dock.banner.text


def test_escape_takes_back_a_line_that_is_half_drawn(dock, qtbot):
    before = dock.session.table.copy()
    dock.edit_panel.line.setChecked(True)
    region = max(extract_regions(MADE.labels), key=lambda r: r.area)
    draw_line(dock, region, lambda: qtbot.keyClick(native_canvas(dock), Qt.Key.Key_Escape))
    assert dock.session.table.equals(before)
    assert not framed(dock)


def test_another_image_ends_the_line(dock):
    dock.edit_panel.line.setChecked(True)
    dock.viewer.add_image(np.flipud(MADE.image), name="another")
    assert not dock.edit_panel.line.isChecked()
    assert dock.viewer.scene.camera.mouse_pan
    dock.edit_panel.line.setChecked(True)
    dock.choose_image(dock.viewer.layers["another"])
    assert not dock.edit_panel.line.isChecked()
    assert dock.viewer.scene.camera.mouse_pan


def test_painting_ends_the_line(dock):
    dock.viewer.layers.selection.active = dock.labels
    dock.labels.mode = "fill"
    dock.edit_panel.line.setChecked(True)
    assert str(dock.labels.mode) == "pan_zoom"
    dock.labels.mode = "fill"
    assert list(dock.canvas._on_drag(dock.viewer, Event((5.0, 5.0)))) == []
    assert not dock.edit_panel.line.isChecked()
    assert not dock.viewer.scene.camera.mouse_pan, "the drag is napari's"
    dock.labels.mode = "pan_zoom"
