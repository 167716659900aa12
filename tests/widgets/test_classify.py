"""The classify dock, driven as a user drives it, in a real viewer."""

import os
import time
from pathlib import Path

import numpy as np
import pytest

from napari_chromocluster.imaging.io import write_labels
from napari_chromocluster.imaging.regions import extract_regions
from napari_chromocluster.imaging.synthetic import synthetic_stack
from napari_chromocluster.models.registry import register_model
from napari_chromocluster.results.table import (
    build_table,
    counts,
    read_table,
    set_types,
    write_table,
)
from napari_chromocluster.viewer.layers import table_of
from napari_chromocluster.viewer.overlay import letters_layer
from napari_chromocluster.widgets.classify import ClassifyWidget


@pytest.fixture
def viewer(make_napari_viewer_proxy):
    return make_napari_viewer_proxy()


@pytest.fixture
def dock(viewer, tiny_model, qtbot):
    register_model(tiny_model, "quick")
    widget = ClassifyWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Classify", area="right")
    widget.run.model_combo.setCurrentText("quick")
    yield widget
    if widget.task is not None:
        widget.task.cancel()
        widget.task.wait()
        qtbot.waitUntil(lambda: widget.task is None, timeout=20000)
    widget.release()


def done(qtbot, dock):
    qtbot.waitUntil(lambda: dock.task is None, timeout=60000)


def find(qtbot, dock, viewer, metaphase):
    viewer.add_image(metaphase.image, name="metaphase")
    dock.input.find_button.click()
    done(qtbot, dock)
    assert not dock.banner.text
    return dock.labels


def test_empty_viewer_says_what_to_do(dock):
    assert not dock.run.all_button.isEnabled()
    assert "Open a metaphase" in dock.run.all_button.toolTip()
    assert "Open a metaphase" in dock.input.find_button.toolTip()


def test_from_image_to_table_figure_and_screenshot(dock, viewer, metaphase, qtbot, tmp_path):
    labels = find(qtbot, dock, viewer, metaphase)
    total = len(extract_regions(np.asarray(labels.data)))
    assert dock.run.all_button.text() == f"Classify all ({total})"
    dock.run.all_button.click()
    assert dock.run.cancel_button.isVisible() or not dock.isVisible()
    done(qtbot, dock)
    table = table_of(labels)
    assert len(table) == total
    assert dock.result.legend.shown_counts() == {str(k): str(n) for k, n in counts(table).items()}
    dock.export_csv(str(tmp_path / "t.csv"))
    assert list(read_table(tmp_path / "t.csv")["index"]) == list(table["index"])
    for name in ("f.png", "f.svg"):
        dock.export_figure(str(tmp_path / name))
        assert (tmp_path / name).stat().st_size > 5000
    shot = Path(os.environ.get("CHROMOCLUSTER_SCREENSHOT", str(tmp_path / "shot.png")))
    viewer.screenshot(str(shot), canvas_only=False, flash=False)
    assert shot.stat().st_size > 10000


def test_only_the_selected_regions(dock, viewer, metaphase, qtbot):
    labels = find(qtbot, dock, viewer, metaphase)
    assert not dock.run.selected_button.isEnabled()
    dock.run.pick_button.setChecked(True)
    for label in (2, 5, 7, 5):
        labels.selected_label = label
    assert dock.selection == {2, 7}
    assert dock.run.selected_button.text() == "Classify selected (2)"
    dock.run.selected_button.click()
    done(qtbot, dock)
    table = table_of(labels)
    assert set(table["index"]) == {2, 7}
    dock.run.clear_button.click()
    assert dock.selection == set()


def test_a_box_selects_what_lies_in_it(dock, viewer, metaphase, qtbot):
    labels = find(qtbot, dock, viewer, metaphase)
    dock.run.box_button.setChecked(True)
    box = dock._box_layer()
    height, width = metaphase.image.shape
    box.add_rectangles([[[0, 0], [0, width], [height, width], [height, 0]]])
    assert len(dock.selection) == len(extract_regions(np.asarray(labels.data)))
    dock.run.box_button.setChecked(False)
    assert dock._box_layer() is None


def test_size_sliders_preview_at_once(dock, viewer, metaphase, qtbot):
    labels = find(qtbot, dock, viewer, metaphase)
    before = int(labels.data.max())
    slowest = 0.0
    for value in (0.3, 0.5, 0.8):
        began = time.perf_counter()
        dock.input.smallest.setValue(value)
        slowest = max(slowest, time.perf_counter() - began)
    assert labels.data.max() < before
    assert slowest < 1.0


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
    assert letters_layer(viewer, labels) is None
    dock.result.fill_box.setChecked(True)
    assert labels.contour == 0


def test_cancel_leaves_everything_as_it_was(dock, viewer, metaphase, qtbot):
    labels = find(qtbot, dock, viewer, metaphase)
    dock.run.all_button.click()
    dock.cancel()
    done(qtbot, dock)
    assert "cancelled" in dock.banner.text or len(table_of(labels))
    assert dock.run.all_button.isEnabled()
    assert not dock.run.progress.isVisible()


def test_layers_that_do_not_fit_are_told_in_the_banner(dock, viewer, metaphase, qtbot):
    viewer.add_image(metaphase.image, name="metaphase")
    viewer.add_labels(metaphase.labels[:-4], name="small")
    dock.input.labels_combo.setCurrentIndex(dock.input.labels_combo.findText("small"))
    dock.classify(None)
    assert "differ in shape" in dock.banner.text
    viewer.add_labels(np.zeros_like(metaphase.labels), name="empty")
    dock.input.labels_combo.setCurrentIndex(dock.input.labels_combo.findText("empty"))
    dock.classify(None)
    done(qtbot, dock)
    assert "hold no region" in dock.banner.text


def test_black_image_and_unwritable_folder(dock, viewer, metaphase, qtbot, tmp_path):
    viewer.add_image(np.zeros((60, 60)), name="black")
    dock.input.find_button.click()
    done(qtbot, dock)
    assert "No region was found" in dock.banner.text
    find(qtbot, dock, viewer, metaphase)
    dock.run.all_button.click()
    done(qtbot, dock)
    (tmp_path / "file").write_text("")
    dock.export_csv(str(tmp_path / "file" / "t.csv"))
    assert "choose another folder" in dock.banner.text


def test_layers_deleted_while_work_runs(dock, viewer, metaphase, qtbot):
    labels = find(qtbot, dock, viewer, metaphase)
    dock.run.all_button.click()
    viewer.layers.remove(labels)
    done(qtbot, dock)
    assert "closed while" in dock.banner.text
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
    assert "lies beside" in dock.banner.text


def test_stack(dock, viewer, qtbot):
    images, _ = synthetic_stack([1, 2])
    viewer.add_image(images, name="stack")
    dock.input.find_button.click()
    done(qtbot, dock)
    dock.run.all_button.click()
    done(qtbot, dock)
    assert set(table_of(dock.labels)["frame"]) == {0, 1}


def test_closing_the_viewer_while_work_runs(make_napari_viewer, metaphase, qtbot, tiny_model):
    viewer = make_napari_viewer()
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


def test_nothing_is_wider_than_320_pixels(dock, qtbot):
    dock.resize(320, 700)
    dock.show()
    assert dock.minimumSizeHint().width() <= 320
