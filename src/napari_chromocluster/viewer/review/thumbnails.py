"""Thumbnails of regions: masked, upright along their principal axis, all at one scale."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from napari_chromocluster.imaging.chromosome_synthesis import principal_angle
from napari_chromocluster.imaging.regions import reference_area

#: Minimum range of signal, relative to the maximum, that is stretched from light to dark: less
#: contrast than this is noise.
_LEAST_RANGE = 0.35
#: Density at which the faintest part of a region is drawn.
_FAINTEST = 0.12
#: Share of the tile that the typical region's length takes up.
_USUAL_SHARE = 0.68


def usual_length(areas: NDArray[Any]) -> float:
    """Return the region length in px that fills a tile well, from all areas.

    A chromosome is about three times as long as wide; a tile fits one of more than typical size.
    Specks are ignored, even if they are the majority.
    """
    if len(areas) == 0:
        return 60.0
    usual = reference_area(areas) or float(np.median(areas))
    return max(12.0, 2.2 * math.sqrt(usual))


def thumbnail(
    signal: NDArray[np.floating], mask: NDArray[np.bool_], size: int, length: float
) -> NDArray[np.uint8]:
    """Draw one region.

    Parameters
    ----------
    signal, mask : (h, w) arrays
        Chromosome signal and region, within the bounding box.
    size : int
        Side of the tile, in px.
    length : float
        From `usual_length`; the same for all tiles of a gallery, so that sizes can be compared.
        Only regions that would not fit are shrunk.

    Returns
    -------
    (size, size, 2) uint8 array
        Density (255: most signal) and opacity (0 outside the region).
    """
    turn = 90.0 - math.degrees(principal_angle(mask)) % 180.0  # upright, never upside down
    reach = 2 * math.ceil(math.hypot(*mask.shape) / 2) + 2
    values = np.zeros((2, reach, reach), np.float32)
    top, left = (reach - mask.shape[0]) // 2, (reach - mask.shape[1]) // 2
    inside = (slice(top, top + mask.shape[0]), slice(left, left + mask.shape[1]))
    values[0][inside] = np.where(mask, _contrasted(signal, mask), 0.0) * 255
    values[1][inside] = mask * 255.0
    scale = min(_USUAL_SHARE * size / length, 0.94 * size / _extent(mask, turn))
    # One affine step from tile to source: rotate about the center, then scale.
    radians = math.radians(turn)
    cosine, sine = math.cos(radians) / scale, math.sin(radians) / scale
    centre, middle = reach / 2, size / 2
    matrix = (
        cosine, sine, centre - cosine * middle - sine * middle,
        -sine, cosine, centre + sine * middle - cosine * middle,
    )  # fmt: skip
    planes = [
        np.asarray(
            Image.fromarray(plane).transform(
                (size, size), Image.Transform.AFFINE, matrix, Image.Resampling.BICUBIC
            )
        )
        for plane in values
    ]
    return np.asarray(np.clip(np.stack(planes, axis=-1), 0, 255), np.uint8)


def _contrasted(signal: NDArray[np.floating], mask: NDArray[np.bool_]) -> NDArray[np.floating]:
    """Return the signal scaled from 0 to 1 within the region, so that bands are visible."""
    inside = signal[mask]
    if inside.size == 0:
        return np.zeros_like(signal)
    low, high = (float(one) for one in np.percentile(inside, (2, 99)))
    missing = max(_LEAST_RANGE * abs(high) - (high - low), 0.0)
    low, high = low - missing / 2, high + missing / 2
    part = np.clip((signal - low) / max(high - low, 1e-6), 0.0, 1.0)
    return np.asarray(_FAINTEST + (1 - _FAINTEST) * part)


def _extent(mask: NDArray[np.bool_], turn: float) -> float:
    """Return the larger side of the rotated mask, in px."""
    ys, xs = np.nonzero(mask)
    if ys.size == 0:
        return 1.0
    radians = math.radians(turn)
    y, x = ys - ys.mean(), xs - xs.mean()
    up = math.cos(radians) * y + math.sin(radians) * x
    side = math.cos(radians) * x - math.sin(radians) * y
    # Plus a margin, since the tile is centered on the bounding box.
    return float(max(np.ptp(up), np.ptp(side))) + 3.0
