"""Model, threshold and number of chromosomes: chosen once, used by all docks."""

import contextlib

import numpy as np
import pytest
from qtpy.compat import isalive
from qtpy.QtCore import QEvent
from qtpy.QtWidgets import QApplication, QComboBox, QDialog, QPushButton

from napari_chromocluster.models.registry import register_model
from napari_chromocluster.viewer.layer_tables import table_of
from napari_chromocluster.viewer.settings import models_changed, preferences, remember
from napari_chromocluster.widgets.classify import ClassifyWidget
from napari_chromocluster.widgets.review.widget import ReviewWidget
from review_dock import reviewing


@pytest.fixture
def both(classified, tiny_model, qtbot):
    """Both docks at one metaphase, and two models to choose from."""
    register_model(tiny_model, "quick")
    register_model(tiny_model, "other model")
    classify = ClassifyWidget(classified)
    classified.window.add_dock_widget(classify, name="Classify", area="right")
    with reviewing(classified, qtbot) as review:
        yield classify, review
    classify.release()


def pick(box, text):
    """Choose an entry as a user does."""
    place = box.findText(text)
    assert place >= 0, [box.itemText(k) for k in range(box.count())]
    box.setCurrentIndex(place)
    box.activated.emit(place)


def test_the_threshold_of_one_dock_is_that_of_the_other(both, qtbot):
    classify, review = both
    before = review.status.text()
    classify.result.threshold.setValue(0.95)
    qtbot.waitUntil(lambda: review.status.text() != before, timeout=5000)
    sure = table_of(review.labels)["confidence"] >= 0.95
    assert review.status.text().startswith(f"{int((~sure).sum())} of {len(sure)}")


def test_the_expected_number_of_one_dock_is_that_of_the_other(both, qtbot):
    classify, review = both
    review.summary.expected.setValue(45)
    qtbot.waitUntil(lambda: "(45 expected)" in classify.result.chromosomes.text(), timeout=5000)
    assert preferences().expected == 45
    review.summary.expected.setValue(0)
    qtbot.waitUntil(lambda: "expected" not in classify.result.chromosomes.text(), timeout=5000)


def test_the_review_classifies_with_the_model_of_the_classify_dock(both, qtbot):
    classify, review = both
    pick(classify.run.model_combo, "quick")
    label = int(review.labels.data.max())
    y, x = np.argwhere(review.labels.data == label)[0]
    review.labels.data_setitem((np.array([y]), np.array([x])), 0)
    button = next(
        one for one in review.findChildren(QPushButton) if one.text().startswith("Classify")
    )
    qtbot.waitUntil(button.isEnabled, timeout=5000)
    button.click()
    qtbot.waitUntil(lambda: "again" in review.banner.text, timeout=30000)
    rows = table_of(review.labels).set_index("index")
    assert rows.loc[label, "model"].startswith(("quick", "tiny"))


def test_the_preferences_list_the_models_and_change_the_docks(both, qtbot, viewer):
    classify, _ = both
    pick(classify.run.model_combo, "quick")
    menus = viewer.window._qt_window.menuBar().actions()
    entries = [action for menu in menus for action in menu.menu().actions()]
    next(one for one in entries if one.text().startswith("Preferences")).trigger()
    dialog = next(one for one in QApplication.topLevelWidgets() if is_preferences(one))
    try:
        lists = [
            box
            for box in dialog.findChildren(QComboBox)
            if {"default", "quick"} <= {box.itemText(k) for k in range(box.count())}
        ]
        assert len(lists) == 1
        assert lists[0].currentText() == "quick"
        lists[0].setCurrentText("default")
        qtbot.waitUntil(lambda: classify.run.model_combo.currentText() == "default", timeout=5000)
    finally:
        with contextlib.suppress(RuntimeError):
            dialog.close()


def is_preferences(widget):
    return (
        isinstance(widget, QDialog) and widget.isVisible() and "references" in widget.windowTitle()
    )


def test_a_choice_is_there_when_the_dock_opens_next_time(both, qtbot, viewer):
    classify, _ = both
    pick(classify.run.model_combo, "quick")
    classify.result.threshold.setValue(0.85)
    qtbot.waitUntil(lambda: preferences().threshold == 0.85, timeout=5000)
    again = ClassifyWidget(viewer)
    qtbot.addWidget(again)
    assert again.run.model_combo.currentText() == "quick"
    assert again.result.threshold.value() == pytest.approx(0.85)
    again.release()


def test_a_dock_that_was_deleted_with_its_window_hears_of_nothing(viewer, qapp):
    widgets = [ClassifyWidget(viewer), ReviewWidget(viewer)]
    for widget in widgets:
        widget.deleteLater()
    qapp.sendPostedEvents(None, QEvent.Type.DeferredDelete)
    assert not any(map(isalive, widgets))
    models_changed.emit()
    remember("threshold", 0.55)
    remember("expected", 40)
