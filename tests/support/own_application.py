"""A separate napari application for one test or one test file."""

from contextlib import contextmanager
from unittest.mock import patch

from app_model import Application
from napari._app_model._app import NapariApplication, _napari_names
from napari._qt._qapp_model.qactions import init_qactions
from napari.plugins import _initialize_plugins


@contextmanager
def own_application():
    """Give windows and plugins a separate application.

    napari registers actions and plugins once per process and refuses to do so twice; without this,
    the order of the test files would determine which of them fail.
    """
    application = NapariApplication("test")
    application.injection_store.namespace = _napari_names
    with patch.object(NapariApplication, "get_app_model", return_value=application):
        _forget_registrations()
        try:
            yield
        finally:
            Application.destroy("test")
            _forget_registrations()


def _forget_registrations():
    _initialize_plugins.cache_clear()
    init_qactions.cache_clear()
