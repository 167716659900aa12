"""Artifacts in laboratory images: nuclei, grains, text, frames, cytoplasm, noise, magnification.

Each function takes and returns an 8-bit gray image; ``dark`` is whether its chromosomes are darker
than the background.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

Picture = NDArray[np.uint8]
Disturbance = Callable[[Picture, bool], Picture]


def _extreme(dark: bool) -> int:
    return 0 if dark else 255


def _rounded(values: NDArray[np.floating]) -> Picture:
    return np.asarray(np.clip(np.rint(values), 0, 255), np.uint8)


def with_column(picture: Picture, dark: bool) -> Picture:
    """Blacken (or whiten) the last column of pixels."""
    changed = picture.copy()
    changed[:, -1] = _extreme(dark)
    return changed


def with_frame(picture: Picture, dark: bool, width: int = 6) -> Picture:
    """Draw a frame at the border."""
    changed = np.full_like(picture, _extreme(dark))
    inner = slice(width, -width), slice(width, -width)
    changed[inner] = picture[inner]
    return changed


def with_line(picture: Picture, dark: bool) -> Picture:
    """Draw a line of one pixel from border to border through the middle."""
    changed = picture.copy()
    changed[picture.shape[0] // 2] = _extreme(dark)
    return changed


def with_tile(picture: Picture, dark: bool, share: float = 0.2) -> Picture:
    """Blank a tile at a corner, as slide scanners do."""
    changed = picture.copy()
    height, width = picture.shape
    changed[: round(share * height), : round(share * width)] = _extreme(dark)
    return changed


def with_letterbox(picture: Picture, dark: bool, value: int = 0) -> Picture:
    """Replace a tenth of the image at the top and bottom by a constant value."""
    changed = picture.copy()
    band = picture.shape[0] // 10
    changed[:band] = changed[-band:] = value
    return changed


def with_eyepiece(picture: Picture, dark: bool) -> Picture:
    """Blacken everything outside the inscribed ellipse; no change in fluorescence."""
    if not dark:
        return picture
    height, width = picture.shape
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    return np.where(np.hypot(y, x) < 1, picture, 0).astype(np.uint8)


def with_nuclei(picture: Picture, dark: bool, count: int = 2, size: float = 0.1) -> Picture:
    """Draw round black (or white) nuclei along the border; ``size`` is relative to the height."""
    changed = picture.astype(float)
    height, width = picture.shape
    radius = size * height
    y, x = np.mgrid[:height, :width]
    around = 2 * np.pi * (np.arange(count) + 0.4) / max(count, 1)
    for angle in around:
        at_y = height / 2 + np.sin(angle) * (height / 2 - 0.9 * radius)
        at_x = width / 2 + np.cos(angle) * (width / 2 - 0.9 * radius)
        inside = np.clip((radius - np.hypot(y - at_y, x - at_x)) / 6 + 0.5, 0, 1)
        changed = changed * (1 - inside) + _extreme(dark) * inside
    return _rounded(changed)


def with_grains(picture: Picture, dark: bool, count: int = 250, size: float = 7.0) -> Picture:
    """Scatter grains about as strong as the chromosomes, ``size`` px wide, all over the image."""
    rng = np.random.default_rng(0)
    changed = picture.astype(float)
    stain = float(np.percentile(picture, 3 if dark else 97))
    y, x = np.mgrid[: picture.shape[0], : picture.shape[1]]
    for at_y, at_x in rng.uniform(size, np.array(picture.shape) - size, (count, 2)):
        radius = size / 2 * rng.uniform(0.8, 1.2)
        window = tuple(slice(int(at - size), int(at + size) + 1) for at in (at_y, at_x))
        inside = np.clip((radius - np.hypot(y[window] - at_y, x[window] - at_x)) / 1.5 + 0.5, 0, 1)
        changed[window] += inside * (stain - changed[window])
    return _rounded(changed)


def with_text(picture: Picture, dark: bool) -> Picture:
    """Burn in a date, a name and a scale bar."""
    image = Image.fromarray(picture)
    draw, ink = ImageDraw.Draw(image), _extreme(dark)
    height, width = picture.shape
    font = ImageFont.load_default(18)
    draw.text((10, 8), "A123 #46", fill=ink, font=font)
    draw.text((10, height - 30), "2024-05-12 100x", fill=ink, font=font)
    draw.rectangle((width - 140, height - 20, width - 20, height - 12), fill=ink)
    return np.asarray(image, np.uint8)


def with_cytoplasm(picture: Picture, dark: bool, strength: float = 0.45) -> Picture:
    """Stain the center of the image, with ``strength`` relative to the chromosomes."""
    height, width = picture.shape
    background = float(np.median(picture))
    stain = float(np.percentile(picture, 3 if dark else 97))
    y, x = np.mgrid[:height, :width]
    away = np.hypot((y - height / 2) / height, (x - width / 2) / width)
    inside = strength * np.clip((0.35 - away) / 0.03, 0, 1)
    # Stained pixels take up less additional stain.
    free = np.clip((picture - stain) / (background - stain), 0, 1)
    return _rounded(picture + inside * free * (stain - background))


def with_vignetting(picture: Picture, dark: bool, strength: float = 0.35) -> Picture:
    """Darken the image toward its corners."""
    height, width = picture.shape
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    return _rounded(picture * (1 - strength * (x * x + y * y) / 2))


def magnified(picture: Picture, dark: bool, zoom: float = 3.0, grain: float = 6.0) -> Picture:
    """Enlarge the image, and add the grain of a camera with finer pixels."""
    large = ndimage.zoom(picture.astype(np.float32), zoom, order=1)
    return _rounded(large + np.random.default_rng(0).normal(0, grain, large.shape))


#: Disturbances that keep the shape of the image, by name.
DISTURBANCES: dict[str, Disturbance] = {
    "none": lambda picture, dark: picture,
    "column at the border": with_column,
    "frame": with_frame,
    "line": with_line,
    "missing tile": with_tile,
    "black letterbox": with_letterbox,
    "white letterbox": partial(with_letterbox, value=255),
    "eyepiece circle": with_eyepiece,
    "2 nuclei": with_nuclei,
    "9 nuclei": partial(with_nuclei, count=9, size=0.08),
    "grains": with_grains,
    "text and bar": with_text,
    "cytoplasm": with_cytoplasm,
    "vignetting": with_vignetting,
}
