"""Progress of a training run, gathered from its events, for the widget and the report."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from napari_chromocluster.training.config import StageConfig, TrainingConfig


@dataclass
class Curve:
    """A line over epochs."""

    x: list[float] = field(default_factory=list)
    y: list[float] = field(default_factory=list)

    def add(self, x: float, y: float | None) -> None:
        """Append a point; a resumed training run replaces the points that it repeats."""
        if y is None:
            return
        while self.x and self.x[-1] >= x:
            self.x.pop()
            self.y.pop()
        self.x.append(x)
        self.y.append(y)


class RunProgress:
    """The state of a training run according to its events.

    Attributes
    ----------
    batch_loss, train_loss, validation_loss, macro_sensitivity, accuracy : Curve
        Over epochs of the whole training run.
    stages : tuple of StageConfig
        All stages.
    bounds : list of float
        First epoch of each stage, and the end.
    stage : str
        Name of the current stage.
    epoch, epochs : int
        Of that stage, from 1.
    batch, batches : int
        Of that epoch.
    eta_s : float or None
        Estimated seconds left.
    device : str
        Device of the training.
    memory_mb : float or None
        Peak memory.
    preparing : tuple of (str, int, int) or None
        Current step of the preparation, number done and total.
    fold, folds : int
        Current fold, from 1.
    reporting : bool
        Whether the report is being written.
    ended : str
        ``""`` while it runs, else ``end``, ``stopped`` or ``error``.
    stopped : bool
        Whether the user stopped it; it may still have a model.
    message : str
        Message of the last event.
    """

    def __init__(self, config: TrainingConfig) -> None:
        self.stages: tuple[StageConfig, ...] = config.stages
        self.bounds = [0.0]
        for stage in config.stages:
            self.bounds.append(self.bounds[-1] + stage.epochs)
        self.batch_loss = Curve()
        self.train_loss = Curve()
        self.validation_loss = Curve()
        self.macro_sensitivity = Curve()
        self.accuracy = Curve()
        self.stage = ""
        self.epoch = self.epochs = self.batch = self.batches = 0
        self.eta_s: float | None = None
        self.device = ""
        self.memory_mb: float | None = None
        self.preparing: tuple[str, int, int] | None = None
        self.fold = self.folds = 1
        self._all_folds = config.folds
        # Number of the current fold, and when it started.
        self._fold_began: tuple[int, float] | None = None
        self.reporting = False
        self.ended = ""
        self.stopped = False
        self.message = ""

    @property
    def done(self) -> float:
        """Fraction of all epochs that is done."""
        if self.ended == "end" and not self.stopped:
            return 1.0
        last = max(self.batch_loss.x[-1:] + self.train_loss.x[-1:], default=0.0)
        return min(1.0, last / self.bounds[-1]) if self.bounds[-1] else 0.0

    def take(self, event: dict[str, Any]) -> None:
        """Process one event; ignore unknown kinds."""
        kind = event.get("kind")
        if kind == "start":
            self.ended, self.message, self.stopped = "", "", False
            self.eta_s, self.reporting, self._fold_began = None, False, None
        elif kind == "prepare":
            self.preparing = (str(event["what"]), int(event["done"]), int(event["total"]))
        elif kind == "stage":
            self.preparing, self.stage = None, str(event["stage"])
            self.epoch, self.epochs, self.batch = 0, int(event["epochs"]), 0
            self._estimate({"time": event.get("time", 0.0)}, 1)
        elif kind in ("batch", "epoch"):
            self._take_numbers(event, kind == "epoch")
        elif kind == "fold":
            self.fold, self.folds = int(event["fold"]), int(event["folds"])
            self.stage = str(event["stage"])
            self.epoch, self.epochs = int(event["epoch"]), int(event["epochs"])
            self._estimate(event, self.fold)
        elif kind == "report":
            self.reporting = not event["done"]
            self.message = str(event.get("message", self.message))
        elif kind in ("end", "stopped", "error"):
            self.ended, self.stopped = str(kind), bool(event.get("stopped", kind == "stopped"))
            self.message = str(event.get("message", self.message))
            self.eta_s, self.preparing, self.reporting = None, None, False

    def _estimate(self, event: dict[str, Any], fold: int) -> None:
        """Update the remaining time: that of the current fold plus that of later folds."""
        now, left = float(event.get("time", 0.0)), event.get("eta_s")
        if self._fold_began is None or self._fold_began[0] != fold:
            self._fold_began = (fold, now)
        if left is not None:  # a new stage has no estimate yet: keep the last one
            whole = now - self._fold_began[1] + float(left)
            self.eta_s = float(left) + max(self._all_folds - fold, 0) * whole

    def _take_numbers(self, event: dict[str, Any], whole: bool) -> None:
        self.preparing, self.stage = None, str(event["stage"])
        self.epoch, self.epochs = int(event["epoch"]), int(event["epochs"])
        self.device = str(event.get("device", self.device))
        self.memory_mb = event.get("memory_mb", self.memory_mb)
        begin = self.bounds[int(event["stage_number"])] + self.epoch - 1
        if whole:
            metrics = event["metrics"]
            self.train_loss.add(begin + 1, event.get("train_loss"))
            self.validation_loss.add(begin + 1, metrics.get("loss"))
            self.macro_sensitivity.add(begin + 1, metrics.get("macro_sensitivity"))
            self.accuracy.add(begin + 1, metrics.get("accuracy"))
            self.batch = self.batches
            self._estimate(event, 1)
            return
        self.batch, self.batches = int(event["batch"]), int(event["batches"])
        self._estimate(event, 1)
        self.batch_loss.add(begin + self.batch / max(self.batches, 1), event.get("loss"))


def duration(seconds: float) -> str:
    """Return a duration as text, such as ``5 min``."""
    if seconds < 90:
        return f"{max(round(seconds), 1)} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
