"""How much likelier some types are where a region lies, and as strongly stained as it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from napari_chromocluster.imaging.surroundings import Surroundings
from napari_chromocluster.taxonomy import possible_types

#: Values of a figure of `Surroundings` (``at``, ascending), and what is added there (``adds``);
#: straight lines between, level outside.
Table = Mapping[str, Sequence[float]]
#: The tables of each figure, for *other* and for ``cluster`` (every type of cluster).
Tables = Mapping[str, Mapping[str, Table]]


def surroundings_shifts(
    around: Sequence[Surroundings | None], tables: Tables, classes: Sequence[str]
) -> NDArray[np.float64]:
    """Return what surroundings add to the logarithm of the probability of each class.

    A network sees one region and nothing beside it.  Where the region lies says something that
    its look does not, so the two are put together as independent evidence: the odds of a type
    against a single chromosome are multiplied by how many times more frequent such surroundings
    are for it (counted by ``tools/surroundings_odds.py``).

    Parameters
    ----------
    around : sequence of Surroundings or None
        Those of N regions; what is not known adds nothing.
    tables : mapping
        From a model card; empty ones add nothing.
    classes : sequence of str
        Cluster types in the order of the K outputs.

    Returns
    -------
    (N, K) float64 array
    """
    shifts = np.zeros((len(around), len(classes)))
    for kind, figures in tables.items():
        columns = [classes.index(str(one)) for one in possible_types(kind) if str(one) in classes]
        for figure, table in figures.items():
            values = np.array([getattr(one, figure, np.nan) for one in around], float)
            gained = np.interp(values, table["at"], table["adds"])
            shifts[:, columns] += np.where(np.isnan(values), 0.0, gained)[:, None]
    return shifts
