"""The order in which regions are shown and visited."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from napari_chromocluster.cluster_types import TYPES, ClusterType
from napari_chromocluster.results.features_table import HUMAN, unsure

#: Group of regions without a type.
NOT_CLASSIFIED = ""
#: Groups that are shown, in the order of the gallery.
GROUPS: tuple[str, ...] = (NOT_CLASSIFIED, *(str(kind) for kind in TYPES))


class ReviewItem(NamedTuple):
    """One region as shown in the gallery."""

    frame: int
    label: int
    kind: str
    confidence: float
    human: bool
    stale: bool
    unsure: bool


def entries(table: pd.DataFrame, threshold: float) -> list[ReviewItem]:
    """List the regions of a table by type, least certain first within each.

    Regions without a type come first, since they need a decision; stale regions come before the
    others of their type.
    """
    if table.empty:
        return []
    rank = {name: place for place, name in enumerate(GROUPS)}
    confidence = table["confidence"].to_numpy(float)
    kinds = table["cluster_type"].to_numpy(object)
    places = np.array([rank.get(kind, 0) for kind in kinds])
    stale = table["stale"].to_numpy(bool)
    labels, frames = table["index"].to_numpy(), table["frame"].to_numpy()
    order = np.lexsort((labels, frames, np.nan_to_num(confidence, nan=-1.0), ~stale, places))
    columns = (
        frames,
        labels,
        kinds,
        confidence,
        (table["source"] == HUMAN).to_numpy(bool),
        stale,
        np.asarray(unsure(table, threshold), bool),
    )
    return [
        ReviewItem._make(one) for one in zip(*(c[order].tolist() for c in columns), strict=True)
    ]


def needs_review(entry: ReviewItem) -> bool:
    """Return whether a human should look at a region: unsure, stale or without a type."""
    return entry.unsure or entry.stale or entry.kind == NOT_CLASSIFIED


def waiting_rows(table: pd.DataFrame, threshold: float) -> NDArray[np.bool_]:
    """Return which rows of a table need review (see `needs_review`)."""
    without = (table["cluster_type"] == NOT_CLASSIFIED) | table["stale"]
    return np.asarray(without.to_numpy(bool) | unsure(table, threshold), bool)


def next_waiting(
    shown: Sequence[ReviewItem], current: tuple[int, int] | None, step: int = 1
) -> ReviewItem | None:
    """Return the next region that needs review, wrapping around at the end.

    Parameters
    ----------
    shown : sequence of ReviewItem
        In the order of the gallery.
    current : (frame, label), optional
        Where to start from.
    step : {1, -1}
        Forward or backward.
    """
    ordered = list(shown) if step > 0 else list(reversed(shown))
    start = 0
    for place, entry in enumerate(ordered):
        if (entry.frame, entry.label) == current:
            start = place + 1
            break
    for entry in [*ordered[start:], *ordered[:start]]:
        if needs_review(entry) and (entry.frame, entry.label) != current:
            return entry
    return None


def of_next_frame(listed: Sequence[ReviewItem], frame: int, step: int = 1) -> list[ReviewItem]:
    """Return the listed regions of the nearest frame that has any, wrapping around.

    Parameters
    ----------
    listed : sequence of ReviewItem
        Regions of any frames.
    frame : int
        The frame to start at.
    step : {1, -1}
        Forward or backward.
    """
    if not listed:
        return []
    count = max(frame, *(one.frame for one in listed)) + 1
    nearest = min(listed, key=lambda one: step * (one.frame - frame) % count).frame
    return [one for one in listed if one.frame == nearest]


def letter(kind: str) -> str:
    """Return the letter of a type, or a dash if there is no type yet."""
    return ClusterType(kind).letter if kind else "–"


def display_name(kind: str) -> str:
    """Return the name of a type as shown in a group header."""
    name = ClusterType(kind).display_name if kind else "not classified"
    return name[0].upper() + name[1:]
