"""Image files whose channels or focal planes napari shows as if they were metaphases."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

from napari_chromocluster.imaging.files import IMAGE_SUFFIXES, ImageError
from napari_chromocluster.imaging.image_file import may_hold_planes, open_image
from napari_chromocluster.imaging.planes import ImageFile
from napari_chromocluster.viewer.layers import (
    CHANNEL,
    SOURCE,
    frame_shape,
    layer_type,
    source_of,
    spatial_metadata,
    unique_name,
)
from napari_chromocluster.viewer.settings import preferences


def may_have_channels(layer: Any) -> bool:
    """Return whether an image layer is a stack from a file that may name its axes."""
    if layer_type(layer) != "image" or CHANNEL in layer.metadata or len(frame_shape(layer)) < 3:
        return False
    file = Path(source_of(layer))
    return file.suffix.lower() in IMAGE_SUFFIXES and file.is_file()


def read_channel(path: str, shown: tuple[int, ...], channel: str = "") -> ImageFile | None:
    """Read one channel of a file, using the sharpest focal plane of each frame.

    Parameters
    ----------
    path : str
        The image file.
    shown : tuple of int
        Shape of the layer that napari created from the file, without color channels.
    channel : str
        Channel to read, by name or 1-based number. If it is empty or not in the file, the channel
        most likely to show the chromosomes is read.

    Returns
    -------
    ImageFile or None
        None if the layer already shows exactly the metaphases of the file.
    """
    try:
        # Plain stacks are not read, since they may be large.
        opened = _opened(path, channel) if may_hold_planes(path) else None
    except ImageError:
        opened = None  # napari can read more file types
    if opened is None:
        return None
    color = opened.pixels.ndim > 2 and opened.pixels.shape[-1] in (3, 4)
    frames = opened.pixels.shape[: -1 if color else None]
    # The layer may show part of the file, or data derived from it.
    whole = shown[-2:] == frames[-2:] or shown[:2] == frames[-2:]
    return opened if whole and shown != frames else None


def _opened(path: str, channel: str) -> ImageFile:
    opened = open_image(path)
    if channel and opened.channels:
        with suppress(ImageError):
            return open_image(path, channel)
    return opened


def show_channel(viewer: Any, layer: Any, opened: ImageFile) -> Any:
    """Show a channel that was read from a layer's file as a separate layer, and hide the original.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer.
    layer : Image layer
        Layer that shows the whole file, or another channel of it.
    opened : ImageFile
        From `read_channel`.

    Returns
    -------
    Image layer
        The new layer.
    """
    pixels = opened.pixels
    color = pixels.ndim > 2 and pixels.shape[-1] in (3, 4)
    ndim = pixels.ndim - color
    same = frame_shape(layer)[-2:] == pixels.shape[ndim - 2 : ndim]
    what = opened.channels[opened.channel - 1] if opened.channel else "one image"
    before = layer.metadata.get(CHANNEL, {"of": layer.unique_id, "file": layer.name})
    layer.visible = False
    return viewer.add_image(
        pixels,
        name=unique_name(viewer, f"{before['file']} · {what}"),
        rgb=color,
        metadata={
            SOURCE: source_of(layer),
            CHANNEL: {
                "of": before["of"],
                "file": before["file"],
                "names": opened.channels,
                "number": opened.channel,
                "notes": " ".join(opened.notes),
            },
        },
        **(spatial_metadata(layer, ndim) if same else {}),
    )


def chromosome_layer(viewer: Any, layer: Any) -> Any:
    """Return the layer of the chromosomes: of an image file with channels, that of one of them.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer.
    layer : Image layer
        May show channels or planes of focus of its file as if they were frames.

    Returns
    -------
    Image layer
        The layer itself, or one that shows a channel, added if it is missing.
    """
    of = [x for x in viewer.layers if x.metadata.get(CHANNEL, {}).get("of") == layer.unique_id]
    if of:
        return next((one for one in reversed(of) if one.visible), of[-1])
    if not may_have_channels(layer):
        return layer
    opened = read_channel(source_of(layer), frame_shape(layer), preferences().channel)
    return layer if opened is None else show_channel(viewer, layer, opened)


def channel_layer(viewer: Any, layer: Any, number: int) -> Any:
    """Return the layer that shows another channel of the same file, or None."""
    wanted = (layer.metadata[CHANNEL]["of"], number)
    for one in viewer.layers:
        known = one.metadata.get(CHANNEL)
        if known is not None and (known["of"], known["number"]) == wanted:
            return one
    return None


def channel_of(layer: Any) -> tuple[tuple[str, ...], int, str]:
    """Return the channels of a layer's file, the 1-based number of the channel shown, and notes.

    The channels are empty and the number is 0 if the layer shows everything in its file.
    """
    known = layer.metadata.get(CHANNEL, {}) if layer is not None else {}
    return known.get("names", ()), known.get("number") or 0, known.get("notes", "")
