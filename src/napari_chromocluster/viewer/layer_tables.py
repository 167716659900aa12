"""The features table of a labels layer."""

from __future__ import annotations

import warnings
from typing import Any
from weakref import WeakValueDictionary

import pandas as pd

from napari_chromocluster.results.features_table import (
    COLUMNS,
    TableError,
    empty_table,
    is_features_table,
    validate_table,
)
from napari_chromocluster.results.table_joins import join_tables, with_columns_of

#: Key of ``layer.metadata`` for the familiarity of each frame to the model.
FAMILIARITY = "chromocluster_familiarity"


class _Known:
    """The last known features table of a labels layer.

    Other programs assign ``layer.features``, some with their own table, some with one that they
    read before a human decision: `join_tables` merges what is new.
    """

    def __init__(self) -> None:
        self.table = empty_table()
        self._busy = False

    def read(self, layer: Any) -> pd.DataFrame:
        """Return the table, including what other programs have added since."""
        features = pd.DataFrame(layer.features)
        ours = is_features_table(features)
        if features.equals(self.table) or not (ours or len(self.table)):
            return self.table
        if ours:
            try:
                validate_table(features)
            except TableError as error:
                warnings.warn(f"In the features of {layer.name!r}: {error}", stacklevel=4)
        self.table = join_tables(self.table, features)
        return self.table

    def write(self, layer: Any, table: pd.DataFrame) -> pd.DataFrame:
        """Set the table of a layer, keeping columns added by others; returns the combined table."""
        features = pd.DataFrame(layer.features)
        further = not set(features.columns) <= set(table.columns)
        self.table = with_columns_of(table, features) if further else table
        busy, self._busy = self._busy, True
        try:
            layer.features = self.table
        finally:
            self._busy = busy
        return self.table

    def follow(self, event: Any) -> None:
        """Restore what an assigned table lacks."""
        if self._busy:
            return
        layer = event.source
        table = self.read(layer)
        if len(table) and not pd.DataFrame(layer.features).equals(table):
            self.write(layer, table)


#: By layer id; they live as long as the layer's events, which reference them.
_KNOWN: WeakValueDictionary[Any, _Known] = WeakValueDictionary()


def _known(layer: Any) -> _Known:
    found = _KNOWN.get(layer.unique_id)
    if found is None:
        made = found = _KNOWN[layer.unique_id] = _Known()

        def follow(event: Any) -> None:
            made.follow(event)

        layer.events.features.connect(follow)
    return found


def table_of(layer: Any) -> pd.DataFrame:
    """Return the features table of a labels layer (empty if it has none).

    The user may have edited it.  An invalid type causes a warning and is ignored, so that one typo
    does not discard the decisions in all other rows.  Decisions missing from an assigned table are
    kept.
    """
    return _known(layer).read(layer)


def has_table(layer: Any) -> bool:
    """Return whether a labels layer has a features table."""
    return set(COLUMNS) <= set(layer.features.columns)


def set_table(layer: Any, table: pd.DataFrame, *, checked: bool = False) -> pd.DataFrame:
    """Set the features table of a labels layer; columns that others have added are kept.

    napari emits no event for in-place changes, so a new frame is assigned.

    Parameters
    ----------
    layer : Labels layer
        The layer.
    table : DataFrame
        A features table.
    checked : bool
        Whether it is already validated; validation is slow with thousands of rows.

    Returns
    -------
    DataFrame
        The table, including columns added by others.
    """
    return _known(layer).write(layer, table if checked else validate_table(table))


def familiarity_of(labels: Any) -> dict[int, float | None]:
    """Return the familiarity of each frame of a labels layer to the model that classified it."""
    return dict(labels.metadata.get(FAMILIARITY, {}))


def set_familiarity(labels: Any, table: pd.DataFrame) -> None:
    """Store the familiarity of the frames that were just classified (see ``classify``)."""
    seen = table.attrs.get("familiarity", {})
    labels.metadata[FAMILIARITY] = {**familiarity_of(labels), **seen}
