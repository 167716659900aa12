"""The docks with a 16-point font, for users with low vision, on a small screen."""

import numpy as np
import pytest
from napari.settings import get_settings
from napari.utils._proxies import PublicOnlyProxy
from qtpy.QtGui import QFont
from qtpy.QtWidgets import QAbstractButton, QApplication, QLabel

from napari_chromocluster.viewer.layer_tables import set_table
from napari_chromocluster.widgets.classify import ClassifyWidget
from napari_chromocluster.widgets.review.widget import ReviewWidget
from napari_chromocluster.widgets.train.widget import TrainWidget
from review_dock import MADE, seeded


@pytest.fixture
def large(viewer):
    application, appearance = QApplication.instance(), get_settings().appearance
    usual, size = application.font(), appearance.font_size
    font = QFont(usual)
    font.setPointSize(16)
    application.setFont(font)
    appearance.font_size = 16
    viewer.window._qt_window.resize(1366, 768)
    yield viewer
    application.setFont(usual)
    appearance.font_size = size


def cut(widget):
    """Return the widgets that are narrower than their text."""
    return [
        (part.text(), part.width(), part.sizeHint().width())
        for part in widget.findChildren((QLabel, QAbstractButton))
        if part.isVisible()
        and part.text()
        and not (isinstance(part, QLabel) and part.wordWrap())
        and part.width() < part.sizeHint().width()
    ]


@pytest.mark.parametrize("kind", [ClassifyWidget, ReviewWidget, TrainWidget])
def test_no_word_is_cut(kind, large, qtbot):
    large.add_image(np.stack([MADE.image] * 2), name="metaphase")
    labels = large.add_labels(np.stack([MADE.labels] * 2), name="metaphase regions")
    set_table(labels, seeded(np.asarray(labels.data)))
    dock = kind(PublicOnlyProxy(large))
    try:
        large.window.add_dock_widget(dock, name="dock", area="right")
        qtbot.waitUntil(dock.isVisible)
        QApplication.processEvents()
        assert cut(dock) == []
        assert dock.width() < 700
        assert large.window._qt_window.width() <= 1366
    finally:
        dock.release()
