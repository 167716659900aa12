"""One napari window for the tests of a file, since opening one takes seconds."""

import napari
import pytest
from napari.settings import get_plugin_settings

from napari_chromocluster.models.registry import register_model
from napari_chromocluster.viewer.review import autosave as rooms
from napari_chromocluster.widgets.classify import ClassifyWidget
from own_application import own_application
from review_dock import MADE, reviewing, seeded


@pytest.fixture(scope="module")
def window(qapp):
    with pytest.MonkeyPatch.context() as settings, own_application():
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


@pytest.fixture(autouse=True)
def own_settings():
    """Choices in docks are remembered until the test ends."""
    settings = get_plugin_settings("napari-chromocluster")
    before = settings.general.model_dump(), settings.colors.model_dump()
    yield
    settings.general.update(before[0])
    settings.colors.update(before[1])


@pytest.fixture
def classified(viewer):
    """A viewer with a metaphase whose regions have types, some of them unsure."""
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
    """The classify dock with a fast model."""
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
