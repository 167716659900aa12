"""The initial files of a new review, prepared before there is anything to save.

The first correction must be on disk before the next key press, together with regions and table.
Writing those takes too long for that, so a thread writes them to temporary files when the review is
opened; later they are only copied into place.
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
from napari_chromocluster.results.features_table import HUMAN, KEY, TableError, empty_table
from napari_chromocluster.results.table_files import read_table, write_table


class InitialFiles:
    """Files with the regions and table as they were when a review was opened.

    Parameters
    ----------
    image : array
        The image, for its hash; read in the thread.
    labels : integer array
        The regions; pass a copy, since painting may continue.
    table : DataFrame
        The features table.
    content : str
        From `image_hash`, if already known.
    results : sequence of (label image, table)
        Existing results; those with exactly these regions are listed in ``reviewed``.
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
        #: Label images of ``results`` with exactly these regions, whose table adds no types.
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
        """Wait for the files; returns whether they exist."""
        self._thread.join()
        return not self.error and self.labels_path.is_file() and self.table_path.is_file()

    def discard(self) -> None:
        """Delete the files."""
        self._thread.join()
        shutil.rmtree(self._folder, ignore_errors=True)


def _are_of(labels: Path, table: Path, regions: NDArray[Any], now: pd.DataFrame) -> bool:
    """Return whether files contain exactly these regions, and no types missing from the table."""
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
