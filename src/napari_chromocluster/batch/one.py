"""One metaphase: from pixels to labels, table and overlay in a folder."""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from napari_chromocluster.imaging.io import (
    ImageError,
    check_writable,
    is_stack,
    read_image,
    read_labels,
    write_labels,
)
from napari_chromocluster.imaging.segmentation import segment_metaphase
from napari_chromocluster.models.classifier import ClusterClassifier
from napari_chromocluster.results.figures import overlay_figure, save_figure
from napari_chromocluster.results.table import (
    HUMAN,
    TableError,
    merge_tables,
    read_table,
    write_table,
)


class BatchError(ValueError):
    """Input or results that a classification cannot go on with."""


@dataclass(frozen=True)
class ResultFiles:
    """Where the results of one metaphase lie."""

    labels: Path
    regions: Path
    overlay: Path

    @classmethod
    def of(cls, folder: str | Path, name: str) -> ResultFiles:
        """Name the files of a metaphase in a folder."""
        base = Path(folder)
        return cls(
            base / f"{name}_labels.tif", base / f"{name}_regions.csv", base / f"{name}_overlay.png"
        )


@dataclass(frozen=True)
class Classified:
    """One classified metaphase.

    Attributes
    ----------
    table : DataFrame
        The features table, as written.
    labels : (H, W) integer array
        The regions.
    files : ResultFiles
        What was written.
    threshold : float
        Confidence under which a region counts as unsure.
    seconds : float
        For finding and classifying the regions; reading and writing not counted.
    """

    table: pd.DataFrame
    labels: NDArray[Any]
    files: ResultFiles
    threshold: float
    seconds: float


def read_frame(path: str | Path) -> NDArray[Any]:
    """Read one metaphase.

    Raises
    ------
    ImageError
        If it cannot be read, or is a stack.
    """
    image = read_image(path)
    if is_stack(image):
        raise ImageError(
            f"{Path(path).name} holds {len(image)} frames: use 'chromocluster batch' for it."
        )
    return image


def classify_to_files(
    image: NDArray[Any],
    name: str,
    folder: str | Path,
    classifier: ClusterClassifier,
    *,
    labels: NDArray[Any] | None = None,
    select: Collection[int] | None = None,
    threshold: float | None = None,
) -> Classified:
    """Classify one metaphase and write labels, table and overlay into a folder.

    Parameters
    ----------
    image : (H, W) or (H, W, 3 | 4) array
        The metaphase.
    name : str
        What the files are named after.
    folder : path
        Made if need be.
    classifier : ClusterClassifier
        The model.
    labels : (H, W) integer array, optional
        Its regions (default: they are found).
    select : collection of int, optional
        Labels to classify (default all).
    threshold : float, optional
        Confidence under which a region is unsure (default: the model's).

    Raises
    ------
    BatchError
        If no region is found, or there are results that a human decided on
        and whose regions are not those in ``labels``.
    ImageError, RegionError, ClassifyError
        As of the steps.
    """
    files = ResultFiles.of(folder, name)
    check_writable(folder)
    reviewed = _reviewed(files, labels)
    began = time.perf_counter()
    regions = _find_regions(image, name) if labels is None else labels
    table = classifier.classify(image, regions, select)
    seconds = time.perf_counter() - began
    if reviewed is not None:
        table = merge_tables(reviewed, table)
    limit = classifier.card.unsure_threshold if threshold is None else threshold
    title = f"{name} — {classifier.name}"
    figure = overlay_figure(image, regions, table, threshold=limit, title=title)
    write_labels(files.labels, regions)
    save_figure(files.overlay, figure)
    write_table(files.regions, table)
    return Classified(table, regions, files, limit, seconds)


def _find_regions(image: NDArray[Any], name: str) -> NDArray[Any]:
    labels = segment_metaphase(image)
    if not labels.any():
        raise BatchError(
            f"No chromosome was found in {name}: check that it is a metaphase, or give its labels."
        )
    return labels


def _reviewed(files: ResultFiles, labels: NDArray[Any] | None) -> pd.DataFrame | None:
    """Return the table that is there if a human decided in it; refuse to write over it blindly."""
    if not files.regions.exists():
        return None
    try:
        old = read_table(files.regions)
    except TableError as error:
        raise BatchError(
            f"{files.regions} is there already and is no features table: move it away, "
            f"or choose another folder."
        ) from error
    if not (old["source"] == HUMAN).any():
        return None
    if labels is not None and files.labels.exists():
        theirs = read_labels(files.labels)
        if theirs.shape == labels.shape and np.array_equal(theirs, labels):
            return old
    raise BatchError(
        f"{files.regions} holds types that a human decided: give its regions "
        f"(--labels {files.labels}), or choose another folder."
    )
