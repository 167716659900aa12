"""Microscope image files and their metadata: TIFF, OME-TIFF, OME-Zarr, PNG, JPEG, BMP."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from napari_chromocluster.imaging.files import TIFF_SUFFIXES, ImageError, is_zarr
from napari_chromocluster.imaging.io import check_complete, decoding
from napari_chromocluster.imaging.ome_zarr import ome_zarr_pixel_size, open_ome_zarr
from napari_chromocluster.imaging.planes import (
    ImageFile,
    Plane,
    Planes,
    channel_place,
    choose_planes,
    plausible_size,
)

#: Maximum size of a thumbnail, relative to the pixels of the image.
_THUMBNAIL = 0.2
_COLORS = ("red", "green", "blue")


def open_image(path: str | Path, channel: int | str | None = None) -> ImageFile:
    """Read an image file with its metadata.

    Parameters
    ----------
    path : path
        TIFF, PNG, JPEG, BMP or an OME-Zarr folder.
    channel : int or str, optional
        Channel to read: its number, from 1, its name or part of it, or a color of an RGB image.
        By default the one named after a counterstain such as DAPI, else the one with the
        largest stained area.

    Returns
    -------
    ImageFile

    Raises
    ------
    ImageError
        If the file is missing, not an image, truncated, or has no such channel.
    """
    with decoding(path, "an image") as file:
        if is_zarr(file):
            opened = open_ome_zarr(file, channel)
        elif file.suffix.lower() in TIFF_SUFFIXES:
            opened = _open_tiff(file, channel)
        else:
            opened = _open_picture(file)
        return _one_color(opened, channel, file.name)


def may_hold_planes(path: str | Path) -> bool:
    """Return whether a file may contain channels or focal planes; reads no TIFF pixels."""
    file = Path(path)
    if file.suffix.lower() not in TIFF_SUFFIXES:
        return True
    try:
        with tifffile.TiffFile(file, is_ome=False) as tiff:
            axes = str(tiff.series[0].axes)
            return _ome_root(tiff) is not None or bool({"C", "Z", "S"} & set(axes))
    except (OSError, ValueError, IndexError, tifffile.TiffFileError):
        return False


def _open_tiff(file: Path, channel: int | str | None) -> ImageFile:
    """Read the pages of a TIFF as metaphases, selecting one channel and focus plane.

    Of a multi-file OME-TIFF, only the pages of this file are read.
    """
    with tifffile.TiffFile(file, is_ome=False) as tiff:
        check_complete(tiff, file)
        first = tiff.pages.first
        found = _ome_planes(tiff, file) or _series_planes(tiff, file)
        chosen = choose_planes(found, file, channel)
        size = _ome_pixel_size(tiff) or _tiff_pixel_size(tiff)
        turned = int(getattr(first.tags.get("Orientation"), "value", 1) or 1)
    return replace(
        chosen, pixel_size=size, notes=(*chosen.notes, *_orientation_note(file.name, turned))
    )


def _orientation_note(name: str, orientation: int) -> tuple[str, ...]:
    """Note that a file has an orientation tag, which is ignored by napari and this program."""
    if orientation in (0, 1):
        return ()
    return (
        f"{name} should be displayed rotated or mirrored (orientation {orientation}), but is read "
        f"as stored, as in napari; labels from a program that rotates it do not fit.",
    )


# ------------------------------------------------------------------- planes of a TIFF


def _series_planes(tiff: tifffile.TiffFile, file: Path) -> Planes:
    """Return the planes of all series of one size, by the axes in the metadata."""
    planes: list[Plane] = []
    first, *others = tiff.series
    same = [first, *(one for one in others if _size(one) == _size(first))]
    # Many files also contain a thumbnail.
    large = _THUMBNAIL * np.prod(_size(first))
    if any(_size(one) != _size(first) and np.prod(_size(one)) > large for one in others):
        raise ImageError(
            f"{file.name} holds pictures of different sizes: save each as a file of its own."
        )
    for number, series in enumerate(same):
        planes += _planes_of(series, number)
    imagej = tiff.imagej_metadata or {}
    names = _imagej_names(imagej, 1 + max(plane.channel for plane in planes))
    return Planes(planes, names)  # in ImageJ the metaphases of a plain stack are also slices


def _size(series: Any) -> tuple[int, int]:
    sizes = dict(zip(series.axes, series.shape, strict=True))
    return sizes.get("Y", 1), sizes.get("X", 1)


def _planes_of(series: Any, number: int) -> list[Plane]:
    page = series.keyframe
    pixels, axes = series.asarray(), series.axes
    samples = "S"
    if page.photometric == tifffile.PHOTOMETRIC.MINISWHITE and pixels.dtype.kind == "u":
        pixels = np.iinfo(pixels.dtype).max - pixels
    if "S" in axes:
        pixels = np.moveaxis(pixels, axes.index("S"), -1)
        axes = axes.replace("S", "") + "S"
        if not _is_color(page):
            # Samples that are neither colors nor alpha are channels.
            axes, samples = axes.replace("C", "Q")[:-1] + "C", ""
    image = [axis for axis in ("Y", "X", *([samples] if samples and "S" in axes else []))]
    outer = [axis for axis in axes if axis not in image]
    pixels = np.transpose(pixels, [axes.index(axis) for axis in (*outer, *image)])
    planes = []
    for place in np.ndindex(*pixels.shape[: len(outer)]):
        at = dict(zip(outer, place, strict=True))
        frame = (number, *(at[axis] for axis in outer if axis not in "CZ"))
        plane = _shown(pixels[place], page)
        planes.append(Plane(frame, at.get("Z", 0), at.get("C", 0), _given(plane)))
    return planes


def _given(pixels: NDArray[Any]) -> Callable[[], NDArray[Any]]:
    return lambda: pixels


def _is_color(page: Any) -> bool:
    """Return whether the samples of a page are colors, or gray and alpha, rather than channels."""
    if page.photometric in (tifffile.PHOTOMETRIC.MINISBLACK, tifffile.PHOTOMETRIC.MINISWHITE):
        extra = tuple(page.extrasamples)
        alpha = bool(extra) and extra[-1] in (
            tifffile.EXTRASAMPLE.ASSOCALPHA,
            tifffile.EXTRASAMPLE.UNASSALPHA,
        )
        return page.samplesperpixel == 2 and alpha
    return True


def _shown(pixels: NDArray[Any], page: Any) -> NDArray[Any]:
    """Return the pixels of a plane as gray, RGB or RGBA."""
    if page.photometric == tifffile.PHOTOMETRIC.PALETTE and page.colormap is not None:
        colors = np.moveaxis(np.asarray(page.colormap), 0, -1)
        return np.asarray(colors[pixels] >> 8, np.uint8)
    if pixels.ndim == 3 and pixels.shape[-1] == 2:
        gray, alpha = pixels[..., :1], pixels[..., 1:]
        return _without_full_alpha(np.concatenate([gray, gray, gray, alpha], axis=-1), gray=True)
    if pixels.ndim == 3 and pixels.shape[-1] > 4:
        return pixels[..., :3]
    return pixels[..., 0] if pixels.ndim == 3 and pixels.shape[-1] == 1 else pixels


def _without_full_alpha(pixels: NDArray[Any], gray: bool) -> NDArray[Any]:
    """Drop the alpha of RGBA pixels if nothing is transparent, and two of three equal colors."""
    if (pixels[..., 3] == 0).any():
        return pixels
    return pixels[..., 0] if gray else pixels[..., :3]


def _imagej_names(metadata: dict[str, Any], channels: int) -> tuple[str, ...]:
    """Return the channel names from the labels of the first planes or from Micro-Manager."""
    labels = [str(one) for one in metadata.get("Labels") or ()][:channels]
    if len(set(labels)) == channels > 1:
        return tuple(labels)
    try:
        names = json.loads(str(metadata.get("Info", "")))["ChNames"]
    except (ValueError, KeyError, TypeError):
        return ()
    return tuple(str(one) for one in names) if len(names) == channels else ()


# ------------------------------------------------------------------- OME-XML


def _ome_root(tiff: tifffile.TiffFile) -> ElementTree.Element | None:
    text = str(tiff.pages.first.description or "")
    if not text.rstrip().endswith("OME>"):
        return None
    try:
        return ElementTree.fromstring(text)
    except ElementTree.ParseError:
        return None


def _children(element: ElementTree.Element, name: str) -> list[ElementTree.Element]:
    return [one for one in element if one.tag.rpartition("}")[2] == name]


def _ome_pixels(tiff: tifffile.TiffFile) -> list[ElementTree.Element]:
    root = _ome_root(tiff)
    images = [] if root is None else _children(root, "Image")
    return [pixels for image in images for pixels in _children(image, "Pixels")]


def _ome_planes(tiff: tifffile.TiffFile, file: Path) -> Planes | None:
    """Return the planes of this file according to its OME-XML; None if there are none."""
    root = _ome_root(tiff)
    if root is None:
        return None
    planes: dict[int, Plane] = {}
    names: tuple[str, ...] = ()
    for field, pixels in enumerate(_ome_pixels(tiff)):
        entries = _children(pixels, "Channel")
        names = names or tuple(
            one.get("Name") or one.get("Fluor") or f"channel {number}"
            for number, one in enumerate(entries, start=1)
        )
        order = pixels.get("DimensionOrder", "XYCZT")[2:]
        sizes = {axis: int(pixels.get(f"Size{axis}", "1")) for axis in order}
        samples = max([int(one.get("SamplesPerPixel", "1")) for one in entries], default=1)
        sizes["C"] = max(1, sizes["C"] // samples)
        for data in _children(pixels, "TiffData"):
            if not _is_here(data, root, file):
                continue
            page = int(data.get("IFD", "0"))
            usual = "1" if "IFD" in data.attrib else "0"  # 0: all that follow
            count = int(data.get("PlaneCount", data.get("NumPlanes", usual)))
            begin = [int(data.get(f"First{axis}", "0")) for axis in order]
            start = begin[0] + sizes[order[0]] * (begin[1] + sizes[order[1]] * begin[2])
            for number in range(count or len(tiff.pages) - page):
                if page + number >= len(tiff.pages):
                    break
                rest, at = start + number, {}
                for axis in order:
                    rest, at[axis] = divmod(rest, sizes[axis])
                read = _page_reader(tiff, page + number)
                planes[page + number] = Plane((field, at["T"]), at["Z"], at["C"], read)
    if not planes:
        return None
    shapes = {tuple(tiff.pages[page].shape[:2]) for page in planes}
    if len(shapes) > 1:
        raise ImageError(
            f"{file.name} holds pictures of different sizes: save each as a file of its own."
        )
    return Planes(list(planes.values()), names, focus=True)


def _is_here(data: ElementTree.Element, root: ElementTree.Element, file: Path) -> bool:
    """Return whether a TiffData element refers to this file, not to another file of the set."""
    uuids = _children(data, "UUID")
    if not uuids:
        return True
    if root.get("UUID") is not None and uuids[0].text == root.get("UUID"):
        return True
    return uuids[0].get("FileName", "").casefold() == file.name.casefold()


def _page_reader(tiff: tifffile.TiffFile, number: int) -> Callable[[], NDArray[Any]]:
    def read() -> NDArray[Any]:
        page = tiff.pages[number]
        pixels = page.asarray()
        if page.planarconfig == 2 and pixels.ndim == 3:
            pixels = np.moveaxis(pixels, 0, -1)
        return _shown(pixels, page)

    return read


# ------------------------------------------------------------------- size of a pixel


def pixel_size(path: str | Path) -> float | None:
    """Return the micrometers per pixel of an image file, if known, without reading its pixels."""
    file = Path(path)
    try:
        if is_zarr(file):
            return ome_zarr_pixel_size(file)
        if file.suffix.lower() not in TIFF_SUFFIXES or not file.is_file():
            return None
        with tifffile.TiffFile(file, is_ome=False) as tiff:
            return _ome_pixel_size(tiff) or _tiff_pixel_size(tiff)
    except (OSError, ValueError, KeyError, tifffile.TiffFileError):
        return None


def _ome_pixel_size(tiff: tifffile.TiffFile) -> float | None:
    for pixels in _ome_pixels(tiff):
        try:
            size = float(pixels.get("PhysicalSizeX", ""))
        except ValueError:
            continue
        return plausible_size(size, pixels.get("PhysicalSizeXUnit", "µm"))
    return None


def _tiff_pixel_size(tiff: tifffile.TiffFile) -> float | None:
    """Return the pixel size from ImageJ or the resolution tags, ignoring screen resolutions."""
    page = tiff.pages.first
    unit = str((tiff.imagej_metadata or {}).get("unit", "")).casefold()
    if not unit:
        unit = {2: "inch", 3: "cm"}.get(int(page.resolutionunit or 1), "")
    try:
        numerator, denominator = page.tags["XResolution"].value
        return plausible_size(denominator / numerator, unit)
    except (KeyError, ZeroDivisionError, TypeError, ValueError):
        return None


# ------------------------------------------------------------------- PNG, JPEG, BMP


def _open_picture(file: Path) -> ImageFile:
    """Read an image with Pillow; only the first image of an MPO file."""
    notes: list[str] = []
    with Image.open(file) as picture:
        orientation = int(picture.getexif().get(0x0112, 1) or 1)
        number = getattr(picture, "n_frames", 1)
        if picture.format == "MPO" and number > 1:
            notes.append(f"{file.name} holds {number} pictures: the first was read.")
            number = 1
        frames = []
        for one in range(number):
            picture.seek(one)
            picture.load()
            frames.append(_pixels_of(picture))
    if len({one.shape for one in frames}) > 1:
        raise ImageError(
            f"{file.name} holds pictures of different sizes: save each as a file of its own."
        )
    pixels = frames[0] if len(frames) == 1 else np.stack(frames)
    return ImageFile(pixels, notes=(*notes, *_orientation_note(file.name, orientation)))


def _pixels_of(picture: Image.Image) -> NDArray[Any]:
    """Return a Pillow image as gray, RGB or, if anything is transparent, RGBA."""
    mode = picture.mode
    if "transparency" in picture.info or mode in ("LA", "PA", "La", "RGBa"):
        return _without_full_alpha(np.asarray(picture.convert("RGBA")), gray=mode[0] in "L1")
    if mode in ("P", "CMYK", "YCbCr"):
        picture = picture.convert("RGB")
    return np.asarray(picture.convert("L") if mode == "1" else picture)


def _one_color(opened: ImageFile, channel: int | str | None, name: str) -> ImageFile:
    """Select one color of a color image if a channel is given."""
    pixels = opened.pixels
    if channel is None or opened.channels or pixels.ndim < 3 or pixels.shape[-1] not in (3, 4):
        return opened
    place = channel_place(channel, _COLORS, name)
    return replace(opened, pixels=pixels[..., place], channels=_COLORS, channel=place + 1)
