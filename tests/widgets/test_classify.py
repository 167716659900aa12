"""The classify dock, driven as a user does, in a real viewer."""

import os
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import napari
import numpy as np
import pandas as pd
import pytest

from classify_dock import click, done, drag, find, saved
from napari_chromocluster.imaging.io import write_labels
from napari_chromocluster.imaging.regions import extract_regions
from napari_chromocluster.imaging.synthetic_metaphase import synthetic_stack
from napari_chromocluster.models.classifier import load_model
from napari_chromocluster.models.registry import register_model
from napari_chromocluster.results.features_table import build_table, counts, set_types
from napari_chromocluster.results.summary import count_warning, estimate_chromosomes
from napari_chromocluster.results.table_files import read_table, write_table
from napari_chromocluster.viewer.explanation_layer import explanation_layer
from napari_chromocluster.viewer.layer_tables import set_table, table_of
from napari_chromocluster.viewer.layers import labels_of
from napari_chromocluster.viewer.overlay import letters_layer, show_overlay
from napari_chromocluster.viewer.overlay_layers import FRAMES, marks_layer
from napari_chromocluster.widgets.classify import ClassifyWidget, segmentation_controls
from napari_chromocluster.widgets.common.widgets import AMBER


@pytest.fixture
def dock(classifying):
    return classifying


def test_empty_viewer_says_what_to_do(dock):
    assert not dock.run.all_button.isEnabled()
    assert "Open a metaphase" in dock.run.all_button.toolTip()
    assert "Open a metaphase" in dock.input.find_button.toolTip()


def test_from_image_to_table_figure_and_screenshot(dock, viewer, metaphase, qtbot, tmp_path):
    labels = find(qtbot, dock, viewer, metaphase)
    total = len(extract_regions(np.asarray(labels.data)))
    assert dock.run.all_button.text() == f"Classify all ({total})"
    dock.run.all_button.click()
    assert not dock.run.cancel_button.isHidden()
    done(qtbot, dock)
    table = table_of(labels)
    assert len(table) == total
    assert dock.result.legend.shown_counts() == {str(k): str(n) for k, n in counts(table).items()}
    dock.export_csv(str(tmp_path / "t.csv"))
    saved(qtbot, dock)
    assert list(read_table(tmp_path / "t.csv")["index"]) == list(table["index"])
    for name in ("f.png", "f.svg"):
        dock.banner.clear()
        dock.export_figure(str(tmp_path / name))
        saved(qtbot, dock)
        assert (tmp_path / name).stat().st_size > 5000
    shot = Path(os.environ.get("CHROMOCLUSTER_SCREENSHOT", str(tmp_path / "shot.png")))
    viewer.screenshot(str(shot), canvas_only=False, flash=False)
    assert shot.stat().st_size > 10000


def frames_layer(viewer, labels):
    return marks_layer(viewer, labels, FRAMES)


def test_only_the_selected_regions(dock, viewer, metaphase, qtbot):
    labels = find(qtbot, dock, viewer, metaphase)
    assert not dock.run.selected_button.isEnabled()
    assert "Select regions first" in dock.run.selected_button.toolTip()
    dock.run.pick_button.setChecked(True)
    for label in (2, 5, 7, 5):
        click(viewer, labels, label)
    assert dock.selection == {2, 7}
    assert len(frames_layer(viewer, labels).data) == 2 * 4  # a frame has four sides
    assert dock.run.selected_button.text() == "Classify selected (2)"
    dock.run.selected_button.click()
    done(qtbot, dock)
    assert set(table_of(labels)["index"]) == {2, 7}
    click(viewer, labels, 7)
    click(viewer, labels, 7)  # the same region again: deselected, then selected again
    assert dock.selection == {2, 7}
    dock.run.clear_button.click()
    assert dock.selection == set()
    assert not len(frames_layer(viewer, labels).data)
    dock.run.pick_button.setChecked(False)
    click(viewer, labels, 3)
    assert dock.selection == set()


def test_the_number_of_chromosomes_is_that_of_the_preferences(dock, viewer, metaphase, qtbot):
    from napari.settings import get_plugin_settings

    labels = find(qtbot, dock, viewer, metaphase)
    general = get_plugin_settings("napari-chromocluster").general
    usual, found = general.expected, {}
    try:
        for number, beside in ((46, " (46 expected)"), (70, " (70 expected)"), (0, "")):
            general.expected = number
            dock.run.all_button.click()
            done(qtbot, dock)
            found[number] = table_of(labels)["p_single"].to_numpy(float)
            told = dock.result.chromosomes.text()
            about = estimate_chromosomes(table_of(labels))
            assert told == f"About {about} chromosomes{beside}"
            assert dock.result.advice.text() == count_warning(about, number)
        general.expected = 400
        dock.show_result()
        assert "look for regions that were missed" in dock.result.advice.text()
        assert dock.result.advice.isVisibleTo(dock)
        for label in (dock.result.chromosomes, dock.result.advice):
            assert AMBER in label.styleSheet()
    finally:
        general.expected = usual
    assert found[70].sum() < found[46].sum() - 0.1
    assert not np.allclose(found[0], found[46], atol=1e-6)
    alone = load_model("quick").classify(metaphase.image, np.asarray(labels.data), expected=None)
    np.testing.assert_allclose(found[0], alone["p_single"].to_numpy(float), atol=1e-5)


def test_a_picture_unlike_those_of_the_training_is_said_so(
    dock, viewer, metaphase, qtbot, unlike_model
):
    register_model(unlike_model, "unlike")
    find(qtbot, dock, viewer, metaphase)
    dock.run.all_button.click()
    done(qtbot, dock)
    assert dock.result.unfamiliar.isHidden()
    dock.refresh_models()
    dock.run.model_combo.setCurrentText("unlike")
    dock.run.all_button.click()
    done(qtbot, dock)
    qtbot.waitUntil(lambda: not dock.result.unfamiliar.isHidden(), timeout=10000)
    assert "check every type" in dock.result.unfamiliar.text()
    assert AMBER in dock.result.unfamiliar.styleSheet()


def test_of_some_regions_no_number_is_told(dock, viewer, metaphase, qtbot):
    labels = find(qtbot, dock, viewer, metaphase)
    assert dock.result.chromosomes.isHidden()
    dock.run.pick_button.setChecked(True)
    click(viewer, labels, 2)
    dock.run.selected_button.click()
    done(qtbot, dock)
    assert dock.result.chromosomes.isHidden()
    dock.run.all_button.click()
    done(qtbot, dock)
    assert not dock.result.chromosomes.isHidden()


def test_the_picker_of_the_labels_layer_selects_too(dock, viewer, metaphase, qtbot):
    labels = find(qtbot, dock, viewer, metaphase)
    labels.mode = "pick"
    labels.selected_label = 4
    qtbot.waitUntil(lambda: dock.selection == {4}, timeout=5000)
    assert dock.run.selected_button.text() == "Classify selected (1)"
    labels.selected_label = int(labels.data.max()) + 1
    qtbot.waitUntil(lambda: dock.selection == set(), timeout=5000)
    dock.select({1, 2})
    assert labels.selected_label == 2
    labels.selected_label = 6
    qtbot.waitUntil(lambda: dock.selection == {6}, timeout=5000)
    dock.run.all_button.click()
    done(qtbot, dock)
    assert dock.selection == {6}


def test_a_box_selects_what_lies_in_it(dock, viewer, metaphase, qtbot):
    labels = find(qtbot, dock, viewer, metaphase)
    height, width = metaphase.image.shape
    dock.run.box_button.setChecked(True)
    assert not viewer.scene.camera.mouse_pan
    drag(viewer, labels, (0, 0), (10, 10), (height - 1, width - 1))
    assert len(dock.selection) == len(extract_regions(np.asarray(labels.data)))
    assert not dock.run.box_button.isChecked()
    assert viewer.scene.camera.mouse_pan
    dock.clear_selection()
    dock.run.box_button.setChecked(True)
    y0, x0, y1, x1 = extract_regions(np.asarray(labels.data), {5})[0].bbox
    drag(viewer, labels, (y1, x1), (y0, x0))  # from the lower right corner
    assert 5 in dock.selection
    assert len(dock.selection) < 8


def test_escape_stops_selecting(dock, viewer, metaphase, qtbot):
    find(qtbot, dock, viewer, metaphase)
    assert not dock._escape.isEnabled()
    dock.run.pick_button.setChecked(True)
    assert dock._escape.isEnabled()
    dock._escape.activated.emit()
    assert not dock.run.pick_button.isChecked()


def test_escape_stops_the_work(dock, viewer, metaphase, qtbot):
    find(qtbot, dock, viewer, metaphase)
    dock.run.all_button.click()
    assert dock._escape.isEnabled()
    dock._escape.activated.emit()
    done(qtbot, dock)
    assert not dock._escape.isEnabled()
    assert dock.labels.features.empty


def test_cancel_ends_finding_at_once_whatever_step_it_is_in(
    dock, viewer, metaphase, qtbot, monkeypatch
):
    viewer.add_image(metaphase.image, name="metaphase")
    entered, goes_on = threading.Event(), threading.Event()

    def slow(*_):
        entered.set()
        assert goes_on.wait(60)
        return metaphase.labels

    monkeypatch.setattr(segmentation_controls, "filter_regions", slow)
    dock.input.find_button.click()
    qtbot.waitUntil(entered.is_set, timeout=60_000)
    first = dock.task
    dock.run.cancel_button.click()
    assert not dock.run.progress.isVisible()
    assert dock.banner.text == "Finding regions was cancelled."
    assert dock.input.find_button.isEnabled()
    monkeypatch.undo()
    dock.input.find_button.click()  # the next one does not wait for it
    done(qtbot, dock)
    assert len(labels_of(viewer, dock.image)) == 1
    goes_on.set()
    qtbot.waitUntil(lambda: not first.running)
    qtbot.wait(1)  # what the thread has sent is delivered
    assert len(labels_of(viewer, dock.image)) == 1


def test_explaining_lays_an_image_under_the_outlines(dock, viewer, metaphase, qtbot):
    labels = find(qtbot, dock, viewer, metaphase)
    assert "Select a region first" in dock.result.explain_button.toolTip()
    dock.select({3})
    assert dock.result.explain_button.text() == "Explain (1)"
    dock.result.explain_button.click()
    done(qtbot, dock)
    heat = explanation_layer(viewer, labels)
    assert viewer.layers.index(heat) < viewer.layers.index(labels)
    assert set(np.unique(labels.data[heat.data > 0])) <= {3}
    assert dock.image.name == "metaphase"  # an explanation is not a metaphase
    dock.select({4})
    dock.result.explain_button.click()
    done(qtbot, dock)
    assert len([x for x in viewer.layers if "explanation" in x.name]) == 1
    assert heat.visible
    for button in (dock.run.clear_button, dock.run.all_button):
        button.click()
        done(qtbot, dock)
        assert explanation_layer(viewer, labels) is None
        qtbot.waitUntil(lambda: not any("explanation" in x.name for x in viewer.layers))
        dock.select({4})
        dock.result.explain_button.click()
        done(qtbot, dock)
        assert explanation_layer(viewer, labels).visible


def test_review_opens_at_an_unsure_region(dock, viewer, metaphase, qtbot):
    labels = find(qtbot, dock, viewer, metaphase)
    table = build_table(extract_regions(np.asarray(labels.data)))
    table["cluster_type"], table["source"], table["confidence"] = "single", "model", 0.99
    table.loc[table["index"] == 9, ["cluster_type", "confidence"]] = "touching", 0.4
    set_table(labels, table)
    assert dock.result.review_button.text() == "Review 1 unsure"
    dock.result.review_button.click()
    _, review = viewer.window.add_plugin_dock_widget("napari-chromocluster", "Review")
    assert review.gallery.current_key() == (0, 9)
    assert review.labels == labels


def test_the_features_table_opens_in_a_tab_and_squeezes_no_dock(viewer, metaphase, qtbot):
    place, dock = viewer.window.add_plugin_dock_widget("napari-chromocluster", "Classify")
    labels = find(qtbot, dock, viewer, metaphase)
    table = build_table(extract_regions(np.asarray(labels.data)))
    table["cluster_type"], table["source"], table["confidence"] = "single", "model", 0.99
    set_table(labels, table)
    dock.result.table_button.click()
    (tab,) = place.parent().tabifiedDockWidgets(place)
    assert "Features table" in tab.windowTitle()
    dock.release()


def test_regions_that_are_gone_are_in_no_count_and_no_file(
    dock, viewer, metaphase, qtbot, tmp_path
):
    labels = find(qtbot, dock, viewer, metaphase)
    dock.run.all_button.click()
    done(qtbot, dock)
    total = len(table_of(labels))
    first, second = (int(one) for one in table_of(labels)["index"][:2])
    array = labels.data.copy()
    array[array == first] = 0
    ys, xs = np.nonzero(array == second)
    array[ys[: ys.size // 3], xs[: ys.size // 3]] = 0
    labels.data = array
    qtbot.waitUntil(lambda: dock.run.all_button.text() == f"Classify all ({total - 1})")
    assert sum(int(n) for n in dock.result.legend.shown_counts().values()) == total - 1
    dock.export_csv(str(tmp_path / "t.csv"))
    saved(qtbot, dock)
    written = read_table(tmp_path / "t.csv").set_index("index")
    assert len(written) == total - 1
    assert first not in written.index
    # Its type is for different pixels and marked as stale.
    assert list(written.index[written["stale"]]) == [second]
    assert written.loc[second, "area"] == (array == second).sum()
    dock.run.all_button.click()
    done(qtbot, dock)
    assert first not in set(table_of(labels)["index"])
    assert not table_of(labels)["stale"].any()


def test_the_metaphase_that_is_chosen_is_shown_alone(dock, viewer, metaphase, qtbot):
    first = find(qtbot, dock, viewer, metaphase)
    dock.run.all_button.click()
    done(qtbot, dock)
    qtbot.waitUntil(lambda: letters_layer(viewer, first) is not None)
    viewer.add_image(np.flipud(metaphase.image), name="another")
    dock.input.find_button.click()
    done(qtbot, dock)
    second, box = dock.labels, dock.input.image_combo
    for name, shown, hidden in (("metaphase", first, second), ("another", second, first)):
        place = box.findText(name)
        box.setCurrentIndex(place)
        box.activated.emit(place)
        other = {"metaphase": "another", "another": "metaphase"}[name]
        assert viewer.layers[name].visible
        assert not viewer.layers[other].visible
        assert shown.visible
        assert not hidden.visible
        assert letters_layer(viewer, first).visible == first.visible


def test_two_metaphases_of_one_shape_keep_their_regions(dock, viewer, metaphase, qtbot):
    labels = find(qtbot, dock, viewer, metaphase)
    viewer.add_image(np.flipud(metaphase.image), name="another")
    assert dock.image.name == "another"
    assert dock.labels is None
    dock.input.image_combo.setCurrentIndex(dock.input.image_combo.findText("metaphase"))
    assert dock.labels == labels


def test_a_region_that_is_painted_is_counted(dock, viewer, metaphase, qtbot):
    labels = find(qtbot, dock, viewer, metaphase)
    before = int(labels.data.max())
    labels.data[0:4, 0:4] = before + 1
    labels.refresh()
    qtbot.waitUntil(lambda: dock.run.all_button.text().endswith(f"({before + 1})"), timeout=10000)


def test_regions_and_table_are_there_again(dock, viewer, metaphase, qtbot, tmp_path):
    from PIL import Image

    Image.fromarray(metaphase.image).save(tmp_path / "m.png")
    viewer.open(str(tmp_path / "m.png"), plugin="napari")
    dock.input.find_button.click()
    done(qtbot, dock)
    dock.run.all_button.click()
    done(qtbot, dock)
    labels = dock.labels
    before = table_of(labels)
    dock.export_regions(str(tmp_path / "m_labels.tif"))
    saved(qtbot, dock)
    assert "m_labels.tif and m_regions.csv" in dock.banner.text
    viewer.layers.clear()
    viewer.open(str(tmp_path / "m.png"), plugin="napari")
    pd.testing.assert_frame_equal(table_of(dock.labels), before)
    decided = set_types(before, [2], "other")
    write_table(tmp_path / "m_regions.csv", decided)
    dock.banner.clear()
    dock.export_regions(str(tmp_path / "m_labels.tif"))
    saved(qtbot, dock)
    assert "that a human decided" in dock.banner.text
    pd.testing.assert_frame_equal(read_table(tmp_path / "m_regions.csv"), decided)


def test_regions_found_anew_hide_those_there_were(dock, viewer, metaphase, qtbot):
    first = find(qtbot, dock, viewer, metaphase)
    dock.run.all_button.click()
    done(qtbot, dock)
    qtbot.waitUntil(lambda: letters_layer(viewer, first) is not None)
    other = viewer.add_labels(np.ones((20, 20), int), name="of something else")
    dock.input.find_button.click()
    done(qtbot, dock)
    assert dock.labels != first
    assert not first.visible
    assert not letters_layer(viewer, first).visible
    assert dock.labels.visible
    assert other.visible
    assert "hidden" in dock.banner.text
    dock.input.labels_combo.setCurrentText(first.name)
    dock.input.labels_combo.activated.emit(dock.input.labels_combo.currentIndex())
    assert first.visible
    assert letters_layer(viewer, first).visible


def test_regions_that_nuclei_outshine_can_be_seen(dock, viewer, metaphase, qtbot):
    bright = 0.1 * (1 - metaphase.image / metaphase.image.max())
    bright[:30, :30] = 1.0
    layer = viewer.add_image(bright, name="metaphase")
    dock.input.find_button.click()
    done(qtbot, dock)
    assert layer.contrast_limits[1] < 0.15
    assert "contrast" in dock.banner.text
    # Contrast limits set by the user are kept.
    layer.contrast_limits = (0, 0.9)
    dock.input.find_button.click()
    done(qtbot, dock)
    assert layer.contrast_limits == [0, 0.9]


def test_size_sliders_preview_at_once(dock, viewer, metaphase, qtbot):
    labels = find(qtbot, dock, viewer, metaphase)
    before = int(labels.data.max())
    slowest = 0.0
    for value in (0.3, 0.5, 0.8):
        began = time.perf_counter()
        dock.input.smallest.setValue(value)
        qtbot.wait(1)
        slowest = max(slowest, time.perf_counter() - began)
    assert labels.data.max() < before
    assert slowest < 1.0


def test_tighter_outlines_are_drawn_once_the_slider_rests(dock, viewer, metaphase, qtbot):
    labels = find(qtbot, dock, viewer, metaphase)
    area, number = int((labels.data > 0).sum()), int(labels.data.max())
    for value in (1.1, 1.5):
        dock.input.tightness.setValue(value)
    qtbot.waitUntil(lambda: (labels.data > 0).sum() < 0.95 * area, timeout=60000)
    done(qtbot, dock)
    # The size limits are applied to the new outlines.
    dock.input.smallest.setValue(0.8)
    qtbot.waitUntil(lambda: labels.data.max() < number)
    assert (labels.data > 0).sum() < 0.95 * area
    dock.run.all_button.click()
    done(qtbot, dock)
    before = labels.data.copy()
    dock.input.tightness.setValue(0.7)
    qtbot.waitUntil(lambda: "before classifying" in dock.banner.text)
    assert np.array_equal(labels.data, before)


def test_painted_regions_survive_the_sliders(dock, viewer, metaphase, qtbot):
    labels = find(qtbot, dock, viewer, metaphase)
    labels.data[:9, :9] = 99
    painted = labels.data.copy()
    dock.input.smallest.setValue(0.8)
    qtbot.waitUntil(lambda: "Painted" in dock.banner.text)
    assert np.array_equal(labels.data, painted)
    dock.banner.clear()
    dock.input.tightness.setValue(1.5)
    qtbot.waitUntil(lambda: "Painted" in dock.banner.text)
    assert np.array_equal(labels.data, painted)


def test_a_human_row_survives_classifying(dock, viewer, metaphase, qtbot):
    labels = find(qtbot, dock, viewer, metaphase)
    table = build_table(extract_regions(np.asarray(labels.data)))
    labels.features = set_types(table, [3], "other")
    dock.run.all_button.click()
    done(qtbot, dock)
    row = table_of(labels).set_index("index").loc[3]
    assert (row["cluster_type"], row["source"]) == ("other", "human")


def test_unsure_letters_and_fill(dock, viewer, metaphase, qtbot):
    labels = find(qtbot, dock, viewer, metaphase)
    dock.run.all_button.click()
    done(qtbot, dock)
    dock.result.threshold.setValue(1.0)
    qtbot.waitUntil(
        lambda: (
            (layer := letters_layer(viewer, labels)) is not None
            and len(layer.data) == len(table_of(labels))
        ),
        timeout=5000,
    )
    dock.result.letters_box.setChecked(False)
    assert not len(letters_layer(viewer, labels).data)
    dock.result.fill_box.setChecked(True)
    assert labels.contour == 0


def test_cancel_leaves_everything_as_it_was(dock, viewer, metaphase, monkeypatch, qtbot):
    labels = find(qtbot, dock, viewer, metaphase)
    go_on, model = threading.Event(), dock.classifier
    # A fast model might finish before it can be cancelled.
    monkeypatch.setattr(dock, "classifier", lambda: go_on.wait(20) and model())
    dock.run.all_button.click()
    dock.run.cancel_button.click()
    go_on.set()
    done(qtbot, dock)
    assert dock.banner.text == "Classifying was cancelled."
    assert not len(table_of(labels))
    assert dock.run.all_button.isEnabled()
    assert not dock.run.progress.isVisible()


def test_layers_that_do_not_fit_are_told_in_the_banner(dock, viewer, metaphase, qtbot):
    viewer.add_image(metaphase.image, name="metaphase")
    viewer.add_labels(metaphase.labels[:-4], name="small")
    dock.input.labels_combo.setCurrentIndex(dock.input.labels_combo.findText("small"))
    dock.classify(None)
    assert "differ in shape" in dock.banner.text
    assert "differ in shape" in dock.run.all_button.toolTip()
    viewer.add_labels(np.zeros_like(metaphase.labels), name="empty")
    dock.input.labels_combo.setCurrentIndex(dock.input.labels_combo.findText("empty"))
    dock.classify(None)
    done(qtbot, dock)
    assert "hold no region" in dock.banner.text
    assert "holds no region" in dock.run.all_button.toolTip()


def test_black_image_and_unwritable_folder(dock, viewer, metaphase, qtbot, tmp_path):
    viewer.add_image(np.zeros((60, 60)), name="black")
    dock.input.find_button.click()
    done(qtbot, dock)
    assert "No region was found" in dock.banner.text
    find(qtbot, dock, viewer, metaphase)
    dock.run.all_button.click()
    done(qtbot, dock)
    (tmp_path / "file").write_text("")
    dock.banner.clear()
    dock.export_csv(str(tmp_path / "file" / "t.csv"))
    saved(qtbot, dock)
    assert "choose another folder" in dock.banner.text


def test_layers_deleted_while_work_runs(dock, viewer, metaphase, qtbot):
    labels = find(qtbot, dock, viewer, metaphase)
    dock.run.all_button.click()
    viewer.layers.remove(labels)
    done(qtbot, dock)
    assert dock.banner.text == "Classifying was stopped: the regions were closed."
    dock.input.find_button.click()
    viewer.layers.clear()
    done(qtbot, dock)
    assert dock.image is None


def test_renamed_layers_are_offered_by_their_new_name(dock, viewer, metaphase):
    layer = viewer.add_image(metaphase.image, name="before")
    layer.name = "after"
    assert dock.input.image_combo.currentText() == "after"
    assert dock.image == layer


def test_results_beside_the_image_open_too(dock, viewer, metaphase, tmp_path):
    from PIL import Image

    Image.fromarray(metaphase.image).save(tmp_path / "m.png")
    write_labels(tmp_path / "m_labels.tif", metaphase.labels)
    table = set_types(build_table(extract_regions(metaphase.labels)), [4], "touching")
    write_table(tmp_path / "m_regions.csv", table)
    viewer.open(str(tmp_path / "m.png"), plugin="napari")
    assert dock.labels is not None
    assert table_of(dock.labels).set_index("index").loc[4, "cluster_type"] == "touching"
    assert "next to the image" in dock.banner.text


def test_annotations_beside_the_image_open_too(dock, viewer, annotated, qtbot):
    from napari_chromocluster.results.annotations import read_annotations

    rows = read_annotations(annotated)
    viewer.open(str(rows["image"].iloc[0]), plugin="napari")
    assert "annotations.csv" in dock.banner.text
    assert set(table_of(dock.labels)["source"]) == {"human"}
    assert dock.labels.contour > 0


def test_regions_that_come_with_types_are_outlined(dock, viewer, annotated, qtbot):
    viewer.open(str(annotated), plugin="napari-chromocluster")
    qtbot.waitUntil(lambda: dock.labels.contour > 0, timeout=10000)
    qtbot.waitUntil(lambda: letters_layer(viewer, dock.labels) is not None, timeout=10000)


def test_stack(dock, viewer, qtbot):
    images, _ = synthetic_stack([1, 2])
    viewer.add_image(images, name="stack")
    dock.input.find_button.click()
    done(qtbot, dock)
    dock.run.all_button.click()
    done(qtbot, dock)
    assert set(table_of(dock.labels)["frame"]) == {0, 1}


def test_closing_the_viewer_while_work_runs(window, metaphase, qtbot, tiny_model):
    viewer = napari.Viewer(show=False)
    register_model(tiny_model, "quick")
    widget = ClassifyWidget(viewer)
    viewer.window.add_dock_widget(widget)
    viewer.add_image(metaphase.image)
    viewer.add_labels(metaphase.labels)
    widget.run.model_combo.setCurrentText("quick")
    widget.classify(None)
    task = widget.task
    viewer.close()
    task.cancel()
    task.wait(30)
    assert not task.running


def test_nothing_is_wider_than_320_pixels(dock, viewer, metaphase, qtbot):
    find(qtbot, dock, viewer, metaphase)
    dock.select(set(range(1, 30)))
    for panel in (dock.input, dock.run, dock.result):
        assert panel.minimumSizeHint().width() <= 290
    assert dock.minimumSizeHint().width() <= 320


def test_every_control_says_what_it_is_for(dock):
    from qtpy.QtWidgets import QAbstractButton, QComboBox

    for panel in (dock.input, dock.run, dock.result):
        for control in panel.findChildren((QAbstractButton, QComboBox)):
            assert control.toolTip().endswith((".", ")")), control.text()


def test_the_dock_is_there_before_torch(viewer, tiny_model, monkeypatch, qtbot):
    from napari_chromocluster.widgets.classify import inference

    register_model(tiny_model, "quick")
    # As in a session that has not loaded torch yet.
    monkeypatch.setattr(inference, "sys", SimpleNamespace(modules={}))
    widget = ClassifyWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Classify")
    assert widget.run.model_combo.currentText() == "default"
    box = widget.run.model_combo
    qtbot.waitUntil(lambda: box.count() == 2, timeout=60000)
    assert [box.itemText(place) for place in range(2)] == ["default", "quick"]
    assert widget.run.model_combo.currentText() == "default"
    widget._loading.wait(60)
    widget.release()


def test_progress_tells_what_is_left_of_long_work(dock):
    dock._began, dock._what = time.monotonic() - 10, "Classifying"
    dock._progressed(10, 40)
    assert dock.run.progress.format() == "Classifying: 10 of 40, 30 s left"
    dock._began = time.monotonic() - 0.1
    dock._progressed(10, 40)
    assert dock.run.progress.format() == "Classifying: 10 of 40"


def test_a_closed_dock_lets_go_of_the_viewer(viewer, metaphase, monkeypatch, qtbot):
    viewer.add_image(metaphase.image)
    regions = viewer.add_labels(metaphase.labels.copy())
    widget = ClassifyWidget(viewer)
    dock = viewer.window.add_dock_widget(widget, name="Classify")
    callbacks = len(viewer.mouse_drag_callbacks)
    viewer.window.remove_dock_widget(dock)
    assert len(viewer.mouse_drag_callbacks) == callbacks - 1
    asked = []
    monkeypatch.setattr(widget, "_update", lambda event=None: asked.append(event))
    monkeypatch.setattr(widget, "_offer_labels", lambda: asked.append("labels"))
    viewer.add_image(metaphase.image).name = "after"
    regions.name, regions.selected_label = "after regions", 3
    regions.features = build_table(extract_regions(regions.data))
    regions.data = metaphase.labels * 2
    qtbot.wait(350)  # longer than the delay after painting
    assert asked == []
    assert marks_layer(viewer, regions, FRAMES) is None


def test_letters_change_while_they_are_hidden(dock, viewer, metaphase, qtbot):
    labels = find(qtbot, dock, viewer, metaphase)
    dock.run.all_button.click()
    done(qtbot, dock)
    qtbot.waitUntil(lambda: letters_layer(viewer, labels) is not None)
    letters = letters_layer(viewer, labels)
    keys = list(table_of(labels)["index"])
    for types in (keys[:3], keys, keys[:1], []):  # fewer, more, fewer, none
        letters.visible = False
        table = set_types(table_of(labels), keys, "single")
        set_table(labels, set_types(table, types, "touching") if types else table)
        show_overlay(viewer, labels, threshold=0.7)
        assert len(letters.data) == len(types)
        letters.visible = True
        assert len(letters.text.values) == len(types)
        assert set(letters.text.values) <= {"T"}
        show_overlay(viewer, labels, threshold=0.7)
        assert len(letters.data) == len(types)
