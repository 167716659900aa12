"""Processes with a napari whose window is closed during some work.

Run without arguments, it imports everything, reads jobs from its input, runs each in a fork of
itself, since imports take longer than the rest, and prints how that ended.  A job of the kind
``load`` is run in a new process, which loads torch meanwhile: this file, run with the job.

A job is JSON: folder, kind of work, moment (seconds after the start of the work, or ``end``: when
it ends) and seed of the decisions made meanwhile.  The decisions, and when the window was closed,
are written to ``closed.json`` in the folder.
"""

from __future__ import annotations

import faulthandler
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import napari
import numpy as np
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QApplication, QMainWindow, QPushButton

from napari_chromocluster.cluster_types import TYPES
from napari_chromocluster.imaging.io import atomic_path
from napari_chromocluster.imaging.regions import extract_regions
from napari_chromocluster.imaging.synthetic_metaphase import (
    synthetic_annotations,
    synthetic_metaphase,
)
from napari_chromocluster.results.features_table import build_table
from napari_chromocluster.results.table_files import write_table
from napari_chromocluster.viewer.scripting import add_regions
from napari_chromocluster.widgets.classify import ClassifyWidget
from napari_chromocluster.widgets.review.widget import ReviewWidget

MADE = synthetic_metaphase(seed=6, chromosomes=24)
#: Milliseconds between two decisions, and between two checks whether work can start.
PACE, LOOK = 120, 50
RANKED = 40


class Closing:
    """One napari, the decisions made in it, and the work during which it is closed."""

    def __init__(self, job: dict[str, str]) -> None:
        self.folder, self.kind, self.moment = Path(job["folder"]), job["kind"], job["moment"]
        os.environ["CHROMOCLUSTER_HOME"] = str(self.folder / "home")
        self.random = random.Random(job["seed"])
        self.decided: dict[int, str] = {}
        self.viewer = napari.Viewer()
        image = self.viewer.add_image(MADE.image, name="metaphase")
        regions = extract_regions(MADE.labels)
        chances = np.random.default_rng(0).dirichlet(np.full(5, 0.4), len(regions))
        table = build_table(regions, chances, model="seeded")
        if self.kind == "rank":
            for number in range(RANKED):
                write_table(self.folder / f"slide{number}_regions.csv", table)
        self.labels = add_regions(self.viewer, image, MADE.labels.copy(), table)
        self.review = self.docked(ReviewWidget)
        self.classify = self.docked(ClassifyWidget)
        self.train = None
        if self.kind in ("train", "count"):
            from napari_chromocluster.widgets.train.widget import TrainWidget

            self.train = self.docked(TrainWidget)
            annotations = synthetic_annotations(self.folder / "data", [11, 12, 13], chromosomes=24)
            self.train.data.add_sources([annotations])
            self.train.stages.preset_combo.setCurrentText("quick")
        self.decider = QTimer()
        self.decider.timeout.connect(self.decide)

    def docked(self, kind: type) -> object:
        widget = kind(self.viewer)
        self.viewer.window.add_dock_widget(widget, name=kind.__name__, area="right")
        return widget

    def decide(self) -> None:
        """Set the type of some region with the buttons of the review."""
        session = self.review.session
        if session is None or session.labels is not self.labels:
            return  # regions found in the meantime are reviewed now
        key = self.random.choice(session.region_keys())
        kind = self.random.choice(TYPES)
        self.review.gallery.select([key])
        buttons = self.review.types.findChildren(QPushButton)
        next(one for one in buttons if one.accessibleName() == kind.display_name).click()
        self.decided[key[1]] = str(kind)

    def start(self) -> None:
        """Start the work as soon as its button is enabled."""
        self.decide()
        self.decider.start(PACE)
        button = {
            "find": self.classify.input.find_button,
            "classify": self.classify.run.all_button,
            "script": self.classify.run.all_button,
            "explain": self.classify.result.explain_button,
            "train": self.train and self.train.train_button,
        }.get(self.kind)
        if button is None:
            if self.kind == "save":
                self.review.save()
            elif self.kind == "rank":
                self.review.rank_folder(str(self.folder))
            self.close_soon()
        else:
            self.press(button)

    def press(self, button: QPushButton) -> None:
        if self.kind == "explain":
            self.classify.select({3, 5})
        if not button.isEnabled():
            QTimer.singleShot(LOOK, lambda: self.press(button))
            return
        button.click()
        if self.moment == "end":
            self.classify.task.ended.connect(self.close)
        self.close_soon()

    def close_soon(self) -> None:
        if self.moment != "end":
            QTimer.singleShot(int(1000 * float(self.moment)), self.close)

    def close(self) -> None:
        self.decider.stop()
        said = {"decided": self.decided, "closed": time.time()}
        with atomic_path(self.folder / "closed.json") as path:
            path.write_text(json.dumps(said))
        if self.kind == "script":
            return
        for window in QApplication.topLevelWidgets():
            if isinstance(window, QMainWindow) and window.isVisible():
                window.close()


def work(job: dict[str, str]) -> None:
    """Run one job until its window is closed, or its script ends."""
    closing = Closing(job)
    if closing.kind != "script":
        QTimer.singleShot(0, closing.start)
        napari.run()
        return
    closing.start()
    while not (closing.folder / "closed.json").exists():
        QApplication.processEvents()
        time.sleep(0.001)


def delayed(pid: int) -> float:
    """Return how many seconds the main thread of a process was runnable but had no processor."""
    try:
        return int(Path(f"/proc/{pid}/task/{pid}/schedstat").read_text().split()[1]) / 1e9
    except (OSError, IndexError):  # it has just ended
        return 0.0


def watch(pid: int, folder: Path, limit: float) -> dict[str, float]:
    """Wait for the end of a process.

    Returns its status, the seconds since it was closed, and how many of them its main thread waited
    for a processor.
    """
    closed = folder / "closed.json"
    begun, before, last = time.time(), None, 0.0
    while time.time() - begun < limit:
        time.sleep(0.005)
        done, status, _ = os.wait4(pid, os.WNOHANG)
        if done:
            since = json.loads(closed.read_text())["closed"] if before is not None else begun
            return {
                "status": os.waitstatus_to_exitcode(status),
                "seconds": time.time() - since,
                "waited": last - (before or 0.0),
            }
        last = max(last, delayed(pid))
        if before is None and closed.exists():
            before = last
    os.kill(pid, signal.SIGABRT)  # its faulthandler prints the traceback
    os.waitpid(pid, 0)
    return {"status": -1, "seconds": limit, "waited": 0.0}


def prepare() -> None:
    """Import what each job would import."""
    import napari.qt  # noqa: F401

    import napari_chromocluster.widgets.train.widget  # noqa: F401
    from napari_chromocluster.viewer.colormap_warmup import prepare_label_colors

    prepare_label_colors()


def main() -> None:
    faulthandler.enable()
    if len(sys.argv) > 1:
        work(json.loads(sys.argv[1]))
        return
    prepare()
    from napari_chromocluster.training.runs.process import terminate
    from napari_chromocluster.training.runs.run_folder import list_runs

    for line in sys.stdin:
        job = json.loads(line)
        folder = Path(job["folder"])
        folder.mkdir()
        log = os.open(folder / "log.txt", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
        if job["kind"] == "load":
            command = [sys.executable, "-X", "faulthandler", __file__, line]
            pid = subprocess.Popen(command, stdout=log, stderr=log).pid
        else:
            pid = os.fork()
        if pid == 0:
            os.dup2(log, 1)
            os.dup2(log, 2)
            work(job)
            return
        os.close(log)
        said = watch(pid, folder, float(job["limit"]))
        for run in list_runs(folder / "home" / "runs"):
            terminate(run)  # a training run continues when napari is closed
        print(json.dumps(said), flush=True)


if __name__ == "__main__":
    main()
