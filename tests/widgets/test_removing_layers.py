"""Layers that the user removes, in any number and order, with any open docks."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from qtpy.QtCore import Qt

from classify_dock import done
from napari_chromocluster.models.registry import register_model
from napari_chromocluster.results.table_files import read_table
from napari_chromocluster.viewer.explanation_layer import show_explanation
from napari_chromocluster.viewer.overlay import letters_layer, show_overlay
from napari_chromocluster.widgets.classify import ClassifyWidget
from napari_chromocluster.widgets.review.widget import ReviewWidget
from napari_chromocluster.widgets.train.widget import TrainWidget
from review_dock import MADE, choose, press, row, seeded

DOCKS = {"Classify": ClassifyWidget, "Review": ReviewWidget, "Train": TrainWidget}
REGIONS = "metaphase regions"


@pytest.fixture
def docked(viewer, tiny_model):
    """Open docks by name."""
    register_model(tiny_model, "quick")
    opened = []

    def open_docks(*names):
        for name in names:
            widget = DOCKS[name](viewer)
            viewer.window.add_dock_widget(widget, name=name, area="right")
            if isinstance(widget, ClassifyWidget):
                widget.run.model_combo.setCurrentText("quick")
            opened.append(widget)
        return opened

    yield open_docks
    for widget in opened:
        widget.release()


def open_metaphase(viewer, docks, qtbot):
    """Open a metaphase that is classified, selected and explained, with all marks."""
    viewer.add_image(MADE.image, name="metaphase")
    labels = MADE.labels.copy()
    layer = viewer.add_labels(labels, name=REGIONS, features=seeded(labels))
    show_overlay(viewer, layer)
    show_explanation(viewer, layer, (labels > 0).astype(np.float32))
    for dock in docks:
        if isinstance(dock, ReviewWidget):
            choose(dock, qtbot, dock.session.region_keys()[3])
        elif isinstance(dock, ClassifyWidget):
            dock.select({2, 3})
    return layer


def remove_selected(viewer, qtbot, how):
    """Remove the selected layers as a user does: with the bin or with the key."""
    shown = viewer.window._qt_viewer
    if how == "bin":
        qtbot.mouseClick(shown.layerButtons.deleteButton, Qt.MouseButton.LeftButton)
    else:
        qtbot.keyClick(shown.layers, Qt.Key.Key_Delete)


def all_gone(viewer, qtbot):
    qtbot.waitUntil(lambda: not viewer.layers, timeout=30000)
    qtbot.wait(600)  # letters, dashes and counts are updated after a delay
    assert not viewer.layers


@pytest.mark.parametrize("how", ["bin", "key"])
@pytest.mark.parametrize("names", [[], ["Classify"], ["Review"], list(DOCKS)])
def test_all_selected_layers_go(docked, viewer, qtbot, names, how):
    docks = docked(*names)
    open_metaphase(viewer, docks, qtbot)
    viewer.layers.select_all()
    remove_selected(viewer, qtbot, how)
    all_gone(viewer, qtbot)
    for dock in docks:
        if isinstance(dock, (ReviewWidget, ClassifyWidget)):
            assert not dock.banner.text


@pytest.mark.parametrize("last", ["marks", REGIONS])
def test_layers_go_one_by_one(docked, viewer, qtbot, last):
    """Like `remove_selected`, whose order is that of a set."""
    docks = docked("Classify", "Review")
    open_metaphase(viewer, docks, qtbot)
    marks = [layer.name for layer in viewer.layers if layer.name not in ("metaphase", REGIONS)]
    assert len(marks) > 2
    pixels = ["metaphase", REGIONS]
    for name in [*pixels, *marks] if last == "marks" else [*marks, *pixels]:
        viewer.layers.remove(name)
    all_gone(viewer, qtbot)


def test_some_layers_go_and_the_others_stay_in_use(docked, viewer, qtbot):
    classify, review, _ = docked(*DOCKS)
    first = open_metaphase(viewer, [classify, review], qtbot)
    second = viewer.add_labels(np.roll(MADE.labels, 3, 0), name="metaphase regions 2")
    viewer.layers.selection = {first, letters_layer(viewer, first)}
    remove_selected(viewer, qtbot, "key")
    qtbot.waitUntil(
        lambda: review.session is not None and review.session.labels == second, timeout=30000
    )
    assert classify.labels == second
    assert first not in viewer.layers
    assert {layer.name for layer in viewer.layers} >= {"metaphase", "metaphase regions 2"}


def test_a_decision_is_saved_when_all_layers_go(docked, viewer, qtbot, tmp_path):
    (review,) = docked("Review")
    open_metaphase(viewer, [review], qtbot)
    key = review.session.region_keys()[3]
    viewer.window._qt_window.activateWindow()
    review.gallery.setFocus()
    qtbot.waitUntil(lambda: review.keys.bound and review.gallery.hasFocus(), timeout=30000)
    press(review, qtbot, "5")
    assert row(review, key)["source"] == "human"
    viewer.layers.select_all()
    remove_selected(viewer, qtbot, "key")
    all_gone(viewer, qtbot)
    table = read_table(tmp_path / "own" / "metaphase_regions.csv").set_index("index")
    assert table.loc[key[1], "cluster_type"] == "other"
    assert (table["source"] == "human").sum() == 1


@pytest.mark.parametrize("work", ["find", "classify", "explain"])
def test_all_layers_go_during_work(docked, viewer, qtbot, work):
    classify, review = docked("Classify", "Review")
    open_metaphase(viewer, [classify, review], qtbot)
    button = {"find": classify.input.find_button, "classify": classify.run.all_button,
              "explain": classify.result.explain_button}[work]  # fmt: skip
    qtbot.waitUntil(button.isEnabled, timeout=20000)
    button.click()
    assert classify.task is not None
    viewer.layers.select_all()
    remove_selected(viewer, qtbot, "key")
    done(qtbot, classify)
    all_gone(viewer, qtbot)


def test_regions_that_are_removed_are_found_again_without_a_crash():
    # OpenGL crashes when drawing later, so the whole process is checked.
    script = Path(__file__).with_name("bin_regions_process.py")
    ended = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=280, check=False,
        env={**os.environ, "NAPARI_CONFIG": ""},
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr[-3000:]
    assert ended.stdout.split()[-1] == "done"
