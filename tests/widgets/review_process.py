"""A whole review in a process of its own, which is killed without closing.

Run with: folder, ``review`` or ``look``.  It prints what it did or found as JSON.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

import napari
import numpy as np
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from napari_chromocluster.imaging.regions import extract_regions
from napari_chromocluster.imaging.segmentation import segment_metaphase
from napari_chromocluster.results.table import build_table
from napari_chromocluster.viewer.review import keeper
from napari_chromocluster.viewer.scripting import add_regions
from napari_chromocluster.widgets.review.dock import ReviewWidget


def opened(folder: Path) -> tuple[napari.Viewer, ReviewWidget]:
    keeper.own_folder = lambda: folder / "own"
    image = next(p for p in folder.iterdir() if p.stem == "metaphase")
    viewer = napari.Viewer()
    layer = viewer.open(str(image), plugin="napari")[0]
    if "review" in sys.argv:
        labels = segment_metaphase(np.asarray(layer.data))
        regions = extract_regions(labels)
        chances = np.random.default_rng(0).dirichlet(np.full(5, 0.4), len(regions))
        made = add_regions(viewer, layer, labels)
        made.features = build_table(regions, chances, model="seeded")
    dock = ReviewWidget(viewer)
    viewer.window.add_dock_widget(dock, name="Review", area="right")
    viewer.window._qt_window.activateWindow()
    for _ in range(200):
        QTest.qWait(20)
        dock.gallery.setFocus()
        if dock.keys.bound and dock.gallery.hasFocus():
            break
    return viewer, dock


def found(dock: ReviewWidget) -> dict[str, object]:
    table = dock.session.table
    return {
        "types": dict(zip(table["index"].astype(str), table["cluster_type"], strict=True)),
        "human": [int(n) for n in table["index"][table["source"] == "human"]],
        "pixels": int(np.asarray(dock.labels.data, np.int64).ravel() @ np.arange(
            dock.labels.data.size, dtype=np.int64) % (1 << 40)),
        "banner": dock.banner.text,
    }  # fmt: skip


def review(dock: ReviewWidget) -> int:
    """Look at every region that waits, with keys alone; returns how many there were."""

    def key(name: Qt.Key, modifier: Qt.KeyboardModifier = Qt.KeyboardModifier.NoModifier) -> None:
        QTest.keyClick(dock.gallery, name, modifier)

    control = Qt.KeyboardModifier.ControlModifier
    waiting = sum(one.unsure for one in dock.gallery.gallery.entries)
    key(Qt.Key.Key_N)
    digits = [Qt.Key.Key_1, Qt.Key.Key_2, Qt.Key.Key_3, Qt.Key.Key_4, Qt.Key.Key_5]
    for number in range(waiting):
        if number % 2:
            key(digits[number % 5])
            key(Qt.Key.Key_N)
        else:
            key(Qt.Key.Key_Space)
    # Regret, and regret of the regret.
    key(Qt.Key.Key_Z, control)
    key(Qt.Key.Key_Z, control)
    key(Qt.Key.Key_Y, control)
    key(Qt.Key.Key_Y, control)
    areas = dock.session.table.set_index("index")["area"]
    dock.gallery.select([(0, int(areas.idxmin()))])
    dock.delete()
    dock.gallery.select([(0, int(areas.sort_values().index[len(areas) // 2]))], tell=True)
    key(Qt.Key.Key_4)
    return waiting


def main() -> None:
    folder = Path(sys.argv[1])
    _, dock = opened(folder)
    if "review" in sys.argv:
        waiting = review(dock)
        print(json.dumps({**found(dock), "waiting": waiting}), flush=True)
        # No event loop turn, no save, no close: as if the power had gone.
        os.kill(os.getpid(), signal.SIGKILL)
    print(json.dumps(found(dock)), flush=True)
    dock.release()
    QApplication.instance().quit()


if __name__ == "__main__":
    main()
