"""Time to open the review, to relabel, to follow an edit and to scroll, with few and many regions.

Run with: ``python benchmarks/review.py [--json FILE]`` (needs a display).
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import napari
import numpy as np
from qtpy.QtWidgets import QApplication

from napari_chromocluster.imaging.regions import extract_regions
from napari_chromocluster.imaging.synthetic import synthetic_metaphase
from napari_chromocluster.results.table import build_table
from napari_chromocluster.taxonomy import TYPES
from napari_chromocluster.viewer.review import keeper
from napari_chromocluster.widgets.review.dock import ReviewWidget

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
    start = time.perf_counter()
    work()
    application.processEvents()
    return (time.perf_counter() - start) * 1000


def measure(count: int) -> dict[str, float]:
    image, labels = sheet(count)
    regions = extract_regions(labels)
    chances = np.random.default_rng(0).dirichlet(np.full(5, 0.4), len(regions))
    viewer = napari.Viewer()
    application = QApplication.instance()
    viewer.add_image(image, name="sheet")
    viewer.add_labels(labels, name="regions", features=build_table(regions, chances, model="-"))
    application.processEvents()
    out: dict[str, float] = {}
    start = time.perf_counter()
    dock = ReviewWidget(viewer)
    viewer.window.add_dock_widget(dock, name="Review", area="right")
    application.processEvents()
    out["open, ms"] = (time.perf_counter() - start) * 1000
    while not dock._tiles.idle:
        application.processEvents()
        time.sleep(0.002)
    out["first thumbnails, ms"] = (time.perf_counter() - start) * 1000
    keys = dock.session.region_keys()

    def relabel(number: int) -> float:
        dock.gallery.select([keys[number * 7]], tell=True)
        application.processEvents()
        return timed(lambda: dock.set_type(TYPES[number % 5]), application)

    relabel(0)  # The first correction also writes the files.
    out["relabel one, ms"] = median(relabel(number) for number in range(1, 8))
    many = keys[:40]
    out["relabel 40, ms"] = timed(lambda: dock.drop(many, "other"), application)
    out["undo, ms"] = timed(dock.undo, application)
    array = dock.labels.data

    def edit(number: int) -> float:
        y, x = np.argwhere(array[:CELL] == number + 1)[0]
        array[y, x] = 0
        return timed(lambda: dock.session.check_pixels(0), application)

    start = time.perf_counter()
    dock.session.tracker.compare(0)
    out["compare pixels, ms"] = (time.perf_counter() - start) * 1000
    out["follow an edit, ms"] = median(edit(number) for number in range(5))
    bar = dock.gallery.verticalScrollBar()

    def scroll(share: float) -> float:
        start = time.perf_counter()
        bar.setValue(int(bar.maximum() * share))
        dock.gallery.viewport().repaint()
        return (time.perf_counter() - start) * 1000

    frames = [scroll(share) for share in np.linspace(0, 1, 60)]
    out["scroll, median ms a frame"], out["scroll, worst ms a frame"] = median(frames), max(frames)
    dock.release()
    viewer.close()
    return {name: round(value, 1) for name, value in out.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        keeper.own_folder = lambda: Path(folder)
        figures = {str(count): measure(count) for count in (60, 5000)}
    for name in figures["60"]:
        print(f"{name:28s} {figures['60'][name]:8.1f} {figures['5000'][name]:8.1f}")
    if chosen.json:
        chosen.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
