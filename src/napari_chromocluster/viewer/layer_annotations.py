"""Train on annotated layers: write them to a folder, start training, and find them again."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import tifffile

from napari_chromocluster.imaging.files import atomic_path, write_text_atomic
from napari_chromocluster.imaging.io import write_labels
from napari_chromocluster.results.annotated_crops import read_sources
from napari_chromocluster.results.annotation_groups import name_groups
from napari_chromocluster.results.annotations import COLUMNS, AnnotationError, write_annotations
from napari_chromocluster.results.features_table import HUMAN
from napari_chromocluster.training.api import launch, prepare
from napari_chromocluster.training.runs.run_folder import Run, new_run_folder
from napari_chromocluster.viewer.layer_tables import table_of
from napari_chromocluster.viewer.layers import (
    GROUP,
    check_pair,
    find_layer,
    frame_shape,
    image_layers,
    image_of,
    labels_layers,
    layer_data,
    show_frame,
    source_of,
)

#: File and folder names in a run folder for annotated layers.
DATA, ORIGINS = "data", "layers.json"


@dataclass(frozen=True)
class ImageSource:
    """The layers that a written metaphase came from, used to find them again.

    Attributes
    ----------
    image, labels : str
        Names of the layers.
    source : str
        File of the image layer; empty if it has none.
    frame : int
        Frame of a stack.
    stack : bool
        Whether it was a stack.
    """

    image: str
    labels: str
    source: str
    frame: int
    stack: bool


@dataclass(frozen=True)
class LayerPair:
    """Snapshot of an image layer and its labels layer.

    Layers are only read on the main thread, since napari's proxies are not thread-safe.  The
    snapshot may be counted and written in any thread.

    Attributes
    ----------
    image, labels : str
        Names of the layers.
    source : str
        File of the image layer; empty if it has none.
    stack : bool
        Whether it is a stack; each of its frames is a metaphase.
    picture, regions : array
        Their pixels, not copied.
    features : DataFrame
        The features table of the labels layer; empty if it has none.
    named_group : str
        Group that an annotation file gave the image; empty if none did.
    """

    image: str
    labels: str
    source: str
    stack: bool
    picture: Any
    regions: Any
    features: pd.DataFrame
    named_group: str = ""

    @property
    def path(self) -> str:
        """Name of the image in annotation files: its file, or else its layer's name."""
        return str(Path(self.source).resolve()) if self.source else self.image

    def metaphase(self, frame: int = 0) -> str:
        """Return the identifier of a metaphase: its path, plus the frame for a stack."""
        return f"{self.path}#{frame}" if self.stack else self.path

    def group(self, frame: int = 0) -> str:
        """Return the group of a metaphase: from its annotation file, else its file or layer."""
        if self.named_group:
            return self.named_group
        name = Path(self.source).name if self.source else self.image
        return f"{name}#{frame}" if self.stack else name

    def rows(self, promoted: bool = False) -> pd.DataFrame:
        """Return the rows decided by a human (or all, if promoted), without stale ones."""
        table = self.features
        table = table[~table["stale"]]  # classified on different pixels
        known = table["cluster_type"] != ""
        return table[known if promoted else known & (table["source"] == HUMAN)]

    def annotations(self, promoted: bool = False) -> pd.DataFrame:
        """Return the annotations in the format of `read_rows`."""
        table = self.rows(promoted)
        rows = [
            (self.metaphase(int(frame)), self.labels, int(label), str(kind), self.named_group)
            for label, kind, frame in zip(
                table["index"], table["cluster_type"], table["frame"], strict=True
            )
        ]
        return pd.DataFrame(rows, columns=list(COLUMNS))


def snapshot_pair(image: Any, labels: Any) -> LayerPair:
    """Return a snapshot of a pair of layers; call this on the main thread.

    Raises
    ------
    LayerError
        If their shapes differ.
    """
    check_pair(image, labels)
    return LayerPair(
        image=str(image.name),
        labels=str(labels.name),
        source=source_of(image),
        stack=len(frame_shape(labels)) == 3,
        picture=layer_data(image),
        regions=layer_data(labels),
        features=table_of(labels),
        named_group=str(image.metadata.get(GROUP, "")),
    )


def open_pairs(viewer: Any) -> list[LayerPair]:
    """Return every labels layer with its image, as found by `layers.image_of`."""
    found = [(image_of(viewer, labels), labels) for labels in labels_layers(viewer)]
    return [snapshot_pair(image, labels) for image, labels in found if image is not None]


def write_layers(
    folder: str | Path,
    pairs: Sequence[LayerPair],
    promoted: bool = False,
    groups: Mapping[str, str] | None = None,
) -> Path:
    """Write annotated layers as an annotation file with its images.

    Parameters
    ----------
    folder : path
        Receives images, label images, ``annotations.csv`` and ``layers.json``.
    pairs : sequence of LayerPair
        Metaphases with their regions; each frame of a stack is a metaphase.
    promoted : bool
        Also include rows that only the model decided.
    groups : mapping of str to str, optional
        Group of each metaphase, see `layer_groups`.

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
    rows: list[tuple[str, str, int, str, str]] = []
    origins: dict[str, dict[str, Any]] = {}
    for number, pair in enumerate(pairs):
        for frame, picture, regions, table in _frames(pair, promoted):
            stem = f"{number:03d}_" + re.sub(r"[^\w-]+", "_", pair.image)
            stem += f"_{frame:03d}" if pair.stack else ""
            with atomic_path(target / f"{stem}.tif") as temporary:
                tifffile.imwrite(temporary, picture)
            write_labels(target / f"{stem}_labels.tif", regions)
            group = (groups or {}).get(pair.metaphase(frame), pair.group(frame))
            files = str(target / f"{stem}.tif"), str(target / f"{stem}_labels.tif")
            rows += [
                (*files, int(label), str(kind), group)
                for label, kind in zip(table["index"], table["cluster_type"], strict=True)
            ]
            origin = ImageSource(pair.image, pair.labels, pair.source, frame, pair.stack)
            origins[stem] = asdict(origin)
    if not rows:
        raise AnnotationError(
            "No region of these layers was decided by a human: annotate some in the review dock."
        )
    write_annotations(target / "annotations.csv", pd.DataFrame(rows, columns=list(COLUMNS)))
    write_text_atomic(target / ORIGINS, json.dumps(origins, indent=1))
    return target / "annotations.csv"


def _frames(
    pair: LayerPair, promoted: bool
) -> Iterator[tuple[int, np.ndarray[Any, Any], np.ndarray[Any, Any], pd.DataFrame]]:
    """Yield the annotated frames of a pair: number, image, regions, rows."""
    table = pair.rows(promoted)
    for frame in sorted({int(one) for one in table["frame"]}):
        picture = np.asarray(pair.picture[frame] if pair.stack else pair.picture)
        regions = np.asarray(pair.regions[frame] if pair.stack else pair.regions)
        # A region that was painted over keeps its row, but has no pixels to learn from.
        there = table["index"].isin(np.unique(regions))
        mine = table[(table["frame"] == frame) & there]
        if len(mine):
            yield frame, picture, regions, mine


def prepare_on_layers(
    pairs: Sequence[LayerPair],
    *,
    annotations: Sequence[str | Path] = (),
    promoted: bool = False,
    out: str | Path | None = None,
    **options: Any,
) -> Run:
    """Create the run folder of `train_on_layers` with its data, without starting the run."""
    folder = Path(out) if out else new_run_folder()
    sources = list(annotations)
    found = [pair for pair in pairs if len(pair.rows(promoted))]
    if not found and not sources:
        raise AnnotationError("Nothing is annotated: decide some regions in the review dock.")
    Run(folder).check_free()
    try:
        if found:
            groups = layer_groups(found, read_sources(annotations), promoted)
            sources.append(write_layers(folder / DATA, found, promoted, groups))
        return prepare(sources, out=folder, **options)
    except Exception:
        # Without a configuration there is no run, so nothing else would ever clean up its data.
        if not Run(folder).config_path.exists():
            shutil.rmtree(folder / DATA, ignore_errors=True)
            with suppress(OSError):  # not empty, or never created
                folder.rmdir()
        raise


def train_on_layers(
    viewer: Any,
    pairs: Sequence[tuple[Any, Any]] | None = None,
    *,
    annotations: Sequence[str | Path] = (),
    promoted: bool = False,
    out: str | Path | None = None,
    wait: bool = False,
    **options: Any,
) -> Run:
    """Finetune a model on annotated layers, in a separate process.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer.
    pairs : sequence of (Image layer or str, Labels layer or str), optional
        Annotated metaphases (default: all that are open).
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
        The run, which continues after napari is closed.

    Raises
    ------
    AnnotationError
        If nothing is annotated.
    """
    if pairs is None:
        found = open_pairs(viewer)
    else:
        found = [
            snapshot_pair(find_layer(viewer, image, "image"), find_layer(viewer, labels, "labels"))
            for image, labels in pairs
        ]
    run = prepare_on_layers(found, annotations=annotations, promoted=promoted, out=out, **options)
    launch(run, wait)
    return run


def layer_groups(
    pairs: Iterable[LayerPair], files: pd.DataFrame, promoted: bool = False
) -> dict[str, str]:
    """Return the group of each metaphase of open layers (see `LayerPair.metaphase`).

    Parameters
    ----------
    pairs : iterable of LayerPair
        The layers.
    files : DataFrame
        Annotations read from files with `read_sources`.  Metaphases annotated there keep their
        group.
    promoted : bool
        Also include rows that only the model decided.
    """
    tables = [pair.annotations(promoted) for pair in pairs]
    table = name_groups(pd.concat(tables, ignore_index=True)) if tables else pd.DataFrame()
    groups = {} if table.empty else dict(zip(table["image"], table["group"], strict=True))
    known = {} if files.empty else dict(zip(files["image"], files["group"], strict=True))
    known = {str(Path(image).resolve()): str(group) for image, group in known.items()}
    return {image: known.get(image, str(group)) for image, group in groups.items()}


def origin_of(image: str | Path) -> ImageSource | None:
    """Return the layers that a written metaphase came from, or None if it came from a file."""
    path = Path(image)
    try:
        values = json.loads((path.parent / ORIGINS).read_text(encoding="utf-8"))
        return ImageSource(**values[path.stem])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def find_open(viewer: Any, image: str | Path) -> tuple[Any, Any, int] | None:
    """Return image layer, labels layer and frame of a metaphase if it is open, else None.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer.
    image : path
        Image file of an annotation.
    """
    origin = origin_of(image)
    wanted = str(Path(image).resolve())
    for layer in image_layers(viewer):
        source = source_of(layer)
        same = bool(source) and str(Path(source).resolve()) == wanted
        if origin is not None:
            same = same or (layer.name == origin.image and source == origin.source)
        if same:
            # napari gives plugins a new proxy of a layer each time: equal, not identical.
            labels = [one for one in labels_layers(viewer) if image_of(viewer, one) == layer]
            named = [one for one in labels if origin is not None and one.name == origin.labels]
            stack = origin is not None and origin.stack
            return layer, (named or labels or [None])[0], origin.frame if origin and stack else 0
    return None


def show_place(
    viewer: Any, image: Any, labels: Any, label: int, frame: int, place: tuple[float, float]
) -> None:
    """Center the canvas on a region of an open metaphase and select the region.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer.
    image, labels : layers
        The metaphase and its regions (may be None).
    label : int
        The region.
    frame : int
        Frame of a stack.
    place : tuple of float
        Center of the region (y, x), in px of the image.
    """
    stack = len(frame_shape(image)) == 3
    point = [float(frame), *place] if stack else list(place)
    world = image.data_to_world(point)
    show_frame(viewer, image, frame)
    viewer.scene.camera.center = tuple(float(one) for one in world[-2:])
    image.visible = True
    if labels is not None:
        labels.visible = True
        labels.selected_label = label
        viewer.layers.selection.active = labels
