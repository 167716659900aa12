"""The parts of a review that need no Qt: decisions, undo, stale marks, label edits, autosave."""
