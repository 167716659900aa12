"""Finding the regions of an image, and changing which and how wide while one looks."""

from __future__ import annotations

from typing import Any

import numpy as np
from qtpy.QtCore import QTimer

from napari_chromocluster.imaging.segmentation import (
    Foreground,
    SegmentationParameters,
    filter_regions,
    label_foreground,
)
from napari_chromocluster.viewer.contrast import limits_for_regions, untouched
from napari_chromocluster.viewer.layers import frame_shape, labels_of, pixels, table_of
from napari_chromocluster.viewer.scripting import add_regions, segment_frames
from napari_chromocluster.widgets.classify.base import ClassifyBase
from napari_chromocluster.widgets.common.controls import choose


class ClassifyFinding(ClassifyBase):
    """The part of the dock that finds regions."""

    _outline: QTimer
    #: The regions just found as they were shown last: what differs was painted since.
    _shown: np.ndarray[Any, Any] = np.zeros((0, 0), np.int32)

    def find_regions(self) -> None:
        """Find the regions of the chosen image in the background."""
        image = self.image
        if image is None or self.task is not None:
            return
        parameters = self._parameters()
        array, rgb = pixels(image), bool(image.rgb)
        single = len(frame_shape(image)) == 2
        # Contrast that the user has chosen stays.
        shown = tuple(image.contrast_limits) if single and not rgb and untouched(image) else None

        def work(progress: Any, stop: Any) -> Any:
            if single:
                whole = np.asarray(array)
                foreground = label_foreground(whole, parameters)
                labels = filter_regions(foreground, parameters)
                limits = limits_for_regions(whole, labels, shown) if shown else None
                return labels, foreground, limits
            return segment_frames(array, rgb, parameters, progress, stop), None, None

        self._start(work, lambda result: self._regions_found(image, *result), "Finding regions")

    def _regions_found(
        self,
        image: Any,
        labels: np.ndarray[Any, Any],
        foreground: Foreground | None,
        limits: list[float] | None,
    ) -> None:
        if image not in self.viewer.layers:
            self.banner.info("The image was closed while its regions were sought.")
            return
        if not labels.any():
            self.input.limits.show()
            self.banner.error("No region was found: choose a metaphase image or lower Smallest.")
            return
        earlier = [one for one in labels_of(self.viewer, image) if one.visible]
        layer = add_regions(self.viewer, image, labels)
        # Two sets of outlines and letters over each other cannot be read.
        for one in earlier:
            one.visible = False
        if limits is not None:
            image.contrast_limits = limits
        if foreground is not None:
            self._foreground, self._shown = (layer, foreground), labels.copy()
        self._offer_labels()
        choose(self.input.labels_combo, layer)
        self.input.limits.setVisible(foreground is not None)
        self._update()
        if limits is not None:
            self.banner.info("The contrast is set for the chromosomes: nuclei outshine them.")
        elif earlier:
            self.banner.info("The regions there were are hidden: choose them above to see them.")

    def _parameters(self) -> SegmentationParameters:
        return SegmentationParameters(
            smallest_region=self.input.smallest.value(),
            largest_region=max(self.input.largest.value(), self.input.smallest.value() + 0.01),
        ).tightened(self.input.tightness.value())

    def _changeable(self) -> tuple[Any, Foreground] | None:
        """Return the regions just found, while they are chosen and have no types yet."""
        if self._foreground is None or self._foreground[0] != self.labels:
            return None
        # A review gives regions a table before they have types.
        if (table_of(self._foreground[0])["cluster_type"] != "").any():
            self.banner.info("That can be changed before classifying: find regions again.")
            return None
        if not np.array_equal(self._foreground[0].data, self._shown):
            self.banner.info("Painted regions are kept: find regions again to change that.")
            return None
        return self._foreground

    def _show(self, layer: Any, labels: np.ndarray[Any, Any]) -> None:
        self._shown = labels.copy()
        layer.data = labels
        self.clear_selection()

    def _preview_sizes(self) -> None:
        """Show at once what the size limits leave."""
        found = self._changeable()
        if found is not None:
            layer, foreground = found
            self._show(layer, filter_regions(foreground, self._parameters()))

    def _preview_outlines(self) -> None:
        """Draw the outlines of the regions just found anew, in the background."""
        if self.task is not None:
            self._outline.start()
            return
        found, image = self._changeable(), self.image
        if found is None or image is None:
            return
        layer, array, parameters = found[0], pixels(image), self._parameters()

        def work(progress: Any, stop: Any) -> Any:
            foreground = label_foreground(np.asarray(array), parameters)
            return foreground, filter_regions(foreground, parameters)

        def show(result: tuple[Foreground, np.ndarray[Any, Any]]) -> None:
            if layer not in self.viewer.layers or self._changeable() is None:
                return
            if not result[1].any():
                self.banner.error("No region is left: lower Tightness.")
                return
            self._foreground = (layer, result[0])
            self._show(layer, result[1])

        self._start(work, show, "Outlining regions")
