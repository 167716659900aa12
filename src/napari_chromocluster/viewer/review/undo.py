"""Undo and redo of decisions: types of regions, and pixel edits."""

from __future__ import annotations

from dataclasses import dataclass, field

import pandas as pd

from napari_chromocluster.imaging.label_editing import LabelPatch
from napari_chromocluster.viewer.review.change_tracker import Key

#: Maximum number of undo steps.
_DEPTH = 1000


@dataclass(frozen=True)
class Change:
    """One decision of a human.

    Attributes
    ----------
    text : str
        Description, for the tooltip of Undo.
    keys : tuple of (frame, label)
        Regions concerned.
    before, after : DataFrame
        Their rows.
    decided_before, decided_after : dict of key to int
        Hash of the pixels on which each row was decided.
    patches : tuple of (frame, LabelPatch)
        Changed pixels.
    """

    text: str
    keys: tuple[Key, ...]
    before: pd.DataFrame
    after: pd.DataFrame
    decided_before: dict[Key, int] = field(default_factory=dict)
    decided_after: dict[Key, int] = field(default_factory=dict)
    patches: tuple[tuple[int, LabelPatch], ...] = ()

    def reversed(self) -> Change:
        """Return the inverse of this change."""
        return Change(
            self.text,
            self.keys,
            self.after,
            self.before,
            self.decided_after,
            self.decided_before,
            tuple((frame, patch.reversed()) for frame, patch in reversed(self.patches)),
        )


class History:
    """The changes that can be undone and redone."""

    def __init__(self) -> None:
        self._done: list[Change] = []
        self._undone: list[Change] = []

    def push(self, change: Change) -> None:
        """Add a change that was made; clears the redo history."""
        self._done.append(change)
        del self._done[:-_DEPTH]
        self._undone.clear()

    def undo(self) -> Change | None:
        """Return the change to apply for undo, or None."""
        if not self._done:
            return None
        self._undone.append(self._done.pop())
        return self._undone[-1].reversed()

    def redo(self) -> Change | None:
        """Return the change to apply for redo, or None."""
        if not self._undone:
            return None
        self._done.append(self._undone.pop())
        return self._done[-1]

    @property
    def undo_text(self) -> str:
        """Description of the next undo step, or ""."""
        return self._done[-1].text if self._done else ""

    @property
    def redo_text(self) -> str:
        """Description of the next redo step, or ""."""
        return self._undone[-1].text if self._undone else ""
