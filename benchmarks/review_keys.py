"""Keys, clicks and seconds of a review of one real metaphase, as it was before and as it is.

Of the first twelve held-out DAPI metaphases, that with the most regions that are unsure or wrong is
classified by the embedded model.  A reviewer that knows the types visits all regions that need a
review, accepts or corrects them, and then corrects those that are wrong although the model was
sure.  *Before*: the key of a type stays at its region, and each step centers the picture.
Seconds are processor time of the main thread from a key until all is shown::

    bash tools/with_display.sh python benchmarks/review_keys.py ../shared/data [--image NAME]
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import napari
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from napari_chromocluster.cluster_types import TYPES
from napari_chromocluster.imaging.io import read_image, read_labels
from napari_chromocluster.models.classifier import load_model
from napari_chromocluster.results.annotations import read_annotations, with_allowed_types
from napari_chromocluster.viewer.layer_tables import set_table
from napari_chromocluster.viewer.overlay import show_overlay
from napari_chromocluster.viewer.settings import preferences
from napari_chromocluster.widgets.review.widget import ReviewWidget

sys.path.insert(0, str(Path(__file__).parents[1] / "recipes" / "default_model"))
from held_out import part

NAME = "mfish"
#: Metaphases that are looked at for the hardest.
_MOST = 12
_KEYS = {str(kind): str(kind.key) for kind in TYPES}


class Reviewer:
    """Presses keys, and counts them and the time that the program takes."""

    def __init__(self, dock: ReviewWidget, *, before: bool) -> None:
        assert dock.session is not None, "a review that is open has a session"
        self.dock, self.session, self.before = dock, dock.session, before
        self.keys = self.clicks = 0
        self.times: list[float] = []

    def press(self, key: str) -> None:
        """Press a key and wait until all is shown."""
        began = time.thread_time()
        code = Qt.Key.Key_Space if key == "Space" else getattr(Qt.Key, f"Key_{key}")
        QTest.keyClick(self.dock.gallery, code)
        if self.before:
            self.centre()
        QApplication.processEvents()
        self.times.append(time.thread_time() - began)
        self.keys += 1

    def centre(self) -> None:
        """Move the picture to the chosen region, as each step did."""
        key = self.dock.gallery.current_key()
        if key is not None:
            y0, x0, y1, x1 = map(int, self.session.rows([key]).iloc[0]["bbox"].split(","))
            self.dock.viewer.scene.camera.center = (0.0, (y0 + y1) / 2, (x0 + x1) / 2)

    def decide(self, true: str | None, model: str) -> None:
        """Accept or correct the chosen region, and get to the next."""
        if true is None or true == model:
            self.press("Space")
            return
        self.press(_KEYS[true])
        if self.before:
            self.press("N")

    def review(self, types: dict[int, str]) -> None:
        """Review the metaphase."""
        dock = self.dock
        waiting = [(one.frame, one.label) for one in dock.gallery.gallery.entries if one.unsure]
        if waiting:
            self.press("N")
        for _ in waiting:
            key = dock.gallery.current_key()
            assert key is not None, "a region is chosen"
            self.decide(types.get(key[1]), str(self.session.rows([key]).iloc[0]["cluster_type"]))
        for label, true in types.items():
            row = self.session.rows([(0, label)]).iloc[0]
            if str(row["cluster_type"]) != true:
                dock.gallery.select([(0, label)], tell=True)  # a click at its tile
                self.clicks += 1
                self.press(_KEYS[true])


def count_wrong(table: pd.DataFrame, types: dict[int, str]) -> int:
    """Return how many regions of known type have another one."""
    known = table[table["index"].isin(list(types))]
    return int((known["index"].map(types) != known["cluster_type"]).sum())


def classified(
    data: Path, name: str
) -> tuple[NDArray[Any], NDArray[Any], dict[int, str], pd.DataFrame]:
    """Return the image, the labels, the known types and the classified regions of a metaphase."""
    table = with_allowed_types(read_annotations(data / NAME / "annotations.csv"))
    table = table[[Path(str(image)).name == name for image in table["image"]]]
    folder = data / NAME / "images"
    image = read_image(folder / name)
    labels = read_labels(folder / Path(str(table["labels"].iloc[0])).name)
    types = dict(zip(table["label"].astype(int), table["cluster_type"].astype(str), strict=True))
    return image, labels, types, load_model("default", "cpu").classify(image, labels)


def hardest(data: Path) -> str:
    """Return the held-out metaphase with the most regions that are unsure or wrong."""
    table = read_annotations(data / NAME / "annotations.csv")
    held_out = [part(NAME, str(group)) == "test" for group in table["group"]]
    names = sorted({Path(str(image)).name for image in table["image"][held_out]})

    def work(name: str) -> int:
        _, _, types, found = classified(data, name)
        return int((found["confidence"] < preferences().threshold).sum()) + count_wrong(
            found, types
        )

    return max(names[:_MOST], key=work)


def measure(data: Path, name: str, *, before: bool) -> tuple[int, int, float, float, int, int]:
    """Return keys, clicks, seconds in all and the longest, regions that waited, and wrong ones."""
    image, labels, types, found = classified(data, name)
    viewer = napari.Viewer()
    viewer.add_image(image, name=name)
    layer = viewer.add_labels(labels, name="regions")
    set_table(layer, found)
    show_overlay(viewer, layer)
    dock = ReviewWidget(viewer)
    viewer.window.add_dock_widget(dock, name="Review", area="right")
    dock.go_on.setChecked(not before)
    viewer.window._qt_window.activateWindow()
    dock.gallery.setFocus()
    while not (dock.keys.bound and dock.gallery.hasFocus()):
        QApplication.processEvents()
    QTest.qWait(1500)
    waiting = sum(one.unsure for one in dock.gallery.gallery.entries)
    wrong = count_wrong(found, types)
    reviewer = Reviewer(dock, before=before)
    reviewer.review(types)
    assert count_wrong(reviewer.session.table, types) == 0
    dock.release()
    viewer.close()
    times = np.array(reviewer.times)
    return reviewer.keys, reviewer.clicks, times.sum(), times.max(), waiting, wrong


def main() -> None:
    """Measure and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--image", help="name of its file")
    options = parser.parse_args()
    image = options.image or hardest(options.data)
    print("| metaphase " + image + " | keys | clicks | program, s | longest key, ms |")
    print("|---|---|---|---|---|")
    for kind, before in (("before", True), ("today", False)):
        with tempfile.TemporaryDirectory() as home:  # no earlier review is restored
            os.environ["CHROMOCLUSTER_HOME"] = home
            keys, clicks, total, longest, waiting, wrong = measure(
                options.data, image, before=before
            )
        print(f"| {kind} | {keys} | {clicks} | {total:.2f} | {1000 * longest:.0f} |", flush=True)
    print(f"\n{waiting} regions waited for a human, {wrong} were wrong.")


if __name__ == "__main__":
    main()
