"""Prior of the types by the neighborhood and relative staining of a region."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from napari_chromocluster.cluster_types import possible_types
from napari_chromocluster.imaging.neighborhood import NeighborhoodFeatures

#: Log-odds shifts (``adds``) at values of an attribute of `NeighborhoodFeatures` (``at``,
#: ascending), interpolated linearly and constant outside.
Table = Mapping[str, Sequence[float]]
#: The tables of each attribute, for *other* and for ``cluster`` (every type of cluster).
Tables = Mapping[str, Mapping[str, Table]]


def neighborhood_logit_offsets(
    around: Sequence[NeighborhoodFeatures | None], tables: Tables, classes: Sequence[str]
) -> NDArray[np.float64]:
    """Return the shifts of the log probability of each class due to the surroundings.

    A network sees only the region itself.  Its surroundings are combined with it as independent
    evidence: the odds of a type against a single chromosome are multiplied by the likelihood
    ratio of such surroundings (counted by ``recipes/default_model/surroundings_odds.py``).

    Parameters
    ----------
    around : sequence of NeighborhoodFeatures or None
        Of N regions; unknown ones add nothing.
    tables : mapping
        From a model card; may be empty.
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
