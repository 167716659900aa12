"""Evaluate a model on annotated regions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from napari_chromocluster.models.classifier import ClusterClassifier, load_model
from napari_chromocluster.results.annotations import read_annotations, resolved
from napari_chromocluster.results.metrics import Evaluation, evaluate_predictions
from napari_chromocluster.results.sources import cut_annotated


def evaluate(
    annotations: str | Path,
    model: str | Path | ClusterClassifier = "default",
    *,
    device: str = "auto",
    progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Compare a model with what humans said.

    Parameters
    ----------
    annotations : path
        Annotation CSV or folder per type; rows ``unresolved`` and ``cluster``
        are left out.
    model : str, path or ClusterClassifier
        The model.
    device : str
        ``auto``, ``cpu``, ``cuda`` or ``mps``.
    progress : callable, optional
        Called with the regions done and their number.

    Returns
    -------
    Evaluation
        All figures, also per group.
    """
    classifier = model if isinstance(model, ClusterClassifier) else load_model(model, device)
    cut = cut_annotated(resolved(read_annotations(annotations)))
    probabilities = classifier.predict_crops(classifier.render(cut.crops), progress=progress)
    return evaluate_predictions(cut.names, probabilities, cut.groups)
