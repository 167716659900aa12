"""How long work says how far it is, and how it is stopped."""

from __future__ import annotations

from collections.abc import Callable

#: Called with what is done and how much there is.
Progress = Callable[[int, int], None]
#: Asked between steps; True ends the work.
Stop = Callable[[], bool]


class Cancelled(Exception):
    """The caller stopped the work."""


def offset_progress(progress: Progress | None, before: int, total: int) -> Progress | None:
    """Return a progress that goes on where another part of the work ended."""
    if progress is None:
        return None
    return lambda done, _: progress(before + done, total)
