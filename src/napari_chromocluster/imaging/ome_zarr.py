"""OME-Zarr folders (NGFF 0.4, 0.5 and earlier): read images and labels, write labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_chromocluster.imaging.files import ImageError, atomic_folder
from napari_chromocluster.imaging.planes import (
    ImageFile,
    Plane,
    Planes,
    choose_planes,
    plausible_size,
)

if TYPE_CHECKING:
    import zarr

#: Axes of images without metadata, the last ones of these.
_USUAL_AXES = "tczyx"
#: Names of the channels of a picture in color.
_COLOR_NAMES = ({"red", "green", "blue"}, {"r", "g", "b"})
_CHUNK = 1024


def open_ome_zarr(folder: Path, channel: int | str | None) -> ImageFile:
    """Read an image at full resolution: a multiscale image, several of them, or a plain array.

    Raises
    ------
    ImageError
        If the extra is not installed, or the folder contains no image.
    """
    images = _images(folder)
    planes = [plane for number, one in enumerate(images) for plane in one.planes(number)]
    if len({one.size() for one in images}) > 1:
        raise ImageError(
            f"{folder.name} holds pictures of different sizes: save each as a file of its own."
        )
    found = Planes(planes, images[0].names, focus=True)
    return replace(choose_planes(found, folder, channel), pixel_size=images[0].pixel_size())


def ome_zarr_pixel_size(folder: Path) -> float | None:
    """Return the micrometers per pixel of an image, if known."""
    return _images(folder)[0].pixel_size()


def read_zarr_array(folder: Path) -> NDArray[Any]:
    """Read the array of an image at full resolution, with all of its axes."""
    return np.asarray(_images(folder)[0].array[...])


def write_ome_zarr_labels(path: Path, labels: NDArray[Any], pixel_size: float | None) -> None:
    """Write a label image (H, W) or (N, H, W) as NGFF 0.4, which most programs read.

    Raises
    ------
    ImageError
        If the extra is not installed, or another folder has that name.
    """
    zarr = _zarr(path)
    space: dict[str, Any] = {"type": "space"}
    if pixel_size is not None:
        space["unit"] = "micrometer"
    axes = [{"name": "t", "type": "time"}, {"name": "y", **space}, {"name": "x", **space}]
    scale = [1.0, *[1.0 if pixel_size is None else pixel_size] * 2]
    transformation = {"type": "scale", "scale": scale[-labels.ndim :]}
    multiscale = {
        "version": "0.4",
        "name": path.name.partition(".")[0],
        "axes": axes[-labels.ndim :],
        "datasets": [{"path": "0", "coordinateTransformations": [transformation]}],
    }
    with atomic_folder(path) as temporary:
        group = zarr.open_group(str(temporary), mode="w", zarr_format=2)
        group.create_array(
            "0", data=labels, chunks=(1, _CHUNK, _CHUNK)[-labels.ndim :],
            chunk_key_encoding={"name": "v2", "separator": "/"},
        )  # fmt: skip
        group.attrs.update({"multiscales": [multiscale], "image-label": {"version": "0.4"}})


class _Image:
    """One image of a folder: the array of full resolution and its metadata."""

    def __init__(
        self,
        array: zarr.Array[Any],
        multiscale: Mapping[str, Any],
        metadata: Mapping[str, Any],
    ) -> None:
        self.array, self._multiscale = array, multiscale
        axes = multiscale.get("axes") or _axes_of(array)
        # Before NGFF 0.4 an axis was just its name.
        self._entries = [one if isinstance(one, Mapping) else {"name": one} for one in axes]
        self._axes = [str(one["name"]).lower() for one in self._entries]
        if len(self._axes) != array.ndim or not {"y", "x"} <= set(self._axes):
            raise ValueError("axes that do not fit the array")
        channels = metadata.get("omero", {}).get("channels", [])
        self.names = tuple(
            str(one.get("label") or f"channel {number}")
            for number, one in enumerate(channels, start=1)
        )
        color = "c" in self._axes and {name.casefold() for name in self.names} in _COLOR_NAMES
        self._inner = ["y", "x", *(["c"] if color or "s" in self._axes else [])]

    def size(self) -> tuple[int, int]:
        """Return height and width."""
        height, width = (self.array.shape[self._axes.index(axis)] for axis in "yx")
        return int(height), int(width)

    def planes(self, number: int) -> list[Plane]:
        """Return the planes of the image, which is one of several frames."""
        outer = [axis for axis in self._axes if axis not in self._inner]
        planes = []
        for place in np.ndindex(*(self.array.shape[self._axes.index(axis)] for axis in outer)):
            at = dict(zip(outer, place, strict=True))
            frame = (number, *(at[axis] for axis in outer if axis not in ("c", "z")))
            planes.append(Plane(frame, at.get("z", 0), at.get("c", 0), self._reader(at)))
        return planes

    def _reader(self, at: Mapping[str, int]) -> Callable[[], NDArray[Any]]:
        def read() -> NDArray[Any]:
            pixels = np.asarray(self.array[tuple(at.get(axis, slice(None)) for axis in self._axes)])
            left = [axis for axis in self._axes if axis not in at]
            return np.transpose(pixels, [left.index(axis) for axis in self._inner])

        return read

    def pixel_size(self) -> float | None:
        """Return the micrometers per pixel, if known."""
        place = self._axes.index("x")
        dataset = self._multiscale.get("datasets", [{}])[0]
        size = 1.0
        for owner in (dataset, self._multiscale):
            for one in owner.get("coordinateTransformations", ()):
                if one.get("type") == "scale" and "scale" in one:
                    size *= float(one["scale"][place])
        return plausible_size(size, str(self._entries[place].get("unit", "")))


def _images(folder: Path) -> list[_Image]:
    """Open the images of a folder, of one size; each is a frame."""
    zarr = _zarr(folder)
    node = zarr.open(str(folder), mode="r")
    if isinstance(node, zarr.Array):
        return [_Image(node, {}, {})]
    metadata = _metadata(node)
    if "plate" in metadata or "well" in metadata:
        raise ImageError(
            f"{folder.name} is a plate or a well: name the images in it, such as "
            f"'{folder.name}/A/1/0'."
        )
    if "multiscales" in metadata:
        return [_multiscale_image(node, metadata)]
    if "bioformats2raw.layout" in metadata:
        groups = sorted((name for name, _ in node.groups() if name.isdecimal()), key=int)
        members = [node[name] for name in groups]
        return [_multiscale_image(one, _metadata(one)) for one in members]
    arrays = [array for _, array in node.arrays()]
    if len(arrays) == 1:
        return [_Image(arrays[0], {}, {})]
    raise ImageError(
        f"{folder.name} holds no image with OME metadata, but {len(arrays)} arrays: name one of "
        f"them, or save it as OME-Zarr."
    )


def _multiscale_image(group: Any, metadata: Mapping[str, Any]) -> _Image:
    multiscale = metadata["multiscales"][0]
    return _Image(group[multiscale["datasets"][0]["path"]], multiscale, metadata)


def _metadata(group: Any) -> Mapping[str, Any]:
    """Return the OME metadata of a group: since NGFF 0.5 they are under ``ome``."""
    attributes: dict[str, Any] = dict(group.attrs)
    inner = attributes.get("ome")
    return inner if isinstance(inner, Mapping) else attributes


def _axes_of(array: Any) -> Sequence[str]:
    """Return the axes of an array without OME metadata; a last axis of 3 or 4 is color."""
    names = getattr(array.metadata, "dimension_names", None)
    if names and all(names):
        return [str(name) for name in names]
    if array.ndim == 3:
        return "yxs" if array.shape[-1] in (3, 4) else "tyx"
    return _USUAL_AXES[-array.ndim :]


def _zarr(path: Path) -> Any:
    try:
        import zarr
    except ImportError as error:
        raise ImageError(
            f"{path.name} needs the extra 'zarr': pip install 'napari-chromocluster[zarr]'."
        ) from error
    return zarr
