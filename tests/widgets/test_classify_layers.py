"""The classify dock with layers that are unusual, ignored, replaced or closed."""

import threading

import numpy as np
import pytest
from qtpy.QtCore import QEvent, QPoint
from qtpy.QtGui import QHelpEvent
from qtpy.QtWidgets import QApplication, QToolTip

from classify_dock import done, find
from napari_chromocluster.results.features_table import counts
from napari_chromocluster.viewer.layer_tables import set_table, table_of
from napari_chromocluster.viewer.overlay import letters_layer
from napari_chromocluster.viewer.settings import preferences
from review_dock import MADE, OTHER, reviewing, seeded


@pytest.fixture
def dock(classifying):
    return classifying


def choose(box, name):
    place = box.findText(name)
    box.setCurrentIndex(place)
    box.activated.emit(place)


def test_labels_that_are_no_label_image_are_doubted(dock, viewer):
    viewer.add_image(MADE.image, name="metaphase")
    doubt = dock.input.doubt
    for name, array, words in (
        ("mask", 255 * (MADE.labels > 0), "give each part a label of its own"),
        ("from 1", MADE.labels + 1, "give it the label 0"),
        ("alpha", np.dstack([MADE.labels, MADE.labels]), "save it with one whole number"),
        ("planar", np.stack([MADE.labels] * 3), "save it with one whole number"),
    ):
        viewer.add_labels(array.astype(np.int32), name=name)
        choose(dock.input.labels_combo, name)
        assert words in doubt.text()
        assert doubt.isVisible()
    viewer.add_labels(MADE.labels, name="regions")
    choose(dock.input.labels_combo, "regions")
    assert not doubt.isVisible()


def test_what_was_left_out_is_counted_with_its_reasons(dock, viewer, qtbot):
    left_out = dock.input.left_out
    assert not left_out.isVisible()
    labels = find(qtbot, dock, viewer, MADE)
    assert left_out.isVisible()
    total, reasons = left_out.text().split(" left out: ")
    assert int(total) == sum(int(one.split()[0]) for one in reasons.split(", "))
    before = int(labels.data.max())
    dock.input.smallest.setValue(0.9)
    qtbot.waitUntil(lambda: labels.data.max() < before)
    gone = before - int(labels.data.max())
    assert left_out.text().startswith(f"{int(total) + gone} left out: ")
    assert "too small" in left_out.text()
    viewer.add_labels(MADE.labels, name="others")
    choose(dock.input.labels_combo, "others")
    assert not left_out.isVisible()


def test_a_stack_counts_the_frame_and_all_frames(dock, viewer, qtbot):
    viewer.add_image(np.stack([MADE.image, OTHER.image]), name="stack")
    dock.input.find_button.click()
    done(qtbot, dock)
    assert " left out: " in dock.input.left_out.text()
    labels = dock.labels
    set_table(labels, seeded(np.asarray(labels.data)))
    table = table_of(labels)
    legend = dock.result.legend
    assert legend.frames.isVisible()
    for frame in (1, 0):
        viewer.dims.set_current_step(0, frame)
        mine = table[table["frame"] == frame]
        said = f"Regions: this frame {len(mine)}, all 2 frames {len(table)}"
        qtbot.waitUntil(lambda said=said: legend.frames.text() == said)
        assert legend.shown_counts() == {str(k): str(n) for k, n in counts(mine).items()}
    assert legend.shown_totals() == {str(k): str(n) for k, n in counts(table).items()}
    viewer.add_image(MADE.image, name="metaphase")
    assert not legend.frames.isVisible()


def test_what_is_chosen_in_the_dock_is_remembered(dock, viewer, qtbot):
    box = dock.run.model_combo
    box.activated.emit(box.currentIndex())
    choose(dock.run.device_combo, "cpu")
    assert (preferences().model, preferences().device) == ("quick", "cpu")


def test_a_chosen_image_is_shown_whole(dock, viewer, qtbot):
    labels = find(qtbot, dock, viewer, MADE)
    viewer.add_image(OTHER.image[:200, :200], name="another")
    qtbot.waitUntil(lambda: not labels.visible)
    assert "is hidden" in dock.banner.text
    assert viewer.layers.index("another") < viewer.layers.index(labels)
    camera = viewer.scene.camera
    camera.zoom, camera.center = 20, (0, 0)
    choose(dock.input.image_combo, "metaphase")
    assert viewer.layers["metaphase"].visible
    assert labels.visible
    assert not viewer.layers["another"].visible
    height, width = MADE.image.shape
    assert np.allclose(camera.center[-2:], ((height - 1) / 2, (width - 1) / 2), atol=2)
    assert camera.zoom * max(height, width) < 1.1 * max(viewer.canvas.size)
    zoom = camera.zoom = 3.0
    viewer.add_labels(np.zeros_like(MADE.labels), name="empty")
    assert camera.zoom == zoom  # the view is fitted once, not continuously


def test_of_many_metaphases_the_one_that_is_seen_is_chosen(dock, viewer, annotated, qtbot):
    viewer.open(str(annotated), plugin="napari-chromocluster")
    qtbot.waitUntil(lambda: letters_layer(viewer, viewer.layers[1]) is not None, timeout=20000)
    assert dock.image == viewer.layers[0]
    assert dock.image.visible
    assert dock.labels.visible


@pytest.mark.parametrize("gone", ["image", "regions", "picture"])
def test_what_is_gone_while_it_is_classified(gone, dock, viewer, monkeypatch, qtbot):
    labels = find(qtbot, dock, viewer, MADE)
    set_table(labels, seeded(np.asarray(labels.data)))
    before = table_of(labels)
    dock.show_result()
    qtbot.waitUntil(lambda: letters_layer(viewer, labels) is not None, timeout=20000)
    go_on, model = threading.Event(), dock.classifier
    monkeypatch.setattr(dock, "classifier", lambda: go_on.wait(20) and model())
    dock.run.all_button.click()
    image = viewer.layers["metaphase"]
    if gone == "picture":
        image.data = OTHER.image
    else:
        viewer.layers.remove(image if gone == "image" else labels)
    go_on.set()
    done(qtbot, dock)
    words = {
        "image": "the image was closed",
        "regions": "the regions were closed",
        "picture": "shows another picture now",
    }
    assert dock.banner.text.startswith("Classifying was stopped: ")
    assert words[gone] in dock.banner.text
    assert table_of(labels).equals(before)
    qtbot.waitUntil(lambda: gone == "regions" or not labels.visible)
    letters = letters_layer(viewer, labels)
    assert letters is None or not letters.visible or not len(letters.data)
    assert dock.labels is None


def test_another_picture_in_the_layer_is_another_image(dock, viewer, qtbot):
    labels = find(qtbot, dock, viewer, MADE)
    set_table(labels, seeded(np.asarray(labels.data)))
    assert dock.result.review_button.isEnabled()
    viewer.layers["metaphase"].data = OTHER.image
    qtbot.waitUntil(lambda: dock.labels is None)
    assert "shows another picture now" in dock.banner.text
    assert not labels.visible
    assert not dock.result.review_button.isEnabled()
    dock.input.find_button.click()
    done(qtbot, dock)
    assert dock.labels != labels
    assert not (table_of(dock.labels)["cluster_type"] != "").any()
    # The previous image is recognized again.
    viewer.layers["metaphase"].data = MADE.image.copy()
    qtbot.waitUntil(lambda: dock.labels == labels)


def test_a_review_ends_with_its_picture(classified, qtbot):
    image, labels = classified.layers[:2]
    with reviewing(classified, qtbot) as review:
        key = review.session.region_keys()[0]
        review.session.set_type([key], "other")
        image.data = OTHER.image
        qtbot.waitUntil(lambda: review.session is None, timeout=20000)
        assert review.labels_combo.currentData() is None
        assert "shows another picture now" in review.banner.text
        assert not labels.visible
        # The original image restores the decision.
        other = classified.add_image(MADE.image.copy(), name="again")
        review.choose_image(other)
        qtbot.waitUntil(lambda: review.session is not None, timeout=20000)
        assert review.session.rows([key])["cluster_type"].iloc[0] == "other"


def test_names_that_differ_at_their_ends_can_be_told_apart(dock, viewer, qtbot):
    long = "metaphase of the laboratory in a folder with a long name, slide 12, field 7"
    for channel in (1, 2):
        viewer.add_image(np.zeros((20, 30)), name=f"{long} · channel {channel}")
    shown = []
    for place in (0, 1):
        dock.input.image_combo.setCurrentIndex(place)
        shown.append(dock.input.image_combo.shown_text())
    assert [text[-9:] for text in shown] == ["channel 1", "channel 2"]
    assert all(text.startswith("meta") and "…" in text for text in shown)
    point = dock.input.image_combo.rect().center()
    where = dock.input.image_combo.mapToGlobal(point)
    QApplication.sendEvent(dock.input.image_combo, QHelpEvent(QEvent.Type.ToolTip, point, where))
    qtbot.waitUntil(lambda: f"{long} · channel 2" in QToolTip.text(), timeout=5000)
    QToolTip.hideText()


def test_words_about_one_image_go_with_it(dock, viewer):
    for name in ("first", "second"):
        viewer.add_image(np.zeros((20, 30)), name=name)
    dock.banner.error("No region was found.")
    choose(dock.input.image_combo, "first")
    assert not dock.banner.text


def test_nothing_jumps_when_a_classification_begins_and_ends(dock, viewer, metaphase, qtbot):
    find(qtbot, dock, viewer, metaphase)
    qtbot.waitUntil(lambda: dock.isVisible())
    dock.run.all_button.click()
    done(qtbot, dock)
    # Counts and legend are there, and laid out, from now on.
    result = dock.result
    qtbot.waitUntil(lambda: result.chromosomes.isVisible(), timeout=5000)
    qtbot.waitUntil(lambda: result.height() >= result.sizeHint().height(), timeout=5000)
    heights = set()

    def note():
        heights.add((dock.run.mapTo(dock, QPoint(0, 0)).y(), dock.run.height()))
        heights.add((dock.result.mapTo(dock, QPoint(0, 0)).y(), dock.result.height()))

    note()
    idle = set(heights)
    dock.run.all_button.click()
    note()
    dock.task.progressed.connect(note)
    dock.task.ended.connect(note)
    done(qtbot, dock)
    qtbot.wait(1)
    note()
    assert heights == idle
