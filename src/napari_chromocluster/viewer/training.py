"""Train on annotated layers: write them to a folder, start a training on it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import tifffile

from napari_chromocluster.imaging.io import atomic_path, write_labels
from napari_chromocluster.results.annotations import COLUMNS, AnnotationError, write_annotations
from napari_chromocluster.results.table import HUMAN
from napari_chromocluster.training.api import train
from napari_chromocluster.training.run import Run, runs_dir
from napari_chromocluster.viewer.layers import check_pair, find_layer, pixels, table_of


def annotated_rows(labels: Any, promoted: bool = False) -> pd.DataFrame:
    """Return the rows of a labels layer that a human decided (or all, if promoted)."""
    table = table_of(labels)
    known = table["cluster_type"] != ""
    return table[known if promoted else known & (table["source"] == HUMAN)]


def write_layers(
    folder: str | Path, pairs: Sequence[tuple[Any, Any]], promoted: bool = False
) -> Path:
    """Write annotated layers as an annotation file with its images.

    Parameters
    ----------
    folder : path
        Takes images, label images and ``annotations.csv``.
    pairs : sequence of (Image layer, Labels layer)
        Metaphases with their regions; each frame of a stack is a metaphase.
    promoted : bool
        Also take rows that only the model decided.

    Returns
    -------
    Path
        The annotation file.

    Raises
    ------
    AnnotationError
        If no region is annotated.
    """
    target = Path(folder)
    rows = []
    for number, (image, labels) in enumerate(pairs):
        check_pair(image, labels)
        table = annotated_rows(labels, promoted)
        stack = len(pixels(labels).shape) == 3
        name = re.sub(r"[^\w-]+", "_", image.name) or "metaphase"
        for frame in sorted(set(table["frame"])):
            stem = f"{number:03d}_{name}" + (f"_{frame:03d}" if stack else "")
            picture = pixels(image)[frame] if stack else pixels(image)
            regions = pixels(labels)[frame] if stack else pixels(labels)
            with atomic_path(target / f"{stem}.tif") as temporary:
                tifffile.imwrite(temporary, np.asarray(picture))
            write_labels(target / f"{stem}_labels.tif", np.asarray(regions))
            mine = table[table["frame"] == frame]
            rows += [
                (str(target / f"{stem}.tif"), str(target / f"{stem}_labels.tif"), label, kind, stem)
                for label, kind in zip(mine["index"], mine["cluster_type"], strict=True)
            ]
    if not rows:
        raise AnnotationError(
            "No region of these layers was decided by a human: annotate some in the review dock."
        )
    write_annotations(target / "annotations.csv", pd.DataFrame(rows, columns=list(COLUMNS)))
    return target / "annotations.csv"


def train_on_layers(
    viewer: Any,
    pairs: Sequence[tuple[Any, Any]],
    *,
    annotations: Sequence[str | Path] = (),
    promoted: bool = False,
    out: str | Path | None = None,
    wait: bool = False,
    **options: Any,
) -> Run:
    """Finetune a model on annotated layers, in a process of its own.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer.
    pairs : sequence of (Image layer or str, Labels layer or str)
        Annotated metaphases.
    annotations : sequence of path
        Further annotation files.
    promoted : bool
        Also learn from rows that only the model decided.
    out : path, optional
        Run folder.
    wait : bool
        Train in this process and return when it is done.
    **options
        As in `napari_chromocluster.train`.

    Returns
    -------
    Run
        The run, which goes on when napari is closed.
    """
    found = [(find_layer(viewer, a, "image"), find_layer(viewer, b, "labels")) for a, b in pairs]
    folder = Path(out) if out else runs_dir() / datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    sources = list(annotations)
    if found:
        sources.append(write_layers(folder / "data", found, promoted))
    return train(sources, out=folder, wait=wait, **options)
