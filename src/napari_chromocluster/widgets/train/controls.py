"""Small controls shared by the panels of the training dock."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QComboBox,
    QDoubleSpinBox,
    QFormLayout,
    QPushButton,
    QSpinBox,
    QWidget,
)


def button(text: str, tooltip: str, action: Callable[[], object] | None = None) -> QPushButton:
    """Return a push button that can shrink as needed."""
    made = QPushButton(text)
    made.setToolTip(tooltip)
    made.setMinimumWidth(10)
    if action is not None:
        made.clicked.connect(lambda _checked=False: action())
    return made


def _let_the_wheel_pass(control: QWidget) -> None:
    """Leave the wheel to the dock: scrolling must not change the value under the mouse."""
    control.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
    control.wheelEvent = lambda event: event.ignore()


def spin(low: int, high: int, tooltip: str) -> QSpinBox:
    """Return a spin box for integers."""
    made = QSpinBox()
    _let_the_wheel_pass(made)
    made.setRange(low, high)
    made.setToolTip(tooltip)
    return made


def share(low: float, high: float, tooltip: str) -> QDoubleSpinBox:
    """Return a spin box for a fraction."""
    made = QDoubleSpinBox()
    _let_the_wheel_pass(made)
    made.setRange(low, high)
    made.setSingleStep(0.05)
    made.setToolTip(tooltip)
    return made


def combo(tooltip: str) -> QComboBox:
    """Return a combo box that does not widen for long names."""
    made = QComboBox()
    _let_the_wheel_pass(made)
    made.setToolTip(tooltip)
    made.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    made.setMinimumContentsLength(8)
    return made


def form() -> QFormLayout:
    """Return a form whose fields use the available width."""
    made = QFormLayout()
    made.setContentsMargins(0, 0, 0, 0)
    made.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
    return made
