"""The size of pixels in micrometres, where napari's reader leaves out what a file says of it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from napari_chromocluster.imaging.files import TIFF_SUFFIXES
from napari_chromocluster.viewer.layers import (
    EXPLANATION,
    image_layers,
    labels_of,
    layer_type,
    physical,
    source_of,
)
from napari_chromocluster.viewer.overlay_layers import DASHES, FRAMES, LETTERS

#: Key of ``layer.metadata`` that says that the pixel size was looked up.
_LOOKED_UP = "chromocluster_pixel_size_looked_up"
#: Layers that lie where their labels lie.
_FOLLOWING = (EXPLANATION, LETTERS, DASHES, FRAMES)


def without_units(viewer: Any) -> list[Any]:
    """Return the image layers whose file may know a pixel size that the layer does not have."""
    return [
        layer
        for layer in viewer.layers
        if layer_type(layer) == "image"
        and _LOOKED_UP not in layer.metadata
        and EXPLANATION not in layer.metadata
        and Path(source_of(layer)).suffix.lower() in TIFF_SUFFIXES
        and _is_bare(layer)
    ]


def _is_bare(layer: Any) -> bool:
    """Whether a layer has neither been placed in the world nor been given units."""
    corners = np.vstack([np.zeros(layer.ndim), np.eye(layer.ndim)])
    return {str(unit) for unit in layer.units} == {"pixel"} and np.allclose(
        [layer.data_to_world(corner) for corner in corners], corners
    )


def set_pixel_sizes(viewer: Any, sizes: Iterable[tuple[Any, float | None]]) -> None:
    """Give image layers, and what lies over them, their pixel size; the view stays.

    A layer that was given a scale or units meanwhile keeps them.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer.
    sizes : iterable of (layer, micrometres)
        None where the file does not know it.
    """
    front, zoom = None, 1.0
    for image, size in sizes:
        if image not in viewer.layers:
            continue
        image.metadata[_LOOKED_UP] = True
        if size is None or not _is_bare(image):
            continue
        for layer in (*_over(viewer, image), image):
            for name, value in reversed(physical(layer.ndim, size).items()):
                setattr(layer, name, value)
        if image.visible and (front is None or _above(viewer, image, front)):
            front, zoom = image, size
    if front is not None:
        camera = viewer.scene.camera
        camera.center = tuple(value * zoom for value in camera.center)
        camera.zoom /= zoom


def _above(viewer: Any, one: Any, other: Any) -> bool:
    return bool(viewer.layers.index(one) > viewer.layers.index(other))


def _over(viewer: Any, image: Any) -> list[Any]:
    """Return the layers that must go on fitting an image: its regions, and what was drawn on it."""
    layers = labels_of(viewer, image)
    if image_layers(viewer) == [image]:
        layers += [
            layer
            for layer in viewer.layers
            if layer_type(layer) not in ("image", "labels")
            and not any(key in layer.metadata for key in _FOLLOWING)
        ]
    return [layer for layer in layers if _is_bare(layer)]
