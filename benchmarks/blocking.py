"""How long the classify dock keeps the main thread: opening, finding, classifying, showing.

A timer of 10 ms runs in the event loop of a real viewer; the longest time between two of its
ticks is how long the window stood still. Beside it stands the longest time the main thread
itself computed between two ticks, which other work on the machine does not lengthen::

    bash tools/with_display.sh python benchmarks/blocking.py [IMAGE] [--rounds 3]

The first round of a session also makes layers and compiles shaders, which is napari's part;
the later rounds show what each click costs from then on.
"""

from __future__ import annotations

import argparse
import platform
import time
from collections.abc import Callable
from typing import Any

import napari
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QApplication

from napari_chromocluster.imaging.synthetic_metaphase import synthetic_metaphase


class Meter:
    """The longest turn of the event loop, on the clock and computing."""

    def __init__(self) -> None:
        self.reset()
        self._timer = QTimer()
        self._timer.setInterval(10)
        self._timer.timeout.connect(self._tick)
        self._timer.start()

    def reset(self) -> None:
        """Start again."""
        self._wall, self._own = time.perf_counter(), time.thread_time()
        self.wall = self.own = 0.0

    def _tick(self) -> None:
        wall, own = time.perf_counter(), time.thread_time()
        self.wall = max(self.wall, wall - self._wall)
        self.own = max(self.own, own - self._own)
        self._wall, self._own = wall, own


def spin(seconds: float = 0.0, until: Callable[[], bool] = lambda: True) -> None:
    """Run the event loop for a while, and on until something holds."""
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or not until():
        QApplication.processEvents()
        time.sleep(0.001)


def steps(dock: Any, number: int) -> dict[str, Callable[[], Any]]:
    """Return the clicks of a reviewer, in order."""
    return {
        "find regions": dock.input.find_button.click,
        "size slider": lambda: dock.input.smallest.setValue(0.3 + 0.01 * number),
        "classify all": dock.run.all_button.click,
        "threshold": lambda: dock.result.threshold.setValue(0.9 + 0.01 * number),
        "fill": lambda: dock.result.fill_box.setChecked(True),
        "outline": lambda: dock.result.fill_box.setChecked(False),
        "select 5": lambda: dock.select({1, 2, 3, 4, 5}),
        "explain 5": dock.result.explain_button.click,
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("image", nargs="?")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    viewer = napari.Viewer()
    spin(1)
    meter = Meter()
    began = time.perf_counter()
    _, dock = viewer.window.add_plugin_dock_widget("napari-chromocluster", "Classify")
    print(f"{platform.machine()}, Python {platform.python_version()}, napari {napari.__version__}")
    print(f"dock opened in {time.perf_counter() - began:.2f} s")
    spin(1, lambda: dock._loading is None or not dock._loading.running)
    print(f"model list there after {time.perf_counter() - began:.2f} s; ", end="")
    print(f"longest turn meanwhile {meter.wall * 1000:.0f} ms ({meter.own * 1000:.0f} computing)")
    print(f"{'round':>5}  {'step':14}{'seconds':>8}{'longest turn, ms':>18}{'computing, ms':>15}")
    for number in range(1, options.rounds + 1):
        viewer.layers.clear()
        if options.image:
            viewer.open(options.image)
        else:
            viewer.add_image(synthetic_metaphase(seed=0).image, name="metaphase")
        if dock.labels is not None:  # regions that lie beside the image
            viewer.layers.remove(dock.labels)
        spin(1)
        for name, click in steps(dock, number).items():
            meter.reset()
            began = time.perf_counter()
            click()
            spin(0, lambda: dock.task is None)
            took = time.perf_counter() - began
            spin(0.6)
            print(
                f"{number:5}  {name:14}{took:8.2f}{meter.wall * 1000:18.0f}{meter.own * 1000:15.0f}"
            )
    viewer.close()


if __name__ == "__main__":
    main()
