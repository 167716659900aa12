"""The chromosome signal: an image of the chromosomes that is independent of the stain.

Giemsa absorbs light, DAPI emits it.  Both are converted to the same form:
background 0, chromosomes about 1, and where two chromosomes cross, the signals
add up (optical density for an absorbing stain, intensity for a fluorescent one).
"""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from skimage.filters import threshold_otsu

Polarity = Literal["auto", "dark", "bright"]

#: Minimum transmission: keeps the optical density of black pixels finite.
_LEAST_TRANSMISSION = 0.03
#: Side of the subsampled image for polarity and illumination, in px.
_SAMPLE_SIDE = 160
#: Side of the subsampled image for the stained area, in px.
_AREA_SIDE = 400
#: Multichannel fluorescence images: maximum relative brightness of the background, and minimum
#: relative color difference of bright pixels.
_DARK, _COLORFUL = 0.4, 0.3
#: Maximum width of the background peak, in bins of the histogram.
_WINDOW = 13
_RGB_WEIGHTS = np.array([0.299, 0.587, 0.114], dtype=np.float32)


@dataclass(frozen=True)
class NormalizedImage:
    """The chromosome signal of one metaphase.

    Attributes
    ----------
    values : (H, W) float32 array
        Background about 0, chromosomes about 1.
    dark_chromosomes : bool
        Whether the chromosomes are darker than the background (Giemsa).
    """

    values: NDArray[np.float32]
    dark_chromosomes: bool


def to_grayscale(image: Any) -> NDArray[np.float32]:
    """Convert an image of one metaphase to gray values.

    Parameters
    ----------
    image : (H, W) or (H, W, 1 | 3 | 4) array of any real dtype
        Gray, RGB or RGBA; of a multichannel fluorescence image, the color with the largest
        stained area is used.  Transparent and non-finite pixels get the median of the others.

    Returns
    -------
    (H, W) float32 array
        Gray values in the unit of the input.

    Raises
    ------
    ValueError
        If the array is not one image.
    """
    array = pixels_of(image)
    if array.ndim == 3 and array.shape[-1] in (1, 3, 4):
        color = array[..., :3].astype(np.float32)
        gray = _gray_of(color) if color.shape[-1] == 3 else color[..., 0]
        gray[transparent_pixels(array)] = np.nan
    elif array.ndim == 2:
        gray = array.astype(np.float32)
    else:
        raise ValueError(
            f"An image of one metaphase has the shape (height, width) or (height, width, 3), "
            f"not {array.shape}: choose one frame."
        )
    if 0 in gray.shape:
        raise ValueError("The image is empty: choose an image with at least one pixel.")
    finite = np.isfinite(gray)
    if not finite.all():
        fill = float(np.median(gray[finite])) if finite.any() else 0.0
        gray = np.where(finite, gray, np.float32(fill))
    return np.ascontiguousarray(gray, dtype=np.float32)


def pixels_of(image: Any) -> NDArray[Any]:
    """Return an image as an array; for a file name, raise an error on how to read it."""
    if isinstance(image, (str, PathLike)):
        raise ValueError(
            f"{str(image)!r} is the name of a file, not its pixels: read it with "
            f"napari_chromocluster.read_image({str(image)!r})."
        )
    return np.asarray(image)


def _gray_of(color: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the luminance, or the counterstain channel of a multichannel fluorescence image."""
    step = max(1, min(color.shape[:2]) // _AREA_SIDE)
    # One channel at a time: numpy is slow along an axis of length three.
    red, green, blue = (color[::step, ::step, one].ravel() for one in range(3))
    finite = np.isfinite(red) & np.isfinite(green) & np.isfinite(blue)
    if finite.any():
        if not finite.all():
            red, green, blue = red[finite], green[finite], blue[finite]
        brightest = np.maximum(np.maximum(red, green), blue)
        darkest = np.minimum(np.minimum(red, green), blue)
        top = float(np.percentile(brightest, 99.8))
        stained = brightest > max(0.5 * top, float(np.median(brightest)) + 1)
        colorful = brightest - darkest > _COLORFUL * brightest
        if np.median(brightest) < _DARK * top and colorful[stained].mean() > 0.5:
            areas = [stained_area(color[..., one]) for one in range(3)]
            return color[..., int(np.argmax(areas))].copy()
    return color @ _RGB_WEIGHTS


def stained_area(gray: NDArray[np.float32]) -> float:
    """Return the share of a fluorescence image (H, W) far brighter than its background."""
    step = max(1, min(gray.shape) // _AREA_SIDE)
    sample = gray[::step, ::step]
    sample = sample[np.isfinite(sample)]
    if sample.size == 0:
        return 0.0
    ground = float(np.median(sample))
    noise = 1.48 * float(np.median(np.abs(sample - ground)))
    top = float(np.percentile(sample, 99.8))
    return float(np.mean(sample > ground + max(6 * noise, 0.25 * (top - ground))))


def transparent_pixels(image: Any) -> NDArray[np.bool_]:
    """Return the mask (H, W) of the transparent pixels of an image."""
    array = np.asarray(image)
    hidden = np.zeros(array.shape[:2], bool)
    if array.ndim == 3 and array.shape[-1] == 4:
        hidden = array[..., 3] == 0
    return hidden if not hidden.all() else ~hidden  # some programs set all alphas to 0


def normalize_stain(image: Any, labels: Any = None, polarity: Polarity = "auto") -> NormalizedImage:
    """Measure the chromosome signal of one metaphase.

    The polarity is determined from the image, the illumination is modeled by
    a second-degree polynomial fitted to background pixels, and the level of
    the chromosomes is scaled to 1.

    Parameters
    ----------
    image : (H, W) or (H, W, 3 | 4) array of any real dtype
        One metaphase.
    labels : (H, W) integer array, optional
        Regions, to separate foreground from background.
    polarity : {"auto", "dark", "bright"}
        Whether chromosomes are darker or brighter than the background.

    Returns
    -------
    NormalizedImage
        Values and polarity.  An image without contrast gives all zeros.
    """
    gray = to_grayscale(image)
    inside = None if labels is None else np.asarray(labels) > 0
    if inside is not None and inside.shape != gray.shape:
        raise ValueError(
            f"Image {gray.shape} and labels {inside.shape} differ in size: "
            f"choose the labels that belong to this image."
        )
    if float(np.ptp(gray)) == 0.0:
        return NormalizedImage(np.zeros_like(gray), polarity != "bright")
    dark = _dark_chromosomes(gray, inside) if polarity == "auto" else polarity == "dark"
    values = _stain(gray, _background(gray, inside, dark), dark)
    level = _chromosome_level(values, inside)
    return NormalizedImage((values / level).astype(np.float32), dark)


def stain_above_background(
    gray: NDArray[np.float32], missing: NDArray[np.bool_] | None, polarity: Polarity
) -> tuple[NormalizedImage, float]:
    """Measure the stain of one metaphase without known regions, not scaled.

    Parameters
    ----------
    gray : (H, W) float32 array
        Gray values.
    missing : (H, W) bool array, optional
        Pixels without image content; their stain is 0.
    polarity : {"auto", "dark", "bright"}
        Whether chromosomes are darker or brighter than the background.

    Returns
    -------
    NormalizedImage
        Optical density or intensity above the background, and polarity.
    float
        Level of the chromosomes according to a global threshold.
    """
    shown = gray if missing is None else gray[~missing]
    if not shown.size or float(np.ptp(shown)) == 0.0:
        return NormalizedImage(np.zeros_like(gray), polarity != "bright"), 1.0
    outside = missing if missing is not None and missing.any() else None
    if polarity == "auto":
        dark = _tail_is_dark(subsample(gray) if outside is None else _every_few(shown))
    else:
        dark = polarity == "dark"
    values = _stain(gray, _background(gray, outside, dark), dark)
    if outside is not None:
        values[outside] = 0.0
    return NormalizedImage(values, dark), _chromosome_level(values, None)


def subsample(array: NDArray[Any]) -> NDArray[Any]:
    """Subsample an image (H, W), for statistics of its values."""
    step = max(1, min(array.shape) // _SAMPLE_SIDE)
    return array[::step, ::step]


def _dark_chromosomes(gray: NDArray[np.float32], inside: NDArray[np.bool_] | None) -> bool:
    """Determine the polarity: by the labels, else by the longer tail of the histogram."""
    sample = subsample(gray)
    if inside is not None:
        mask = subsample(inside)
        if mask.any() and not mask.all():
            return bool(np.median(sample[mask]) < np.median(sample[~mask]))
    return _tail_is_dark(sample)


def _tail_is_dark(sample: NDArray[np.float32]) -> bool:
    """Return whether the longer tail of the histogram is on the dark side."""
    low, high = np.percentile(sample, [0.5, 99.5])
    mode = _mode(sample)
    return bool(mode - low > high - mode)


def _every_few(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return about as many values as `subsample`."""
    return values[:: max(1, values.size // _SAMPLE_SIDE**2)]


def _stain(
    gray: NDArray[np.float32], background: NDArray[np.float32], dark: bool
) -> NDArray[np.float32]:
    """Return the optical density, or for fluorescence the intensity above the background."""
    if not dark:
        np.subtract(gray, background, out=background)
        return background
    floor = max(float(np.median(subsample(background))), 1e-6) * _LEAST_TRANSMISSION
    offset = min(float(gray.min()), 0.0)
    # In place, to save memory.
    background -= offset
    np.maximum(background, floor, out=background)
    values = np.maximum(gray - np.float32(offset), np.float32(floor))
    values /= background
    np.maximum(values, _LEAST_TRANSMISSION, out=values)
    np.log(values, out=values)
    np.negative(values, out=values)
    return np.asarray(values, np.float32)


def _mode(sample: NDArray[np.float32]) -> float:
    """Return the most frequent gray value, smoothed over a 64th of the range."""
    low, high = np.percentile(sample, [0.1, 99.9])
    if high <= low:
        return float(np.median(sample))
    counts, edges = np.histogram(sample, bins=128, range=(float(low), float(high)))
    smooth = np.convolve(counts, [0.25, 0.5, 0.25], mode="same")
    if int(np.argmax(smooth)) in (0, 1, counts.size - 2, counts.size - 1):
        # Black nuclei have one gray value, which may be the most frequent one of all.
        middle = int(np.argmax(np.convolve(counts, np.ones(_WINDOW), mode="same")))
        smooth[: max(0, middle - _WINDOW // 2)] = 0
        smooth[middle + _WINDOW // 2 + 1 :] = 0
    peak = int(np.argmax(smooth))
    return float((edges[peak] + edges[peak + 1]) / 2)


def _background(
    gray: NDArray[np.float32], inside: NDArray[np.bool_] | None, dark: bool
) -> NDArray[np.float32]:
    """Fit the illumination: second-degree polynomial through the background pixels."""
    step = max(1, min(gray.shape) // _SAMPLE_SIDE)
    y, x = np.mgrid[0 : gray.shape[0] : step, 0 : gray.shape[1] : step]
    values = gray[::step, ::step].astype(np.float64).ravel()
    terms = _polynomial(y.ravel() / gray.shape[0], x.ravel() / gray.shape[1])
    keep = np.ones(values.size, bool) if inside is None else ~inside[::step, ::step].ravel()
    mode = _mode(values[keep].astype(np.float32)) if keep.sum() > 50 else _mode(subsample(gray))
    spread = float(np.ptp(np.percentile(values, [1, 99]))) or 1.0
    # Chromosomes and nuclei are on one side of the mode; include all values on the other.
    side = -1.0 if dark else 1.0
    keep &= side * (values - mode) < 0.25 * spread
    fitted = np.full(values.size, mode)
    for width in (0.15, 0.08, 0.08):
        if keep.sum() < 50:
            return np.full(gray.shape, mode, np.float32)
        # The normal equations are far faster than a decomposition of the full matrix.
        mine = terms[keep]
        coefficients = np.linalg.lstsq(mine.T @ mine, mine.T @ values[keep], rcond=None)[0]
        fitted = terms @ coefficients
        residual = side * (values - fitted)
        keep = (residual < width * spread) & (residual > -2 * width * spread)
    return _evaluate(coefficients, gray.shape)


def _polynomial(y: NDArray[np.float64], x: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.stack([np.ones_like(y), y, x, y * y, x * x, y * x], axis=1)


def _evaluate(coefficients: NDArray[np.float64], shape: tuple[int, ...]) -> NDArray[np.float32]:
    y = np.arange(shape[0], dtype=np.float64)[:, None] / shape[0]
    x = np.arange(shape[1], dtype=np.float64)[None, :] / shape[1]
    c = coefficients
    down, across = c[0] + c[1] * y + c[3] * y * y, c[2] * x + c[4] * x * x
    surface = (c[5] * y).astype(np.float32) * x.astype(np.float32)
    surface += down.astype(np.float32)
    surface += across.astype(np.float32)
    return np.asarray(surface, np.float32)


def _chromosome_level(values: NDArray[np.float32], inside: NDArray[np.bool_] | None) -> float:
    """Return the median signal of the foreground; 1 if it is too small to divide by."""
    sample = subsample(values)
    mask = None if inside is None else subsample(inside)
    if mask is None or mask.sum() < 10:
        if float(np.ptp(sample)) == 0.0:
            return 1.0
        mask = sample > threshold_otsu(sample)
    level = float(np.median(sample[mask])) if mask.any() else 1.0
    return level if level > 1e-6 else 1.0
