"""Region to model input: neighbors masked out, padded to a square, resized, normalized.

The frame of a crop fits the circle around the region, so rotation changes
neither its scale nor cuts it off.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from napari_chromocluster.imaging.hole_filling import fill_band_holes
from napari_chromocluster.imaging.neighborhood import NeighborhoodFeatures, neighborhood_features
from napari_chromocluster.imaging.normalization import normalize_stain
from napari_chromocluster.imaging.regions import Region, extract_regions, reference_size

Channels = Literal["signal_mask_scale", "gray"]

#: Minimum width in px of the soft edge around a region's mask, whose signal belongs to it...
SOFT_EDGE = 2
#: ...and relative to the reference size, for images with small pixels.
_SOFT_SHARE = 1 / 14
#: Typical `reference_size` in px of the fluorescence images that the embedded model was trained on.
USUAL_BRIGHT_SIZE = 25.0
#: Crop size for which images are downsampled to the typical resolution.
_USUAL_SIDE = 128
#: Oversampling up to which images are not downsampled.
_FEW_MORE = 1.7
#: Signal, in units of the region's median, that is mapped to 1.
SIGNAL_RANGE = 3.0
#: Radius of the circle around the region, relative to half the side of the crop.
FILL = 0.94
_IMAGENET_MEAN = np.array([0.485, 0.456, 0.406], dtype=np.float32)
_IMAGENET_STD = np.array([0.229, 0.224, 0.225], dtype=np.float32)


@dataclass(frozen=True)
class CropSpec:
    """Kind of crops of a model.

    Attributes
    ----------
    size : int
        Side of the square crop, in pixels.
    channels : {"signal_mask_scale", "gray"}
        ``signal_mask_scale``: the region's signal, its mask, and a constant
        plane with its size relative to the metaphase.  ``gray``: three equal
        channels, dark chromosomes on white, with ImageNet normalization, as
        in Lin et al. (2021).
    """

    size: int = 112
    channels: Channels = "signal_mask_scale"

    @property
    def n_channels(self) -> int:
        """Number of channels of a crop."""
        return 3


@dataclass(frozen=True)
class RegionCrop:
    """One region cropped at full resolution.

    Attributes
    ----------
    signal : (n, n) float32 or float16 array
        Signal in units of the region's median, 0 outside the region.
    mask : (n, n) bool array
        The region.
    relative_size : float
        Binary logarithm of the region's size over the metaphase's reference size; 0 if the
        reference is unknown.
    oversampling : float
        Resolution of the metaphase relative to the typical one (see `oversampling`).
    surroundings : NeighborhoodFeatures or None
        Relation to the other regions; None if unknown.
    """

    signal: NDArray[np.floating]
    mask: NDArray[np.bool_]
    relative_size: float
    oversampling: float = 1.0
    surroundings: NeighborhoodFeatures | None = None


def oversampling(reference: float | None, dark_chromosomes: bool) -> float:
    """Return the resolution of a metaphase relative to the typical one; 1 if unknown.

    It is 1 for Giemsa images: the training data contain many resolutions of these.

    Parameters
    ----------
    reference : float or None
        Reference size of the metaphase in px, if known.
    dark_chromosomes : bool
        Whether chromosomes are darker than the background (Giemsa), see `NormalizedImage`.
    """
    return reference / USUAL_BRIGHT_SIZE if reference and not dark_chromosomes else 1.0


def cut_regions(
    image: Any,
    labels: NDArray[np.integer],
    regions: Iterable[Region],
    everything: Iterable[Region] | None = None,
) -> Iterator[RegionCrop]:
    """Crop regions of one metaphase, one after the other.

    Holes left by a plain threshold are filled first (see `fill_band_holes`).

    Parameters
    ----------
    image : (H, W) or (H, W, 3 | 4) array of any real dtype
        The metaphase.
    labels : (H, W) integer array
        Its regions.
    regions : iterable of Region
        The regions to crop.
    everything : iterable of Region, optional
        All regions, for the reference size, if already extracted.
    """
    signal = normalize_stain(image, labels)
    regions = list(regions)
    everything = extract_regions(labels) if everything is None else list(everything)
    reference = reference_size(everything)
    oversampled = oversampling(reference, signal.dark_chromosomes)
    labels = fill_band_holes(labels, signal, everything)
    around = neighborhood_features(signal, labels, everything, regions)
    for region, surroundings in zip(regions, around, strict=True):
        cut = cut_region(signal.values, labels, region, reference, oversampled)
        yield replace(cut, surroundings=surroundings)


def cut_region(
    signal: NDArray[np.float32],
    labels: Any,
    region: Region,
    reference: float | None = None,
    oversampled: float = 1.0,
) -> RegionCrop:
    """Crop one region of a metaphase, with its neighbors masked out.

    Parameters
    ----------
    signal : (H, W) float32 array
        Chromosome signal (see `normalize_stain`).
    labels : (H, W) integer array
        Label image; only the slice around the region is read.
    region : Region
        The region to crop.
    reference : float, optional
        Reference size of the metaphase in px (see `reference_size`).
    oversampled : float
        See `oversampling`.

    Returns
    -------
    RegionCrop
        Square, centered on the region's bounding box.
    """
    y0, x0, y1, x1 = region.bbox
    reach = soft_edge(reference)
    box = (
        slice(max(y0 - reach, 0), y1 + reach),
        slice(max(x0 - reach, 0), x1 + reach),
    )
    local = np.asarray(labels[box])
    crop = square_crop(np.asarray(signal[box]), local == region.label, local == 0, reference)
    return replace(crop, oversampling=oversampled)


def soft_edge(reference: float | None) -> int:
    """Return the width of the soft edge in px, from the reference size in px, if known."""
    return max(SOFT_EDGE, int(_SOFT_SHARE * (reference or 0.0)))


def square_crop(
    signal: NDArray[np.float32],
    mask: NDArray[np.bool_],
    free: NDArray[np.bool_] | None = None,
    reference: float | None = None,
) -> RegionCrop:
    """Put a masked region into a square frame that fits its circle.

    Parameters
    ----------
    signal, mask : (h, w) arrays
        Signal and region.
    free : (h, w) bool array, optional
        Background pixels, which the soft edge may include (default: all others).
    reference : float, optional
        Reference size of the metaphase in px.
    """
    soft = ndimage.binary_dilation(mask, iterations=soft_edge(reference))
    if free is not None:
        soft &= free | mask
    inside = signal[mask]
    level = float(np.median(inside)) if inside.size else 1.0
    values = np.clip(signal / max(level, 1e-3), 0.0, SIGNAL_RANGE)
    values = np.where(soft, values, 0.0).astype(np.float32)
    top, left, side = square_crop_origin(mask)
    relative = math.log2(math.sqrt(float(mask.sum())) / reference) if reference else 0.0
    return RegionCrop(_window(values, top, left, side), _window(mask, top, left, side), relative)


def square_crop_origin(mask: NDArray[np.bool_]) -> tuple[int, int, int]:
    """Return top, left and side of the square frame around a mask, in px.

    The frame fits the circle around the center of the mask's bounding box, so
    its size does not change when the region is rotated.
    """
    ys, xs = np.nonzero(mask)
    if ys.size == 0:
        raise ValueError("The region has no pixels: choose a label that is in the labels layer.")
    cy, cx = (ys.min() + ys.max() + 1) / 2, (xs.min() + xs.max() + 1) / 2
    radius = math.sqrt(float(((ys + 0.5 - cy) ** 2 + (xs + 0.5 - cx) ** 2).max())) + 0.5
    side = max(2 * math.ceil(radius / FILL), 2 * SOFT_EDGE + 3)
    return round(cy - side / 2), round(cx - side / 2), side


def _window(array: NDArray[Any], top: int, left: int, side: int) -> NDArray[Any]:
    """Crop a square that may extend beyond the array."""
    out = np.zeros((side, side), dtype=array.dtype)
    y0, x0 = max(top, 0), max(left, 0)
    y1, x1 = min(top + side, array.shape[0]), min(left + side, array.shape[1])
    if y1 > y0 and x1 > x0:
        out[y0 - top : y1 - top, x0 - left : x1 - left] = array[y0:y1, x0:x1]
    return out


def resize_square(array: NDArray[Any], size: int) -> NDArray[np.float32]:
    """Resize a square image bilinearly, with antialiasing."""
    image = Image.fromarray(np.ascontiguousarray(array, dtype=np.float32))
    return np.asarray(image.resize((size, size), Image.Resampling.BILINEAR), dtype=np.float32)


def resize_crop(crop: RegionCrop, size: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return signal and mask (size, size) of a crop, downsampled to a typical resolution first.

    The steps and softness of an outline depend on the pixel size.  Crops of a far higher
    resolution than the training data would look different to a network, so they are downsampled
    first, the less the larger ``size`` is.

    Returns
    -------
    tuple of (size, size) float32 array
        Signal in units of the region's median; mask in [0, 1].
    """
    signal, mask = crop.signal, crop.mask
    factor = crop.oversampling * min(1.0, _USUAL_SIDE / size)
    if factor > _FEW_MORE:
        side = max(1, round(len(mask) / factor))
        signal, mask = resize_square(signal, side), resize_square(mask, side) > 0.5
    return resize_square(signal, size), resize_square(mask, size)


def render_crop(crop: RegionCrop, spec: CropSpec) -> NDArray[np.float32]:
    """Render a crop as a model input of shape (3, size, size), float32."""
    signal, mask = resize_crop(crop, spec.size)
    return compose_channels(signal / np.float32(SIGNAL_RANGE), mask, crop.relative_size, spec)


def compose_channels(
    signal: NDArray[np.float32],
    mask: NDArray[np.float32],
    relative_size: float,
    spec: CropSpec,
) -> NDArray[np.float32]:
    """Stack the channels of a model input from signal and mask, both in [0, 1]."""
    if spec.channels == "gray":
        gray = 1.0 - np.clip(signal * 1.4, 0.0, 1.0)
        stacked = (gray[None] - _IMAGENET_MEAN[:, None, None]) / _IMAGENET_STD[:, None, None]
        return np.asarray(stacked, dtype=np.float32)
    plane = np.full_like(signal, scale_value(relative_size))
    return np.stack([signal, mask, plane]).astype(np.float32)


def scale_value(relative_size: float) -> float:
    """Return the value of the scale plane, in [-1, 1], for a relative size (binary logarithm)."""
    return max(-1.0, min(1.0, relative_size / 2.0))


def crop_region(
    signal: NDArray[np.float32],
    labels: Any,
    region: Region,
    spec: CropSpec,
    reference: float | None = None,
) -> NDArray[np.float32]:
    """Crop one region and render it as a model input (see `cut_region` and `render_crop`)."""
    return render_crop(cut_region(signal, labels, region, reference), spec)
