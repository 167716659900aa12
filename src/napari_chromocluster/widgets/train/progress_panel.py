"""Live progress of a training run: curves, bars, time left, device and memory."""

from __future__ import annotations

from typing import Any

import pyqtgraph as pg
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel, QProgressBar, QVBoxLayout, QWidget

from napari_chromocluster.training.runs.progress import Curve, RunProgress, duration
from napari_chromocluster.widgets.train.controls import button, form

_GRAY, _BLUE, _GREEN = "#999999", "#56B4E9", "#009E73"
#: Maximum number of points of a curve; more than the pixels of a plot are useless.
_POINTS = 1500
#: Minimum number of reported batches per epoch to plot the batch loss.
_BATCHES_REPORTED = 3
#: Width of the axis labels of a plot, in px; the same for all, so that epochs are aligned.
_NUMBERS = 34


class ProgressPanel(QWidget):
    """The state of a training run, and its curves."""

    def __init__(self) -> None:
        super().__init__()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self.headline = QLabel("")
        self.headline.setWordWrap(True)
        layout.addWidget(self.headline)
        self.resume_button = button("Resume", "Go on from the last finished epoch.")
        self.resume_button.hide()
        layout.addWidget(self.resume_button)
        self.epoch_bar = _bar("How much of all epochs is done.")
        self.batch_bar = _bar("How much of this epoch, or of the preparation, is done.")
        layout.addWidget(self.epoch_bar)
        layout.addWidget(self.batch_bar)
        rows = form()
        self.eta = QLabel("–")
        self.where = QLabel("–")
        rows.addRow("Time left", self.eta)
        rows.addRow("Device, memory", self.where)
        layout.addLayout(rows)
        self.loss = _CurvePlot("loss", {"training": _GRAY, "validation": _BLUE})
        self.sensitivity = _CurvePlot("macro sensitivity", {"validation": _GREEN})
        self.sensitivity.plot.setYRange(0, 1, padding=0.02)
        layout.addWidget(self.loss)
        layout.addWidget(self.sensitivity)

    def begin(self, progress: RunProgress) -> None:
        """Show an empty panel for a run."""
        for plot in (self.loss, self.sensitivity):
            plot.set_stages(progress)
        self.show_progress(progress)

    def show_progress(self, progress: RunProgress) -> None:
        """Update everything to the progress of a run."""
        self.headline.setText(headline(progress))
        self.epoch_bar.setValue(round(1000 * progress.done))
        self.epoch_bar.setFormat(_epoch_text(progress))
        part, text = _batch_state(progress)
        self.batch_bar.setValue(round(1000 * part))
        self.batch_bar.setFormat(text)
        self.eta.setText(duration(progress.eta_s) if progress.eta_s is not None else "–")
        memory = f", {progress.memory_mb:,.0f} MB" if progress.memory_mb else ""
        self.where.setText(f"{device_name(progress.device)}{memory}" if progress.device else "–")
        self.loss.draw(
            {"training": training_curve(progress), "validation": progress.validation_loss}
        )
        self.sensitivity.draw({"validation": progress.macro_sensitivity})


class _CurvePlot(QWidget):
    """A plot over epochs, with lines at the start of each stage."""

    def __init__(self, title: str, curves: dict[str, str]) -> None:
        super().__init__()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        marks = "&nbsp; ".join(
            f'<span style="color:{color}">■</span> {name}' for name, color in curves.items()
        )
        layout.addWidget(QLabel(f"{title.capitalize()} &nbsp; <small>{marks}</small>"))
        self.plot = pg.PlotWidget()
        self.plot.setBackground(None)
        self.plot.setMinimumHeight(110)
        self.plot.setMaximumHeight(150)
        self.plot.setMenuEnabled(False)
        self.plot.hideButtons()
        self.plot.setMouseEnabled(x=False, y=False)
        # The wheel scrolls the dock and must not be captured by a plot.
        self.plot.wheelEvent = lambda event: event.ignore()
        self.plot.setLabel("bottom", "epoch")
        self.plot.getAxis("left").setWidth(_NUMBERS)
        self.plot.showGrid(x=False, y=True, alpha=0.25)
        self.plot.setAccessibleName(title)
        layout.addWidget(self.plot)
        self.curves = {
            name: self.plot.plot(
                pen=pg.mkPen(color, width=2 if name == "validation" else 1),
                symbol="o" if name == "validation" else None,
                symbolSize=5,
                symbolBrush=color,
                symbolPen=None,
            )
            for name, color in curves.items()
        }
        self._lines: list[Any] = []
        self._shown: dict[str, tuple[float, ...]] = {}

    def set_stages(self, progress: RunProgress) -> None:
        """Draw a line at the start of each stage, with its name."""
        for line in self._lines:
            self.plot.removeItem(line)
        self._lines = []
        for number, (begin, stage) in enumerate(
            zip(progress.bounds, progress.stages, strict=False)
        ):
            # Alternate the height, so that the names of short stages do not overlap.
            height = 0.92 - 0.16 * (number % 2)
            line = pg.InfiniteLine(
                begin,
                pen=pg.mkPen("#888888", style=Qt.PenStyle.DashLine),
                label=stage.name,
                labelOpts={"position": height, "anchors": [(0, 0.5), (0, 0.5)], "color": "#888888"},
            )
            self.plot.addItem(line)
            self._lines.append(line)
        self.plot.setXRange(0, max(progress.bounds[-1], 1), padding=0.02)

    def draw(self, curves: dict[str, Curve]) -> None:
        """Draw the curves."""
        for name, curve in curves.items():
            shown = (len(curve.x), *curve.x[-1:], *curve.y[-1:])
            if self._shown.get(name) == shown:  # drawing is slow
                continue
            self._shown[name] = shown
            step = max(1, len(curve.x) // _POINTS)
            self.curves[name].setData(curve.x[::step], curve.y[::step])


def training_curve(progress: RunProgress) -> Curve:
    """Return the loss of the batches, or of whole epochs if few batches were reported."""
    few = len(progress.batch_loss.x) < _BATCHES_REPORTED * len(progress.train_loss.x)
    return progress.train_loss if few or not progress.batch_loss.x else progress.batch_loss


def _bar(tooltip: str) -> QProgressBar:
    bar = QProgressBar()
    bar.setRange(0, 1000)
    bar.setToolTip(tooltip)
    return bar


def headline(progress: RunProgress) -> str:
    """Return a short text on what a training run is doing."""
    if progress.ended == "end":
        return "Stopped: the best so far is kept." if progress.stopped else "Finished."
    if progress.ended:
        return progress.message
    if progress.reporting:
        return "Comparing with the model it began with…"
    if progress.folds > 1:
        return f"Fold {progress.fold} of {progress.folds}: {progress.stage}"
    if progress.preparing is not None:
        return f"{progress.preparing[0].capitalize()}…"
    if progress.epochs == 0:
        return "Starting…"
    which = "head only" if _frozen(progress) else "all layers"
    return f"{progress.stage.capitalize()} stage ({which})"


def _frozen(progress: RunProgress) -> bool:
    return any(one.freeze_body for one in progress.stages if one.name == progress.stage)


def _epoch_text(progress: RunProgress) -> str:
    if progress.epochs == 0:
        return "epochs"
    return f"{progress.stage}: epoch {max(progress.epoch, 1)} of {progress.epochs}"


def _batch_state(progress: RunProgress) -> tuple[float, str]:
    if progress.preparing is not None:
        what, done, total = progress.preparing
        return done / max(total, 1), f"{what}: {done} of {total}"
    if progress.batches:
        part = progress.batch / progress.batches
        return part, f"batch {progress.batch} of {progress.batches}"
    return 0.0, "batches"


def device_name(device: str) -> str:
    """Return the user-facing name of a device."""
    return {"cpu": "CPU", "mps": "GPU (MPS)"}.get(device, device.replace("cuda", "GPU "))
