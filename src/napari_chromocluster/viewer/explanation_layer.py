"""Show what determined the type of a region, as an image layer over the metaphase."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_chromocluster.cluster_types import EXPECTED_CHROMOSOMES
from napari_chromocluster.imaging.regions import Selection
from napari_chromocluster.viewer.layers import (
    EXPLANATION,
    check_pair,
    find_layer,
    layer_data,
    spatial_metadata,
)
from napari_chromocluster.viewer.overlay_layers import follow, mark_name, take_away, unselected
from napari_chromocluster.viewer.scripting import loaded

if TYPE_CHECKING:
    from napari_chromocluster.models.classifier import ClusterClassifier


def explain_region(
    viewer: Any,
    image: Any,
    labels: Any,
    select: Selection | None = None,
    *,
    cluster_type: str | None = None,
    expected: int | None = EXPECTED_CHROMOSOMES,
    model: str | Path | ClusterClassifier = "default",
    device: str = "auto",
    progress: Callable[[int, int], None] | None = None,
    stop: Callable[[], bool] | None = None,
) -> Any:
    """Show which parts of a region supported its type.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer.
    image : Image layer or str
        The metaphase.
    labels : Labels layer or str
        Its regions.
    select : label or collection of labels, optional
        Regions to explain (default: the layer's selected label).
    cluster_type : str, optional
        Type to explain (default: the one that the model assigns to each region).
    expected : int, optional
        Chromosomes in a cell; None if unknown.
    model : str, path or ClusterClassifier
        The model.
    device : str
        ``auto``, ``cpu``, ``cuda`` or ``mps``.
    progress, stop : callable, optional
        As in `ClusterClassifier.explain`.

    Returns
    -------
    Image layer
        0 to 1 inside the regions (see ``docs/explanation.md``), 0 elsewhere.
    """
    image_layer = find_layer(viewer, image, "image")
    labels_layer = find_layer(viewer, labels, "labels")
    check_pair(image_layer, labels_layer)
    chosen = int(labels_layer.selected_label) if select is None else select
    heat = loaded(model, device).explain(
        layer_data(image_layer),
        layer_data(labels_layer),
        chosen,
        cluster_type=cluster_type,
        expected=expected,
        progress=progress,
        stop=stop,
    )
    return show_explanation(viewer, labels_layer, heat)


def explanation_layer(viewer: Any, labels: Any) -> Any:
    """Return the image layer that explains the regions of a labels layer, or None."""
    owner = labels.unique_id
    return next((one for one in viewer.layers if one.metadata.get(EXPLANATION) == owner), None)


def remove_explanation(viewer: Any, labels: Any) -> None:
    """Remove an outdated explanation."""
    layer = explanation_layer(viewer, labels)
    if layer is not None:
        take_away(viewer, [layer])


def show_explanation(viewer: Any, labels: Any, heat: NDArray[np.float32]) -> Any:
    """Show an explanation over the metaphase, replacing an existing one."""
    layer = explanation_layer(viewer, labels)
    if layer is not None and layer.data.shape == heat.shape:
        layer.data = heat
        layer.visible = True
        return layer
    with unselected(viewer):
        made = viewer.add_image(
            heat,
            name=mark_name(viewer, labels, "explanation"),
            **spatial_metadata(labels),
            colormap=_heat_colors(),
            blending="translucent",
            contrast_limits=(0, 1),
            metadata={EXPLANATION: labels.unique_id},
        )
        # Outlines and letters stay above it.
        viewer.layers.move(viewer.layers.index(made), viewer.layers.index(labels))
    follow(viewer, labels)
    return made


def _heat_colors() -> Any:
    """Return a colormap that is visible on dark and light images."""
    from napari.utils.colormaps import Colormap, ensure_colormap

    colors = ensure_colormap("inferno").map(np.linspace(0.25, 1, 64))
    colors[:, 3] = np.linspace(0, 0.85, 64)
    return Colormap(colors, name="explanation")
