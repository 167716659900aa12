"""Small helpers for forms: combo boxes that offer layers, sliders, buttons that say why not."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QComboBox, QFormLayout, QPushButton, QWidget
from superqt import QLabeledDoubleSlider


def form(parent: QWidget | None = None) -> QFormLayout:
    """Return a form whose fields take the width there is."""
    layout = QFormLayout(parent) if parent is not None else QFormLayout()
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
    return layout


def combo(tooltip: str) -> QComboBox:
    """Return a combo box that long names do not widen."""
    box = QComboBox()
    box.setToolTip(tooltip)
    box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    box.setMinimumContentsLength(8)
    return box


def slider(low: float, high: float, value: float) -> QLabeledDoubleSlider:
    """Return a slider with its value in a box."""
    made = QLabeledDoubleSlider(Qt.Orientation.Horizontal)
    made.setRange(low, high)
    made.setDecimals(2)
    made.setValue(value)
    return made


def offer(box: QComboBox, layers: list[Any], chosen: Any, none: str = "open an image") -> None:
    """Fill a combo box with layers without telling anyone until it is done."""
    blocked = box.blockSignals(True)
    box.clear()
    if chosen is None:
        box.addItem(none, None)
    for layer in layers:
        box.addItem(layer.name, layer)
    choose(box, chosen)
    box.blockSignals(blocked)


def choose(box: QComboBox, layer: Any) -> None:
    """Choose a layer; compared by equality, since napari hands plugins proxies of layers."""
    places = (i for i in range(box.count()) if box.itemData(i) == layer)
    box.setCurrentIndex(next(places, 0))


def enable(button: QPushButton, reason: str, tooltip: str) -> None:
    """Enable a button, or say in its tooltip why it cannot be used."""
    button.setEnabled(not reason)
    button.setToolTip(reason or tooltip)
