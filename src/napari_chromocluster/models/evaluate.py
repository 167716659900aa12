"""Evaluate a model on annotated regions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
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
    prior: Mapping[str, float] | None = None,
    tta: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    stop: Callable[[], bool] | None = None,
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
    prior, tta
        As in `ClusterClassifier.classify`.
    progress : callable, optional
        Called with the regions done and their number.
    stop : callable, optional
        Asked between batches; True ends the work.

    Returns
    -------
    Evaluation
        All figures, also per group.

    Raises
    ------
    AnnotationError
        If the annotations cannot be read or hold no region of a known type.
    Cancelled
        If ``stop`` said so.
    """
    classifier = model if isinstance(model, ClusterClassifier) else load_model(model, device)
    cut = cut_annotated(resolved(read_annotations(annotations)))
    probabilities = classifier.predict_regions(
        cut.crops, prior=prior, tta=tta, progress=progress, stop=stop
    )
    return evaluate_predictions(cut.names, probabilities, cut.groups)
