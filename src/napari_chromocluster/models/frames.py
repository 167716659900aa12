"""Images and labels as pairs of frames."""

from __future__ import annotations

from typing import Any

from napari_chromocluster.imaging.normalization import pixels_of
from napari_chromocluster.models.predictions import ClassifyError


def as_array(values: Any) -> Any:
    """Return an array, also from nested lists, without reading a lazy array.

    Raises
    ------
    ClassifyError
        If it cannot be converted to an array.
    """
    if hasattr(values, "shape"):
        return values
    try:
        return pixels_of(values)
    except ValueError as error:
        raise ClassifyError(
            "Image and labels must be arrays, but their rows differ in length."
        ) from error


def match_frames(image: Any, labels: Any) -> list[tuple[Any, Any]]:
    """Pair the frames of an image with those of its labels, without reading them.

    Raises
    ------
    ClassifyError
        If their shapes do not match.
    """
    image, labels = as_array(image), as_array(labels)
    spatial = tuple(image.shape)
    if len(spatial) > len(labels.shape) and spatial[-1] in (1, 3, 4):
        spatial = spatial[:-1]
    if spatial != tuple(labels.shape) or len(spatial) not in (2, 3):
        raise ClassifyError(
            f"Image {tuple(image.shape)} and labels {tuple(labels.shape)} differ in shape: "
            f"choose the labels that belong to this image."
        )
    if len(spatial) == 2:
        return [(image, labels)]
    return [(image[frame], labels[frame]) for frame in range(spatial[0])]
