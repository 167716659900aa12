"""Draw the training dock in the middle of a training and after it, on synthetic metaphases.

Run with: ``python docs/training_picture.py [FILE]`` (needs a display; takes about a minute).
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import napari
import numpy as np
from PIL import Image
from qtpy.QtGui import QImage
from qtpy.QtWidgets import QApplication, QWidget

from napari_chromocluster.cluster_types import TYPES
from napari_chromocluster.imaging.regions import extract_regions
from napari_chromocluster.imaging.synthetic_metaphase import (
    synthetic_annotations,
    synthetic_metaphase,
)
from napari_chromocluster.results.features_table import build_table, set_types
from napari_chromocluster.viewer.overlay import show_overlay
from napari_chromocluster.widgets.train.widget import TrainWidget

FILE = Path(__file__).parent / "images" / "train.png"
WIDTH, HEIGHT, DOCK = 1366, 768, 320


def wait(true: Callable[[], bool], limit: float = 300) -> None:
    end = time.monotonic() + limit
    while not true():
        if time.monotonic() > end:
            raise TimeoutError("The training did not get as far as the picture needs.")
        QApplication.instance().processEvents()
        time.sleep(0.01)


def rest(seconds: float = 1.0) -> None:
    end = time.monotonic() + seconds
    wait(lambda: time.monotonic() > end)


def add_metaphase(viewer: napari.Viewer, seed: int) -> None:
    made = synthetic_metaphase(seed)
    regions = extract_regions(made.labels)
    table = build_table(regions, np.full((len(regions), 5), 0.2), model="")
    for kind in TYPES:
        table = set_types(table, [n for n, one in made.types.items() if one == kind], kind)
    viewer.add_image(made.image, name=f"metaphase {seed}")
    labels = viewer.add_labels(made.labels, name=f"metaphase {seed} regions", features=table)
    show_overlay(viewer, labels)


def grab(widget: QWidget) -> Image.Image:
    picture = widget.grab().toImage().convertToFormat(QImage.Format.Format_RGB888)
    bits = picture.constBits()
    bits.setsize(picture.sizeInBytes())
    rows = np.frombuffer(bits, np.uint8).reshape(picture.height(), picture.bytesPerLine())
    return Image.fromarray(rows[:, : 3 * picture.width()].reshape(picture.height(), -1, 3).copy())


def draw(target: Path) -> None:
    viewer = napari.Viewer(show=False)
    window = viewer.window._qt_window
    window.resize(WIDTH, HEIGHT)
    window.show()
    for seed in range(41, 47):
        add_metaphase(viewer, seed)
    dock = TrainWidget(viewer)
    viewer.window.add_dock_widget(dock, name="Train", area="right").setFixedWidth(DOCK)
    folder = Path(os.environ["CHROMOCLUSTER_HOME"]) / "slides"
    dock.data.add_sources([synthetic_annotations(folder, seeds=list(range(51, 57)))])
    dock.stages.preset_combo.setCurrentText("quick")
    dock.stages.table.item(1, 1).setText("20")
    wait(lambda: not dock.data.busy and dock.data.files() != [])
    rest()
    before = grab(dock)
    dock.train_button.click()
    wait(lambda: dock.running)
    follower = dock.follower
    if follower is None:
        raise RuntimeError("The training did not begin.")
    wait(lambda: dock.running and follower.progress.stage == "fine")
    wait(lambda: not dock.running or follower.progress.epoch >= 8)
    rest(0.3)
    during = grab(window)
    wait(lambda: dock.groups["Result"].isVisible())
    rest()
    after = grab(dock)
    joined = Image.new("RGB", (before.width + during.width + after.width + 20, HEIGHT), "white")
    joined.paste(before, (0, HEIGHT - before.height))
    joined.paste(during, (before.width + 10, 0))
    joined.paste(after, (joined.width - after.width, HEIGHT - after.height))
    joined.quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(
        target, optimize=True
    )
    dock.release()
    viewer.close()


def main() -> None:
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else FILE
    with tempfile.TemporaryDirectory() as folder:
        os.environ["CHROMOCLUSTER_HOME"] = folder
        draw(target)


if __name__ == "__main__":
    main()
