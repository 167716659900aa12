"""Lines around regions, whole and dashed, as vectors."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from skimage.measure import find_contours

from napari_chromocluster.viewer.layers import (
    frame_shape,
    layer_data,
)

#: Length of a dash and of the gap after it, in px.
_DASH, _GAP = 4.0, 4.0
#: Maximum number of regions that get dashes or a dark line around their outline.
_MOST_OUTLINED = 400
#: Contour level at which a line runs around the outermost pixels of a region, not over them.
_AROUND = 0.02
#: Every n-th point of such a line is drawn.
_EVERY = 4


def region_masks(
    layer: Any, rows: pd.DataFrame
) -> Iterator[tuple[int, int, int, int, NDArray[np.bool_]]]:
    """Yield label, frame, top, left and mask of regions, padded by one pixel.

    Regions whose pixels are gone since the table was made are skipped.
    """
    array = layer_data(layer)
    stack = len(array.shape) == 3
    for label, frame, box in zip(rows["index"], rows["frame"], rows["bbox"], strict=True):
        y0, x0, y1, x1 = (int(value) for value in str(box).split(","))
        plane = array[int(frame)] if stack else array
        mask = np.pad(np.asarray(plane[y0:y1, x0:x1]) == label, 1)
        if mask.any():
            yield int(label), int(frame), y0 - 1, x0 - 1, mask


def dash_vectors(layer: Any, rows: pd.DataFrame) -> NDArray[np.float64]:
    """Return dashes along the outlines of regions.

    Parameters
    ----------
    layer : Labels layer
        The regions.
    rows : DataFrame
        Rows of the features table.

    Returns
    -------
    (N, 2, D) float array
        Start and direction of each dash in px of the layer, for a Vectors layer.
    """
    return outline_vectors(layer, rows)[1]


def outline_vectors(
    layer: Any, rows: pd.DataFrame
) -> tuple[NDArray[np.float64], NDArray[np.float64], list[tuple[int, int]]]:
    """Return the lines around regions, their dashes, and frame and label of each dash."""
    ndim = len(frame_shape(layer))
    parts: tuple[list[Any], list[Any]] = ([np.zeros((0, 2, ndim))], [np.zeros((0, 2, ndim))])
    owners: list[tuple[int, int]] = []
    for label, frame, top, left, mask in region_masks(layer, rows.head(_MOST_OUTLINED)):
        found = _lines_around(mask.tobytes(), mask.shape)
        for part, lines in zip(parts, found, strict=True):
            out = np.zeros((len(lines), 2, ndim))
            out[:, :, -2:] = lines
            out[:, 0, -2:] += (top, left)
            if ndim == 3:
                out[:, 0, 0] = frame
            part.append(out)
        owners += [(frame, label)] * len(found[1])
    return np.concatenate(parts[0]), np.concatenate(parts[1]), owners


@lru_cache(maxsize=2048)
def _lines_around(
    mask: bytes, shape: tuple[int, int]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the lines around a mask and its dashes, each as starts and directions (N, 2, 2)."""
    around: list[NDArray[Any]] = [np.zeros((0, 2, 2))]
    dashes: list[NDArray[Any]] = [np.zeros((0, 2, 2))]
    inside = np.frombuffer(mask, bool).reshape(shape).astype(np.float32)
    for outline in find_contours(inside, _AROUND):
        points = outline[: -1 : min(_EVERY, max(1, len(outline) // 8))]
        starts, ends = points, np.roll(points, -1, axis=0)
        around.append(np.stack([starts, ends - starts], axis=1))
        starts, ends = _dashes(outline)
        dashes.append(np.stack([starts, ends - starts], axis=1))
    return np.concatenate(around), np.concatenate(dashes)


def _dashes(outline: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return starts and ends of dashes along a line of points (M, 2)."""
    along = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(outline, axis=0).T))])
    begins = np.arange(0.0, max(along[-1] - _DASH, 0.1), _DASH + _GAP)
    places = np.stack([begins, np.minimum(begins + _DASH, along[-1])])
    points = np.stack(
        [np.interp(places, along, outline[:, 0]), np.interp(places, along, outline[:, 1])], axis=-1
    )
    return points[0], points[1]
