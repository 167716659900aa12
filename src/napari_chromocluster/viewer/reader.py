"""Read annotation files and folders with one subfolder per type into layers.

Raw images are left to napari's own reader: this one accepts a CSV only if its columns match, and a
folder only if its subfolders are types.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import napari
import numpy as np
import pandas as pd

from napari_chromocluster.imaging.image_file import open_image
from napari_chromocluster.imaging.io import read_image, read_labels
from napari_chromocluster.imaging.regions import extract_regions
from napari_chromocluster.results.annotated_crops import open_crop
from napari_chromocluster.results.annotations import (
    TABLE_SUFFIXES,
    WHERE,
    is_annotation_file,
    is_annotation_folder,
    naming_line,
    read_rows,
    with_allowed_types,
)
from napari_chromocluster.results.delimited import read_any_text
from napari_chromocluster.results.features_table import build_table, set_types
from napari_chromocluster.viewer.layers import (
    CONTENT,
    GROUP,
    SOURCE,
    content_of,
    frame_shape,
    physical,
)
from napari_chromocluster.viewer.overlay import UNCLASSIFIED, color_dict, outline_width

LayerTuple = tuple[Any, dict[str, Any], str]
#: Color of regions without annotation, usually the majority, so that annotated ones stand out.
_QUIET = f"{UNCLASSIFIED}4D"
#: Key of ``layer.metadata`` of labels that are to be outlined.
_OUTLINE = "chromocluster_to_be_outlined"
#: Maximum number of crops shown on one sheet, and of its px.
_MOST_CROPS, _MOST_PIXELS = 600, 64_000_000


def get_reader(path: str | Sequence[str]) -> Callable[[Any], list[LayerTuple]] | None:
    """Return the reader for an annotation file or folder, or None for anything else."""
    if not isinstance(path, (str, Path)):
        return None
    if is_annotation_file(path) or is_annotation_folder(path):
        return read
    return None


def read(path: str | Sequence[str]) -> list[LayerTuple]:
    """Read an annotation file or folder as napari layer data.

    Each metaphase becomes an image layer and a labels layer with the annotated types as features;
    ready-made crops become one sheet of tiles.
    """
    table = read_rows(str(path))
    layers: list[LayerTuple] = []
    whole = table["labels"] == ""
    for (image, labels), rows in table[~whole].groupby(["image", "labels"], sort=False):
        # Only the first is visible, since overlapping images would be unreadable.
        with naming_line(rows):
            layers += _metaphase(str(image), str(labels), rows, visible=not layers)
    if whole.any():
        layers += _crop_sheet(with_allowed_types(table[whole]), Path(str(path)).stem)
    if "napari.viewer" in sys.modules and (viewer := napari.current_viewer()) is not None:
        outline_what_comes(viewer, sum(kind == "labels" for _, _, kind in layers))
    return layers


def _metaphase(image: str, labels: str, rows: pd.DataFrame, visible: bool) -> list[LayerTuple]:
    opened = open_image(image)
    for note in opened.notes:  # napari shows it as a notification
        warnings.warn(note, stacklevel=2)
    pixels, color = opened.pixels, _is_color(opened.pixels)
    array, table = _annotated(labels, rows)
    name = Path(image).stem
    # napari records the annotation file as the source of the layer.
    origin = {SOURCE: image, GROUP: str(rows["group"].iloc[0])}
    shown = {"name": name, "rgb": color, "metadata": origin, "visible": visible}
    options = _labels_options(f"{name} regions", table) | {"visible": visible}
    options["metadata"][CONTENT] = content_of(pixels)
    return [
        (pixels, {**shown, **physical(pixels.ndim - color, opened.pixel_size)}, "image"),
        (array, {**options, **physical(array.ndim, opened.pixel_size)}, "labels"),
    ]


def _annotated(labels: str, rows: pd.DataFrame) -> tuple[Any, pd.DataFrame]:
    """Return a label image and the features table with the types that rows assign to regions."""
    array = read_labels(labels)
    table = build_table(extract_regions(array))
    unknown = rows[~rows["label"].isin(table["index"])]
    if len(unknown):
        # napari shows it as a notification.
        warnings.warn(
            f"{unknown[WHERE].iloc[0]}: label {unknown['label'].iloc[0]} does not occur in "
            f"{Path(labels).name}: correct the annotation file.",
            stacklevel=2,
        )
    for kind, mine in with_allowed_types(rows).groupby("cluster_type", sort=False):
        table = set_types(table, [int(label) for label in mine["label"]], str(kind))
    return array, table


def annotations_beside(source: str | Path | None) -> tuple[Any, pd.DataFrame, str] | None:
    """Return regions and types that an annotation file next to an image gives it.

    Searches the annotation files in the image's folder, and ``annotations.csv`` in the parent
    folder, since images are often in a subfolder.

    Returns
    -------
    labels, table, str
        Label image, features table, and the name of the annotation file; None if no file has
        regions of this image.
    """
    image = Path(source).resolve() if source else None
    if image is None or not image.is_file():
        return None
    beside = [one for one in image.parent.iterdir() if one.suffix.lower() in TABLE_SUFFIXES]
    for file in (*sorted(beside), image.parent.parent / "annotations.csv"):
        # Most files are not about this image, so its name is searched before they are parsed.
        if not is_annotation_file(file) or image.name not in read_any_text(file):
            continue
        rows = read_rows(file)
        rows = rows[(rows["image"] == str(image)) & (rows["labels"] != "")]
        if len(rows):
            labels = str(rows["labels"].iloc[0])
            return *_annotated(labels, rows[rows["labels"] == labels]), file.name
    return None


def _is_color(pixels: Any) -> bool:
    return pixels.ndim > 2 and pixels.shape[-1] in (3, 4)


def _labels_options(name: str, table: pd.DataFrame) -> dict[str, Any]:
    from napari.utils.colormaps import DirectLabelColormap

    colors = color_dict(table)
    bare = table.loc[table["cluster_type"] == "", "index"]
    colors |= dict.fromkeys((int(label) for label in bare), _QUIET)
    return {
        "name": name,
        "features": table,
        "colormap": DirectLabelColormap(color_dict=colors),
        "opacity": 0.5,
        "metadata": {_OUTLINE: True},
    }


def outline_what_comes(viewer: Any, number: int) -> None:
    """Outline the next labels layers from this reader once napari has added them.

    The contour width cannot be set when a layer is created.
    """
    inserted = viewer.layers.events.inserted
    left = [number]

    def outline(event: Any) -> None:
        layer = event.value
        if layer.metadata.pop(_OUTLINE, False):
            layer.contour, layer.opacity = outline_width(frame_shape(layer)), 1.0
            left[0] -= 1
            if left[0] == 0:
                inserted.disconnect(outline)

    inserted.connect(outline)


def _crop_sheet(rows: pd.DataFrame, name: str) -> list[LayerTuple]:
    """Lay out ready-made crops as tiles of one image, with one region per tile."""
    crops: list[Any] = []
    tile = 1
    for number, image in enumerate(rows["image"].head(_MOST_CROPS)):
        with naming_line(rows.iloc[number:]):
            pixels = read_image(image)
        larger = max(tile, *pixels.shape[:2])
        if crops and (len(crops) + 1) * larger**2 > _MOST_PIXELS:
            break
        crops.append(pixels)
        tile = larger
    if len(crops) < len(rows):
        # napari shows it as a notification.
        warnings.warn(
            f"{len(crops)} of {len(rows)} crops are shown: open a folder with fewer for the rest.",
            stacklevel=2,
        )
    rows = rows.head(len(crops))
    order = np.argsort(rows["cluster_type"].to_numpy(str), kind="stable")
    rows = rows.iloc[order]
    columns = max(1, int(np.ceil(np.sqrt(len(rows)))))
    height = int(np.ceil(len(rows) / columns)) * tile
    sheet = np.zeros((height, columns * tile), np.float32)
    labels = np.zeros(sheet.shape, np.int32)
    for number, place in enumerate(order, start=1):
        pixels = crops[place]
        gray, mask = open_crop(pixels)
        top, left = (number - 1) // columns * tile, (number - 1) % columns * tile
        window = (slice(top, top + mask.shape[0]), slice(left, left + mask.shape[1]))
        # Outside its region a crop is black, so that tiles of all stains look alike.
        sheet[window] = np.where(mask, gray, 0)
        labels[window][mask] = number
    table = build_table(extract_regions(labels))
    for number, kind in enumerate(rows["cluster_type"], start=1):
        table = set_types(table, [number], str(kind))
    return [
        (sheet, {"name": f"{name} crops"}, "image"),
        (labels, _labels_options(f"{name} crops regions", table), "labels"),
    ]
