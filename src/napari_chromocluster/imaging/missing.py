"""Pixels without image content: letterboxes, missing tiles, lines, frames, burned-in text and bars.

All of these are black or white with edges of a pixel or two, sharper than any optical image.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_chromocluster.imaging.morphometry import EIGHT, SPECK, Mask
from napari_chromocluster.imaging.normalization import subsample

#: Tolerance of black and white in compressed images, relative to the range of gray values.
_TOLERANCE = 0.02
#: Minimum step at the edge of a constant area, relative to its difference from the median gray...
_SHARP = 0.55
#: ...and relative to the range of gray values.
_LEAST = 0.15
#: Pixels over which the step is measured.
_WITHIN = 2
#: A constant area larger than this share of the image is its background or a frame; it is a frame
#: if the rest fills at least this share of its bounding box.
_LARGE, _FILLED = 0.2, 0.6
#: Images with a larger share of black and white pixels are drawings.
_DRAWING = 0.95
#: Maximum depth of lines and letters in px; regions are continued below them.
_THIN = 2.5


def missing_pixels(gray: NDArray[np.float32]) -> Mask | None:
    """Find the pixels without image content.

    Parameters
    ----------
    gray : (H, W) float32 array
        Gray values.

    Returns
    -------
    (H, W) bool array or None
        None if there are none.
    """
    low, high = float(gray.min()), float(gray.max())
    near = np.float32(_TOLERANCE * (high - low))
    if not near:
        return None
    missing = np.zeros(gray.shape, bool)
    flat_pixels = 0
    for value in (low, high):
        flat = np.abs(gray - np.float32(value)) <= near
        flat_pixels += int(flat.sum())
        usual = float(np.median(subsample(gray)[~subsample(flat)])) if not flat.all() else value
        _add_sharp(
            missing, gray, flat, value, max(_SHARP * abs(usual - value), _LEAST * (high - low))
        )
    if not missing.any() or flat_pixels > _DRAWING * gray.size:
        return None
    # Include the smoothed edge of letters.
    return np.asarray(ndimage.binary_dilation(missing, EIGHT))


def fill_thin(values: NDArray[np.float32], missing: Mask) -> Mask:
    """Fill lines and letters with the nearest values, in place, and larger areas with 0.

    Parameters
    ----------
    values : (H, W) float32 array
        Signal; changed in place.
    missing : (H, W) bool array
        Pixels without image content.

    Returns
    -------
    (H, W) bool array
        The pixels of larger areas.
    """
    depth, nearest = ndimage.distance_transform_edt(missing, return_indices=True)
    pieces, count = ndimage.label(missing, EIGHT)
    thickest = np.zeros(count + 1)
    np.maximum.at(thickest, pieces[missing], depth[missing])
    large = (thickest > _THIN)[pieces] & missing
    values[missing] = values[tuple(nearest)][missing]
    values[large] = 0.0
    return np.asarray(large)


def _add_sharp(
    missing: Mask, gray: NDArray[np.float32], flat: Mask, value: float, jump: float
) -> None:
    """Add the flat areas whose surroundings differ from ``value`` by ``jump`` on average."""
    if not jump or not _has_edges(gray, flat, value, jump):
        return
    labels, count = ndimage.label(flat)
    areas = np.bincount(labels.ravel(), minlength=count + 1)
    # Distances of one and two pixels.
    around = ndimage.maximum_filter(labels, size=2 * _WITHIN + 1)
    around[flat] = 0
    differ = np.bincount(
        around.ravel(), weights=np.abs(gray - np.float32(value)).ravel(), minlength=count + 1
    ) / np.maximum(np.bincount(around.ravel(), minlength=count + 1), 1)
    sharp = (areas >= SPECK) & (differ >= jump)
    sharp[0] = False
    for label in np.flatnonzero(sharp & (areas > _LARGE * gray.size)):
        sharp[label] = _is_frame(labels == label)
    missing |= sharp[labels]


def _has_edges(gray: NDArray[np.float32], flat: Mask, value: float, jump: float) -> bool:
    """Check quickly whether there is any sharp edge."""
    differs = np.abs(gray - np.float32(value)) >= jump
    down = int(
        (flat[:-_WITHIN] & differs[_WITHIN:]).sum() + (flat[_WITHIN:] & differs[:-_WITHIN]).sum()
    )
    across = int(
        (flat[:, :-_WITHIN] & differs[:, _WITHIN:]).sum()
        + (flat[:, _WITHIN:] & differs[:, :-_WITHIN]).sum()
    )
    return max(down, across) >= 4


def _is_frame(area: Mask) -> bool:
    """Return whether a large area is a frame around the image, rather than its background."""
    rows, columns = np.flatnonzero(~area.all(1)), np.flatnonzero(~area.all(0))
    inner = area[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return bool((~inner).mean() >= _FILLED)
