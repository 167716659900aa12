"""How late the viewer's event loop is while a training runs, beside idle, in one run.

A timer of 10 ms ticks in the viewer's main thread; reported is the time from tick to tick,
and the most that the main thread itself computed between two ticks (the rest is waiting for a
core).
The training is the ``default`` preset on synthetic metaphases, started with the dock's own button.

Run with: ``python benchmarks/training_latency.py [--seconds 30] [--json FILE]`` (needs a display).
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import napari
import numpy as np
from qtpy.QtCore import QEventLoop, Qt, QTimer

from napari_chromocluster.imaging.synthetic_metaphase import (
    synthetic_annotations,
    synthetic_metaphase,
)
from napari_chromocluster.training.runs.process import stop
from napari_chromocluster.widgets.train.widget import TrainWidget

INTERVAL = 10


class Ticker:
    """Notes when a timer of the main thread comes."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self.timer = QTimer()
        self.timer.setTimerType(Qt.TimerType.PreciseTimer)
        self.timer.setInterval(INTERVAL)
        self.timer.timeout.connect(self._tick)
        self.work: list[float] = []

    def _tick(self) -> None:
        self.times.append(time.perf_counter())
        self.work.append(time.thread_time())

    def listen(self, seconds: float) -> dict[str, float]:
        """Run the event loop, and return what there is to say of the time between ticks, in ms."""
        self.times, self.work = [], []
        self.timer.start()
        run_loop(seconds)
        self.timer.stop()
        gaps = np.diff(self.times) * 1000
        return {
            "ticks": len(gaps),
            "median": float(np.median(gaps)),
            "95th percentile": float(np.percentile(gaps, 95)),
            "99th percentile": float(np.percentile(gaps, 99)),
            "worst": float(gaps.max()),
            "most work": float(np.diff(self.work).max()) * 1000,
        }


def run_loop(seconds: float) -> None:
    """Run Qt's event loop as napari does: it sleeps until there is something to do."""
    loop = QEventLoop()
    QTimer.singleShot(round(seconds * 1000), loop.quit)
    loop.exec_()


def wait_until(true: Callable[[], bool], limit: float = 300) -> None:
    end = time.monotonic() + limit
    while not true():
        if time.monotonic() > end:
            raise TimeoutError("The training did not get as far as the benchmark needs.")
        run_loop(0.2)


def measure(seconds: float) -> dict[str, dict[str, float]]:
    viewer = napari.Viewer()
    made = synthetic_metaphase(0)
    viewer.add_image(made.image, name="metaphase")
    viewer.add_labels(made.labels, name="regions")
    dock = TrainWidget(viewer)
    viewer.window.add_dock_widget(dock, name="Train", area="right")
    dock.data.add_sources(
        [synthetic_annotations(Path(os.environ["CHROMOCLUSTER_HOME"]), list(range(100, 112)))]
    )
    # Enough epochs that it still goes on when the measurement ends.
    dock.stages.table.item(1, 1).setText("500")
    wait_until(dock.train_button.isEnabled)
    run_loop(3)
    ticker = Ticker()
    found = {"idle before": ticker.listen(seconds)}
    dock.train_button.click()
    follower, run = dock.follower, dock.shown
    if follower is None or run is None:
        raise RuntimeError("The training did not begin.")
    wait_until(lambda: dock.running and follower.progress.stage == "fine")
    found["training"] = ticker.listen(seconds)
    if not dock.running:
        raise RuntimeError("The training ended before the measurement.")
    stop(run)
    wait_until(lambda: not dock.running)
    run_loop(3)
    found["idle after"] = ticker.listen(seconds)
    dock.release()
    viewer.close()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["CHROMOCLUSTER_HOME"] = folder
        found = measure(chosen.seconds)
    print(f"{'ms between ticks of 10 ms':26s}" + "".join(f"{name:>14s}" for name in found))
    for figure in found["training"]:
        print(f"{figure:26s}" + "".join(f"{one[figure]:14.1f}" for one in found.values()))
    idle = (found["idle before"]["95th percentile"] + found["idle after"]["95th percentile"]) / 2
    ratio = found["training"]["95th percentile"] / idle
    print(f"95th percentile, training over idle: {ratio:.2f} ({os.cpu_count()} cores)")
    if chosen.json:
        chosen.json.write_text(json.dumps({**found, "ratio": ratio}, indent=2) + "\n")


if __name__ == "__main__":
    main()
