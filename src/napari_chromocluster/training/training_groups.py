"""Which groups a model was trained on, according to its card: its metrics are too good there."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable


def group_hash(name: str) -> str:
    """Return 12 hex digits that stand for a group without naming it."""
    return hashlib.sha256(name.encode()).hexdigest()[:12]


def groups_in_training_set(model: str | None, groups: Iterable[str]) -> set[str]:
    """Return the groups that a model was trained on.

    Parameters
    ----------
    model : str or None
        A listed model or a file; the result is empty if it does not exist.
    groups : iterable of str
        Names of groups; a card may contain their hashes instead.
    """
    if model is None:
        return set()
    # Lazy import: counting annotations does not need it.
    from napari_chromocluster.models.model_card import read_card
    from napari_chromocluster.models.registry import resolve_model

    try:
        card = read_card(resolve_model(model))
    except (ValueError, OSError):
        return set()
    trained = {str(group) for group in card.training.get("groups_trained", ())}
    return {group for group in groups if group in trained or group_hash(group) in trained}
