"""Functions for the napari console: segment, classify, open."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from napari_chromocluster.cluster_types import EXPECTED_CHROMOSOMES
from napari_chromocluster.imaging.image_file import open_image
from napari_chromocluster.imaging.io import read_labels
from napari_chromocluster.imaging.region_filter import (
    CandidateRegions,
    LeftOut,
    SegmentationParameters,
    count_reasons,
    filter_regions,
    why_left_out,
)
from napari_chromocluster.imaging.regions import Selection, extract_regions, label_doubt
from napari_chromocluster.imaging.segmentation import label_foreground
from napari_chromocluster.models.torch_setup import prepare_torch
from napari_chromocluster.results.features_table import merge_tables, validate_table
from napari_chromocluster.results.table_files import read_table
from napari_chromocluster.viewer.channels import chromosome_layer
from napari_chromocluster.viewer.layer_tables import set_familiarity, set_table, table_of
from napari_chromocluster.viewer.layers import (
    IMAGE,
    belong_together,
    check_pair,
    find_layer,
    frame_shape,
    layer_data,
    mismatch,
    physical,
    spatial_metadata,
    unique_name,
)
from napari_chromocluster.viewer.overlay import (
    outline_width,
    plain_colormap,
    show_overlay,
    show_plain_outlines,
)

if TYPE_CHECKING:
    from napari_chromocluster.models.classifier import ClusterClassifier

__all__ = ["classify_layer", "open_result", "segment_layer"]


def segment_frames(
    image: Any,
    rgb: bool,
    parameters: SegmentationParameters | None = None,
    progress: Callable[[int, int], None] | None = None,
    stop: Callable[[], bool] | None = None,
    left_out: Counter[LeftOut] | None = None,
) -> NDArray[np.int32]:
    """Find regions in an image or a stack; labels of a stack do not repeat across frames.

    Parameters
    ----------
    image : (H, W[, 3]) or (N, H, W[, 3]) array
        Lazy arrays are read frame by frame.
    rgb : bool
        Whether the last axis is color.
    parameters : SegmentationParameters, optional
        What counts as a region.
    progress : callable, optional
        Called with the number of frames done and the total.
    stop : callable, optional
        Called between frames; returning True raises InterruptedError.
    left_out : Counter, optional
        Updated with the number of objects left out, by reason.
    """
    chosen = parameters or SegmentationParameters()

    def segment(array: NDArray[Any]) -> NDArray[np.int32]:
        foreground = label_foreground(array, chosen)
        if left_out is not None:
            left_out.update(left_out_of(foreground, chosen))
        return filter_regions(foreground, chosen)

    if len(image.shape) - int(rgb) == 2:
        return segment(np.asarray(image))
    frames: list[NDArray[np.int32]] = []
    highest = 0
    for number in range(image.shape[0]):
        if stop is not None and stop():
            raise InterruptedError("Finding regions was stopped.")
        labels = segment(np.asarray(image[number]))
        labels[labels > 0] += highest
        highest = max(highest, int(labels.max()))
        frames.append(labels)
        if progress is not None:
            progress(number + 1, image.shape[0])
    return np.stack(frames)


def left_out_of(
    foreground: CandidateRegions, parameters: SegmentationParameters
) -> dict[LeftOut, int]:
    """Return the number of objects that are not regions with some parameters, by reason."""
    return count_reasons(why_left_out(foreground, parameters)[foreground.areas > 0])


def segment_layer(
    viewer: Any, image: Any, parameters: SegmentationParameters | None = None, **overrides: Any
) -> Any:
    """Find the regions of an image layer and add them as a labels layer.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer.
    image : Image layer or str
        A metaphase, or a stack of them.  Of a file with several channels that napari shows as
        frames, one channel is taken, as in the Classify dock, and shown as a layer of its own.
    parameters : SegmentationParameters, optional
        What counts as a region.
    **overrides
        Single parameters by name.

    Returns
    -------
    Labels layer
        The new layer, named after the image.  Earlier regions of the image are hidden.
    """
    layer = chromosome_layer(viewer, find_layer(viewer, image, "image"))
    chosen = SegmentationParameters(**{**vars(parameters or SegmentationParameters()), **overrides})
    labels = segment_frames(layer_data(layer), bool(layer.rgb), chosen)
    for other in viewer.layers:
        if other.metadata.get(IMAGE) == layer.unique_id:
            other.visible = False
    made = add_regions(viewer, layer, labels)
    show_plain_outlines(viewer, made, extract_regions(labels))
    return made


def add_regions(
    viewer: Any, image: Any, labels: NDArray[np.int32], table: pd.DataFrame | None = None
) -> Any:
    """Add labels, with their features table, as a layer aligned with its image.

    The table is set when the layer is created, so that it cannot overwrite a review that a listener
    restores.
    """
    made = viewer.add_labels(
        labels,
        name=unique_name(viewer, f"{image.name} regions"),
        **spatial_metadata(image),
        colormap=plain_colormap(),
        features=None if table is None else validate_table(table),
    )
    belong_together(image, made)
    made.contour = outline_width(frame_shape(made))
    made.opacity = 1.0
    return made


def classify_layer(
    viewer: Any,
    image: Any,
    labels: Any,
    select: Selection | None = None,
    *,
    model: str | Path | ClusterClassifier = "default",
    device: str = "auto",
    expected: int | None = EXPECTED_CHROMOSOMES,
    threshold: float | None = None,
    overlay: bool = True,
    progress: Callable[[int, int], None] | None = None,
    stop: Callable[[], bool] | None = None,
) -> pd.DataFrame:
    """Classify the regions of a labels layer and show their types.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer.
    image : Image layer or str
        The metaphase.
    labels : Labels layer or str
        Its regions.
    select : label or collection of labels, optional
        Regions to classify (default all).
    model : str, path or ClusterClassifier
        The model.
    device : str
        ``auto``, ``cpu``, ``cuda`` or ``mps``.
    expected : int, optional
        Chromosomes in a cell; None if unknown.
    threshold : float, optional
        Confidence below which a region is unsure (default: the model's).
    overlay : bool
        Color the layer by type.
    progress, stop : callable, optional
        As in `ClusterClassifier.classify`.

    Returns
    -------
    DataFrame
        The rows of the regions classified now; the layer's features include all.
    """
    image_layer = find_layer(viewer, image, "image")
    labels_layer = find_layer(viewer, labels, "labels")
    if mismatch(image_layer, labels_layer):
        image_layer = chromosome_layer(viewer, image_layer)
    check_pair(image_layer, labels_layer)
    belong_together(image_layer, labels_layer)
    if doubt := label_doubt(layer_data(labels_layer)):
        warnings.warn(f"{labels_layer.name}: {doubt}", stacklevel=2)
    classifier = loaded(model, device)
    table = classifier.classify(
        layer_data(image_layer), layer_data(labels_layer), select, expected=expected,
        progress=progress, stop=stop,
    )  # fmt: skip
    merged = merge_tables(table_of(labels_layer), table, complete=select is None)
    set_familiarity(labels_layer, table)
    set_table(labels_layer, merged)
    if overlay:
        limit = classifier.card.unsure_threshold if threshold is None else threshold
        show_overlay(viewer, labels_layer, threshold=limit)
    return table


def loaded(model: str | Path | ClusterClassifier, device: str) -> ClusterClassifier:
    """Return a classifier, given the classifier, its name or its file."""
    prepare_torch()
    from napari_chromocluster.models.classifier import load_model

    return load_model(model, device) if isinstance(model, (str, Path)) else model


def open_result(
    viewer: Any, image: str | Path, labels: str | Path, table: str | Path | None = None
) -> Any:
    """Open an image with its regions and their types from files.

    Returns
    -------
    Labels layer
        The regions.
    """
    opened = open_image(image)
    array, color = opened.pixels, opened.pixels.shape[-1] in (3, 4)
    layer = viewer.add_image(
        array,
        name=Path(image).stem,
        rgb=color,
        **physical(array.ndim - color, opened.pixel_size),
    )
    made = add_regions(viewer, layer, read_labels(labels))
    if table is not None:
        set_table(made, read_table(table))
        show_overlay(viewer, made)
    return made
