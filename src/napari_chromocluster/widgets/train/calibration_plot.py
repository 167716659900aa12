"""Calibration of a trained model: reliability plot and temperature."""

from __future__ import annotations

import pyqtgraph as pg
from qtpy.QtWidgets import QLabel, QVBoxLayout, QWidget

from napari_chromocluster.training.runs.report_data import Report

_BLUE, _GRAY = "#56B4E9", "#888888"


class CalibrationPlot(QWidget):
    """Accuracy against confidence; on the diagonal the model is perfectly calibrated."""

    def __init__(self) -> None:
        super().__init__()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        self.label = QLabel("")
        self.label.setWordWrap(True)
        layout.addWidget(self.label)
        self.plot = pg.PlotWidget()
        self.plot.setBackground(None)
        self.plot.setFixedHeight(150)
        self.plot.setMenuEnabled(False)
        self.plot.hideButtons()
        self.plot.setMouseEnabled(x=False, y=False)
        # The wheel scrolls the dock and must not be captured by a plot.
        self.plot.wheelEvent = lambda event: event.ignore()
        self.plot.setLabel("bottom", "confidence")
        self.plot.setLabel("left", "share right")
        self.plot.setXRange(0, 1, padding=0.02)
        self.plot.setYRange(0, 1, padding=0.04)
        self.plot.setAccessibleName("reliability")
        self.plot.setToolTip("Below the line the model is too sure, above it too careful.")
        self.plot.plot([0, 1], [0, 1], pen=pg.mkPen(_GRAY))
        self.curve = self.plot.plot(
            pen=pg.mkPen(_BLUE, width=2), symbol="o", symbolBrush=_BLUE, symbolPen=None
        )
        layout.addWidget(self.plot)

    def show_report(self, report: Report) -> None:
        """Show the calibration of a report."""
        text = f"Calibration: temperature {report.temperature:.2f}, error {report.new['ece']:.3f}"
        if report.old is not None:
            text += f" (old model {report.old['ece']:.3f})"
        self.label.setText(text)
        points = report.reliability
        # Reports of older versions have no points.
        self.plot.setVisible(bool(points))
        self.curve.setData(
            [point[0] for point in points],
            [point[1] for point in points],
            symbolSize=[min(4 + point[2] ** 0.5, 14) for point in points],
        )
