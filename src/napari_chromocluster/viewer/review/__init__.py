"""What reviewing needs and Qt does not: decisions with undo, stale marks, mending, autosave."""
