"""Progress reporting and cancellation of long work."""

from __future__ import annotations

from collections.abc import Callable

#: Called with the amount done and the total.
Progress = Callable[[int, int], None]
#: Called between steps; returning True stops the work.
Stop = Callable[[], bool]


class Cancelled(Exception):
    """The caller stopped the work."""


def offset_progress(progress: Progress | None, before: int, total: int) -> Progress | None:
    """Return a progress callback that continues after an earlier part of the work."""
    if progress is None:
        return None
    return lambda done, _: progress(before + done, total)
