"""Contrast limits that make the regions of an image visible."""

from __future__ import annotations

from typing import Any

import numpy as np

from napari_chromocluster.imaging.normalization import subsample

#: Regions whose brightness stays below this share of the displayed range are too dark to judge.
_TOO_DARK = 0.5
#: Percentile of a region's pixels that is shown as white.
_BRIGHTEST = 99.5


def limits_for_regions(image: Any, labels: Any, shown: tuple[float, float]) -> list[float] | None:
    """Return contrast limits for an image whose regions are nearly black, None for any other image.

    A single nucleus or speck of dye much brighter than the chromosomes takes up the whole range of
    gray levels.

    Parameters
    ----------
    image : (H, W) array of any real dtype
        One metaphase, without color channels.
    labels : (H, W) integer array
        Its regions.
    shown : tuple of float
        The contrast limits in use, in gray levels.

    Returns
    -------
    list of float, or None
        Low and high limit, in gray levels.
    """
    values = subsample(np.asarray(image)).astype(np.float64)
    inside = subsample(np.asarray(labels)) > 0
    usable = np.isfinite(values)
    values, inside = values[usable], inside[usable]
    if not inside.any() or inside.all():
        return None
    low = float(np.median(values[~inside]))
    high = float(np.percentile(values[inside], _BRIGHTEST))
    dark = np.median(values[inside]) <= low
    if dark or high - shown[0] >= _TOO_DARK * (shown[1] - shown[0]):
        return None
    low = min(low, float(np.percentile(values, 1)))
    return [low, high] if high > low else None


def has_default_contrast(layer: Any) -> bool:
    """Return whether an image layer still has the contrast limits that napari gave it."""
    limits, whole = layer.contrast_limits, layer.contrast_limits_range
    return bool(np.allclose(limits, whole))
