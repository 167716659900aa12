"""Docks closed with their X: nothing of them remains in the viewer."""

from __future__ import annotations

import threading
import weakref

import numpy as np
import pytest
from napari.utils._proxies import PublicOnlyProxy
from qtpy.QtCore import QTimer

from napari_chromocluster.models.registry import register_model
from napari_chromocluster.training.config import preset
from napari_chromocluster.training.runs.process_lock import mark
from napari_chromocluster.training.runs.run_folder import Run, new_run_folder, runs_dir
from napari_chromocluster.viewer.overlay_layers import FRAMES, marks_layer
from napari_chromocluster.widgets.classify import ClassifyWidget
from napari_chromocluster.widgets.review.widget import ReviewWidget
from napari_chromocluster.widgets.train.widget import TrainWidget


@pytest.fixture
def home(own_home, tiny_model):
    register_model(tiny_model, "tiny")
    return own_home


def opened(viewer, kind):
    widget = kind(PublicOnlyProxy(viewer))  # as napari passes the viewer to plugin docks
    return viewer.window.add_dock_widget(widget, name="Dock", area="right"), widget


def close_with_x(dock, qapp):
    dock.destroyOnClose()
    qapp.processEvents()


def listeners(viewer):
    """Return all callbacks of our docks on the viewer, its layers and its mouse."""
    groups = [viewer.layers, viewer.layers.selection, viewer.dims, viewer.scene.camera]
    callbacks = [*viewer.mouse_drag_callbacks, *viewer.mouse_move_callbacks]
    for one in (*groups, *viewer.layers):
        callbacks += [call for emitter in one.events.emitters.values() if emitter is not None
                      for call in emitter.callbacks]  # fmt: skip
    found = []
    for call in callbacks:
        owner = call[0] if isinstance(call, tuple) else getattr(call, "__self__", call)
        owner = owner() if isinstance(owner, weakref.ref) else owner
        room = getattr(owner, "__module__", None) or type(owner).__module__
        # Marks and tables follow their labels, and the mouse is tracked, with or without docks.
        always = (".viewer.overlay_layers", ".viewer.hover_text", ".viewer.layer_tables")
        if "chromocluster" in room and not room.endswith(always):
            found.append((room, type(owner).__name__))
    return found


def timers(widget):
    return [one for one in widget.findChildren(QTimer) if one.isActive() and one.interval() > 50]


@pytest.mark.parametrize("kind", [ReviewWidget, ClassifyWidget, TrainWidget])
def test_a_closed_dock_neither_listens_nor_comes_back(
    kind, classified, home, qapp, qtbot, tmp_path
):
    viewer, labels = classified, classified.layers["metaphase regions"]
    dock, widget = opened(viewer, kind)
    assert listeners(viewer)
    qtbot.wait(400)  # letters, dashes and counts are updated after a delay
    close_with_x(dock, qapp)
    there = [layer.name for layer in viewer.layers]
    assert listeners(viewer) == []
    labels.name = "renamed"
    labels.data_setitem((np.array([1]), np.array([1])), 3)
    labels.refresh()
    labels.selected_label = 5
    if kind is ReviewWidget:
        widget._open()  # whatever may request it
        assert widget.session is None
    viewer.add_image(np.zeros((5, 5)), name="new")
    viewer.layers.remove("new")
    qtbot.wait(400)  # longer than the delay after painting
    assert not timers(widget)
    assert [one.replace("renamed", "metaphase regions") for one in
            (layer.name for layer in viewer.layers)] == there  # fmt: skip
    assert marks_layer(viewer, labels, FRAMES) is None
    assert not list(tmp_path.glob("own/*"))
    widget.release()  # napari, or another owner of the widget, may close it again


def test_what_was_being_classified_is_not_shown_once_the_dock_is_closed(
    classified, home, qapp, qtbot
):
    labels = classified.layers["metaphase regions"]
    dock, widget = opened(classified, ClassifyWidget)
    said, table = [], labels.features
    widget._start(lambda progress, stop: "done", said.append, "Work")
    widget.task.wait()  # it is done, but the signal is not delivered yet
    close_with_x(dock, qapp)
    qtbot.waitUntil(lambda: widget.task is None, timeout=5000)
    assert said == []
    widget.show_result()
    assert not timers(widget)
    assert labels.features is table


# -------------------------------------------------------------------- training


def going(folder):
    """A run in progress: the test process is used as its process."""
    run = Run.create(folder, preset("quick"))
    mark(run.pid_path)
    return run


def test_a_training_goes_on_but_nothing_looks_at_it(viewer, home, qapp, qtbot):
    run = going(new_run_folder())
    dock, widget = opened(viewer, TrainWidget)
    qtbot.waitUntil(lambda: widget.running, timeout=20_000)
    follower = widget.follower
    close_with_x(dock, qapp)
    assert not run.should_stop()
    assert run.process_alive()
    assert not widget.running
    assert not follower._timer.isActive()
    assert not timers(widget)
    # Pending results are delivered later, as are other refreshes of the list of runs.
    widget.runs.refresh()
    widget.runs._show(widget.runs.lines)
    widget.attach(run)
    assert widget.follower is None
    assert widget.runs._task is None
    assert not timers(widget)


def test_a_training_that_is_being_started_starts(viewer, home, qapp, qtbot):
    go_on, run = threading.Event(), Run.create(new_run_folder(), preset("quick"))
    dock, widget = opened(viewer, TrainWidget)
    qtbot.waitUntil(lambda: widget._looked, timeout=20_000)

    def work(progress, stop):
        go_on.wait(5)
        if not stop():
            mark(run.pid_path)
        return run

    widget._run_task(work, widget._started)
    close_with_x(dock, qapp)
    go_on.set()
    qtbot.waitUntil(lambda: widget.task is None, timeout=5000)
    assert run.process_alive()
    assert widget.follower is None
    assert not timers(widget)


def test_downloads_and_searches_of_rates_end(viewer, home, qapp, qtbot):
    dock, widget = opened(viewer, TrainWidget)
    stopped = threading.Event()

    def fetch(name, accept, progress, stop):
        while not stop():
            stopped.wait(0.01)
        stopped.set()

    widget.start.download = fetch
    widget.start.start_download()
    search = going(runs_dir() / ".rates" / "1")
    widget.rates._started(search)
    close_with_x(dock, qapp)
    assert search.should_stop()
    qtbot.waitUntil(lambda: stopped.is_set() and widget.start.task is None, timeout=5000)
    late = going(runs_dir() / ".rates" / "2")
    widget.rates._started(late)  # delivered just as the dock was closed
    assert late.should_stop()
    qtbot.wait(350)  # the end of a download triggers a new count
    assert not timers(widget)
    assert not widget.data.busy
