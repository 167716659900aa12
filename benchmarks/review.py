"""Time to open the review, to relabel, to follow an edit and to scroll, with few and many regions.

Run with: ``python benchmarks/review.py [--json FILE]`` (needs a display).  All
but the pauses is processor time of the main thread, so that other work on the
machine does not count.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median

import napari
import numpy as np
from qtpy.QtCore import QTimer
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from napari_chromocluster.cluster_types import TYPES
from napari_chromocluster.imaging.regions import extract_regions
from napari_chromocluster.imaging.synthetic_metaphase import synthetic_metaphase
from napari_chromocluster.results.features_table import build_table
from napari_chromocluster.viewer.overlay import show_overlay
from napari_chromocluster.viewer.review import autosave
from napari_chromocluster.widgets.review.widget import ReviewWidget

CELL = 64


def sheet(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Lay out regions of synthetic metaphases, one a cell, as a picture of ``count`` regions."""
    made = synthetic_metaphase(seed=0)
    pieces = []
    for region in extract_regions(made.labels):
        y0, x0, y1, x1 = region.bbox
        if max(y1 - y0, x1 - x0) < CELL - 2:
            pieces.append((made.image[y0:y1, x0:x1], made.labels[y0:y1, x0:x1] == region.label))
    columns = int(np.ceil(np.sqrt(count)))
    side = columns * CELL
    image, labels = np.full((side, side), 215, np.uint8), np.zeros((side, side), np.int32)
    for number in range(count):
        pixels, mask = pieces[number % len(pieces)]
        y, x = number // columns * CELL + 1, number % columns * CELL + 1
        window = (slice(y, y + mask.shape[0]), slice(x, x + mask.shape[1]))
        image[window][mask], labels[window][mask] = pixels[mask], number + 1
    return image, labels


def timed(work: Callable[[], object], application: QApplication) -> float:
    """Return milliseconds until the work is done and drawn."""
    start = time.thread_time()
    work()
    application.processEvents()
    return (time.thread_time() - start) * 1000


def longest_pause(work: Callable[[], object], seconds: float) -> float:
    """Return the longest time, in ms, that the window did not answer during and after some work."""
    last, worst = time.perf_counter(), 0.0

    def beat() -> None:
        nonlocal last, worst
        now = time.perf_counter()
        last, worst = now, max(worst, now - last)

    timer = QTimer()
    timer.timeout.connect(beat)
    timer.start(1)
    work()
    QTest.qWait(int(seconds * 1000))
    timer.stop()
    return worst * 1000


def opened(count: int) -> tuple[napari.Viewer, ReviewWidget, float, float]:
    """Open a sheet as the Classify dock leaves it, then the review; returns times in ms."""
    image, labels = sheet(count)
    regions = extract_regions(labels)
    # Like a model: about one region in ten is unsure.
    sure = np.random.default_rng(0).uniform(0.6, 1.0, len(regions))
    chances = np.full((len(regions), 5), ((1 - sure) / 4)[:, None])
    chances[np.arange(len(regions)), np.arange(len(regions)) % 5] = sure
    viewer = napari.Viewer()
    viewer.window._qt_window.resize(1366, 768)
    viewer.add_image(image, name="sheet")
    layer = viewer.add_labels(labels, name="regions")
    layer.features = build_table(regions, chances, model="-")
    show_overlay(viewer, layer)
    QTest.qWait(500)
    start, clock = time.thread_time(), time.perf_counter()
    dock = ReviewWidget(viewer)
    viewer.window.add_dock_widget(dock, name="Review", area="right")
    QApplication.processEvents()
    ready = (time.thread_time() - start) * 1000
    first = dock.gallery.gallery.entries[0]
    tiles = dock._tiles
    assert tiles is not None, "a review that is open draws thumbnails"
    while tiles.pixmap((first.frame, first.label)) is None or not tiles.idle:
        QApplication.processEvents()
        time.sleep(0.002)
    return viewer, dock, ready, (time.perf_counter() - clock) * 1000


def measure(count: int) -> dict[str, float]:
    """Measure one sheet."""
    viewer, dock, ready, tiles = opened(count)
    application = QApplication.instance()
    QTest.qWait(1500)
    out = {"open": ready, "thumbnails in view, by the clock": tiles}
    assert dock.session is not None, "a review that is open has a session"
    keys = dock.session.region_keys()

    def relabel(number: int) -> None:
        dock.set_type(TYPES[number % 5])

    def choose(number: int) -> None:
        dock.gallery.select([keys[number * 7 % count]], tell=True)
        application.processEvents()

    choose(0)
    out["first correction"] = timed(lambda: dock.set_type(TYPES[1]), application)
    QTest.qWait(2500)
    times = []
    for number in range(1, 12):
        choose(number)
        times.append(timed(partial(relabel, number), application))
    out["relabel one, median"], out["relabel one, longest"] = median(times), max(times)
    pauses = []
    for number in range(20, 25):
        choose(number)
        pauses.append(longest_pause(partial(relabel, number), 2.5))
    out["longest pause after it, by the clock"] = median(pauses)
    out["choose one, median"] = median(
        timed(partial(dock.gallery.select, [keys[number * 5 % count]], tell=True), application)
        for number in range(30, 41)
    )
    many = keys[:40]
    out["relabel 40"] = timed(lambda: dock.drop(many, "other"), application)
    out["undo that"] = timed(dock.undo, application)
    out["follow an edit"] = median(edits(dock, application))
    out["scroll a page, median"], out["scroll a page, longest"] = scrolled(dock)
    dock.release()
    viewer.layers.selection.clear()
    viewer.close()
    return {name: round(value, 1) for name, value in out.items()}


def edits(dock: ReviewWidget, application: QApplication) -> list[float]:
    """Change a pixel of each of five regions."""
    session = dock.session
    assert session is not None, "a review that is open has a session"
    array, times = dock.labels.data, []
    for number in range(5):
        y, x = np.argwhere(array[:CELL] == number + 1)[0]
        array[y, x] = 0
        times.append(timed(partial(session.check_pixels, 0), application))
    return times


def scrolled(dock: ReviewWidget) -> tuple[float, float]:
    """Scroll through all in 60 steps."""
    bar, times = dock.gallery.verticalScrollBar(), []
    for share in np.linspace(0, 1, 60):
        start = time.thread_time()
        bar.setValue(int(bar.maximum() * share))
        dock.gallery.viewport().repaint()
        times.append((time.thread_time() - start) * 1000)
        QApplication.processEvents()
    return median(times), max(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        autosave.own_folder = lambda: Path(folder)
        figures = {str(count): measure(count) for count in (60, 5000)}
    print(f"{'ms':38s} {'60':>8s} {'5000':>8s}")
    for name in figures["60"]:
        print(f"{name:38s} {figures['60'][name]:8.1f} {figures['5000'][name]:8.1f}")
    if chosen.json:
        chosen.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
