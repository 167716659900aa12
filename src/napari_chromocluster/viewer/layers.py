"""Conversion between layers and arrays or tables."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from typing import Any
from weakref import ReferenceType, ref

import numpy as np
from numpy.typing import NDArray

from napari_chromocluster.imaging.regions import Region, label_doubt, looks_like_grayscale

#: Keys of ``layer.metadata`` for the file and group that an annotation file gave an image.
SOURCE, GROUP = "chromocluster_source", "chromocluster_group"
#: Keys of ``layer.metadata`` for the image layer that regions belong to, and its content.
IMAGE, CONTENT = "chromocluster_image", "chromocluster_image_content"
#: Number of pixels sampled to distinguish an image from others.
_LOOKED_AT = 1 << 20
#: Images of image layers and their content hashes, by layer id.
_CONTENTS: dict[Any, tuple[ReferenceType[NDArray[Any]], str]] = {}
_MOST_CONTENTS = 256
#: Suffixes that label files add to the name of their image.
_NAMED = ("_labels", "-labels", "_label", "_mask", "_seg", "_regions")
#: Key of ``layer.metadata`` for the labels layer that an image layer explains.
EXPLANATION = "chromocluster_explanation_of"
#: Key of ``layer.metadata`` for the layer that an image layer shows one channel of.
CHANNEL = "chromocluster_channel"
#: Key of ``layer.metadata`` of an image layer that no longer shows the image from its file.
REPLACED = "chromocluster_picture_replaced"
#: Possible lengths of a color or alpha axis.
_SAMPLES = (2, 3, 4)


class LayerError(ValueError):
    """Layers that cannot be used together."""


def layer_type(layer: Any) -> str:
    """Return ``image``, ``labels`` ... using public API, without importing napari's classes."""
    names = {cls.__name__.lower() for cls in layer.__class__.__mro__}
    return next((name for name in ("labels", "image", "points", "shapes") if name in names), "")


def image_layers(viewer: Any) -> list[Any]:
    """Return the image layers of a viewer that show metaphases.

    Excludes explanations, and multichannel layers if one of their channels is shown as a separate
    layer.
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
    """Return the topmost visible image layer, else the topmost; None if there are no images."""
    images = image_layers(viewer)
    return next((one for one in reversed(images) if one.visible), (images or [None])[-1])


def find_layer(viewer: Any, layer: Any, kind: str) -> Any:
    """Return a layer, given the layer or its name.

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
    """Return the current array of a layer, for background work.

    The array is copied, so that painting in the meantime does not affect the work; lazy arrays stay
    lazy.
    """
    array = layer_data(layer)
    return array.copy() if isinstance(array, np.ndarray) else array


def frame_shape(layer: Any) -> tuple[int, ...]:
    """Return the shape of a layer without color channels."""
    shape = tuple(int(n) for n in layer_data(layer).shape)
    return shape[:-1] if getattr(layer, "rgb", False) else shape


def spatial_metadata(layer: Any, ndim: int | None = None) -> dict[str, Any]:
    """Return a layer's position in the world, as options for creating an aligned layer.

    Parameters
    ----------
    layer : Layer
        The layer.
    ndim : int, optional
        Number of dimensions of the new layer, which match the last ones of this layer (default:
        all).
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
    """Return scale and units for a layer with the given pixel size in micrometers."""
    if pixel_size is None:
        return {}
    outer = ndim - 2
    return {
        "scale": (*[1.0] * outer, pixel_size, pixel_size),
        "units": (*["pixel"] * outer, "um", "um"),
    }


def source_of(layer: Any) -> str:
    """Return the file that a layer's pixels come from, or "" without a file.

    napari knows the file that was opened; if that was an annotation file, `reader.read` has stored
    the image file.  A layer whose image has been replaced comes from no file.
    """
    if layer.metadata.get(REPLACED):
        return ""
    return str(layer.metadata.get(SOURCE) or getattr(layer.source, "path", None) or "")


def show_only(viewer: Any, image: Any, labels: Any) -> None:
    """Show one metaphase with its regions and hide the others; marks follow their labels."""
    for layer in (*image_layers(viewer), *labels_layers(viewer)):
        layer.visible = layer in (image, labels)
    for layer in viewer.layers:  # including explanations of labels that were already hidden
        owner = layer.metadata.get(EXPLANATION)
        if owner is not None and (labels is None or owner != labels.unique_id):
            layer.visible = False


def put_below_regions(viewer: Any, image: Any) -> None:
    """Move an image layer below all labels layers, so that it does not hide regions."""
    places = [viewer.layers.index(one) for one in labels_layers(viewer)]
    here = viewer.layers.index(image)
    if places and here > min(places):
        viewer.layers.move(here, min(places))


def hide_other_regions(viewer: Any, image: Any) -> list[Any]:
    """Hide the regions that belong to other images; returns the layers that were visible."""
    hidden = [
        one
        for one in labels_layers(viewer)
        if one.visible and image_of(viewer, one) not in (None, image)
    ]
    for one in hidden:
        one.visible = False
    return hidden


def matching_labels(viewer: Any, image: Any) -> list[Any]:
    """Return the labels layers with the same shape as an image layer."""
    shape = frame_shape(image)
    return [layer for layer in labels_layers(viewer) if frame_shape(layer) == shape]


def image_of(viewer: Any, labels: Any) -> Any:
    """Return the image layer that a labels layer belongs to, or None.

    Images from one camera all have the same shape, and often the same name.  So regions that were
    found, classified or reviewed by this plugin store their image layer and its content, which
    identifies the image even if its file is closed and opened again.  For other labels, the name is
    used if it matches; otherwise, the nearest image below the labels.
    """
    fitting = [one for one in image_layers(viewer) if frame_shape(one) == frame_shape(labels)]
    owner, content = labels.metadata.get(IMAGE), labels.metadata.get(CONTENT)
    if content:  # the layer may show a different image now
        fitting = [one for one in fitting if shown_content(one) in (content, "")]
    if owner is not None and any(one.unique_id == owner for one in fitting):
        return next(one for one in fitting if one.unique_id == owner)
    if content:
        fitting = [one for one in fitting if shown_content(one) == content]
    named = [one for one in fitting if _named_after(labels.name, one.name)]
    if owner is not None and not content and not named:
        return None  # its image was closed; another image of that shape is not its image
    longest = max((len(_plain(one.name)) for one in named), default=0)
    likely = [one for one in named if len(_plain(one.name)) == longest] or fitting
    place = viewer.layers.index(labels)
    below = [one for one in likely if viewer.layers.index(one) < place]
    return (below or likely or [None])[-1]


def content_of(array: Any) -> str:
    """Return a hash that identifies the pixels of an image, or "" for lazy arrays."""
    if not isinstance(array, np.ndarray) or array.size == 0:
        return ""
    values = array.reshape(-1)
    digest = hashlib.sha256(f"{array.shape} {array.dtype.str}".encode())
    digest.update(np.ascontiguousarray(values[:: max(1, len(values) // _LOOKED_AT)]).tobytes())
    return digest.hexdigest()


def shown_content(layer: Any) -> str:
    """Return `content_of` the image shown by an image layer; cached per layer."""
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
    """Hide the regions of the previous image after an image layer's data was replaced."""
    image.metadata[REPLACED] = True
    content = shown_content(image)
    for labels in labels_layers(viewer):
        known = labels.metadata.get(CONTENT)
        if labels.metadata.get(IMAGE) == image.unique_id and known and known != content:
            labels.visible = False


def belong_together(image: Any, labels: Any) -> None:
    """Record that labels belong to an image, so that they are not matched to another one."""
    labels.metadata[IMAGE] = image.unique_id
    labels.metadata[CONTENT] = shown_content(image)


def _plain(name: str) -> str:
    """Return a layer's name without the number that napari adds to duplicates."""
    return re.sub(r" \[\d+\]$", "", name)


def _named_after(labels: str, image: str) -> bool:
    """Return whether labels are named after an image: "met_1 regions" after met_1, not met."""
    labels, image = _plain(labels), _plain(image)
    rest = labels.removeprefix(image)
    return labels.startswith(image) and (
        not rest or rest[0] == " " or rest.lower().startswith(_NAMED)
    )


def labels_of(viewer: Any, image: Any) -> list[Any]:
    """Return the labels layers that belong to an image layer (see `image_of`)."""
    return [one for one in matching_labels(viewer, image) if image_of(viewer, one) == image]


def mismatch(image: Any, labels: Any) -> str:
    """Return why labels cannot be regions of an image; empty if they can."""
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
    """Return what looks wrong with the pixels of a labels layer; empty if nothing does.

    Parameters
    ----------
    array : (H, W) or (N, H, W) integer array
        The labels.
    regions : sequence of Region
        All of its regions.
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
        # Nearly all labels are not suspicious, and checking all their pixels is slow.
        odd = len(mine) == 1 or max(one.area for one in mine) > size / 2
        if odd or sum(one.area for one in mine) == size:
            doubt = label_doubt(array if array.ndim == 2 else array[frame])
            if doubt:
                return doubt
    return ""


def check_pair(image: Any, labels: Any) -> None:
    """Check that labels have the same shape as an image.

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


def current_frame(viewer: Any, layer: Any) -> int:
    """Return the frame of a stack that the viewer shows (0 for a single image).

    Slider steps cover all layers together, so they only equal frame numbers if all stacks have the
    same origin and frame spacing.
    """
    if len(frame_shape(layer)) < 3:
        return 0
    frame = int(np.round(_point_in(viewer, layer)[0]))
    return int(np.clip(frame, 0, frame_shape(layer)[0] - 1))


def show_frame(viewer: Any, layer: Any, frame: int) -> None:
    """Show a frame of a stack; does nothing if it is already shown, or for a single image."""
    if len(frame_shape(layer)) < 3:
        return
    point = _point_in(viewer, layer)
    if int(np.round(point[0])) != frame:
        point[0] = frame
        axis = viewer.dims.ndim - layer.ndim
        viewer.dims.set_point(axis, float(layer.data_to_world(point)[0]))


def _point_in(viewer: Any, layer: Any) -> NDArray[np.float64]:
    """Return the viewer's current slice point in px of a layer."""
    return np.array(layer.world_to_data(viewer.dims.point), float)


def labels_in_box(layer: Any, corners: Any, frame: int = 0) -> set[int]:
    """Return the labels inside a box.

    Parameters
    ----------
    layer : Labels layer
        The regions.
    corners : (2 | 4, D) array
        Corners of the box in world coordinates, such as those of a Shapes layer; two opposite
        corners are enough.
    frame : int
        Frame of a stack.
    """
    inside = np.array([layer.world_to_data(corner) for corner in np.asarray(corners)])[:, -2:]
    array = layer_data(layer)
    plane = array[frame] if len(array.shape) == 3 else array
    low = np.clip(np.floor(inside.min(axis=0)).astype(int), 0, None)
    # For a box left of the image, a negative index must not wrap around.
    high = np.clip(np.ceil(inside.max(axis=0)).astype(int) + 1, 0, None)
    found = np.unique(np.asarray(plane[low[0] : high[0], low[1] : high[1]]))
    return {int(label) for label in found if label}


def unique_name(viewer: Any, wanted: str) -> str:
    """Return an unused layer name."""
    names: Iterable[str] = {layer.name for layer in viewer.layers}
    name, number = wanted, 2
    while name in names:
        name, number = f"{wanted} [{number}]", number + 1
    return name
