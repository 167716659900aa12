"""Shared base of the dock's parts: widgets, selected layers, selected regions."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import pandas as pd

from napari_chromocluster.imaging.region_filter import CandidateRegions
from napari_chromocluster.imaging.regions import Region
from napari_chromocluster.results.features_table import drop_missing_regions, empty_table
from napari_chromocluster.viewer.layer_tables import table_of
from napari_chromocluster.viewer.layers import current_frame
from napari_chromocluster.viewer.region_selection import RegionSelection
from napari_chromocluster.viewer.review.change_tracker import Key
from napari_chromocluster.viewer.settings import preferences
from napari_chromocluster.widgets.classify.panels import InputPanel, ResultPanel, RunPanel
from napari_chromocluster.widgets.common.dock import Dock
from napari_chromocluster.widgets.common.units import PixelSizes
from napari_chromocluster.widgets.common.widgets import MessageBar
from napari_chromocluster.widgets.common.worker import Worker, error_message

if TYPE_CHECKING:
    from napari_chromocluster.models.classifier import ClusterClassifier


class ClassifyBase(Dock):
    """Widgets and state of the dock, and the methods that its parts call on each other.

    Parameters
    ----------
    napari_viewer : napari.Viewer
        The viewer.
    """

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__(napari_viewer)
        self.preferences = preferences()
        self.input = InputPanel()
        self.run = RunPanel(self.preferences)
        self.result = ResultPanel(self.preferences)
        self.banner = MessageBar()
        self.task: Worker | None = None
        #: Worker that reads a channel of the selected image's file.
        self.reading: Worker | None = None
        self.pixel_sizes = PixelSizes(napari_viewer, self)
        #: Ids of image layers that show just the metaphases of their files.
        self._plain: set[Any] = set()
        #: Layers used by the task, and why its result is no longer wanted.
        self._worked_on: tuple[Any, ...] = ()
        self._stopped = ""
        #: Regions just found, and a sentence on what was left out.
        self._left_out: tuple[Any, str] = (None, "")
        self._checked: tuple[Any, list[Region], pd.DataFrame] | None = None
        #: The selection shared by all docks; None without regions.
        self.selected: RegionSelection | None = None
        #: Candidate regions that the size sliders filter.
        self._foreground: tuple[Any, CandidateRegions] | None = None

    @property
    def image(self) -> Any:
        """The selected image layer."""
        return self.input.image_combo.currentData()

    @property
    def labels(self) -> Any:
        """The selected labels layer."""
        return self.input.labels_combo.currentData()

    @property
    def selection(self) -> set[int]:
        """The selected labels."""
        return {label for _, label in self._keys}

    @property
    def _keys(self) -> tuple[Key, ...]:
        """Frame and label of the selected regions."""
        return () if self.selected is None else self.selected.keys

    def select(self, labels: set[int]) -> None:
        """Select regions by label, in every frame of a stack that contains the label."""
        listed = {(one.frame, one.label) for one in self._regions()}
        frame = current_frame(self.viewer, self.labels) if self.labels is not None else 0
        # The regions of a lazy array are not listed.
        self.select_keys(
            sorted(key for key in listed if key[1] in labels)
            or [(frame, label) for label in sorted(labels)]
        )

    def select_keys(self, keys: Iterable[Key]) -> None:
        """Select regions by frame and label."""
        if self.selected is not None:
            self.selected.select(keys)

    def clear_selection(self) -> None:
        """Clear the selection."""
        self.select(set())

    def _guarded(self, work: Callable[..., Any], *values: Any) -> None:
        """Call a function that may raise; the error is shown in the banner."""
        try:
            work(*values)
        except (ValueError, OSError) as error:
            self.banner.error(error_message(error))

    def _update(self, event: Any = None) -> None:
        """Update buttons, counts and tooltips to the current state."""
        raise NotImplementedError

    def _regions(self) -> list[Region]:
        """Return the regions of the selected layer; empty for a lazy layer, which is not read."""
        raise NotImplementedError

    def _table(self) -> pd.DataFrame:
        """Return the features table of existing regions; empty without a table."""
        labels = self.labels
        features = labels.features if labels is not None else None
        regions = self._regions()
        # Validating a table takes milliseconds, and the dock is updated often.
        kept = self._checked
        if kept is None or kept[0] is not features or (regions and kept[1] is not regions):
            table = table_of(labels) if labels is not None else empty_table()
            # The regions of a lazy array are not listed here.
            kept = (features, regions, drop_missing_regions(table, regions) if regions else table)
            self._checked = kept
        return kept[2]

    def _offer_labels(self) -> None:
        raise NotImplementedError

    def _start(self, work: Any, done: Any, what: str, *layers: Any, alone: bool = False) -> None:
        raise NotImplementedError

    def cancel(self) -> None:
        """Stop the current task."""
        raise NotImplementedError

    def show_result(self, labels: Any = None) -> None:
        """Color regions by type (default: those of the selected layer)."""
        raise NotImplementedError

    def classifier(self) -> ClusterClassifier:
        """Return the selected model, loaded; called in the worker thread."""
        raise NotImplementedError
