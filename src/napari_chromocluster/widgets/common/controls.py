"""Helpers for forms: layer combo boxes, sliders, buttons that explain why they are disabled."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QEvent, Qt
from qtpy.QtWidgets import (
    QComboBox,
    QFormLayout,
    QPushButton,
    QStyle,
    QStyleOptionComboBox,
    QStylePainter,
    QToolTip,
    QWidget,
)
from superqt import QLabeledDoubleSlider

#: Px at both sides of the text of a combo box.
_MARGIN = 4


def form(parent: QWidget | None = None) -> QFormLayout:
    """Return a form whose fields use the available width."""
    layout = QFormLayout(parent) if parent is not None else QFormLayout()
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
    return layout


class LayerCombo(QComboBox):
    """A combo box for layers, whose names often differ at their ends only."""

    def __init__(self) -> None:
        super().__init__()
        self.view().setTextElideMode(Qt.TextElideMode.ElideMiddle)

    def shown_text(self) -> str:
        """Return the name as there is room for it: its middle is left out."""
        return str(self._option().currentText)

    def _option(self) -> QStyleOptionComboBox:
        option = QStyleOptionComboBox()
        self.initStyleOption(option)
        field = self.style().subControlRect(
            QStyle.ComplexControl.CC_ComboBox, option,
            QStyle.SubControl.SC_ComboBoxEditField, self,
        )  # fmt: skip
        option.currentText = self.fontMetrics().elidedText(
            option.currentText, Qt.TextElideMode.ElideMiddle, field.width() - _MARGIN
        )
        return option

    def paintEvent(self, event: Any) -> None:
        """Draw the box with its beginning and end of the name."""
        painter, option = QStylePainter(self), self._option()
        painter.drawComplexControl(QStyle.ComplexControl.CC_ComboBox, option)
        painter.drawControl(QStyle.ControlElement.CE_ComboBoxLabel, option)

    def event(self, event: Any) -> bool:
        """Show the whole name in the tooltip."""
        if event.type() == QEvent.Type.ToolTip and self.currentData() is not None:
            words = f"{self.currentText()}\n{self.toolTip()}"
            QToolTip.showText(event.globalPos(), words, self)
            return True
        return bool(super().event(event))


def combo(tooltip: str) -> LayerCombo:
    """Return a combo box that long names do not widen."""
    box = LayerCombo()
    box.setToolTip(tooltip)
    box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    box.setMinimumContentsLength(8)
    return box


def slider(low: float, high: float, value: float) -> QLabeledDoubleSlider:
    """Return a slider with a value box."""
    made = QLabeledDoubleSlider(Qt.Orientation.Horizontal)
    made.setRange(low, high)
    made.setDecimals(2)
    made.setValue(value)
    return made


def set_choices(
    box: QComboBox, layers: list[Any], chosen: Any, none: str = "open an image"
) -> None:
    """Fill a combo box with layers without emitting signals."""
    blocked = box.blockSignals(True)
    box.clear()
    if chosen is None:
        box.addItem(none, None)
    for layer in layers:
        box.addItem(layer.name, layer)
    select_item(box, chosen)
    box.blockSignals(blocked)


def select_item(box: QComboBox, layer: Any) -> None:
    """Select a layer, compared by equality, since napari gives plugins proxies of layers."""
    places = (i for i in range(box.count()) if box.itemData(i) == layer)
    box.setCurrentIndex(next(places, 0))


def set_enabled(button: QPushButton, reason: str, tooltip: str) -> None:
    """Enable a button, or disable it and give the reason in its tooltip."""
    button.setEnabled(not reason)
    button.setToolTip(reason or tooltip)
