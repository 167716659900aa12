"""Small Qt widgets of the docks: groups, banner, legend."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qtpy.QtCore import QEvent, QSize, Qt
from qtpy.QtWidgets import (
    QApplication,
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QScrollArea,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_chromocluster.cluster_types import TYPES, ClusterType

#: Color for warnings that are not errors.
AMBER = "#E69F00"


class CollapsibleGroup(QWidget):
    """A group of controls with a heading that collapses it.

    Parameters
    ----------
    title : str
        The heading.
    """

    def __init__(self, title: str) -> None:
        super().__init__()
        self.header = QToolButton()
        self.header.setText(title)
        self.header.setCheckable(True)
        self.header.setChecked(True)
        self.header.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.header.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.header.setToolTip(f"Fold or unfold {title.lower()}.")
        self.header.setStyleSheet("QToolButton { font-weight: bold; border: none; }")
        self.header.toggled.connect(self._fold)
        self.content = QWidget()
        self.layout_ = QVBoxLayout(self.content)
        self.layout_.setContentsMargins(6, 2, 6, 6)
        self.layout_.setSpacing(6)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.setSpacing(0)
        outer.addWidget(self.header)
        outer.addWidget(self.content)
        self._fold(True)

    def _fold(self, open_: bool) -> None:
        self.header.setArrowType(Qt.ArrowType.DownArrow if open_ else Qt.ArrowType.RightArrow)
        self.content.setVisible(open_)


def group(title: str) -> tuple[CollapsibleGroup, QVBoxLayout]:
    """Return an open collapsible group and the layout to fill."""
    box = CollapsibleGroup(title)
    return box, box.layout_


class Scroller(QScrollArea):
    """Scrolls vertically only, and is never narrower than its content."""

    #: Minimum width in px.
    least = 290

    def minimumSizeHint(self) -> QSize:
        """Return a width at which no text is cut off, however large the font."""
        hint = super().minimumSizeHint()
        content = self.widget()
        if content is None:
            return QSize(hint)
        bar = self.verticalScrollBar().sizeHint().width()
        # A few px more, since napari's style gives the bar a margin.
        return QSize(max(self.least, content.minimumSizeHint().width() + bar + 4), hint.height())

    def eventFilter(self, watched: Any, event: Any) -> bool:
        """Update the size when the content changes."""
        if event.type() == QEvent.Type.LayoutRequest:
            self.updateGeometry()
        return bool(super().eventFilter(watched, event))


def scrolling(content: QWidget, least: int = Scroller.least) -> QScrollArea:
    """Return a vertical scroll area with a minimum width in px."""
    area = Scroller()
    area.least = least
    content.installEventFilter(area)
    area.setWidgetResizable(True)
    area.setFrameShape(QFrame.Shape.NoFrame)
    area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    content.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
    area.setWidget(content)
    return area


class MessageBar(QFrame):
    """One sentence about an error or a completed action, with a button to dismiss it."""

    def __init__(self) -> None:
        super().__init__()
        layout = QHBoxLayout(self)
        layout.setContentsMargins(8, 4, 4, 4)
        self._label = QLabel()
        self._label.setWordWrap(True)
        self._label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        close = QToolButton()
        close.setText("✕")
        close.setToolTip("Dismiss this message.")
        close.clicked.connect(self.hide)
        layout.addWidget(self._label, 1)
        layout.addWidget(close)
        self.hide()

    @property
    def text(self) -> str:
        """The sentence that is shown, or empty."""
        return "" if self.isHidden() else str(self._label.text())

    def error(self, message: str) -> None:
        """Show an error, unless another dock shows the same one."""
        others = (one for one in QApplication.allWidgets() if isinstance(one, MessageBar))
        if not any(one is not self and one.isVisible() and one.text == message for one in others):
            self._show(message, "#D55E00")

    def info(self, message: str) -> None:
        """Show an informational message."""
        self._show(message, "#0072B2")

    def clear(self) -> None:
        """Hide the message."""
        self.hide()

    def _show(self, message: str, color: str) -> None:
        self._label.setText(message)
        self.setStyleSheet(f"Banner {{ border: 1px solid {color}; border-radius: 4px; }}")
        self.show()


def frames_text(shown: int, total: int, frames: int) -> str:
    """Return a text with the region counts of the frame shown and of all frames."""
    return f"Regions: this frame {shown}, all {frames} frames {total}"


class Legend(QWidget):
    """The types with color, letter and count, and for stacks the count of all frames."""

    def __init__(self) -> None:
        super().__init__()
        layout = QGridLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setVerticalSpacing(3)
        self._swatches: dict[ClusterType, QLabel] = {}
        self._counts: dict[ClusterType, QLabel] = {}
        self._totals: dict[ClusterType, QLabel] = {}
        self.frames = QLabel()
        self.frames.setWordWrap(True)
        layout.addWidget(self.frames, 0, 0, 1, 4)
        self._heads = [QLabel("frame"), QLabel("all")]
        for column, head in enumerate(self._heads, start=2):
            head.setAlignment(Qt.AlignmentFlag.AlignRight)
            layout.addWidget(head, 1, column)
        for row, kind in enumerate(TYPES, start=2):
            swatch = QLabel(kind.letter)
            swatch.setAlignment(Qt.AlignmentFlag.AlignCenter)
            number = QLabel("–")
            number.setAlignment(Qt.AlignmentFlag.AlignRight)
            layout.addWidget(swatch, row, 0)
            layout.addWidget(QLabel(kind.display_name), row, 1)
            total = QLabel()
            total.setAlignment(Qt.AlignmentFlag.AlignRight)
            layout.addWidget(number, row, 2)
            layout.addWidget(total, row, 3)
            self._totals[kind] = total
            self._swatches[kind], self._counts[kind] = swatch, number
        layout.setColumnStretch(1, 1)
        self.set_colors({})
        self.set_frames("", None)

    def set_frames(self, sentence: str, totals: Mapping[ClusterType, int] | None) -> None:
        """Show a sentence and the total counts of a stack; empty for a single image."""
        self.frames.setText(sentence)
        for part in (self.frames, *self._heads, *self._totals.values()):
            part.setVisible(bool(sentence))
        for kind, label in self._totals.items():
            label.setText("–" if totals is None else str(totals.get(kind, 0)))

    def set_colors(self, colors: Mapping[str, str]) -> None:
        """Apply the colors that the user chose."""
        for kind, swatch in self._swatches.items():
            color = colors.get(str(kind), kind.color)
            swatch.setStyleSheet(
                f"background: {color}; color: black; font-weight: bold; border-radius: 3px; "
                "padding: 1px 4px;"
            )

    def set_counts(self, counts: Mapping[ClusterType, int] | None) -> None:
        """Show the number of regions of each type; None if not classified."""
        for kind, label in self._counts.items():
            label.setText("–" if counts is None else str(counts.get(kind, 0)))

    def shown_counts(self) -> dict[str, str]:
        """Return the displayed counts, for tests and screen readers."""
        return {str(kind): str(label.text()) for kind, label in self._counts.items()}

    def shown_totals(self) -> dict[str, str]:
        """Return the displayed counts of all frames of a stack."""
        return {str(kind): str(label.text()) for kind, label in self._totals.items()}
