"""Background work: its signals and cleanup."""

import gc
import subprocess
import sys
import threading
import time
import weakref
from functools import partial

import numpy as np
import pytest
from qtpy.QtCore import QObject

from napari_chromocluster.widgets.common.worker import Worker, stop_all


@pytest.fixture
def owner(qapp):
    return QObject()


def started(work, owner, qtbot):
    """Start work and wait until its end was reported."""
    task = Worker(work, owner)
    with qtbot.waitSignal(task.ended, timeout=5000):
        task.start()
    return task


class Image:
    """Pixels that report when they are no longer referenced."""

    def __init__(self):
        self.pixels = np.zeros((10, 10))


def test_nothing_is_kept_of_work_that_is_done(owner, qtbot):
    gone = []
    for end in ("result", "error", "cancel"):
        image = Image()
        gone.append(weakref.ref(image))

        def work(progress, stop, image=image, end=end):
            if end == "error":
                raise ValueError("no")
            return image

        task = Worker(work, owner)
        task.succeeded.connect(lambda result, image=image: None)
        if end == "cancel":
            task.cancel()
        with qtbot.waitSignal(task.destroyed, timeout=5000):
            task.start()
        del image, work

    def collected():
        gc.collect()  # the thread itself may end slightly after its work
        return all(one() is None for one in gone)

    qtbot.waitUntil(collected, timeout=5000)


def test_a_finished_task_can_still_be_asked(owner, qtbot):
    task = started(lambda progress, stop: 1, owner, qtbot)
    with qtbot.waitSignal(task.destroyed, timeout=5000):
        pass
    task.cancel()
    task.wait()
    assert not task.running


def test_all_that_is_told_comes_before_the_end(owner, qtbot):
    said = []
    task = Worker(lambda progress, stop: progress(1, 1) or "done", owner)
    task.progressed.connect(lambda done, total: said.append((done, total)))
    task.succeeded.connect(said.append)
    task.ended.connect(lambda: said.append("ended"))
    task.start()
    task.wait()  # nothing was delivered yet, since the event loop did not run
    qtbot.waitUntil(lambda: "ended" in said, timeout=5000)
    assert said == [(1, 1), "done", "ended"]


def test_progress_may_count_more_than_two_gibibytes(owner, qtbot):
    said = []
    task = Worker(lambda progress, stop: progress(3_317_000_000, 3_317_000_000), owner)
    task.progressed.connect(lambda done, total: said.append((done, total)))
    with qtbot.waitSignal(task.ended, timeout=5000):
        task.start()
    assert said == [(3_317_000_000, 3_317_000_000)]


def test_an_owner_may_go_before_the_work_is_done(qapp, qtbot):
    owner, go_on, said = QObject(), threading.Event(), []

    def work(progress, stop):
        go_on.wait(5)
        return stop()

    task = Worker(work, owner)
    for signal in (task.succeeded, task.cancelled, task.ended):
        signal.connect(lambda *values: said.append(values))
    task.start()
    owner.deleteLater()
    with qtbot.waitSignal(owner.destroyed, timeout=5000):
        pass
    go_on.set()
    with qtbot.waitSignal(task.destroyed, timeout=5000):
        pass
    assert not task.running
    assert said == []


def test_all_work_is_stopped_at_the_end(owner, qtbot):
    begun = [threading.Event(), threading.Event()]

    def work(progress, stop, number):
        begun[number].set()
        while not stop():
            time.sleep(0.01)

    tasks = [Worker(partial(work, number=number), owner) for number in range(2)]
    for task in tasks:
        task.start()
    assert all(one.wait(5) for one in begun)
    assert stop_all(10.0)
    assert not any(task.running for task in tasks)


def test_what_cannot_be_stopped_is_named(owner, qtbot):
    go_on = threading.Event()
    task = Worker(lambda progress, stop: go_on.wait(30), owner)
    task.start()
    assert not stop_all(0.05)
    go_on.set()
    with qtbot.waitSignal(task.ended, timeout=5000):
        pass


SCRIPT = """
import sys, time
from qtpy.QtWidgets import QApplication
from napari_chromocluster.widgets.common.worker import Worker
application = QApplication([])
task = Worker(lambda progress, stop: time.sleep(2.5))
task.start()
sys.exit(3)
"""


def test_a_script_keeps_its_exit_status_while_work_ends():
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True)
    assert done.returncode == 3, done.stderr
