"""Evaluate a model on annotated regions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from pathlib import Path

import numpy as np
import pandas as pd

from napari_chromocluster.cluster_types import EXPECTED_CHROMOSOMES, TYPES
from napari_chromocluster.models.classifier import ClusterClassifier, load_model
from napari_chromocluster.models.metaphase_crops import MetaphaseCrops, crop_metaphase
from napari_chromocluster.progress import Cancelled, offset_progress
from napari_chromocluster.results.annotated_crops import load_annotated_crops, read_metaphase
from napari_chromocluster.results.annotations import read_annotations, with_allowed_types
from napari_chromocluster.results.metrics import Evaluation, evaluate_predictions


def evaluate(
    annotations: str | Path,
    model: str | Path | ClusterClassifier = "default",
    *,
    device: str = "auto",
    prior: Mapping[str, float] | None = None,
    expected: int | None = EXPECTED_CHROMOSOMES,
    tta: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    stop: Callable[[], bool] | None = None,
) -> Evaluation:
    """Compare a model with human annotations.

    Metaphases are classified as in normal use, including regions that are not
    annotated: the expected number of chromosomes affects the types of all regions.

    Parameters
    ----------
    annotations : path
        Annotation CSV, or folder with one subfolder per type; rows ``unresolved`` and ``cluster``
        are ignored.
    model : str, path or ClusterClassifier
        The model.
    device : str
        ``auto``, ``cpu``, ``cuda`` or ``mps``.
    prior, expected, tta
        As in `ClusterClassifier.classify`.
    progress : callable, optional
        Called with the number of annotated regions done and the total.
    stop : callable, optional
        Called between batches; True cancels.

    Returns
    -------
    Evaluation
        All metrics, also per group.

    Raises
    ------
    AnnotationError
        If the annotations cannot be read or have no region of a known type.
    Cancelled
        If ``stop`` returned True.
    """
    classifier = model if isinstance(model, ClusterClassifier) else load_model(model, device)
    table = with_allowed_types(read_annotations(annotations))
    in_labels = table["labels"] != ""
    probabilities = np.zeros((len(table), len(TYPES)), np.float32)
    done = 0
    # One metaphase at a time, to save memory.
    for rows, cut in chain(_metaphases(table[in_labels], expected), _ready_made(table[~in_labels])):
        if stop is not None and stop():
            raise Cancelled("Evaluating was stopped.")
        probabilities[rows] = classifier.classify_metaphase(
            cut, prior=prior, tta=tta, stop=stop,
            progress=offset_progress(progress, done, len(table)),
        ).probabilities  # fmt: skip
        done += len(rows)
    return evaluate_predictions(list(table["cluster_type"]), probabilities, list(table["group"]))


def _ready_made(table: pd.DataFrame) -> Iterator[tuple[pd.Index, MetaphaseCrops]]:
    """Yield the rows of ready-made crops, which belong to no known metaphase."""
    if len(table):
        yield table.index, MetaphaseCrops([], load_annotated_crops(table).crops)


def _metaphases(
    table: pd.DataFrame, expected: int | None
) -> Iterator[tuple[pd.Index, MetaphaseCrops]]:
    """Yield the rows and crops of each metaphase."""
    for (image, labels), rows in table.groupby(["image", "labels"], sort=False):
        one = read_metaphase(str(image), str(labels), rows)
        cut = crop_metaphase(one.image, one.labels, one.annotated, expected, one.everything)
        yield rows.index, cut
