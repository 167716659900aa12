"""Draw the picture of the review from a synthetic metaphase (needs a display)."""

from __future__ import annotations

import tempfile
from pathlib import Path

import napari
from PIL import Image
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

import napari_chromocluster as cc
from napari_chromocluster.imaging.synthetic_metaphase import synthetic_metaphase
from napari_chromocluster.viewer.review import autosave

#: Of a metaphase in which the embedded model is unsure of some regions.
SEED = 5


def main() -> None:
    """Classify a synthetic metaphase, go to its first unsure region, and take the picture."""
    with tempfile.TemporaryDirectory() as folder:
        autosave.own_folder = lambda: Path(folder)
        viewer = napari.Viewer()
        window = viewer.window._qt_window
        window.resize(1366, 768)
        image = viewer.add_image(synthetic_metaphase(seed=SEED).image, name="metaphase")
        labels = cc.viewer.segment_layer(viewer, image)
        cc.viewer.classify_layer(viewer, image, labels)
        holder, dock = viewer.window.add_plugin_dock_widget("napari-chromocluster", "Review")
        window.resizeDocks([holder], [340], Qt.Orientation.Horizontal)
        QTest.qWait(500)
        viewer.reset_view()
        dock.edit_panel.parentWidget().parentWidget().header.setChecked(True)
        dock.go(1)
        QTest.qWait(1500)
        target = Path(__file__).parent / "images" / "review.png"
        picture = viewer.screenshot(canvas_only=False, flash=False)
        Image.fromarray(picture[..., :3]).save(target, optimize=True)
        dock.release()
        viewer.close()


if __name__ == "__main__":
    main()
