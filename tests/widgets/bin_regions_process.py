"""Classify, remove the regions, find them again, in a separate process, since it may crash."""

from __future__ import annotations

import sys
import time

import napari
from qtpy.QtWidgets import QApplication

from napari_chromocluster.imaging.synthetic_metaphase import synthetic_metaphase
from napari_chromocluster.widgets.classify import ClassifyWidget


def turn_until(done, seconds=120.0):
    """Run the event loop until a condition is true, and half a second longer to draw."""
    end = time.monotonic() + seconds
    while not done():
        QApplication.processEvents()
        if time.monotonic() > end:
            sys.exit("it did not come")
    end = time.monotonic() + 0.5
    while time.monotonic() < end:
        QApplication.processEvents()


viewer = napari.Viewer()
viewer.add_image(synthetic_metaphase(2).image, name="metaphase")
dock = ClassifyWidget(viewer)
viewer.window.add_dock_widget(dock, name="Classify")
turn_until(dock.input.find_button.isEnabled)
for _ in range(2):
    dock.input.find_button.click()
    turn_until(dock.run.all_button.isEnabled)
    dock.run.all_button.click()
    turn_until(lambda: any("types" in layer.name for layer in viewer.layers))
    viewer.layers.selection = {viewer.layers["metaphase regions"]}
    viewer.layers.remove_selected()
turn_until(lambda: len(viewer.layers) == 1)
print("done")
