"""Region to model input: neighbours masked out, squared, resized, normalised.

The frame of a crop is the circle around the region, so a rotated region has
the same scale as before, and a training that rotates crops never cuts one.
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

from napari_chromocluster.imaging.outlines import fill_bright_bands
from napari_chromocluster.imaging.regions import Region, extract_regions, reference_size
from napari_chromocluster.imaging.signal import chromosome_signal
from napari_chromocluster.imaging.surroundings import Surroundings, look_around

Channels = Literal["signal_mask_scale", "gray"]

#: Pixels around a region's mask whose signal still belongs to it, at least: its soft edge...
SOFT_EDGE = 2
#: ...and as a share of the size of the metaphase's chromosomes, for that is how far it reaches
#: where the pixels are small.
_SOFT_SHARE = 1 / 14
#: Usual size of a region, in px (see `reference_size`), where chromosomes are bright: that of
#: the metaphases which the embedded model was trained on.
USUAL_BRIGHT_SIZE = 25.0
#: Side of the crops of a network that needs no more pixels than these.
_USUAL_SIDE = 128
#: How many times more pixels a side than usual make no difference yet.
_FEW_MORE = 1.7
#: Signal, in units of the region's median, that is mapped to 1.
SIGNAL_RANGE = 3.0
#: Share of the crop's half side that the circle around the region fills.
FILL = 0.94
_IMAGENET_MEAN = np.array([0.485, 0.456, 0.406], dtype=np.float32)
_IMAGENET_STD = np.array([0.229, 0.224, 0.225], dtype=np.float32)


@dataclass(frozen=True)
class CropSpec:
    """How crops are made for a model.

    Attributes
    ----------
    size : int
        Side of the square crop, in pixels.
    channels : {"signal_mask_scale", "gray"}
        ``signal_mask_scale``: the region's signal, its mask, and a plane that
        tells its size relative to the metaphase.  ``gray``: three equal
        channels, dark chromosomes on white, with ImageNet normalisation, as
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
    """One region cut out at its own resolution.

    Attributes
    ----------
    signal : (n, n) float32 or float16 array
        Signal in units of the region's median, 0 outside the region.
    mask : (n, n) bool array
        The region.
    relative_size : float
        Binary logarithm of the region's size over the metaphase's reference
        size; 0 where the reference is unknown.
    oversampling : float
        How many times more pixels a side the metaphase has than usual (see `oversampling`).
    surroundings : Surroundings or None
        How the region stands among the others; None where that is not known.
    """

    signal: NDArray[np.floating]
    mask: NDArray[np.bool_]
    relative_size: float
    oversampling: float = 1.0
    surroundings: Surroundings | None = None


def oversampling(reference: float | None, dark_chromosomes: bool) -> float:
    """Return how many times more pixels a side a metaphase has than usual; 1 where unknown.

    Giemsa pictures come with pixels of many sizes, so that none is unusual there.

    Parameters
    ----------
    reference : float or None
        Reference size of the metaphase in px, where it is known.
    dark_chromosomes : bool
        Whether chromosomes are darker than the background (Giemsa), see `Signal`.
    """
    return reference / USUAL_BRIGHT_SIZE if reference and not dark_chromosomes else 1.0


def cut_regions(
    image: Any,
    labels: NDArray[np.integer],
    regions: Iterable[Region],
    everything: Iterable[Region] | None = None,
) -> Iterator[RegionCrop]:
    """Cut regions out of one metaphase, one after the other.

    Holes that a plain threshold leaves are filled first (see `fill_bright_bands`).

    Parameters
    ----------
    image : (H, W) or (H, W, 3 | 4) array of any real dtype
        The metaphase.
    labels : (H, W) integer array
        Its regions.
    regions : iterable of Region
        Those to cut.
    everything : iterable of Region, optional
        All regions, which tell the usual size, where they are listed already.
    """
    signal = chromosome_signal(image, labels)
    regions = list(regions)
    everything = extract_regions(labels) if everything is None else list(everything)
    reference = reference_size(everything)
    oversampled = oversampling(reference, signal.dark_chromosomes)
    labels = fill_bright_bands(labels, signal, everything)
    around = look_around(signal, labels, everything, regions)
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
    """Cut one region out of a metaphase, with its neighbours masked out.

    Parameters
    ----------
    signal : (H, W) float32 array
        Chromosome signal (see `chromosome_signal`).
    labels : (H, W) integer array
        Label image; only the slice around the region is read.
    region : Region
        The region to cut.
    reference : float, optional
        Reference size of the metaphase in px (see `reference_size`).
    oversampled : float
        See `oversampling`.

    Returns
    -------
    RegionCrop
        Square, centred on the region's bounding box.
    """
    y0, x0, y1, x1 = region.bbox
    reach = soft_edge(reference)
    box = (
        slice(max(y0 - reach, 0), y1 + reach),
        slice(max(x0 - reach, 0), x1 + reach),
    )
    local = np.asarray(labels[box])
    crop = frame_region(np.asarray(signal[box]), local == region.label, local == 0, reference)
    return replace(crop, oversampling=oversampled)


def soft_edge(reference: float | None) -> int:
    """Return how far the soft edge of a region reaches, in px.

    Parameters
    ----------
    reference : float or None
        Reference size of the metaphase in px, where it is known.
    """
    return max(SOFT_EDGE, int(_SOFT_SHARE * (reference or 0.0)))


def frame_region(
    signal: NDArray[np.float32],
    mask: NDArray[np.bool_],
    free: NDArray[np.bool_] | None = None,
    reference: float | None = None,
) -> RegionCrop:
    """Bring a masked cut-out into a square frame that holds its circle.

    Parameters
    ----------
    signal, mask : (h, w) arrays
        Signal and region of the cut-out.
    free : (h, w) bool array, optional
        Pixels of no region, where the soft edge may lie (default: all others).
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
    top, left, side = frame_side(mask)
    relative = math.log2(math.sqrt(float(mask.sum())) / reference) if reference else 0.0
    return RegionCrop(_window(values, top, left, side), _window(mask, top, left, side), relative)


def frame_side(mask: NDArray[np.bool_]) -> tuple[int, int, int]:
    """Return top, left and side of the square frame around a mask, in px.

    The circle around the middle of the mask's bounding box fills the frame, so
    its size does not change when the region is turned.
    """
    ys, xs = np.nonzero(mask)
    if ys.size == 0:
        raise ValueError("The region has no pixels: choose a label that is in the labels layer.")
    cy, cx = (ys.min() + ys.max() + 1) / 2, (xs.min() + xs.max() + 1) / 2
    radius = math.sqrt(float(((ys + 0.5 - cy) ** 2 + (xs + 0.5 - cx) ** 2).max())) + 0.5
    side = max(2 * math.ceil(radius / FILL), 2 * SOFT_EDGE + 3)
    return round(cy - side / 2), round(cx - side / 2), side


def _window(array: NDArray[Any], top: int, left: int, side: int) -> NDArray[Any]:
    """Cut a square that may reach over the array's borders."""
    out = np.zeros((side, side), dtype=array.dtype)
    y0, x0 = max(top, 0), max(left, 0)
    y1, x1 = min(top + side, array.shape[0]), min(left + side, array.shape[1])
    if y1 > y0 and x1 > x0:
        out[y0 - top : y1 - top, x0 - left : x1 - left] = array[y0:y1, x0:x1]
    return out


def resize_square(array: NDArray[Any], size: int) -> NDArray[np.float32]:
    """Resize a square image bilinearly, with the filter that avoids aliasing."""
    image = Image.fromarray(np.ascontiguousarray(array, dtype=np.float32))
    return np.asarray(image.resize((size, size), Image.Resampling.BILINEAR), dtype=np.float32)


def resize_crop(crop: RegionCrop, size: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return signal and mask (size, size) of a cut region, in pixels as usual before.

    The outline of a region has steps as large as the pixels, and its edge is as soft.  Where
    pixels are far smaller than in any picture a network was trained on, that alone would tell
    it something.  They are put together there; a network with larger crops keeps more of them.

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
    """Turn a cut region into a model input of shape (3, size, size), float32."""
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
    """Value of the scale plane for a relative size (binary logarithm), in [-1, 1]."""
    return max(-1.0, min(1.0, relative_size / 2.0))


def crop_region(
    signal: NDArray[np.float32],
    labels: Any,
    region: Region,
    spec: CropSpec,
    reference: float | None = None,
) -> NDArray[np.float32]:
    """Cut one region and render it for a model.

    See `cut_region` and `render_crop`.

    Returns
    -------
    (3, size, size) float32 array
        The model input.
    """
    return render_crop(cut_region(signal, labels, region, reference), spec)
