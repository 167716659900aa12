"""Reclassify some regions off the main thread, without losing changes made meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from napari_chromocluster.cluster_types import EXPECTED_CHROMOSOMES
from napari_chromocluster.results.features_table import empty_table
from napari_chromocluster.viewer.review.change_tracker import Key


@dataclass(frozen=True)
class ClassifyJob:
    """Regions to classify, with copies of their pixels.

    Attributes
    ----------
    frames : tuple of (frame, image, labels)
        Labels are copies, so that painting can continue.
    keys : tuple of (frame, label)
        The regions.
    hashes : dict of key to int
        Hashes of their pixels at the start; a result is valid only for these pixels.
    """

    frames: tuple[tuple[int, Any, NDArray[Any]], ...]
    keys: tuple[Key, ...]
    hashes: dict[Key, int]

    def run(
        self,
        classifier: Any,
        progress: Callable[[int, int], None] | None = None,
        stop: Callable[[], bool] | None = None,
        *,
        expected: int | None = EXPECTED_CHROMOSOMES,
    ) -> pd.DataFrame:
        """Classify; returns the rows of the features table."""
        # The classifier has already loaded torch; this module itself does not need it.
        from napari_chromocluster.progress import offset_progress

        parts = [empty_table()]
        done, total = 0, len(self.keys)
        for frame, image, labels in self.frames:
            select = [label for number, label in self.keys if number == frame]
            table = classifier.classify(
                np.asarray(image), labels, select, progress=offset_progress(progress, done, total),
                stop=stop, expected=expected,
            )  # fmt: skip
            parts.append(table.assign(frame=frame))
            done += len(select)
        rows = [part for part in parts if len(part)]
        return pd.concat(rows, ignore_index=True) if rows else parts[0]


def frames_of(keys: Sequence[Key]) -> list[int]:
    """Return the frames that contain some regions, each once."""
    return sorted({frame for frame, _ in keys})
