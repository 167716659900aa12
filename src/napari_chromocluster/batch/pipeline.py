"""Process one metaphase: from pixels to labels, table and overlay in a folder."""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from napari_chromocluster.batch.files import BatchError, ResultFiles, check_image, writable_folder
from napari_chromocluster.cluster_types import EXPECTED_CHROMOSOMES
from napari_chromocluster.imaging.files import ImageError
from napari_chromocluster.imaging.image_file import open_image
from napari_chromocluster.imaging.io import is_stack, provenance_tag_of, read_labels, write_labels
from napari_chromocluster.imaging.normalization import Polarity
from napari_chromocluster.imaging.planes import ImageFile
from napari_chromocluster.imaging.region_filter import FoundRegions
from napari_chromocluster.imaging.regions import extract_regions
from napari_chromocluster.imaging.segmentation import find_regions
from napari_chromocluster.results.features_table import (
    HUMAN,
    KEY,
    TableError,
    build_table,
    merge_tables,
)
from napari_chromocluster.results.table_files import read_table, write_table

if TYPE_CHECKING:
    from napari_chromocluster.models.classifier import ClusterClassifier

#: Provenance tags of label images: regions segmented by this program, and given by the user.
FOUND, GIVEN = "found", "given"


@dataclass(frozen=True)
class ClassificationResult:
    """One classified metaphase.

    Attributes
    ----------
    table : DataFrame
        The features table, as written.
    labels : (H, W) integer array
        The regions.
    files : ResultFiles
        The files written.
    threshold : float
        Confidence below which a region is unsure.
    seconds : float
        Time for finding and classifying the regions, without reading and writing.
    left_out : dict of str to int
        Number of objects that are not regions, by reason, if the image was segmented.
    familiarity : float or None
        1 if the image looks like the training data, less if not; None if unknown.
    """

    table: pd.DataFrame
    labels: NDArray[Any]
    files: ResultFiles
    threshold: float
    seconds: float
    left_out: dict[str, int] = field(default_factory=dict)
    familiarity: float | None = None


@dataclass(frozen=True)
class SegmentationResult:
    """The newly segmented regions of one metaphase.

    Attributes
    ----------
    labels : (H, W) integer array
        The regions.
    path : Path
        The label image.
    removed : tuple of Path
        Results of the model on other regions, which were deleted.
    left_out : dict of str to int
        Number of objects that are not regions, by reason.
    """

    labels: NDArray[Any]
    path: Path
    removed: tuple[Path, ...] = ()
    left_out: dict[str, int] = field(default_factory=dict)


def read_frame(path: str | Path, channel: int | str | None = None) -> ImageFile:
    """Read one metaphase, as `open_image` does.

    Raises
    ------
    ImageError
        If it cannot be read, or is a stack or a folder.
    """
    check_image(path)
    image = open_image(path, channel)
    if is_stack(image.pixels):
        raise ImageError(
            f"{Path(path).name} holds {len(image.pixels)} frames: use 'chromocluster batch' for it."
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
    expected: int | None = EXPECTED_CHROMOSOMES,
    threshold: float | None = None,
    polarity: Polarity = "auto",
    pixel_size: float | None = None,
    overlay: bool = True,
    labels_as: str | None = None,
) -> ClassificationResult:
    """Classify one metaphase and write labels, table and overlay into a folder.

    Parameters
    ----------
    image : (H, W) or (H, W, 3 | 4) array
        The metaphase.
    name : str
        Base name of the files.
    folder : path
        Created if necessary.
    classifier : ClusterClassifier
        The model.
    labels : (H, W) integer array, optional
        Its regions (default: they are segmented).
    select : collection of int, optional
        Labels to classify (default all).
    expected : int, optional
        Chromosomes in a cell; None if unknown.
    threshold : float, optional
        Confidence below which a region is unsure (default: the model's).
    polarity : {"auto", "dark", "bright"}
        Whether chromosomes are darker or brighter than the background, if the regions are
        segmented.
    pixel_size : float, optional
        Micrometers per pixel, for the scale bar and the copy of the labels.
    overlay : bool
        Whether to write an overlay.
    labels_as : {"ome-tiff", "ome-zarr"}, optional
        Format in which to also write the labels.

    Raises
    ------
    BatchError
        If no region is found, or the folder has results with human decisions
        or user-made labels for other regions.
    ImageError, RegionError, ClassifyError
        As raised by the steps.
    """
    from napari_chromocluster.results.figures import overlay_figure, save_figure

    files = ResultFiles.of(folder, name)
    with writable_folder(folder):
        reviewed = _reviewed(files, labels)
        began = time.perf_counter()
        left_out: dict[str, int] = {}
        if labels is None:
            found = _find_regions(image, name, polarity=polarity)
            regions: NDArray[Any] = found.labels
            left_out = _counts(found)
        else:
            regions = labels
        came = FOUND if labels is None else GIVEN
        if reviewed is None:  # otherwise the labels are those of the human decisions
            _check_labels_there(files, regions, came)
        table = classifier.classify(image, regions, select, expected=expected)
        seconds = time.perf_counter() - began
        familiarity = table.attrs["familiarity"].get(0)
        if reviewed is not None:
            table = merge_tables(reviewed, table)
        limit = classifier.card.unsure_threshold if threshold is None else threshold
        figure = None
        if overlay:
            figure = overlay_figure(
                image, regions, table, threshold=limit, title=f"{name} — {classifier.name}",
                pixel_size=pixel_size,
            )  # fmt: skip
        _put_labels(files, regions, came, labels_as, pixel_size)
        if figure is None:
            files.overlay.unlink(missing_ok=True)  # of earlier results
        else:
            save_figure(files.overlay, figure)
            figure.clear()  # its cycles would keep the image until Python looks for them
        write_table(files.regions, table)
    return ClassificationResult(table, regions, files, limit, seconds, left_out, familiarity)


def segment_to_files(
    image: NDArray[Any],
    name: str,
    folder: str | Path,
    *,
    pixel_size: float | None = None,
    labels_as: str | None = None,
    **parameters: Any,
) -> SegmentationResult:
    """Find the regions of one metaphase and write them into a folder.

    A table and an overlay of the model for other regions are deleted, because
    they would contradict the labels.

    Parameters
    ----------
    image : (H, W) or (H, W, 3 | 4) array
        The metaphase.
    name : str
        Base name of the files.
    folder : path
        Created if necessary.
    pixel_size, labels_as
        As for `classify_to_files`.
    **parameters
        As for `segment_metaphase`.

    Raises
    ------
    BatchError
        If the folder has results with human decisions or user-made labels for
        other regions.
    ImageError, ValueError
        As raised by the steps.
    """
    files = ResultFiles.of(folder, name)
    with writable_folder(folder):
        old = _table_there(files)
        found = _find_regions(image, name, **parameters)
        labels = found.labels
        _check_labels_there(files, labels, FOUND)
        removed: list[Path] = []
        if _has_human(old):
            _reviewed(files, labels)
        elif old is not None and not _agree(old, labels):
            removed = [path for path in (files.regions, files.overlay) if path.exists()]
        for path in removed:  # before the labels: an interruption leaves no contradiction
            path.unlink()
        _put_labels(files, labels, FOUND, labels_as, pixel_size)
    return SegmentationResult(labels, files.labels, tuple(removed), _counts(found))


def is_reviewed(files: ResultFiles) -> bool:
    """Return whether the results of a metaphase contain human decisions.

    Raises
    ------
    BatchError
        If the existing table is not a features table.
    """
    return _has_human(_table_there(files))


def _find_regions(image: NDArray[Any], name: str, **parameters: Any) -> FoundRegions:
    found = find_regions(image, **parameters)
    if not found.labels.any():
        by_itself = set(parameters) <= {"polarity"} and parameters.get("polarity", "auto") == "auto"
        advice = "give its labels" if by_itself else "choose other values"
        raise BatchError(
            f"No chromosome was found in {name}: check that it is a metaphase, or {advice}."
        )
    return found


def _counts(found: FoundRegions) -> dict[str, int]:
    return {reason.value: count for reason, count in found.counts().items()}


def _table_there(files: ResultFiles) -> pd.DataFrame | None:
    if not files.regions.exists():
        return None
    try:
        return read_table(files.regions)
    except TableError as error:
        raise BatchError(
            f"{files.regions} is there already and is no features table: move it away, "
            f"or choose another folder."
        ) from error


def _has_human(table: pd.DataFrame | None) -> bool:
    return table is not None and bool((table["source"] == HUMAN).any())


def _reviewed(files: ResultFiles, labels: NDArray[Any] | None) -> pd.DataFrame | None:
    """Return the existing table if it has human decisions; raise if its regions differ."""
    old = _table_there(files)
    if old is None or not _has_human(old):
        return None
    if labels is None:
        raise BatchError(
            f"{files.regions} holds types that a human decided: choose another folder, or keep "
            f"them with 'chromocluster classify' and --labels {files.labels}."
        )
    if not _are_its_regions(files, old, labels):
        raise BatchError(
            f"{files.regions} holds types that a human decided, but on other regions than these: "
            f"choose another folder."
        )
    return old


def _are_its_regions(files: ResultFiles, table: pd.DataFrame, labels: NDArray[Any]) -> bool:
    """Return whether labels are the regions of a table, by its rows and its label image."""
    if not _agree(table, labels):
        return False
    if not files.labels.exists():
        return True
    stored = read_labels(files.labels)
    # A label image that does not match the table was overwritten since, and is ignored.
    return np.array_equal(stored, labels) or not _agree(table, stored)


def _check_labels_there(files: ResultFiles, labels: NDArray[Any], came: str) -> None:
    """Raise if other regions, edited or given by the user, would be overwritten.

    Unchanged label images of this program may be overwritten, but segmented regions do not
    replace given ones.
    """
    if not files.labels.exists() or _is_there(files, labels):
        return
    seal = provenance_tag_of(files.labels)
    if seal is None or (came == FOUND and seal == GIVEN):
        raise BatchError(
            f"{files.labels} holds other regions, which were changed or given by a user: choose "
            f"another folder, or classify them with 'chromocluster classify' and --labels."
        )


def _put_labels(
    files: ResultFiles,
    labels: NDArray[Any],
    came: str,
    labels_as: str | None,
    pixel_size: float | None,
) -> None:
    # The given labels may be this very file: keep it, with its provenance tag.
    if not (files.labels.exists() and _is_there(files, labels)):
        write_labels(files.labels, labels, seal=came)
    for path in files.label_copies(labels_as):
        write_labels(path, labels, pixel_size=pixel_size)


def _is_there(files: ResultFiles, labels: NDArray[Any]) -> bool:
    return np.array_equal(read_labels(files.labels), labels)


def _agree(table: pd.DataFrame, labels: NDArray[Any]) -> bool:
    """Return whether all rows of a table match regions of these labels in area and position."""
    if table.empty or not labels.any():
        return table.empty
    here = build_table(extract_regions(labels)).set_index(KEY)
    keys = pd.MultiIndex.from_frame(table[KEY])
    if not keys.isin(here.index).all():
        return False
    now = here.loc[keys]
    # The measures may be missing, or rounded by a spreadsheet.
    return all(
        not (np.abs(now[name].to_numpy() - table[name].to_numpy(float)) >= 1).any()
        for name in ("area", "centroid_y", "centroid_x")
    )
