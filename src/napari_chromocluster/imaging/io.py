"""Read image and label files, and write files atomically."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray
from PIL import Image

from napari_chromocluster.imaging.files import (
    TIFF_SUFFIXES,
    ImageError,
    atomic_path,
    check_file,
    is_zarr,
)

#: First word of the software tag of label images written by this program.
_SEAL = "napari-chromocluster"


def is_stack(image: Any) -> bool:
    """Return whether an image from `read_image` is a stack of metaphases."""
    return image.ndim == 4 or (image.ndim == 3 and image.shape[-1] not in (3, 4))


def read_image(path: str | Path, channel: int | str | None = None) -> NDArray[Any]:
    """Read a metaphase image or a stack of them.

    TIFF (palette, 12 bit, tiled, several pages, ImageJ, OME), PNG, JPEG, BMP and OME-Zarr.

    Parameters
    ----------
    path : path
        The file.
    channel : int or str, optional
        Channel to read, see `open_image`, which also returns the choice.

    Returns
    -------
    (H, W), (H, W, 3 | 4), (N, H, W) or (N, H, W, 3 | 4) array
        Pixels in the dtype of the file; palettes are converted to RGB.

    Raises
    ------
    ImageError
        If the file is missing, not an image, truncated, or has no such channel.
    """
    from napari_chromocluster.imaging.image_file import open_image

    return open_image(path, channel).pixels


@contextmanager
def decoding(path: str | Path, what: str) -> Iterator[Path]:
    """Turn any error of a decoder into an `ImageError` with one sentence."""
    file = check_file(path, what)
    try:
        yield file
    except ImageError:
        raise
    except MemoryError as error:
        raise ImageError(
            f"{file.name} is damaged, or larger than the memory of this machine: crop it."
        ) from error
    except Exception as error:
        # Each codec has its own exceptions, and damaged headers can raise any other.
        raise ImageError(
            f"{file.name} is not {what} that can be read, or is cut short: open another file."
        ) from error


def check_complete(tiff: tifffile.TiffFile, file: Path) -> None:
    """Reject a truncated file: some codecs would invent the missing pixels."""
    size = file.stat().st_size
    for page in tiff.pages:
        for start, length in zip(page.dataoffsets, page.databytecounts, strict=True):
            if start + length > size:
                raise ImageError(f"{file.name} is cut short: copy or export it again.")


def _squeezed(pixels: NDArray[Any], file: Path) -> NDArray[Any]:
    while pixels.ndim > 2 and pixels.shape[-1] == 1:
        pixels = pixels[..., 0]
    color = pixels.ndim > 2 and pixels.shape[-1] in (3, 4)
    while pixels.ndim > (3 if color else 2) and 1 in pixels.shape[: -3 if color else -2]:
        pixels = np.squeeze(pixels, axis=pixels.shape.index(1))
    if pixels.ndim > (4 if color else 3) or pixels.ndim < 2:
        raise ImageError(
            f"{file.name} has {pixels.ndim} dimensions: save it as one image or one stack."
        )
    return pixels


def read_labels(path: str | Path) -> NDArray[Any]:
    """Read a label image.

    Returns
    -------
    (H, W) or (N, H, W) integer array
        0 is background.

    Raises
    ------
    ImageError
        If the file is not an image of whole numbers in one channel.
    """
    with decoding(path, "a label image") as file:
        if is_zarr(file):
            from napari_chromocluster.imaging.ome_zarr import read_zarr_array

            labels = _squeezed(read_zarr_array(file), file)
        elif file.suffix.lower() in TIFF_SUFFIXES:
            # Read only this file of a multi-file OME-TIFF.
            with tifffile.TiffFile(file, is_ome=False) as tiff:
                check_complete(tiff, file)
                labels = _squeezed(tiff.asarray(), file)
        else:
            with Image.open(file) as picture:
                # Indices of a palette are the labels themselves.
                labels = np.asarray(picture)
                labels = labels[..., 0] if picture.mode == "LA" else labels
    if labels.dtype.kind == "f":
        labels = _whole_numbers(labels)
    if labels.dtype.kind not in "uib" or (labels.ndim == 3 and labels.shape[-1] in (3, 4)):
        raise ImageError(
            f"{file.name} is a picture, not a label image: labels are whole numbers in one channel."
        )
    return labels


def _whole_numbers(labels: NDArray[Any]) -> NDArray[Any]:
    """Convert labels saved as floats to integers, if they are whole numbers."""
    filled = np.where(np.isnan(labels), 0, labels)  # some programs use NaN as background
    return filled.astype(np.int64) if (filled == np.floor(filled)).all() else labels


def write_labels(
    path: str | Path,
    labels: NDArray[Any],
    seal: str | None = None,
    pixel_size: float | None = None,
) -> None:
    """Write a label image as TIFF, OME-TIFF, OME-Zarr or PNG, in the smallest integer type.

    Parameters
    ----------
    path : path
        ``.tif``, ``.tiff``, ``.ome.tif``, ``.ome.tiff``, ``.ome.zarr`` or ``.png`` (up to 65535
        labels).
    labels : (H, W) or (N, H, W) integer array
        0 is background; negative values, which other programs use for ignored pixels, become 0.
    seal : str, optional
        One word on the origin of the labels, for a TIFF.  `provenance_tag_of` returns it as long
        as the file is unchanged.
    pixel_size : float, optional
        Micrometers per pixel, for OME-TIFF and OME-Zarr.
    """
    array = np.asarray(labels)
    array = np.maximum(array, 0) if array.dtype.kind == "i" else array
    top = int(array.max()) if array.size else 0
    small = array.astype(np.uint16 if top < 1 << 16 else np.uint32 if top < 1 << 32 else np.uint64)
    if Path(path).suffix.lower() == ".zarr":
        from napari_chromocluster.imaging.ome_zarr import write_ome_zarr_labels

        write_ome_zarr_labels(Path(path), small, pixel_size)
        return
    with atomic_path(path) as temporary:
        if temporary.suffix.lower() == ".png":
            if small.dtype != np.uint16 or small.ndim != 2:
                raise ImageError(
                    "A PNG can hold one label image with up to 65535 labels: write a TIFF."
                )
            Image.fromarray(small).save(temporary)
        else:
            software = None if seal is None else f"{_SEAL} {seal} {_digest(small)}"
            ome = Path(path).stem.lower().endswith(".ome")
            tifffile.imwrite(
                temporary, small, photometric="minisblack", compression="zlib", software=software,
                ome=ome, metadata=_ome_metadata(small.ndim, pixel_size) if ome else {},
            )  # fmt: skip


def _ome_metadata(dimensions: int, pixel_size: float | None) -> dict[str, Any]:
    metadata: dict[str, Any] = {"axes": "TYX"[-dimensions:]}
    for axis in "XY" if pixel_size is not None else "":
        metadata |= {f"PhysicalSize{axis}": pixel_size, f"PhysicalSize{axis}Unit": "µm"}
    return metadata


def provenance_tag_of(path: str | Path) -> str | None:
    """Return the seal of a label image; None if it has none or was changed since.

    Raises
    ------
    ImageError
        If the file is not a complete image.
    """
    with decoding(path, "a label image") as file, tifffile.TiffFile(file) as tiff:
        program, _, rest = str(tiff.pages.first.software or "").partition(" ")
        word, _, digest = rest.partition(" ")
        return word if program == _SEAL and digest == _digest(tiff.asarray()) else None


def _digest(labels: NDArray[Any]) -> str:
    pixels = hashlib.blake2b(np.ascontiguousarray(labels, labels.dtype.newbyteorder("<")).data)
    return f"{pixels.hexdigest()[:32]} {'x'.join(map(str, labels.shape))}"
