"""The files with which a new review begins, made ready before there is anything to save.

The first correction must be on disk before the next key is pressed, and it
needs regions and table beside it.  Writing those takes longer than a key may,
so a thread does it when the review is opened; then they only move to their place.
"""

from __future__ import annotations

import shutil
import tempfile
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from napari_chromocluster.imaging.io import write_labels
from napari_chromocluster.results.table import write_table


class Prepared:
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
    """

    def __init__(self, image: Any, labels: Any, table: pd.DataFrame, content: str = "") -> None:
        self._image, self._labels, self._table = image, labels, table
        self._content, self.error = content, ""
        self._folder = Path(tempfile.mkdtemp(prefix="chromocluster-"))
        self.labels_path = self._folder / "labels.tif"
        self.table_path = self._folder / "regions.csv"
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        from napari_chromocluster.viewer.review.autosave import image_hash

        try:
            self._content = self._content or image_hash(self._image)
            write_labels(self.labels_path, np.asarray(self._labels))
            write_table(self.table_path, self._table)
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
