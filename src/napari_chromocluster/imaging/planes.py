"""Planes of a multidimensional image: select the metaphases, the channel and the focus."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_chromocluster.imaging.files import ImageError
from napari_chromocluster.imaging.normalization import stained_area, subsample, to_grayscale

#: Names of the channel that shows all chromosomes.
_COUNTERSTAINS = ("dapi", "hoechst", "counterstain", "giemsa", "propidium")
#: Minimum correlation of neighboring slices of a focus stack of one metaphase.
_SAME_FIELD = 0.5
#: Micrometers per unit of length, and the range of plausible pixel sizes in µm.
_MICROMETRES = {
    "nm": 1e-3, "um": 1.0, "µm": 1.0, "μm": 1.0, "micron": 1.0, "microns": 1.0, "micrometer": 1.0,
    "\\u00b5m": 1.0, "mm": 1e3, "cm": 1e4, "inch": 25_400.0, "in": 25_400.0, "m": 1e6,
    "nanometer": 1e-3, "millimeter": 1e3, "centimeter": 1e4, "meter": 1e6,
}  # fmt: skip
_SENSIBLE = (0.005, 5.0)


@dataclass(frozen=True)
class ImageFile:
    """The content of an image file.

    Attributes
    ----------
    pixels : (H, W), (H, W, 3 | 4), (N, H, W) or (N, H, W, 3 | 4) array
        One metaphase or a stack of them, in one channel or in color.
    channels : tuple of str
        Names of all channels; empty if there is only one.
    channel : int or None
        The channel that was read, counted from 1.
    pixel_size : float or None
        Micrometers per pixel, if known.
    notes : tuple of str
        Sentences about automatic choices, for the user.
    """

    pixels: NDArray[Any]
    channels: tuple[str, ...] = ()
    channel: int | None = None
    pixel_size: float | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plane:
    """One plane of a file: its frame, slice and channel, and a function that reads it."""

    frame: tuple[int, ...]
    z: int
    channel: int
    read: Callable[[], NDArray[Any]]


@dataclass(frozen=True)
class Planes:
    """The planes of a file, and the names of its channels."""

    planes: list[Plane]
    names: tuple[str, ...] = ()
    #: Whether slices are certainly a focus stack; otherwise they may be metaphases.
    focus: bool = False


def choose_planes(found: Planes, file: Path, channel: int | str | None) -> ImageFile:
    """Read the planes of one channel, in each frame only the sharpest of a focus stack."""
    planes = found.planes
    numbers = sorted({plane.channel for plane in planes})
    names = tuple(
        found.names[number] if number < len(found.names) else f"channel {number + 1}"
        for number in numbers
    )
    notes: list[str] = []
    place = 0
    if len(numbers) > 1:
        if channel is None:
            place = _counterstain(names, [_example(planes, number) for number in numbers])
            notes.append(
                f"{file.name} has {len(numbers)} channels ({', '.join(names)}): channel "
                f"{place + 1} was read; choose another if it does not show the chromosomes."
            )
        else:
            place = channel_place(channel, names, file.name)
    frames: dict[tuple[int, ...], list[Plane]] = {}
    for plane in sorted(planes, key=lambda one: (one.frame, one.z)):
        if plane.channel == numbers[place]:
            frames.setdefault(plane.frame, []).append(plane)
    pictures = []
    for slices in frames.values():
        read = [plane.read() for plane in slices]
        if len(read) > 1 and (found.focus or _one_field(read)):
            best = int(np.argmax([_sharpness(one) for one in read]))
            notes.append(f"{file.name}: the sharpest of {len(read)} slices, {best + 1}, was used.")
            read = [read[best]]
        pictures += read
    if len({one.shape for one in pictures}) > 1:
        raise ImageError(
            f"{file.name} holds pictures of different kinds: save each as a file of its own."
        )
    if pictures[0].ndim not in (2, 3) or 0 in pictures[0].shape:
        raise ImageError(f"{file.name} is not a two-dimensional image: save it in another format.")
    if len(notes) > 4:
        notes = [*notes[:3], f"{file.name}: the same for {len(notes) - 3} more frames."]
    pixels = pictures[0] if len(pictures) == 1 else np.stack(pictures)
    several = len(numbers) > 1
    return ImageFile(
        pixels, names if several else (), place + 1 if several else None, None, tuple(notes)
    )


def channel_place(channel: int | str, names: Sequence[str], file: str) -> int:
    """Return the index of a channel given by its name, part of it, or its number from 1."""
    word = str(channel).strip().casefold()
    folded = [name.casefold() for name in names]
    if word in folded:
        return folded.index(word)
    if word.isdecimal() and 1 <= int(word) <= len(names):
        return int(word) - 1
    partly = [place for place, name in enumerate(folded) if word and word in name]
    if len(partly) == 1 and not word.isdecimal():
        return partly[0]
    listed = ", ".join(f"{number} {name}" for number, name in enumerate(names, start=1))
    raise ImageError(f"{file} has no channel {channel!r}: it has {listed}.")


def _example(planes: Iterable[Plane], channel: int) -> Callable[[], NDArray[Any]]:
    """Return the reader of the middle slice of the first frame of a channel."""
    mine = [plane for plane in planes if plane.channel == channel]
    first = min(plane.frame for plane in mine)
    slices = sorted((one for one in mine if one.frame == first), key=lambda one: one.z)
    return slices[len(slices) // 2].read


def _counterstain(names: Sequence[str], examples: Sequence[Callable[[], NDArray[Any]]]) -> int:
    """Return the channel of all chromosomes: by its name, else by the largest stained area."""
    for word in _COUNTERSTAINS:
        for place, name in enumerate(names):
            if word in name.casefold():
                return place
    return int(np.argmax([stained_area(to_grayscale(read())) for read in examples]))


def _one_field(slices: Sequence[NDArray[Any]]) -> bool:
    """Return whether slices are a focus stack of one metaphase, not several metaphases."""
    flat = [ndimage.gaussian_filter(subsample(to_grayscale(one)), 2).ravel() for one in slices]
    if any(float(np.ptp(one)) == 0 for one in flat):
        return False
    pairs = itertools.pairwise(flat)
    return bool(np.median([np.corrcoef(a, b)[0, 1] for a, b in pairs]) > _SAME_FIELD)


def _sharpness(pixels: NDArray[Any]) -> float:
    gray = ndimage.gaussian_filter(to_grayscale(pixels), 1)
    return float(ndimage.laplace(gray).var())


def plausible_size(size: float, unit: str) -> float | None:
    """Return a pixel size in micrometers; None if the unit is unknown, or it is implausible."""
    micrometres = size * _MICROMETRES.get(unit.strip().casefold(), float("nan"))
    return micrometres if _SENSIBLE[0] <= micrometres <= _SENSIBLE[1] else None
