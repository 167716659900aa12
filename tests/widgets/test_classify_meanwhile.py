"""User actions while the classify dock works, next to it, and while it is hidden."""

import numpy as np
import pandas as pd
import pytest
from napari.settings import get_plugin_settings
from qtpy.QtWidgets import QDockWidget

from classify_dock import done, drag, find, saved
from napari_chromocluster.imaging.regions import extract_regions
from napari_chromocluster.results.features_table import build_table, set_types
from napari_chromocluster.results.table_files import read_table
from napari_chromocluster.viewer.layer_tables import has_table, set_table, table_of
from napari_chromocluster.viewer.overlay_layers import FRAMES, marks_layer
from napari_chromocluster.widgets.classify import ClassifyWidget


@pytest.fixture
def dock(classifying):
    return classifying


def row_of(labels, label):
    return table_of(labels).set_index("index").loc[label]


def halved(labels, label, new):
    """Give the lower half of a region another label, as a split does."""
    y0, x0, y1, x1 = extract_regions(np.asarray(labels.data), {label})[0].bbox
    array = labels.data.copy()
    part = array[(y0 + y1) // 2 : y1, x0:x1]
    part[part == label] = new
    labels.data = array


def test_what_a_human_decides_of_a_new_region_meanwhile_stays(dock, viewer, metaphase, qtbot):
    labels = find(qtbot, dock, viewer, metaphase)
    dock.run.all_button.click()
    done(qtbot, dock)
    dock.run.all_button.click()
    halved(labels, 3, 200)
    table = table_of(labels)
    new = table[table["index"] == 3].assign(index=200)
    set_table(labels, set_types(pd.concat([table, new]), [200], "other"))
    done(qtbot, dock)
    assert (row_of(labels, 200)["cluster_type"], row_of(labels, 200)["source"]) == (
        "other",
        "human",
    )
    # The result is for the whole region, which no longer exists.
    assert row_of(labels, 3)["stale"]
    assert not row_of(labels, 5)["stale"]


def test_a_region_that_is_gone_meanwhile_gets_no_row(dock, viewer, metaphase, qtbot):
    labels = find(qtbot, dock, viewer, metaphase)
    dock.run.all_button.click()
    array = labels.data.copy()
    array[array == 4] = 0
    labels.data = array
    done(qtbot, dock)
    assert 4 not in set(table_of(labels)["index"])
    assert len(table_of(labels)) == len(extract_regions(array))


def test_regions_classified_while_another_metaphase_is_shown_are_coloured(
    dock, viewer, metaphase, qtbot
):
    labels = find(qtbot, dock, viewer, metaphase)
    dock.run.all_button.click()
    done(qtbot, dock)
    told = row_of(labels, 3)["cluster_type"]
    changed = "other" if told != "other" else "single"
    set_table(labels, set_types(table_of(labels), [3], changed).assign(source="model"))
    dock.show_result()
    before = tuple(labels.get_color(3))
    other = viewer.add_image(metaphase.image[::-1].copy(), name="other")
    dock.input.image_combo.setCurrentText("metaphase")
    dock.run.all_button.click()
    dock.input.image_combo.setCurrentText("other")
    done(qtbot, dock)
    assert dock.image == other
    qtbot.waitUntil(lambda: row_of(labels, 3)["cluster_type"] == told)
    qtbot.waitUntil(lambda: tuple(labels.get_color(3)) != before, timeout=5000)


def test_a_box_beside_the_picture_selects_nothing(dock, viewer, metaphase, qtbot):
    labels = find(qtbot, dock, viewer, metaphase)
    for start, end in (((-80, -80), (-40, -40)), ((-5, -90), (300, -30))):
        dock.run.box_button.setChecked(True)
        drag(viewer, labels, start, end)
        assert dock.selection == set()


def test_a_box_on_a_turned_layer_selects_what_it_frames(dock, viewer, metaphase, qtbot):
    labels = find(qtbot, dock, viewer, metaphase)
    labels.rotate = 30
    (region,) = extract_regions(np.asarray(labels.data), {5})
    y0, x0, y1, x1 = region.bbox
    framed = set(np.unique(labels.data[y0:y1, x0:x1]).tolist()) - {0}
    dock.run.box_button.setChecked(True)
    drag(viewer, labels, (y0, x0), (y1 - 1, x1 - 1))
    assert dock.selection == framed


def test_regions_that_are_gone_are_not_selected(dock, viewer, metaphase, qtbot):
    labels = find(qtbot, dock, viewer, metaphase)
    dock.select({2, 5})
    array = labels.data.copy()
    array[array == 2] = 0
    labels.data = array
    qtbot.waitUntil(lambda: dock.selection == {5}, timeout=5000)
    assert len(marks_layer(viewer, labels, FRAMES).data) == 4
    assert dock.run.selected_button.text() == "Classify selected (1)"


def test_a_box_is_drawn_whatever_layer_is_chosen(dock, viewer, metaphase, qtbot):
    find(qtbot, dock, viewer, metaphase)
    dock.run.box_button.setChecked(True)
    viewer.layers.selection.active = viewer.layers["metaphase"]
    assert not viewer.scene.camera.mouse_pan
    dock.run.box_button.setChecked(False)
    assert viewer.scene.camera.mouse_pan


def test_review_comes_to_the_front(dock, viewer, metaphase, qtbot):
    find(qtbot, dock, viewer, metaphase)
    dock.run.all_button.click()
    done(qtbot, dock)
    dock.open_review()
    place = dock.parent()
    while not isinstance(place, QDockWidget):
        place = place.parent()
    place.raise_()
    qtbot.waitUntil(lambda: not dock.visibleRegion().isEmpty(), timeout=5000)
    dock.open_review()
    qtbot.waitUntil(lambda: dock.visibleRegion().isEmpty(), timeout=5000)


def test_the_image_that_is_seen_is_offered(viewer, metaphase, tiny_model, qtbot):
    viewer.add_image(metaphase.image, name="seen")
    viewer.add_image(metaphase.image, name="hidden", visible=False)
    widget = ClassifyWidget(viewer)
    qtbot.addWidget(widget)
    assert widget.image == viewer.layers["seen"]
    widget.release()


def test_changed_preferences_hold_in_an_open_dock(dock, viewer, metaphase, qtbot):
    labels = find(qtbot, dock, viewer, metaphase)
    dock.run.all_button.click()
    done(qtbot, dock)
    set_table(labels, set_types(table_of(labels), [3], "single"))
    settings = get_plugin_settings("napari-chromocluster")
    settings.general.threshold, settings.colors.single = 0.95, "blue"
    assert dock.result.threshold.value() == pytest.approx(0.95, abs=0.01)
    assert np.allclose(labels.get_color(3)[:3], (0, 0x72 / 255, 0xB2 / 255), atol=0.01)


def test_regions_do_not_go_into_a_table_alone(dock, viewer, metaphase, qtbot, tmp_path):
    labels = find(qtbot, dock, viewer, metaphase)
    assert not has_table(labels)
    dock._guarded(dock.export_regions, str(tmp_path / "a.csv"))
    assert "ends in .tif" in dock.banner.text
    assert not (tmp_path / "a.csv").exists()


def test_types_of_regions_that_are_painted_are_stale(dock, viewer, metaphase, qtbot):
    labels = find(qtbot, dock, viewer, metaphase)
    dock.run.all_button.click()
    done(qtbot, dock)
    set_table(labels, set_types(table_of(labels), [3], "other"))
    array = labels.data.copy()
    for label in (3, 5):
        y, x = np.argwhere(array == label)[0]
        array[y, x] = 0
    labels.data = array
    qtbot.waitUntil(lambda: bool(row_of(labels, 5)["stale"]), timeout=5000)
    assert row_of(labels, 3)["stale"]
    assert not row_of(labels, 4)["stale"]
    # A new run makes the model's type current; the human must decide again.
    dock.run.all_button.click()
    done(qtbot, dock)
    assert not row_of(labels, 5)["stale"]
    assert row_of(labels, 3)["stale"]


def test_a_table_does_not_replace_decisions(dock, viewer, metaphase, qtbot, tmp_path):
    labels = find(qtbot, dock, viewer, metaphase)
    file = tmp_path / "t.csv"
    set_table(labels, set_types(build_table(extract_regions(labels.data)), [3], "other"))
    dock.export_csv(str(file))
    saved(qtbot, dock)
    set_table(labels, build_table(extract_regions(labels.data)))
    dock.banner.clear()
    dock.export_csv(str(file))
    saved(qtbot, dock)
    assert "a human decided" in dock.banner.text
    assert (read_table(file)["source"] == "human").sum() == 1


def test_a_model_file_of_the_preferences_stays_chosen(dock, viewer, tiny_model, qtbot):
    dock.refresh_models()
    dock._choose_model(str(tiny_model))
    chosen = dock.run.model_combo.currentData()
    assert chosen == str(tiny_model)
    dock.refresh_models()
    assert dock.run.model_combo.currentData() == chosen


def test_in_a_stack_a_region_of_one_frame_is_selected(dock, viewer, metaphase, qtbot):
    """Labels found frame by frame repeat."""
    viewer.add_image(np.stack([metaphase.image] * 2), name="stack")
    labels = viewer.add_labels(np.stack([metaphase.labels] * 2), name="stack regions")
    assert dock.labels == labels
    viewer.dims.set_current_step(0, 1)
    dock.run.pick_button.setChecked(True)
    _, y, x = np.argwhere(labels.data == 5)[-1]
    drag(viewer, labels, (1, y, x))
    assert dock.run.selected_button.text() == "Classify selected (1)"
    assert len(marks_layer(viewer, labels, FRAMES).data) == 4
    dock.run.selected_button.click()
    done(qtbot, dock)
    table = table_of(labels)
    assert list(zip(table["frame"], table["index"], strict=True)) == [(1, 5)]
    dock.select({5})
    assert dock.run.selected_button.text() == "Classify selected (2)"
