"""Read annotated regions from image and label files and crop them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import ndimage

from napari_chromocluster.imaging.crops import RegionCrop, cut_regions, square_crop
from napari_chromocluster.imaging.io import read_image, read_labels
from napari_chromocluster.imaging.normalization import (
    normalize_stain,
    to_grayscale,
    transparent_pixels,
)
from napari_chromocluster.imaging.regions import Region, extract_regions, looks_like_grayscale
from napari_chromocluster.results.annotation_groups import name_groups
from napari_chromocluster.results.annotations import (
    AnnotationError,
    has_type,
    naming_line,
    read_rows,
)

#: Minimum number of ready-made crops of a group for a reference size.
_FEWEST_CROPS = 8
#: Depth of the rim of a region, in px: it mixes the region with its background.
_RIM = 1.5


@dataclass(frozen=True)
class AnnotatedCrops:
    """Crops of annotated regions with their annotations.

    Attributes
    ----------
    crops : list of RegionCrop
        The regions.
    names : list of str
        Cluster type of each (or ``cluster``).
    groups : list of str
        Group of each.
    rows : DataFrame
        Their annotations (image, labels, label, cluster_type, group).
    """

    crops: list[RegionCrop]
    names: list[str]
    groups: list[str]
    rows: pd.DataFrame


def trainable(annotations: pd.DataFrame) -> pd.DataFrame:
    """Drop rows without information about the type."""
    known = annotations["cluster_type"].map(has_type).astype(bool)
    return annotations[known].reset_index(drop=True)


def read_sources(paths: Sequence[str | Path]) -> pd.DataFrame:
    """Read several annotation CSVs and folders per type into one table.

    The column ``source`` is the index of each row's file in ``paths``.
    """
    frames = [read_rows(Path(path)).assign(source=number) for number, path in enumerate(paths)]
    return name_groups(pd.concat(frames, ignore_index=True)) if frames else pd.DataFrame()


def load_annotated_crops(
    annotations: pd.DataFrame,
    progress: Callable[[int, int], None] | None = None,
    *,
    half: bool = False,
) -> AnnotatedCrops:
    """Crop every annotated region.

    Parameters
    ----------
    annotations : DataFrame
        From `read_annotations`; rows without information about the type are ignored.
    progress : callable, optional
        Called with the number of images done and the total.
    half : bool
        Store the signals as float16, since tens of thousands of regions would fill the memory.

    Raises
    ------
    AnnotationError
        If nothing is annotated or a label does not occur in its label image.
    """
    table = trainable(annotations) if len(annotations) else annotations
    if table.empty:
        raise AnnotationError("There is no annotated region: annotate some or choose other files.")
    crops: list[RegionCrop | None] = [None] * len(table)
    whole = table["labels"] == ""
    pairs = table[~whole].groupby(["image", "labels"], sort=False)
    total = pairs.ngroups + int(whole.sum())
    done = 0
    for (image, labels), rows in pairs:
        _cut_metaphase(str(image), str(labels), rows, crops)
        if half:
            _halve(crops, rows.index)
        done += 1
        if progress is not None:
            progress(done, total)
    for _, rows in table[whole].groupby("group", sort=False):
        _cut_ready_made(rows, crops)
        if half:
            _halve(crops, rows.index)
        done += len(rows)
        if progress is not None:
            progress(done, total)
    names = [str(name) for name in table["cluster_type"]]
    groups = [str(group) for group in table["group"]]
    return AnnotatedCrops([crop for crop in crops if crop is not None], names, groups, table)


def _halve(crops: list[RegionCrop | None], rows: Iterable[int]) -> None:
    for row in rows:
        crop = crops[row]
        if crop is not None:
            crops[row] = replace(crop, signal=crop.signal.astype(np.float16))


def _cut_metaphase(
    image: str, labels: str, rows: pd.DataFrame, crops: list[RegionCrop | None]
) -> None:
    one = read_metaphase(image, labels, rows)
    cut = cut_regions(one.image, one.labels, one.annotated, one.everything)
    for row, crop in zip(rows.index, cut, strict=True):
        crops[int(row)] = crop


@dataclass(frozen=True)
class AnnotatedMetaphase:
    """A metaphase with some or all regions annotated.

    Attributes
    ----------
    image : (H, W) or (H, W, 3 | 4) array
        The image.
    labels : (H, W) integer array
        Its regions.
    annotated : list of Region
        The annotated regions, in the order of the annotations.
    everything : list of Region
        All regions.
    """

    image: NDArray[Any]
    labels: NDArray[Any]
    annotated: list[Region]
    everything: list[Region]


def read_metaphase(image: str, labels: str, rows: pd.DataFrame) -> AnnotatedMetaphase:
    """Read the image and the regions of the annotations of one metaphase.

    Raises
    ------
    AnnotationError
        If a file cannot be read, a label does not occur, the labels are not a label image or empty,
        or the image is a stack; the message includes file and line.
    """
    with naming_line(rows):
        array = _one_frame(read_labels(Path(labels)), labels)
        picture = _one_frame(read_image(Path(image)), image)
        if array.shape != picture.shape[:2]:
            sizes = " and ".join("×".join(map(str, one.shape[:2])) for one in (picture, array))
            raise AnnotationError(
                f"{Path(image).name} and its labels {Path(labels).name} differ in size "
                f"({sizes} px): name the labels that belong to this image."
            )
        if not array.any():
            raise AnnotationError(
                f"{Path(labels).name} holds no region: name the label image of {Path(image).name}."
            )
        everything = extract_regions(array)
        if looks_like_grayscale(everything):
            raise AnnotationError(
                f"{Path(labels).name} looks like a picture, not like labels: are the columns image "
                f"and labels swapped?"
            )
    regions = {region.label: region for region in everything}
    for number, label in enumerate(rows["label"]):
        if int(label) not in regions:
            with naming_line(rows.iloc[number:]):
                raise AnnotationError(
                    f"label {label} does not occur in {Path(labels).name}, the labels of "
                    f"{Path(image).name}: correct the annotation file."
                )
    chosen = [regions[int(label)] for label in rows["label"]]
    return AnnotatedMetaphase(picture, array, chosen, everything)


def _one_frame(image: NDArray[Any], name: str) -> NDArray[Any]:
    if image.ndim == 2 or (image.ndim == 3 and image.shape[-1] in (1, 3, 4)):
        return image
    raise AnnotationError(f"{Path(name).name} holds several frames: save each as its own image.")


def open_crop(image: NDArray[Any]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return the gray values of a ready-made crop and the mask of its region.

    If the background is a single value or transparent, as in masked crops, it defines the mask;
    otherwise the signal is thresholded at half the level of the chromosomes.  A background that
    does not fit the stain, such as black around Giemsa, is replaced by the level at the region's
    rim.

    Parameters
    ----------
    image : (H, W) or (H, W, 3 | 4) array
        A crop that contains one region.
    """
    gray = to_grayscale(image)
    hidden = transparent_pixels(image)
    if hidden.any():
        return _on_its_background(gray, ~hidden, None), ~hidden
    border = np.concatenate([gray[0], gray[-1], gray[:, 0], gray[:, -1]])
    values, counts = np.unique(border, return_counts=True)
    usual = values[counts.argmax()]
    mask = np.asarray(gray != usual, bool)
    if counts.max() >= 0.5 * border.size and 0 < mask.mean() < 0.98:
        return _on_its_background(gray, mask, float(usual)), mask
    mask = np.asarray(normalize_stain(gray).values > 0.5, bool)
    return gray, mask if mask.any() else np.ones(gray.shape, bool)


def _on_its_background(
    gray: NDArray[np.float32], mask: NDArray[np.bool_], around: float | None
) -> NDArray[np.float32]:
    """Replace the background of a region, unless it fits the brightness of the region's rim."""
    depth = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    rim, core = gray[mask & (depth <= _RIM)], float(np.median(gray[depth > depth.max() / 2]))
    dark = float(np.median(rim)) > core
    if around is not None and (around > core) == dark:
        return gray
    level = np.percentile(rim, 95 if dark else 5)
    return np.where(mask, gray, level).astype(np.float32)


def load_ready_made_crops(images: Sequence[NDArray[Any]]) -> list[RegionCrop]:
    """Crop the region of each ready-made crop of one group.

    Parameters
    ----------
    images : sequence of (h, w) or (h, w, 3 | 4) arrays
        Crops at one scale.  With eight or more, their median size is the reference size of the
        group.
    """
    opened = [open_crop(pixels) for pixels in images]
    reference = None
    if len(opened) >= _FEWEST_CROPS:
        reference = float(np.sqrt(np.median([mask.sum() for _, mask in opened])))
    return [
        square_crop(normalize_stain(gray, mask.astype(np.uint8)).values, mask, reference=reference)
        for gray, mask in opened
    ]


def _cut_ready_made(rows: pd.DataFrame, crops: list[RegionCrop | None]) -> None:
    images = []
    for number, image in enumerate(rows["image"]):
        with naming_line(rows.iloc[number:]):
            images.append(_one_frame(read_image(Path(image)), str(image)))
    for row, crop in zip(rows.index, load_ready_made_crops(images), strict=True):
        crops[int(row)] = crop
