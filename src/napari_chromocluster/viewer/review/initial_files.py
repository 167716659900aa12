"""The files with which a new review begins, made ready before there is anything to save.

The first correction must be on disk before the next key is pressed, and it
needs regions and table beside it.  Writing those takes longer than a key may,
so a thread does it when the review is opened; then they only move to their place.
"""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from napari_chromocluster.imaging.files import ImageError
from napari_chromocluster.imaging.io import read_labels, write_labels
from napari_chromocluster.results.features_table import (
    HUMAN,
    KEY,
    TableError,
    empty_table,
    read_table,
    write_table,
)


class InitialFiles:
    """Regions and table as they were when a review was opened, in files.

    Parameters
    ----------
    image : array
        The image, for its hash; read in the thread.
    labels : integer array
        The regions; a copy, for painting goes on meanwhile.
    table : DataFrame
        The features table.
    content : str
        From `image_hash`, where it is known already.
    results : sequence of (label image, table)
        Results that are there already: those of the very regions are found in ``reviewed``.
    """

    def __init__(
        self,
        image: Any,
        labels: Any,
        table: pd.DataFrame,
        content: str = "",
        results: Sequence[tuple[Path, Path]] = (),
    ) -> None:
        self._image, self._labels, self._table = image, labels, table
        self._results = results
        #: Label images of ``results`` that hold the very regions, and whose table says no more.
        self.reviewed: set[Path] = set()
        self._content, self.error = content, ""
        self._folder = Path(tempfile.mkdtemp(prefix="chromocluster-"))
        self.labels_path = self._folder / "labels.tif"
        self.table_path = self._folder / "regions.csv"
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        from napari_chromocluster.viewer.review.store import image_hash

        try:
            self._content = self._content or image_hash(self._image)
            write_labels(self.labels_path, np.asarray(self._labels))
            write_table(self.table_path, self._table)
            for labels, table in self._results:
                if _are_of(labels, table, np.asarray(self._labels), self._table):
                    self.reviewed.add(labels)
        except (ValueError, OSError, MemoryError) as error:
            self.error = str(error) or type(error).__name__
        self._image = self._labels = None

    @property
    def content(self) -> str:
        """The image's hash; waits for the thread."""
        self._thread.join()
        return self._content

    def wait(self) -> bool:
        """Wait for the files; returns whether they are there."""
        self._thread.join()
        return not self.error and self.labels_path.is_file() and self.table_path.is_file()

    def discard(self) -> None:
        """Take the files away."""
        self._thread.join()
        shutil.rmtree(self._folder, ignore_errors=True)


def _are_of(labels: Path, table: Path, regions: NDArray[Any], now: pd.DataFrame) -> bool:
    """Whether files hold some regions, and no type that is not known of them."""
    try:
        if not np.array_equal(read_labels(labels), regions):
            return False
        there = read_table(table) if table.is_file() else empty_table()
    except (ImageError, TableError, OSError):
        return False
    there = there[there["cluster_type"] != ""].set_index(KEY)
    mine = now[now["cluster_type"] != ""].set_index(KEY).reindex(there.index)
    human = (there["source"] == HUMAN).to_numpy()
    decided = (mine["source"] == HUMAN) & (mine["cluster_type"] == there["cluster_type"])
    return bool(np.where(human, decided, mine["cluster_type"].notna()).all())
