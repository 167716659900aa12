"""Layers to arrays and tables, and back."""

from __future__ import annotations

import hashlib
import re
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any
from weakref import ReferenceType, WeakValueDictionary, ref

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from napari_chromocluster.imaging.regions import Region, label_doubt, looks_like_grayscale
from napari_chromocluster.results.features_table import (
    COLUMNS,
    TableError,
    empty_table,
    is_features_table,
    join_tables,
    read_table,
    validate_table,
    with_columns_of,
)

#: Ends of file names under which results lie beside an image.
TABLE_SUFFIX = "_regions.csv"
#: End of the file that says of which image such results are a review.
REVIEW_SUFFIX = "_review.json"
LABEL_SUFFIXES = ("_labels.tif", "_labels.tiff", "_labels.png")
#: Keys of ``layer.metadata`` that hold the file and the group of an image which an annotation
#: file named.
SOURCE, GROUP = "chromocluster_source", "chromocluster_group"
#: Keys of ``layer.metadata`` that say to which image layer regions belong, and what it shows.
IMAGE, CONTENT = "chromocluster_image", "chromocluster_image_content"
#: Pixels of an image that are looked at to tell it from others.
_LOOKED_AT = 1 << 20
#: Pictures of image layers by the id of the layer, with what tells them from others.
_CONTENTS: dict[Any, tuple[ReferenceType[NDArray[Any]], str]] = {}
_MOST_CONTENTS = 256
#: What names of label files have after that of their image.
_NAMED = ("_labels", "-labels", "_label", "_mask", "_seg", "_regions")
#: Key of ``layer.metadata`` that holds how familiar each frame was to the model.
FAMILIARITY = "chromocluster_familiarity"
#: Key of ``layer.metadata`` that says whose explanation an image layer holds.
EXPLANATION = "chromocluster_explanation_of"
#: Key of ``layer.metadata`` that says of which layer an image layer shows one channel.
CHANNEL = "chromocluster_channel"
#: Key of ``layer.metadata`` of an image layer that no longer shows the picture of its file.
REPLACED = "chromocluster_picture_replaced"
#: Shape of the values of a pixel in colours or with alpha.
_SAMPLES = (2, 3, 4)


class LayerError(ValueError):
    """Layers that cannot be used together."""


def layer_type(layer: Any) -> str:
    """Return ``image``, ``labels`` ... by public means, without importing napari's classes."""
    names = {cls.__name__.lower() for cls in layer.__class__.__mro__}
    return next((name for name in ("labels", "image", "points", "shapes") if name in names), "")


def image_layers(viewer: Any) -> list[Any]:
    """Return the image layers of a viewer that show metaphases.

    Left out are explanations, and layers of several channels of which one has a layer of its own.
    """
    images = [layer for layer in viewer.layers if layer_type(layer) == "image"]
    several = {one.metadata[CHANNEL]["of"] for one in images if CHANNEL in one.metadata}
    return [
        layer
        for layer in images
        if EXPLANATION not in layer.metadata and layer.unique_id not in several
    ]


def labels_layers(viewer: Any) -> list[Any]:
    """Return the labels layers of a viewer."""
    return [layer for layer in viewer.layers if layer_type(layer) == "labels"]


def front_image(viewer: Any) -> Any:
    """Return the image layer that is seen: the topmost that is not hidden; None without images."""
    images = image_layers(viewer)
    return next((one for one in reversed(images) if one.visible), (images or [None])[-1])


def find_layer(viewer: Any, layer: Any, kind: str) -> Any:
    """Return a layer given itself or its name.

    Raises
    ------
    LayerError
        If there is no such layer, or it is of another kind.
    """
    if isinstance(layer, str):
        if layer not in viewer.layers:
            raise LayerError(f"There is no layer {layer!r}: choose one that is open.")
        layer = viewer.layers[layer]
    if layer_type(layer) != kind:
        article = "an" if kind[0] in "aeiou" else "a"
        raise LayerError(
            f"The layer {layer.name!r} is not {article} {kind} layer: choose one that is."
        )
    return layer


def layer_data(layer: Any) -> Any:
    """Return the array of a layer at full resolution; lazy arrays stay lazy."""
    return layer.data[0] if getattr(layer, "multiscale", False) else layer.data


def layer_snapshot(layer: Any) -> Any:
    """Return the array of a layer as it is now, for work beside the viewer.

    A copy, so that painting meanwhile neither disturbs the work nor is mistaken for it; lazy
    arrays stay lazy.
    """
    array = layer_data(layer)
    return array.copy() if isinstance(array, np.ndarray) else array


def frame_shape(layer: Any) -> tuple[int, ...]:
    """Return the shape of a layer without its colour channels."""
    shape = tuple(int(n) for n in layer_data(layer).shape)
    return shape[:-1] if getattr(layer, "rgb", False) else shape


def spatial_metadata(layer: Any, ndim: int | None = None) -> dict[str, Any]:
    """Return where a layer lies in the world, as options of another that is to lie there.

    Parameters
    ----------
    layer : Layer
        The layer.
    ndim : int, optional
        Dimensions of the other layer, the last ones of this (default: all).
    """
    if ndim is None or ndim == layer.ndim:
        names = ("scale", "translate", "rotate", "shear", "affine", "units", "axis_labels")
        return {name: getattr(layer, name) for name in names}
    upright = not np.any(layer.shear) and all(
        np.allclose(getattr(one, name), np.eye(layer.ndim + (name == "affine_matrix")))
        for one, name in ((layer, "rotate"), (layer.affine, "affine_matrix"))
    )
    if upright:
        upright_names = ("scale", "translate", "units", "axis_labels")
        return {name: getattr(layer, name)[-ndim:] for name in upright_names}
    origin = np.asarray(layer.data_to_world(np.zeros(layer.ndim)))
    ends = [layer.data_to_world(row) for row in np.eye(layer.ndim)[-ndim:]]
    matrix = np.eye(ndim + 1)
    matrix[:ndim, :ndim] = (np.asarray(ends) - origin)[:, -ndim:].T
    matrix[:ndim, ndim] = origin[-ndim:]
    return {
        "affine": matrix,
        "units": layer.units[-ndim:],
        "axis_labels": layer.axis_labels[-ndim:],
    }


def physical(ndim: int, pixel_size: float | None) -> dict[str, Any]:
    """Return the scale and the units of a layer whose pixels measure so many micrometres."""
    if pixel_size is None:
        return {}
    outer = ndim - 2
    return {
        "scale": (*[1.0] * outer, pixel_size, pixel_size),
        "units": (*["pixel"] * outer, "um", "um"),
    }


def source_of(layer: Any) -> str:
    """Return the file that a layer's pixels come from, empty where there is none.

    napari knows the file that was opened; where that was an annotation file, `reader.read` has
    noted which image it names.  A layer that shows another picture by now comes from no file.
    """
    if layer.metadata.get(REPLACED):
        return ""
    return str(layer.metadata.get(SOURCE) or getattr(layer.source, "path", None) or "")


def show_only(viewer: Any, image: Any, labels: Any) -> None:
    """Show one metaphase with its regions, and hide the others; marks go with their labels."""
    for layer in (*image_layers(viewer), *labels_layers(viewer)):
        layer.visible = layer in (image, labels)
    for layer in viewer.layers:  # also such whose labels were hidden before they were explained
        owner = layer.metadata.get(EXPLANATION)
        if owner is not None and (labels is None or owner != labels.unique_id):
            layer.visible = False


def put_below_regions(viewer: Any, image: Any) -> None:
    """Move an image layer below all labels layers, so that it hides no regions."""
    places = [viewer.layers.index(one) for one in labels_layers(viewer)]
    here = viewer.layers.index(image)
    if places and here > min(places):
        viewer.layers.move(here, min(places))


def hide_other_regions(viewer: Any, image: Any) -> list[Any]:
    """Hide the regions that belong to other images; returns those that were seen."""
    hidden = [
        one
        for one in labels_layers(viewer)
        if one.visible and image_of(viewer, one) not in (None, image)
    ]
    for one in hidden:
        one.visible = False
    return hidden


def matching_labels(viewer: Any, image: Any) -> list[Any]:
    """Return the labels layers whose shape is that of an image layer."""
    shape = frame_shape(image)
    return [layer for layer in labels_layers(viewer) if frame_shape(layer) == shape]


def image_of(viewer: Any, labels: Any) -> Any:
    """Return the image layer that a labels layer belongs to, None where there is none.

    Metaphases of one camera have one shape, and often one name.  So regions that were found,
    classified or reviewed here know their image, and what it shows: its file may be closed and
    opened again.  Of others the name decides where it can, else the image that lies next below
    the labels.
    """
    fitting = [one for one in image_layers(viewer) if frame_shape(one) == frame_shape(labels)]
    owner, content = labels.metadata.get(IMAGE), labels.metadata.get(CONTENT)
    if content:  # a layer may show another picture by now
        fitting = [one for one in fitting if shown_content(one) in (content, "")]
    if owner is not None and any(one.unique_id == owner for one in fitting):
        return next(one for one in fitting if one.unique_id == owner)
    if content:
        fitting = [one for one in fitting if shown_content(one) == content]
    named = [one for one in fitting if _named_after(labels.name, one.name)]
    if owner is not None and not content and not named:
        return None  # its image was closed: another one of that shape is not its own
    longest = max((len(_plain(one.name)) for one in named), default=0)
    likely = [one for one in named if len(_plain(one.name)) == longest] or fitting
    place = viewer.layers.index(labels)
    below = [one for one in likely if viewer.layers.index(one) < place]
    return (below or likely or [None])[-1]


def content_of(array: Any) -> str:
    """Return what tells the pixels of an image from those of others, "" for lazy arrays."""
    if not isinstance(array, np.ndarray) or array.size == 0:
        return ""
    values = array.reshape(-1)
    digest = hashlib.sha256(f"{array.shape} {array.dtype.str}".encode())
    digest.update(np.ascontiguousarray(values[:: max(1, len(values) // _LOOKED_AT)]).tobytes())
    return digest.hexdigest()


def shown_content(layer: Any) -> str:
    """Return `content_of` the picture that an image layer shows, computed once for each."""
    array = layer_data(layer)
    if not isinstance(array, np.ndarray):
        return ""
    known = _CONTENTS.get(layer.unique_id)
    if known is None or known[0]() is not array:
        while len(_CONTENTS) >= _MOST_CONTENTS:
            _CONTENTS.pop(next(iter(_CONTENTS)))
        known = _CONTENTS[layer.unique_id] = (ref(array), content_of(array))
    return known[1]


def leave_picture(viewer: Any, image: Any) -> None:
    """Hide the regions of the picture that an image layer showed before it was given another."""
    image.metadata[REPLACED] = True
    content = shown_content(image)
    for labels in labels_layers(viewer):
        known = labels.metadata.get(CONTENT)
        if labels.metadata.get(IMAGE) == image.unique_id and known and known != content:
            labels.visible = False


def belong_together(image: Any, labels: Any) -> None:
    """Note that labels are regions of an image, so that they are not taken for another's."""
    labels.metadata[IMAGE] = image.unique_id
    labels.metadata[CONTENT] = shown_content(image)


def _plain(name: str) -> str:
    """Return a layer's name without the number that napari gives the second of a name."""
    return re.sub(r" \[\d+\]$", "", name)


def _named_after(labels: str, image: str) -> bool:
    """Whether labels bear the name of an image: "met_1 regions" that of met_1, not of met."""
    labels, image = _plain(labels), _plain(image)
    rest = labels.removeprefix(image)
    return labels.startswith(image) and (
        not rest or rest[0] == " " or rest.lower().startswith(_NAMED)
    )


def labels_of(viewer: Any, image: Any) -> list[Any]:
    """Return the labels layers that belong to an image layer (see `image_of`)."""
    return [one for one in matching_labels(viewer, image) if image_of(viewer, one) == image]


def mismatch(image: Any, labels: Any) -> str:
    """Say why labels cannot be regions of an image; empty where they can."""
    wanted, shape = frame_shape(image), frame_shape(labels)
    if wanted == shape:
        return ""
    last = len(shape) == len(wanted) + 1 and shape[-1] in _SAMPLES and shape[:-1] == wanted
    first = len(shape) == len(wanted) + 1 and shape[0] in _SAMPLES and shape[1:] == wanted
    if last or first:
        return (
            f"{labels.name!r} is a picture with colours or transparency, not a label image: save "
            f"it with one whole number for each pixel, 0 for the background, and open that."
        )
    return "Image and regions differ in shape: choose regions that belong to the image."


def layer_doubt(array: NDArray[Any], regions: Sequence[Region]) -> str:
    """Say what looks wrong with the pixels of a labels layer; empty where nothing does.

    Parameters
    ----------
    array : (H, W) or (N, H, W) integer array
        The labels.
    regions : sequence of Region
        All of them.
    """
    size = array.shape[-2] * array.shape[-1]
    by_frame: dict[int, list[Region]] = {}
    for one in regions:
        by_frame.setdefault(one.frame, []).append(one)
    for frame, mine in by_frame.items():
        if looks_like_grayscale(mine):
            return (
                "it looks like a picture, not like labels: open the label image of the metaphase."
            )
        # Others, which are nearly all, are in no doubt, and looking at their pixels takes long.
        odd = len(mine) == 1 or max(one.area for one in mine) > size / 2
        if odd or sum(one.area for one in mine) == size:
            doubt = label_doubt(array if array.ndim == 2 else array[frame])
            if doubt:
                return doubt
    return ""


def check_pair(image: Any, labels: Any) -> None:
    """Make sure that labels belong to an image.

    Raises
    ------
    LayerError
        If their shapes differ.
    """
    if frame_shape(image) != frame_shape(labels):
        raise LayerError(
            f"{image.name!r} {frame_shape(image)} and {labels.name!r} {frame_shape(labels)} differ "
            f"in shape: choose labels that belong to the image."
        )


class _Known:
    """The features table of a labels layer as it was last known.

    Other programs assign ``layer.features``, some with a table of their own, some with one that
    they read before a human decided: `join_tables` takes from it what is new.
    """

    def __init__(self) -> None:
        self.table = empty_table()
        self._busy = False

    def read(self, layer: Any) -> pd.DataFrame:
        """Return the table with what others have added to it since."""
        features = pd.DataFrame(layer.features)
        ours = is_features_table(features)
        if features.equals(self.table) or not (ours or len(self.table)):
            return self.table
        if ours:
            try:
                validate_table(features)
            except TableError as error:
                warnings.warn(f"In the features of {layer.name!r}: {error}", stacklevel=4)
        self.table = join_tables(self.table, features)
        return self.table

    def write(self, layer: Any, table: pd.DataFrame) -> pd.DataFrame:
        """Give a layer its table; columns of others stay.  Returns the table with them."""
        features = pd.DataFrame(layer.features)
        further = not set(features.columns) <= set(table.columns)
        self.table = with_columns_of(table, features) if further else table
        busy, self._busy = self._busy, True
        try:
            layer.features = self.table
        finally:
            self._busy = busy
        return self.table

    def follow(self, event: Any) -> None:
        """Put back what a table that was assigned lacks."""
        if self._busy:
            return
        layer = event.source
        table = self.read(layer)
        if len(table) and not pd.DataFrame(layer.features).equals(table):
            self.write(layer, table)


#: By the id of a layer; they live as long as the events of the layer, which call them.
_KNOWN: WeakValueDictionary[Any, _Known] = WeakValueDictionary()


def _known(layer: Any) -> _Known:
    found = _KNOWN.get(layer.unique_id)
    if found is None:
        made = found = _KNOWN[layer.unique_id] = _Known()

        def follow(event: Any) -> None:
            made.follow(event)

        layer.events.features.connect(follow)
    return found


def table_of(layer: Any) -> pd.DataFrame:
    """Return the features table of a labels layer (empty where it has none).

    Somebody may have typed into it.  A type that is none is warned of and left out, so that one
    slip does not cost the decisions in all other rows; nor does a table that lacks them.
    """
    return _known(layer).read(layer)


def has_table(layer: Any) -> bool:
    """Whether a labels layer carries a features table."""
    return set(COLUMNS) <= set(layer.features.columns)


def set_table(layer: Any, table: pd.DataFrame, *, checked: bool = False) -> pd.DataFrame:
    """Give a labels layer a new features table; columns that others have added stay.

    napari tells nobody of changes in place, so a new frame is assigned.

    Parameters
    ----------
    layer : Labels layer
        The layer.
    table : DataFrame
        A features table.
    checked : bool
        Whether it was checked already: with thousands of rows that takes a while.

    Returns
    -------
    DataFrame
        The table, with the columns of others.
    """
    return _known(layer).write(layer, table if checked else validate_table(table))


def current_frame(viewer: Any, layer: Any) -> int:
    """Return the frame of a stack that the viewer shows (0 for a single image).

    Steps of the slider are those of all layers together, so they count the frames of this one
    only where no other begins elsewhere or has other distances between its frames.
    """
    if len(frame_shape(layer)) < 3:
        return 0
    frame = int(np.round(_point_in(viewer, layer)[0]))
    return int(np.clip(frame, 0, frame_shape(layer)[0] - 1))


def show_frame(viewer: Any, layer: Any, frame: int) -> None:
    """Bring a frame of a stack up; nothing moves where it is shown, or for a single image."""
    if len(frame_shape(layer)) < 3:
        return
    point = _point_in(viewer, layer)
    if int(np.round(point[0])) != frame:
        point[0] = frame
        axis = viewer.dims.ndim - layer.ndim
        viewer.dims.set_point(axis, float(layer.data_to_world(point)[0]))


def _point_in(viewer: Any, layer: Any) -> NDArray[np.float64]:
    """Return the place at which the viewer cuts, in px of a layer."""
    return np.array(layer.world_to_data(viewer.dims.point), float)


def labels_in_box(layer: Any, corners: Any, frame: int = 0) -> set[int]:
    """Return the labels inside a box.

    Parameters
    ----------
    layer : Labels layer
        The regions.
    corners : (2 | 4, D) array
        Corners of the box in world coordinates, as a Shapes layer in the same
        world gives them; two that lie across will do.
    frame : int
        Frame of a stack.
    """
    inside = np.array([layer.world_to_data(corner) for corner in np.asarray(corners)])[:, -2:]
    array = layer_data(layer)
    plane = array[frame] if len(array.shape) == 3 else array
    low = np.clip(np.floor(inside.min(axis=0)).astype(int), 0, None)
    # A box left of the picture must not count from the other end.
    high = np.clip(np.ceil(inside.max(axis=0)).astype(int) + 1, 0, None)
    found = np.unique(np.asarray(plane[low[0] : high[0], low[1] : high[1]]))
    return {int(label) for label in found if label}


def sidecar_files(source: str | Path | None) -> tuple[Path | None, Path | None]:
    """Return label image and table that lie beside an image file, where they exist."""
    if not source:
        return None, None
    file = Path(source)
    table = file.with_name(file.stem + TABLE_SUFFIX)
    return labels_in(file.parent, file.stem), table if table.is_file() else None


def labels_in(folder: Path, name: str) -> Path | None:
    """Return the label image of a metaphase in a folder, where there is one."""
    places = (folder / f"{name}{suffix}" for suffix in LABEL_SUFFIXES)
    return next((place for place in places if place.is_file()), None)


def read_sidecar_files(source: str | Path | None) -> tuple[Path | None, pd.DataFrame | None]:
    """Return the label image beside an image file, and its table read."""
    labels, table = sidecar_files(source)
    return labels, None if table is None else read_table(table)


def path_next_to_image(image: Any, path: str) -> str:
    """Return the path of a file to be written, unless it is that of the image or of a review.

    Raises
    ------
    LayerError
        If it is.
    """
    source = source_of(image) if image is not None else ""
    if source and Path(path).resolve() == Path(source).resolve():
        raise LayerError(f"{Path(path).name} is the image itself: choose another name.")
    file = Path(path)
    for end in (TABLE_SUFFIX, LABEL_SUFFIXES[0]):
        own = file.with_name(file.name.removesuffix(end) + REVIEW_SUFFIX)
        if file.name.endswith(end) and own.is_file() and file.is_file():
            raise LayerError(
                f"{file.name} belongs to a review, which is saved there by itself: choose another "
                f"name."
            )
    return path


def unique_name(viewer: Any, wanted: str) -> str:
    """Return a layer name that is not taken."""
    names: Iterable[str] = {layer.name for layer in viewer.layers}
    name, number = wanted, 2
    while name in names:
        name, number = f"{wanted} [{number}]", number + 1
    return name


def familiarity_of(labels: Any) -> dict[int, float | None]:
    """Return how familiar the frames of a labels layer were to the model that classified it."""
    return dict(labels.metadata.get(FAMILIARITY, {}))


def set_familiarity(labels: Any, table: pd.DataFrame) -> None:
    """Keep how familiar the frames were that a classifier has just seen (see its ``classify``)."""
    seen = table.attrs.get("familiarity", {})
    labels.metadata[FAMILIARITY] = {**familiarity_of(labels), **seen}
