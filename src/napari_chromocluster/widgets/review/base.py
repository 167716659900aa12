"""Shared base of the review dock's parts: state and error handling."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_chromocluster.viewer.layers import current_frame
from napari_chromocluster.viewer.review.change_tracker import Key
from napari_chromocluster.widgets.common.dock import Dock
from napari_chromocluster.widgets.common.units import PixelSizes
from napari_chromocluster.widgets.common.worker import error_message

if TYPE_CHECKING:
    from qtpy.QtCore import QTimer
    from qtpy.QtWidgets import QCheckBox, QComboBox, QSlider

    from napari_chromocluster.viewer.region_selection import RegionSelection
    from napari_chromocluster.viewer.review.autosave import Autosave
    from napari_chromocluster.viewer.review.canvas import ReviewCanvas
    from napari_chromocluster.viewer.review.overlay_updater import Painter
    from napari_chromocluster.viewer.review.session import ReviewSession
    from napari_chromocluster.viewer.settings import Preferences
    from napari_chromocluster.widgets.common.features_table import TableFollower
    from napari_chromocluster.widgets.common.widgets import MessageBar
    from napari_chromocluster.widgets.common.worker import Worker
    from napari_chromocluster.widgets.review.gallery import GalleryView
    from napari_chromocluster.widgets.review.panels import (
        EditPanel,
        PromptBar,
        SavePanel,
        SummaryPanel,
    )
    from napari_chromocluster.widgets.review.shortcuts import Shortcuts
    from napari_chromocluster.widgets.review.thumbnail_cache import ThumbnailCache


class ReviewBase(Dock):
    """State of the dock, and the methods that its parts call on each other.

    Parameters
    ----------
    napari_viewer : napari.Viewer
        The viewer.
    """

    gallery: GalleryView
    banner: MessageBar
    choice: PromptBar
    edit_panel: EditPanel
    summary: SummaryPanel
    saving: SavePanel
    keys: Shortcuts
    tile_size: QSlider
    go_on: QCheckBox
    image_combo: QComboBox
    labels_combo: QComboBox
    _save_timer: QTimer
    _color_timer: QTimer
    _letter_timer: QTimer
    _check_timer: QTimer
    _settle_timer: QTimer
    _removed_timer: QTimer
    _replaced_timer: QTimer
    _tables: TableFollower
    _focus_timer: QTimer

    def __init__(self, napari_viewer: Any, chosen: Preferences) -> None:
        super().__init__(napari_viewer)
        self.preferences = chosen
        self.pixel_sizes = PixelSizes(napari_viewer, self)
        self.session: ReviewSession | None = None
        self.keeper: Autosave | None = None
        self.canvas: ReviewCanvas | None = None
        #: The selection shared by all docks.
        self.selected: RegionSelection | None = None
        self.painter: Painter | None = None
        self.task: Worker | None = None
        self._saving: Worker | None = None
        self._tiles: ThumbnailCache | None = None
        self._order: list[Key] = []
        self._fresh: set[Key] = set()
        # Regions whose color is outdated; None: all.
        self._uncolored: set[Key] | None = None
        self._folder: Path | None = None
        self._declined: set[Any] = set()
        self._offered_for: Any = None
        self._came: Any = None
        self._opening = self._colored = False

    def _try(self, work: Callable[[], Any]) -> Any:
        """Call a function that may raise; the error is shown in the banner."""
        try:
            result = work()
        except (ValueError, OSError) as error:
            self.banner.error(error_message(error))
            return None
        self.banner.clear()
        return result

    @property
    def labels(self) -> Any:
        """The selected labels layer."""
        return self.labels_combo.currentData()

    def _hold_keys(self) -> None:
        """Enable the keys in the canvas while regions are reviewed and the dock is visible."""
        on = self.session is not None and self.isVisible() and not self.released
        self.keys.hold_in_canvas(on)

    def leave_line(self) -> None:
        """Stop drawing a line."""
        raise NotImplementedError

    def _end_saving(self) -> None:
        raise NotImplementedError

    def _update_state(self) -> None:
        raise NotImplementedError

    def _shown_frame(self) -> int:
        """Return the frame that the viewer shows."""
        labels = self.session.labels if self.session is not None else self.labels
        return current_frame(self.viewer, labels)

    def _show_ranking_table(self) -> None:
        raise NotImplementedError

    def _classify_waiting(self) -> None:
        raise NotImplementedError

    def split_line(self, points: Any) -> None:
        """Split the region under a drawn line."""
        raise NotImplementedError

    def choose_image(self, layer: Any) -> None:
        """Review another open image."""
        raise NotImplementedError

    def _chosen(self) -> Sequence[Key]:
        raise NotImplementedError
