"""The loaded model that all docks share."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from napari_chromocluster.models.registry import resolve_model
from napari_chromocluster.models.torch_setup import prepare_torch

if TYPE_CHECKING:
    from napari_chromocluster.models.classifier import ClusterClassifier

_lock = threading.Lock()
_loaded: dict[tuple[str, int, str], ClusterClassifier] = {}


def cached_classifier(model: str, device: str) -> ClusterClassifier:
    """Return a model, loaded once until another one is asked for or its file changes.

    Call it in a thread: the first call loads torch and the weights, which takes seconds.

    Parameters
    ----------
    model : str
        Name in the list of models, or a file.
    device : str
        ``auto``, ``cpu``, ``cuda`` or ``mps``.

    Returns
    -------
    ClusterClassifier
        The model, shared by all callers.

    Raises
    ------
    RegistryError
        If there is no such model.
    ModelFileError
        If its file is damaged.
    """
    prepare_torch()
    from napari_chromocluster.models.classifier import load_model

    path = resolve_model(model)
    with _lock:  # another dock may be loading it already
        key = (str(path), path.stat().st_mtime_ns if path.exists() else 0, device)
        if key not in _loaded:
            _loaded.clear()
            _loaded[key] = load_model(path, device)
        return _loaded[key]
