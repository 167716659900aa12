"""Classify a folder of ready-made crops: writes a table and a contact sheet."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from napari_chromocluster.batch.files import BatchError, writable_folder
from napari_chromocluster.batch.images import find_images
from napari_chromocluster.cluster_types import TYPES
from napari_chromocluster.imaging.crops import RegionCrop
from napari_chromocluster.imaging.files import ImageError, atomic_path
from napari_chromocluster.imaging.image_file import open_image
from napari_chromocluster.imaging.io import is_stack
from napari_chromocluster.results.annotated_crops import load_ready_made_crops
from napari_chromocluster.results.features_table import PROBABILITIES

if TYPE_CHECKING:
    from napari_chromocluster.models.classifier import ClusterClassifier

#: Maximum number of crops on a contact sheet; if there are more, the least certain are shown.
_MOST_SHOWN = 600


def classify_crops_to_files(
    source: str | Path, folder: str | Path, classifier: ClusterClassifier
) -> tuple[pd.DataFrame, dict[str, str]]:
    """Classify images that contain one region each, and write a table and a contact sheet.

    Crops with the same name up to the first ``_`` are from one metaphase; with eight or more,
    their median size is the reference size.

    Parameters
    ----------
    source : path
        A folder of crops, or one crop.
    folder : path
        For ``NAME_crops.csv`` and ``NAME_crops.png``, where NAME is the name of the source.
    classifier : ClusterClassifier
        The model.

    Returns
    -------
    DataFrame, dict of str to str
        A row for each crop: ``index`` (its number on the sheet), ``image``, ``group``,
        ``cluster_type``, ``confidence`` and a probability for each type; and a dict of unreadable
        files with the reason for each.

    Raises
    ------
    BatchError
        If no crop can be read.
    ImageError
        If there is no image, or the folder cannot be written to.
    """
    from napari_chromocluster.results.figures import crop_sheet, save_figure

    files, crops, failures = [], [], {}
    sizes: set[float | None] = set()
    for file in find_images([source]):
        try:
            opened = open_image(file)
            if is_stack(opened.pixels):
                raise ImageError(f"{file.name} holds several frames: save each crop as a file.")
        except ImageError as error:
            failures[str(file)] = str(error)
        else:
            files.append(file)
            crops.append(opened.pixels)
            sizes.add(opened.pixel_size)
    if not files:
        raise BatchError(" ".join(failures.values()))
    groups = np.array([file.stem.partition("_")[0] for file in files], object)
    probabilities = np.zeros((len(files), len(TYPES)), np.float32)
    cut: list[tuple[int, RegionCrop]] = []
    for group in dict.fromkeys(groups):
        mine = np.flatnonzero(groups == group)
        regions = load_ready_made_crops([crops[one] for one in mine])
        probabilities[mine] = classifier.predict_regions(regions)
        cut += zip(mine.tolist(), regions, strict=True)
    table = pd.DataFrame(
        {
            "index": np.arange(1, len(files) + 1),
            "image": [str(file) for file in files],
            "group": groups,
            "cluster_type": [str(TYPES[one]) for one in probabilities.argmax(axis=1)],
            "confidence": probabilities.max(axis=1),
            **dict(zip(PROBABILITIES, probabilities.T, strict=True)),
            "model": classifier.name,
        }
    )
    tiles = {place + 1: crop.signal * crop.mask for place, crop in cut}
    name = Path(source).resolve().stem
    with writable_folder(folder):
        shown = table.nsmallest(_MOST_SHOWN, "confidence")
        # Crops with different pixel sizes have no common scale.
        size = sizes.pop() if len(sizes) == 1 else None
        sheet = crop_sheet(tiles, shown, pixel_size=size)
        save_figure(Path(folder) / f"{name}_crops.png", sheet)
        with atomic_path(Path(folder) / f"{name}_crops.csv") as temporary:
            table.to_csv(temporary, index=False, lineterminator="\n")
    return table, failures
