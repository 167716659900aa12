"""A napari in a process of its own whose window is closed during some work.

Run with: folder, kind of work, seconds after its start (or ``end``: when it ends).
It prints which region was decided by hand, and when the window was closed.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import napari
import numpy as np
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QPushButton

from napari_chromocluster.imaging.regions import extract_regions
from napari_chromocluster.results.table import build_table
from napari_chromocluster.viewer.review import keeper
from napari_chromocluster.viewer.scripting import add_regions
from napari_chromocluster.widgets.classify import ClassifyWidget
from napari_chromocluster.widgets.review.dock import ReviewWidget
from napari_chromocluster.widgets.train.dock import TrainWidget
from review_dock import MADE


def docked(viewer: napari.Viewer, kind: type) -> object:
    widget = kind(viewer)
    viewer.window.add_dock_widget(widget, name=kind.__name__, area="right")
    return widget


def decide(viewer: napari.Viewer) -> tuple[ReviewWidget, int]:
    """Open a metaphase and decide the type of one region."""
    image = viewer.add_image(MADE.image, name="metaphase")
    regions = extract_regions(MADE.labels)
    chances = np.random.default_rng(0).dirichlet(np.full(5, 0.4), len(regions))
    add_regions(viewer, image, MADE.labels.copy(), build_table(regions, chances, model="seeded"))
    review = docked(viewer, ReviewWidget)
    key = review.session.region_keys()[3]
    review.gallery.select([key])
    other = next(
        one for one in review.types.findChildren(QPushButton) if one.accessibleName() == "other"
    )
    other.click()
    return review, key[1]


def main() -> None:
    folder, kind, moment = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    keeper.own_folder = lambda: folder / "own"
    viewer = napari.Viewer()
    review, label = decide(viewer)
    classify = docked(viewer, ClassifyWidget)

    def close() -> None:
        print(json.dumps({"label": label, "closed": time.time()}), flush=True)
        viewer.window._qt_window.close()

    def close_soon() -> None:
        if moment != "end":
            QTimer.singleShot(int(1000 * float(moment)), close)

    def start() -> None:
        button = {
            "find": classify.input.find_button,
            "classify": classify.run.all_button,
            "explain": classify.result.explain_button,
        }.get(kind)
        if button is None:
            if kind == "save":
                review.save()
            elif kind == "count":
                docked(viewer, TrainWidget)
            close_soon()
            return
        classify.select({3, 5})
        if not button.isEnabled():
            QTimer.singleShot(50, start)
            return
        button.click()
        if moment == "end":
            classify.task.ended.connect(close)
        close_soon()

    QTimer.singleShot(0, start)
    napari.run()


if __name__ == "__main__":
    main()
