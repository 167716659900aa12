"""Review a stack of metaphases."""

from __future__ import annotations

import numpy as np
import pytest
from napari.utils._proxies import PublicOnlyProxy
from qtpy.QtCore import Qt

from napari_chromocluster.cluster_types import ClusterType
from napari_chromocluster.results.features_table import set_types
from napari_chromocluster.widgets.classify import ClassifyWidget
from review_dock import MADE, OTHER, choose, framed, press, reviewing, row, seeded


@pytest.fixture
def dock(review):
    return review


@pytest.fixture
def stacked(viewer):
    """A viewer with a stack of two frames whose regions have types, some of them unsure."""
    labels = np.stack([MADE.labels, OTHER.labels])
    viewer.add_image(np.stack([MADE.image, OTHER.image]), name="stack")
    viewer.add_labels(labels, name="stack regions", features=seeded(labels))
    viewer.dims.set_current_step(0, 0)
    viewer.window._qt_window.activateWindow()
    return viewer


@pytest.fixture
def stack(stacked, qtbot):
    """The review of a stack, at its first frame."""
    with reviewing(stacked, qtbot) as dock:
        yield dock


def shown_frame(dock):
    return dock.viewer.dims.current_step[0]


def settle(table, frame):
    """Leave nothing to review in a frame."""
    rows = (table["frame"] == frame) & (table["confidence"] < 0.99)
    return set_types(table, list(table["index"][rows]), ClusterType.SINGLE, frame)


def test_stack_frames_and_ranking(stack, qtbot):
    assert len(stack.gallery.gallery.entries) == len(MADE.types)
    both = len(MADE.types) + len(OTHER.types)
    assert stack.status.text().startswith("Frame 1 of 2: ")
    said = stack.summary.legend.frames.text()
    assert said == f"Regions: this frame {len(MADE.types)}, all 2 frames {both}"
    press(stack, qtbot, "F")
    assert shown_frame(stack) == 1
    assert len(stack.gallery.gallery.entries) == len(OTHER.types)
    key = (1, stack.gallery.gallery.entries[0].label)
    choose(stack, qtbot, key)
    press(stack, qtbot, "2")
    assert row(stack, key)["cluster_type"] == "touching"
    stack.rank_stack()
    scores = [float(stack.summary.table.item(i, 1).text()) for i in range(2)]
    assert scores == sorted(scores, reverse=True)
    names = {stack.summary.table.item(i, 0).text() for i in range(2)}
    assert names == {"frame 1", "frame 2"}
    stack.open_ranked("frame 1")
    assert shown_frame(stack) == 0


def test_next_goes_on_to_the_frame_that_has_one(stack, qtbot):
    stack.labels.features = settle(stack.session.table, 0)
    waiting = int((stack.session.table["confidence"] < 0.7).sum())
    assert stack.status.text().endswith(f"all reviewed; {waiting} in other frames")
    press(stack, qtbot, "N")
    assert shown_frame(stack) == 1
    first = stack.gallery.gallery.waiting[0]
    assert stack.gallery.selected_keys() == [(1, first.label)]
    stack.viewer.dims.set_current_step(0, 0)
    press(stack, qtbot, "P")
    assert stack.gallery.selected_keys() == [(1, stack.gallery.gallery.waiting[-1].label)]
    stack.labels.features = settle(stack.session.table, 1)
    press(stack, qtbot, "N")
    assert "No other region" in stack.banner.text


def test_the_last_of_a_frame_leads_to_the_next(stack, qtbot):
    table = settle(stack.session.table, 0)
    label = table["index"][0]
    kind = stack.session.table["cluster_type"][0]
    table.loc[0, ["cluster_type", "source", "confidence"]] = [kind, "model", 0.5]
    stack.labels.features = table
    press(stack, qtbot, "N")
    assert stack.gallery.selected_keys() == [(0, label)]
    press(stack, qtbot, "Space")
    assert shown_frame(stack) == 1
    assert [frame for frame, _ in stack.gallery.selected_keys()] == [1]


def test_the_classify_dock_hands_on_at_the_frame_that_has_one(stacked, qtbot):
    labels = stacked.layers["stack regions"]
    labels.features = settle(labels.features, 0)
    classify = ClassifyWidget(PublicOnlyProxy(stacked))
    stacked.window.add_dock_widget(classify, name="Classify", area="right")
    stacked.dims.set_current_step(0, 0)
    classify.result.review_button.click()
    _, review = stacked.window.add_plugin_dock_widget("napari-chromocluster", "Review")
    assert shown_frame(review) == 1
    (key,) = review.gallery.selected_keys()
    assert key[0] == 1
    assert row(review, key)["confidence"] < classify.result.threshold.value()
    classify.release()


def test_undo_goes_to_the_frame_of_what_it_takes_back(stack, qtbot):
    key = (0, stack.gallery.gallery.entries[2].label)
    choose(stack, qtbot, key)
    press(stack, qtbot, "3")
    press(stack, qtbot, "F")
    press(stack, qtbot, "Z", Qt.KeyboardModifier.ControlModifier)
    assert shown_frame(stack) == 0
    assert stack.gallery.selected_keys() == [key]
    assert framed(stack) == 1
    press(stack, qtbot, "F")
    press(stack, qtbot, "Y", Qt.KeyboardModifier.ControlModifier)
    assert shown_frame(stack) == 0
    assert row(stack, key)["cluster_type"] == "overlapping"


def test_a_frame_does_not_stay_when_another_picture_comes_up(stack, qtbot):
    choose(stack, qtbot, (0, stack.gallery.gallery.entries[0].label))
    assert framed(stack) == 1
    press(stack, qtbot, "F")
    assert framed(stack) == 0


def test_a_ranking_is_seen(stack, qtbot):
    table = stack.summary.table
    assert not table.isVisible()
    stack.rank_stack()
    two_lines = 2 * table.rowHeight(0) + table.horizontalHeader().height()
    qtbot.waitUntil(
        lambda: two_lines <= table.height() <= table.visibleRegion().boundingRect().height() + 2,
        timeout=10_000,
    )
