"""Draw the pictures of the docs from the synthetic metaphase (``make pictures``)."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from napari_chromocluster.cluster_types import CLUSTERS
from napari_chromocluster.imaging.cluster_synthesis import compose_clusters
from napari_chromocluster.imaging.crops import resize_square, square_crop
from napari_chromocluster.imaging.segmentation import segment_metaphase
from napari_chromocluster.imaging.synthetic_metaphase import (
    procedural_chromosome,
    synthetic_metaphase,
)
from napari_chromocluster.models.classifier import load_model
from napari_chromocluster.results.figures import overlay_figure, save_figure
from napari_chromocluster.viewer.hover_text import describe

IMAGES = Path(__file__).parent / "images"


def overlay() -> None:
    """Draw the classified synthetic metaphase."""
    image = synthetic_metaphase(seed=0).image
    labels = segment_metaphase(image)
    model = load_model()
    table = model.classify(image, labels)
    figure = overlay_figure(image, labels, table, threshold=model.card.unsure_threshold)
    save_figure(IMAGES / "overlay.png", figure, dpi=100)


def composed() -> None:
    """Draw composed clusters, one row a type."""
    rng = np.random.default_rng(0)
    singles = [procedural_chromosome(rng) for _ in range(40)]
    rows = []
    for kind in CLUSTERS:
        made = compose_clusters(singles, 8, seed=1, types=[kind])
        tiles = [resize_square(square_crop(one.signal, one.mask).signal, 96) for one in made]
        rows.append(np.hstack(tiles))
    picture = np.clip(255 - np.vstack(rows) * 110, 0, 255).astype(np.uint8)
    Image.fromarray(picture).save(IMAGES / "composed.png", optimize=True)


def dock() -> None:
    """Photograph the classify dock at work on the synthetic metaphase."""
    import napari
    from napari.settings import get_settings

    get_settings().appearance.theme = "dark"
    viewer = napari.Viewer(show=True)
    viewer.window._qt_window.resize(1366, 768)
    _, widget = viewer.window.add_plugin_dock_widget("napari-chromocluster", "Classify")
    viewer.open_sample("napari-chromocluster", "synthetic_giemsa")
    # Nothing of the machine's user is in the picture: the model list holds what is embedded.
    _spin(1, lambda: widget._loading is None or not widget._loading.running)
    for button in (widget.input.find_button, widget.run.all_button):
        button.click()
        _spin(0.5, lambda: widget.task is None)
    _spin(1)
    table = widget.labels.features
    hardest = table.sort_values("confidence").iloc[0]
    widget.select({int(hardest["index"])})
    widget.result.explain_button.click()
    _spin(0.5, lambda: widget.task is None)
    for callback in viewer.mouse_move_callbacks:
        if hasattr(callback, "say"):
            row = table[table["index"] == hardest["index"]].iloc[0]
            callback.say(viewer, describe(row, widget.result.threshold.value()))
    viewer.reset_view()
    _spin(1)
    picture = viewer.screenshot(canvas_only=False, flash=False)
    Image.fromarray(picture[..., :3]).save(IMAGES / "classify.png", optimize=True)
    viewer.close()


def _spin(seconds: float, until: Callable[[], Any] = lambda: True) -> None:
    from qtpy.QtWidgets import QApplication

    end = time.monotonic() + seconds
    while time.monotonic() < end or not until():
        QApplication.processEvents()
        time.sleep(0.005)


def main() -> None:
    """Draw all pictures."""
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as home:
        os.environ["CHROMOCLUSTER_HOME"] = home
        overlay()
        composed()
        dock()


if __name__ == "__main__":
    main()
