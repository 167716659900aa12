"""The classify and the review dock side by side, and images that were open before them."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog

from napari_chromocluster.imaging.io import read_labels, write_labels
from napari_chromocluster.results.features_table import set_types
from napari_chromocluster.results.table_files import read_table, write_table
from napari_chromocluster.viewer.layer_tables import table_of
from napari_chromocluster.viewer.review.journal import Record
from napari_chromocluster.viewer.review.store import ReviewStore, image_hash
from napari_chromocluster.widgets.classify import ClassifyWidget
from napari_chromocluster.widgets.review.widget import ReviewWidget
from review_dock import MADE, OTHER, framed, seeded


@pytest.fixture
def slide(tmp_path):
    """An image with an interrupted review: two decisions are only in its journal."""
    path = tmp_path / "met (1).png"
    Image.fromarray(MADE.image).save(path)
    store = ReviewStore(tmp_path, path.stem, image_hash(np.asarray(Image.open(path))))
    table = seeded(MADE.labels)
    store.save(MADE.labels, table, store.start_generation())
    keys = list(table["index"][:2])
    store.record(Record(set_types(table, keys, "other").iloc[:2]))
    return path


def docked(viewer, *kinds):
    made = []
    for kind in kinds:
        widget = kind(viewer)
        viewer.window.add_dock_widget(widget, name=kind.__name__, area="right")
        made.append(widget)
    return made


@pytest.mark.parametrize("order", ["classify first", "review first", "image first"])
def test_what_was_recovered_stands_whatever_is_opened_first(viewer, qtbot, slide, order):
    kinds = [ReviewWidget, ClassifyWidget] if order == "review first" else [
        ClassifyWidget, ReviewWidget]  # fmt: skip
    if order == "image first":
        viewer.open(slide, plugin="napari")
    docks = docked(viewer, *kinds)
    if order != "image first":
        viewer.open(slide, plugin="napari")
    review = next(one for one in docks if isinstance(one, ReviewWidget))
    qtbot.waitUntil(lambda: review.session is not None, timeout=10000)
    assert (review.session.table["source"] == "human").sum() == 2
    assert list(table_of(review.labels)["cluster_type"][:2]) == ["other", "other"]
    review.save()
    qtbot.waitUntil(lambda: review._saving is None, timeout=10000)
    file = slide.with_name(f"{slide.stem}_regions.csv")
    assert list(read_table(file)["cluster_type"][:2]) == ["other", "other"]


def test_an_image_that_was_there_before_the_dock_has_its_results(viewer, tmp_path):
    Image.fromarray(MADE.image).save(tmp_path / "m.png")
    write_labels(tmp_path / "m_labels.tif", MADE.labels)
    write_table(tmp_path / "m_regions.csv", seeded(MADE.labels))
    viewer.open(tmp_path / "m.png", plugin="napari")
    (dock,) = docked(viewer, ClassifyWidget)
    assert dock.labels is not None
    assert (table_of(dock.labels)["cluster_type"] != "").all()


def test_a_model_is_no_reason_to_write_files(viewer, qtbot, tmp_path, tiny_model):
    Image.fromarray(MADE.image).save(tmp_path / "m.png")
    viewer.open(tmp_path / "m.png", plugin="napari")
    classify, review = docked(viewer, ClassifyWidget, ReviewWidget)
    classify.refresh_models()
    classify.input.find_button.click()
    qtbot.waitUntil(lambda: classify.task is None, timeout=60000)
    classify.classify(None)
    qtbot.waitUntil(lambda: classify.task is None, timeout=60000)
    review.save()
    assert not list(tmp_path.glob("m_*"))
    key = review.session.region_keys()[0]
    review.session.set_type([key], "other")
    review.keeper.save_now()
    table = read_table(tmp_path / "m_regions.csv")
    assert (table["cluster_type"] != "").all()
    assert table["source"].iloc[0] == "human"
    np.testing.assert_array_equal(read_labels(tmp_path / "m_labels.tif"), review.labels.data)


def test_a_review_that_is_open_does_not_fix_the_sizes(viewer, qtbot):
    viewer.add_image(MADE.image, name="metaphase")
    classify, _ = docked(viewer, ClassifyWidget, ReviewWidget)
    classify.input.find_button.click()
    qtbot.waitUntil(lambda: classify.task is None, timeout=60000)
    before = len(np.unique(classify.labels.data))
    classify.input.smallest.setValue(0.9)
    qtbot.waitUntil(lambda: len(np.unique(classify.labels.data)) < before, timeout=10000)


def test_strokes_make_types_stale_without_a_review(viewer, qtbot):
    viewer.add_image(MADE.image, name="metaphase")
    labels = viewer.add_labels(
        MADE.labels.copy(), name="metaphase regions", features=seeded(MADE.labels)
    )
    docked(viewer, ClassifyWidget)
    place = tuple(int(one) for one in np.argwhere(MADE.labels == 3)[0])
    labels.fill(place, 0)
    qtbot.waitUntil(lambda: 3 not in labels.data, timeout=2000)
    labels.data_setitem(tuple(np.argwhere(MADE.labels == 5)[:4].T), 0)
    qtbot.waitUntil(lambda: bool(table_of(labels).set_index("index").loc[5, "stale"]), timeout=5000)


def test_a_review_in_space_keeps_its_frame(viewer, qtbot):
    viewer.add_image(MADE.image, name="metaphase")
    viewer.add_labels(MADE.labels.copy(), name="metaphase regions", features=seeded(MADE.labels))
    (review,) = docked(viewer, ReviewWidget)
    keys = review.session.region_keys()
    viewer.dims.ndisplay = 3
    review.gallery.select(keys[:1], tell=True)
    viewer.dims.ndisplay = 2
    review.gallery.select(keys[1:2], tell=True)
    assert framed(review) == 1


def test_the_image_is_not_written_over(viewer, tmp_path, monkeypatch):
    Image.fromarray(MADE.image).save(tmp_path / "m.tif")
    before = (tmp_path / "m.tif").read_bytes()
    viewer.open(tmp_path / "m.tif", plugin="napari")
    viewer.add_labels(MADE.labels.copy(), name="m regions", features=seeded(MADE.labels))
    classify, review = docked(viewer, ClassifyWidget, ReviewWidget)
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(tmp_path / "m.tif"), ""))
    classify.result.export_menu.actions()[0].trigger()
    assert "is the image itself" in classify.banner.text
    review.export("csv", str(tmp_path / "m.tif"))
    assert "is the image itself" in review.banner.text
    assert (tmp_path / "m.tif").read_bytes() == before


def test_the_metaphase_that_is_chosen_for_review_is_shown(viewer):
    for name in ("first", "second"):
        viewer.add_image(MADE.image, name=name)
        viewer.add_labels(MADE.labels.copy(), name=f"{name} regions", features=seeded(MADE.labels))
    (review,) = docked(viewer, ReviewWidget)
    combo = review.image_combo
    place = combo.findText("first")
    combo.setCurrentIndex(place)
    combo.activated.emit(place)
    shown = [one.name for one in viewer.layers if one.visible]
    assert shown[:2] == ["first", "first regions"]
    assert not any("second" in name for name in shown)


def test_another_image_of_that_name_is_not_reviewed_with_the_types_of_the_first(
    viewer, qtbot, tmp_path
):
    for folder, made in (("a", MADE), ("b", OTHER)):
        (tmp_path / folder).mkdir()
        Image.fromarray(made.image).save(tmp_path / folder / "m.tif")
    viewer.open(tmp_path / "a" / "m.tif", plugin="napari")
    labels = viewer.add_labels(MADE.labels.copy(), name="m regions", features=seeded(MADE.labels))
    classify, review = docked(viewer, ClassifyWidget, ReviewWidget)
    review.session.set_type(review.session.region_keys()[:2], "other")
    viewer.layers.remove("m")
    qtbot.waitUntil(lambda: review.session is None, timeout=5000)
    viewer.open(tmp_path / "b" / "m.tif", plugin="napari")
    qtbot.waitUntil(lambda: review.image is not None, timeout=5000)
    assert review.session is None
    assert classify.labels is None
    assert labels in viewer.layers
    assert not list((tmp_path / "b").glob("m_*"))


def test_a_table_of_another_program_costs_no_decision_with_both_docks(viewer, qtbot, tmp_path):
    Image.fromarray(MADE.image).save(tmp_path / "m.tif")
    viewer.open(tmp_path / "m.tif", plugin="napari")
    labels = viewer.add_labels(MADE.labels.copy(), name="m regions", features=seeded(MADE.labels))
    classify, review = docked(viewer, ClassifyWidget, ReviewWidget)
    keys = review.session.region_keys()[:2]
    review.session.set_type(keys, "other")
    labels.features = pd.DataFrame({"label": labels.features["index"], "mean": 3.5})
    assert list(review.session.rows(keys)["cluster_type"]) == ["other", "other"]
    review.keeper.save_now()
    saved = read_table(tmp_path / "m_regions.csv")
    assert list(saved["cluster_type"][:2]) == ["other", "other"]
    assert set(saved["mean"]) == {3.5}
    assert classify.result.export_button.isEnabled()
    review.undo()
    assert (table_of(labels)["source"] == "model").all()
    assert set(table_of(labels)["mean"]) == {3.5}


def test_a_type_corrected_in_a_spreadsheet_is_shown_as_decided(viewer, tmp_path):
    Image.fromarray(MADE.image).save(tmp_path / "m.png")
    write_labels(tmp_path / "m_labels.tif", MADE.labels)
    table = seeded(MADE.labels)
    other = "single" if table["cluster_type"][0] != "single" else "touching"
    table.loc[0, "cluster_type"] = other
    write_table(tmp_path / "m_regions.csv", table)
    viewer.open(tmp_path / "m.png", plugin="napari")
    (dock,) = docked(viewer, ClassifyWidget)
    row = table_of(dock.labels).iloc[0]
    assert (row["cluster_type"], row["source"], row["confidence"]) == (other, "human", 1.0)


def test_keys_are_for_the_review_once_a_line_is_drawn(review, qtbot):
    region = next(n for n, kind in MADE.types.items() if kind == "touching")
    native = review.viewer.__wrapped__.window._qt_viewer.canvas.native
    native.setFocus(Qt.FocusReason.MouseFocusReason)
    ys, xs = np.nonzero(MADE.labels == region)
    review.gallery.select([(0, region)], tell=True)
    review.split_line(np.array([(ys.mean(), xs.min() - 5), (ys.mean(), xs.max() + 5)]))
    qtbot.waitUntil(review.gallery.hasFocus, timeout=5000)
