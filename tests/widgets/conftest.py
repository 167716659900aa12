"""One napari window for the tests of a file: opening one takes seconds."""

from contextlib import contextmanager
from unittest.mock import patch

import napari
import pytest
from app_model import Application
from napari._app_model._app import NapariApplication, _napari_names
from napari._qt._qapp_model.qactions import init_qactions
from napari.plugins import _initialize_plugins

from napari_chromocluster.models.registry import register_model
from napari_chromocluster.viewer.review import keeper as rooms
from napari_chromocluster.widgets.classify import ClassifyWidget
from review_dock import MADE, reviewing, seeded


@contextmanager
def _own_application():
    """Give windows an application of their own, in which napari registers anew.

    It registers actions and plugins once in a process, and refuses to do so twice.  The fixture
    `make_napari_viewer`, which some files use, makes it do so again, so that without this the
    order of the files would tell which of them fail.
    """
    application = NapariApplication("windows")
    application.injection_store.namespace = _napari_names
    with patch.object(NapariApplication, "get_app_model", return_value=application):
        _forget_registrations()
        try:
            yield
        finally:
            Application.destroy("windows")
            _forget_registrations()


def _forget_registrations():
    _initialize_plugins.cache_clear()
    init_qactions.cache_clear()


@pytest.fixture(scope="module")
def window(qapp):
    with pytest.MonkeyPatch.context() as settings, _own_application():
        settings.setenv("NAPARI_CONFIG", "")
        viewer = napari.Viewer(show=True)
        viewer.window._qt_window.resize(1366, 768)
        yield viewer
        viewer.close()
        qapp.processEvents()


@pytest.fixture
def viewer(window):
    yield window
    window.window.remove_dock_widget("all")
    window.layers.clear()


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    """Reviews are saved in a folder of the test."""
    monkeypatch.setattr(rooms, "own_folder", lambda: tmp_path / "own")


@pytest.fixture
def classified(viewer):
    """A viewer with a metaphase whose regions have types; of some they are unsure."""
    viewer.add_image(MADE.image, name="metaphase")
    labels = MADE.labels.copy()
    viewer.add_labels(labels, name="metaphase regions", features=seeded(labels))
    viewer.window._qt_window.activateWindow()
    return viewer


@pytest.fixture
def review(classified, qtbot):
    with reviewing(classified, qtbot) as widget:
        yield widget


@pytest.fixture
def classifying(viewer, tiny_model, qtbot):
    """The classify dock with a model that is quick."""
    register_model(tiny_model, "quick")
    widget = ClassifyWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Classify", area="right")
    widget.run.model_combo.setCurrentText("quick")
    yield widget
    if widget.task is not None:
        widget.task.cancel()
        widget.task.wait()
        qtbot.waitUntil(lambda: widget.task is None, timeout=20000)
    widget.release()
