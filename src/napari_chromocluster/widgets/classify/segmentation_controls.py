"""Find the regions of an image, with live preview of size limits and outline tightness."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
from qtpy.QtCore import QTimer

from napari_chromocluster.imaging.region_filter import (
    CandidateRegions,
    LeftOut,
    SegmentationParameters,
    filter_regions,
)
from napari_chromocluster.imaging.segmentation import label_foreground
from napari_chromocluster.viewer.contrast_limits import has_default_contrast, limits_for_regions
from napari_chromocluster.viewer.layer_tables import table_of
from napari_chromocluster.viewer.layers import frame_shape, labels_of, layer_data
from napari_chromocluster.viewer.scripting import add_regions, left_out_of, segment_frames
from napari_chromocluster.widgets.classify.base import ClassifyBase
from napari_chromocluster.widgets.common.controls import select_item

_PLURALS = {
    LeftOut.CONSTANT_AREA: "constant areas",
    LeftOut.NUCLEUS: "nuclei",
    LeftOut.NUCLEUS_RIM: "rims of nuclei",
}


class ClassifyFinding(ClassifyBase):
    """The part of the dock that finds regions."""

    _outline: QTimer
    _restyle: QTimer
    #: The regions just found as they were shown last: what differs was painted since.
    _shown: np.ndarray[Any, Any] = np.zeros((0, 0), np.int32)

    def find_regions(self) -> None:
        """Find the regions of the selected image in the background."""
        image = self.image
        if image is None or self.task is not None:
            return
        parameters = self._parameters()
        array, rgb = layer_data(image), bool(image.rgb)
        single = len(frame_shape(image)) == 2
        # Contrast limits set by the user are kept.
        shown = (
            tuple(image.contrast_limits)
            if single and not rgb and has_default_contrast(image)
            else None
        )

        def work(progress: Any, stop: Any) -> Any:
            left_out: Counter[LeftOut] = Counter()
            if single:
                whole = np.asarray(array)
                foreground = label_foreground(whole, parameters, progress, stop)
                labels = filter_regions(foreground, parameters)
                left_out.update(left_out_of(foreground, parameters))
                limits = limits_for_regions(whole, labels, shown) if shown else None
                return labels, left_out, foreground, limits
            found = segment_frames(array, rgb, parameters, progress, stop, left_out)
            return found, left_out, None, None

        def done(result: Any) -> None:
            self._regions_found(image, *result)

        self._start(work, done, "Finding regions", image, alone=True)

    def _regions_found(
        self,
        image: Any,
        labels: np.ndarray[Any, Any],
        left_out: Mapping[LeftOut, int],
        foreground: CandidateRegions | None,
        limits: list[float] | None,
    ) -> None:
        if not labels.any():
            self.input.limits.show()
            what = left_out_text(left_out)
            self.banner.error(
                f"No region was found{what and f' ({what})'}: choose a metaphase image or lower "
                f"Smallest."
            )
            return
        earlier = [one for one in labels_of(self.viewer, image) if one.visible]
        layer = add_regions(self.viewer, image, labels)
        # Overlapping outlines and letters of two layers are unreadable.
        for one in earlier:
            one.visible = False
        if limits is not None:
            image.contrast_limits = limits
        if foreground is not None:
            self._foreground, self._shown = (layer, foreground), labels.copy()
        self._left_out = (layer, left_out_text(left_out))
        self._offer_labels()
        select_item(self.input.labels_combo, layer)
        self.input.limits.setVisible(foreground is not None)
        self._restyle.start()
        self._update()
        if limits is not None:
            self.banner.info("The contrast is set for the chromosomes: nuclei outshine them.")
        elif earlier:
            self.banner.info("The regions there were are hidden: choose them above to see them.")

    def _parameters(self) -> SegmentationParameters:
        return SegmentationParameters(
            smallest_region=self.input.smallest.value(),
            largest_region=max(self.input.largest.value(), self.input.smallest.value() + 0.01),
        ).with_tightness(self.input.tightness.value())

    def _changeable(self) -> tuple[Any, CandidateRegions] | None:
        """Return the regions just found if they are selected and not yet classified, else None."""
        if self._foreground is None or self._foreground[0] != self.labels:
            return None
        # A review adds a table before the regions have types.
        if (table_of(self._foreground[0])["cluster_type"] != "").any():
            self.banner.info("That can be changed before classifying: find regions again.")
            return None
        if not np.array_equal(self._foreground[0].data, self._shown):
            self.banner.info("Painted regions are kept: find regions again to change that.")
            return None
        return self._foreground

    def _show(self, layer: Any, foreground: CandidateRegions, labels: np.ndarray[Any, Any]) -> None:
        self._shown = labels.copy()
        self._left_out = (layer, left_out_text(left_out_of(foreground, self._parameters())))
        layer.data = labels
        self.clear_selection()
        self._restyle.start()

    def _preview_sizes(self) -> None:
        """Immediately apply the size limits."""
        found = self._changeable()
        if found is not None:
            layer, foreground = found
            self._show(layer, foreground, filter_regions(foreground, self._parameters()))

    def _preview_outlines(self) -> None:
        """Recompute the outlines of the regions just found, in the background."""
        if self.task is not None:
            self._outline.start()
            return
        found, image = self._changeable(), self.image
        if found is None or image is None:
            return
        layer, array, parameters = found[0], layer_data(image), self._parameters()

        def work(progress: Any, stop: Any) -> Any:
            foreground = label_foreground(np.asarray(array), parameters, progress, stop)
            return foreground, filter_regions(foreground, parameters)

        def show(result: tuple[CandidateRegions, np.ndarray[Any, Any]]) -> None:
            if self._changeable() is None:
                return
            if not result[1].any():
                self.banner.error("No region is left: lower Tightness.")
                return
            self._foreground = (layer, result[0])
            self._show(layer, *result)

        self._start(work, show, "Outlining regions", image, layer, alone=True)


def left_out_text(counted: Mapping[LeftOut, int]) -> str:
    """Return how many objects were left out and why; empty if none."""
    if not sum(counted.values()):
        return ""
    why = ", ".join(
        f"{counted[reason]} {_PLURALS.get(reason, reason) if counted[reason] > 1 else reason}"
        for reason in LeftOut
        if counted.get(reason)
    )
    return f"{sum(counted.values())} left out: {why}"
