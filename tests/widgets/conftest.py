"""One napari window for the tests of a file: opening one takes seconds."""

import napari
import pytest


@pytest.fixture(scope="module")
def window(qapp):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NAPARI_CONFIG", "")
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
