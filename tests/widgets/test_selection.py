"""One selection shared by both docks, napari's selected label and its Features table."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication, QTableView

from classify_dock import click
from napari_chromocluster.viewer.overlay import show_overlay
from napari_chromocluster.viewer.overlay_layers import FRAMES, marks_layer
from napari_chromocluster.widgets.classify import ClassifyWidget
from napari_chromocluster.widgets.review.widget import ReviewWidget
from review_dock import MADE, OTHER, choose, framed, seeded


class Docks:
    """Both docks and napari's Features table over one layer of regions."""

    def __init__(self, viewer, image, labels, qtbot):
        viewer.add_image(image, name="metaphase")
        self.labels = viewer.add_labels(labels, name="metaphase regions", features=seeded(labels))
        self.viewer, self.qtbot = viewer, qtbot
        self.classify, self.review = ClassifyWidget(viewer), ReviewWidget(viewer)
        for dock in (self.classify, self.review):
            viewer.window.add_dock_widget(dock, name=type(dock).__name__, area="right")
        viewer.layers.selection.active = self.labels
        _, table = viewer.window.add_plugin_dock_widget("napari", "Features table widget")
        self.table = table.findChild(QTableView)
        QApplication.processEvents()  # a click comes in a later event loop turn

    def click_row(self, label, frame=0, modifier=Qt.KeyboardModifier.NoModifier):
        """Click the row of a region."""
        row = next(row for row, key in self.rows().items() if key == (frame, label))
        index = self.table.model().index(row, 1)
        self.table.scrollTo(index)
        place = self.table.visualRect(index).center()
        self.qtbot.mouseClick(self.table.viewport(), Qt.MouseButton.LeftButton, modifier, place)

    def rows(self):
        """Return frame and label of each row of the table, in displayed order."""
        model = self.table.model()
        heads = [
            model.headerData(column, Qt.Orientation.Horizontal)
            for column in range(model.columnCount())
        ]
        frame, label = heads.index("frame"), heads.index("index")
        return {
            row: (int(model.index(row, frame).data()), int(model.index(row, label).data()))
            for row in range(model.rowCount())
        }

    def highlighted(self):
        chosen = {index.row() for index in self.table.selectionModel().selectedIndexes()}
        return {key for row, key in self.rows().items() if row in chosen}

    def agree(self, *keys, shown=None):
        """Wait until all have the same regions selected."""
        here = list(keys) if shown is None else shown
        self.qtbot.waitUntil(
            lambda: (
                self.highlighted() == set(keys)
                and self.classify.selection == {label for _, label in keys}
                and set(self.review.gallery.selected_keys()) == set(here)
                and framed(self.review) == len(here)
            ),
            timeout=30000,
        )
        if keys:
            assert self.labels.selected_label in {label for _, label in keys}

    def close(self):
        self.classify.release()
        self.review.release()


SPARSE = np.where(MADE.labels > 0, MADE.labels * 7 + 90_000, 0).astype(np.int32)


@pytest.fixture(params=["from 1", "sparse and large"])
def docks(viewer, qtbot, request):
    labels = MADE.labels.copy() if request.param == "from 1" else SPARSE.copy()
    made = Docks(viewer, MADE.image, labels, qtbot)
    yield made
    made.close()


def test_rows_labels_and_docks_agree(docks, qtbot):
    names = sorted(int(one) for one in np.unique(docks.labels.data) if one)
    docks.click_row(names[4])
    docks.agree((0, names[4]))
    docks.labels.selected_label = names[8]  # as napari's picker and spin box do
    docks.agree((0, names[8]))
    choose(docks.review, qtbot, (0, names[2]))
    docks.agree((0, names[2]))
    docks.classify.run.pick_button.click()
    click(docks.viewer, docks.labels, names[5])
    docks.agree((0, names[2]), (0, names[5]))
    docks.classify.run.pick_button.click()
    docks.labels.selected_label = names[9]  # also while several are selected
    docks.agree((0, names[9]))
    docks.table.sortByColumn(4, Qt.SortOrder.DescendingOrder)
    docks.click_row(names[3])
    docks.agree((0, names[3]))
    docks.click_row(names[6], modifier=Qt.KeyboardModifier.ControlModifier)
    docks.agree((0, names[3]), (0, names[6]))
    docks.classify.run.clear_button.click()
    docks.agree()
    docks.click_row(names[7])
    docks.table.model().setFilterKeyColumn(1)
    docks.table.model().setFilterRegularExpression(f"^{names[7]}$|^{names[1]}$")
    docks.agree((0, names[7]))
    docks.click_row(names[1])
    docks.agree((0, names[1]))


def test_rows_of_a_stack_whose_labels_repeat(viewer, qtbot):
    docks = Docks(
        viewer,
        np.stack([MADE.image, OTHER.image[: MADE.image.shape[0], : MADE.image.shape[1]]]),
        np.stack([MADE.labels, np.flipud(MADE.labels)]),
        qtbot,
    )
    docks.click_row(5, frame=1)
    docks.agree((1, 5))
    assert docks.review.session is not None
    docks.click_row(6, frame=0)
    docks.agree((0, 6))
    docks.close()


def test_a_dock_that_is_closed_leaves_no_frame(viewer, qtbot):
    viewer.add_image(MADE.image, name="metaphase")
    labels = viewer.add_labels(MADE.labels.copy(), name="metaphase regions")
    first = ClassifyWidget(viewer)
    place = viewer.window.add_dock_widget(first, name="Classify", area="right")
    first.select({2, 3})
    assert len(marks_layer(viewer, labels, FRAMES).data) == 8
    viewer.window.remove_dock_widget(place)
    again = ClassifyWidget(viewer)
    viewer.window.add_dock_widget(again, name="Classify", area="right")
    frames = marks_layer(viewer, labels, FRAMES)
    assert again.selection == set()
    assert frames is None or not len(frames.data)
    again.release()


def test_what_is_selected_is_so_in_a_dock_that_is_opened_later(viewer, qtbot):
    viewer.add_image(MADE.image, name="metaphase")
    labels = MADE.labels.copy()
    viewer.add_labels(labels, name="metaphase regions", features=seeded(labels))
    review = ReviewWidget(viewer)
    viewer.window.add_dock_widget(review, name="Review", area="right")
    choose(review, qtbot, (0, 4))
    classify = ClassifyWidget(viewer)
    viewer.window.add_dock_widget(classify, name="Classify", area="right")
    assert classify.selection == {4}
    assert classify.run.clear_button.isEnabled()
    qtbot.mouseClick(classify.run.clear_button, Qt.MouseButton.LeftButton)
    assert review.gallery.selected_keys() == []
    review.release()
    classify.release()


def test_a_metaphase_under_review_has_four_layers_of_ours(docks, qtbot):
    viewer, labels = docks.viewer, docks.labels
    show_overlay(viewer, labels, threshold=0.9)
    name = sorted(int(one) for one in np.unique(labels.data) if one)[4]
    choose(docks.review, qtbot, (0, name))
    marks = {layer.name for layer in viewer.layers} - {"metaphase", "metaphase regions"}
    assert marks == {"metaphase · types", "metaphase · outlines", "metaphase · selected"}
    docks.classify.run.clear_button.click()
    qtbot.waitUntil(lambda: "metaphase · selected" not in viewer.layers, timeout=30000)
