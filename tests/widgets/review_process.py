"""A whole review in a separate process, which is killed without closing.

Run with: folder, ``review`` or ``look``.  It prints its actions or findings as JSON.
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
from napari_chromocluster.results.features_table import build_table
from napari_chromocluster.viewer.review import autosave
from napari_chromocluster.viewer.scripting import add_regions
from napari_chromocluster.widgets.review.widget import ReviewWidget


def opened(folder: Path) -> tuple[napari.Viewer, ReviewWidget]:
    autosave.own_folder = lambda: folder / "own"
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
        "stale": [int(n) for n in table["index"][table["stale"]]],
        "pixels": int(np.asarray(dock.labels.data, np.int64).ravel() @ np.arange(
            dock.labels.data.size, dtype=np.int64) % (1 << 40)),
        "banner": dock.banner.text,
    }  # fmt: skip


def press(
    dock: ReviewWidget, name: str, modifier: Qt.KeyboardModifier = Qt.KeyboardModifier.NoModifier
) -> None:
    QTest.keyClick(dock.gallery, getattr(Qt.Key, f"Key_{name}"), modifier)


def click(dock: ReviewWidget, label: int, modifier: Qt.KeyboardModifier) -> None:
    """Click the tile of a region."""
    index = dock.gallery.gallery.index_of((0, label))
    dock.gallery.scrollTo(index)
    place = dock.gallery.visualRect(index).center()
    QTest.mouseClick(dock.gallery.viewport(), Qt.MouseButton.LeftButton, modifier, place)


def review(dock: ReviewWidget) -> list[int]:
    """Visit every region that needs review, with the keyboard only; returns these regions."""
    waiting = [one.label for one in dock.gallery.gallery.entries if one.unsure]
    press(dock, "N")
    for number in range(len(waiting)):
        if number % 2:
            press(dock, str(1 + number % 5))
        else:
            press(dock, "Space")
    # Undo twice, then redo twice.
    for name in "ZZYY":
        press(dock, name, Qt.KeyboardModifier.ControlModifier)
    return waiting


def edit_regions(dock: ReviewWidget) -> list[int]:
    """Select, split, paint and delete, after a first pass over all regions.

    Returns the regions whose decisions are lost by that: reverted, deleted, split.
    """
    dock.go_on.setChecked(False)
    plain, control = Qt.KeyboardModifier.NoModifier, Qt.KeyboardModifier.ControlModifier
    areas = dock.session.table.set_index("index")["area"].sort_values()
    small, middle, large = areas.index[0], areas.index[len(areas) // 2], areas.index[-1]
    click(dock, int(middle), plain)
    click(dock, int(areas.index[3]), control)
    press(dock, "4")
    click(dock, int(areas.index[4]), plain)
    press(dock, "3")
    press(dock, "U")
    click(dock, int(small), plain)
    QTest.mouseClick(dock.edit_panel.delete, Qt.MouseButton.LeftButton)
    click(dock, int(large), plain)
    y0, x0, y1, x1 = extract_regions(dock.labels.data, [int(large)])[0].bbox
    # Without a model: only pixels and rows are checked.
    dock.session.split_line((0, int(large)), [(y0 - 3, (x0 + x1) / 2), (y1 + 3, (x0 + x1) / 2)])
    y0, x0, *_ = extract_regions(dock.labels.data, [int(middle)])[0].bbox
    dock.labels.brush_size = 5
    dock.labels.paint((y0, x0), int(middle))
    return [int(areas.index[4]), int(small), int(large)]


def main() -> None:
    folder = Path(sys.argv[1])
    viewer, dock = opened(folder)
    if "review" in sys.argv:
        waiting = review(dock)
        gone = edit_regions(dock)
        print(json.dumps({**found(dock), "waiting": waiting, "gone": gone}), flush=True)
        # No event loop turn, no save, no close: like a power failure.
        os.kill(os.getpid(), signal.SIGKILL)
    print(json.dumps(found(dock)), flush=True)
    dock.release()
    # As when a user quits: cleanup at interpreter exit may crash.
    viewer.close()
    QApplication.processEvents()
    QApplication.instance().quit()


if __name__ == "__main__":
    main()
