"""Summary of a metaphase: counts, number of chromosomes, and a score to rank by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from napari_chromocluster.cluster_types import EXPECTED_CHROMOSOMES, ClusterType
from napari_chromocluster.imaging.regions import reference_area
from napari_chromocluster.results.chromosome_count import expected_chromosome_count
from napari_chromocluster.results.features_table import counts

#: Minimum number of chromosomes in a region of each type.
_LEAST = {
    ClusterType.SINGLE: 1,
    ClusterType.TOUCHING: 2,
    ClusterType.OVERLAPPING: 2,
    ClusterType.TOUCHING_OVERLAPPING: 3,
    ClusterType.OTHER: 0,
}
#: Weight of the clusters and of the missing chromosomes in the score.
_CLUSTER_WEIGHT, _COUNT_WEIGHT = 70.0, 30.0
#: Relative error of the estimated number of chromosomes that is tolerated without a warning.
_LIKELY_SHARE = 0.25


@dataclass(frozen=True)
class MetaphaseSummary:
    """Content of a metaphase and its suitability for karyotyping.

    Attributes
    ----------
    counts : dict of ClusterType to int
        Regions of each type.
    chromosomes : int
        Estimated number of chromosomes.
    expected : int or None
        Expected number of chromosomes; None if unknown.
    score : float
        0 to 100; fewer and milder clusters and a count near the expected one are better.
    """

    counts: dict[ClusterType, int]
    chromosomes: int
    expected: int | None
    score: float


def estimate_chromosomes(table: pd.DataFrame) -> int:
    """Estimate the number of chromosomes in the regions of a metaphase.

    A single counts 1.  A cluster counts the mean number of chromosomes in clusters of its size (see
    `expected_chromosome_count`), but at least the minimum of its type (2, or 3 for both).
    """
    kinds, areas = table["cluster_type"].to_numpy(object), table["area"].to_numpy(float)
    known = np.isfinite(areas)
    usual = reference_area(areas[known]) or _median(areas[known & (kinds == ClusterType.SINGLE)])
    total = 0
    for kind, least in _LEAST.items():
        mine = areas[kinds == kind]
        held = np.full(len(mine), float(least))
        if least > 1 and usual > 0:
            by_area = np.nan_to_num(np.round(expected_chromosome_count(mine / usual)))
            held = np.maximum(held, by_area)
        total += int(held.sum())
    return total


def count_warning(chromosomes: int, expected: int | None) -> str:
    """Return a warning if the number of chromosomes is implausible for one cell.

    Parameters
    ----------
    chromosomes : int
        Estimated number.
    expected : int or None
        Chromosomes in a cell; None if unknown.

    Returns
    -------
    str
        One sentence; empty if the number is plausible.
    """
    if not expected or abs(chromosomes - expected) <= _LIKELY_SHARE * expected:
        return ""
    if chromosomes > expected:
        return (
            "Far more chromosomes than a cell has: delete debris, nuclei and other cells, or "
            "change the number expected."
        )
    return (
        "Far fewer chromosomes than a cell has: look for regions that were missed, or change the "
        "number expected."
    )


def familiarity_warning(familiarity: Mapping[int, float | None]) -> str:
    """Return a warning about images that look unlike the training data of the model.

    Parameters
    ----------
    familiarity : mapping of int to float or None
        Familiarity of each frame: 1 if like the training data, less if not, None if unknown.

    Returns
    -------
    str
        One sentence; empty if all frames are familiar.
    """
    unlike = [frame for frame, value in familiarity.items() if value is not None and value < 1]
    if not unlike:
        return ""
    if len(familiarity) == 1:
        what = "This picture looks unlike those the model knows"
    else:
        what = f"{len(unlike)} of {len(familiarity)} pictures look unlike those the model knows"
    return f"{what}: check every type, or finetune the model."


def _median(areas: NDArray[np.float64]) -> float:
    return float(np.median(areas)) if len(areas) else float("nan")


def score(table: pd.DataFrame, expected: int | None = EXPECTED_CHROMOSOMES) -> float:
    """Score a metaphase from 0 to 100.

    ``100 - 70 * min(1, burden / (expected / 4)) - 30 * min(1, |n - expected| / expected)`` where
    burden is the sum of the severities of all regions (touching 1, overlapping 2, both 3) and n the
    estimated number of chromosomes, which replaces the expected one if that is unknown (None or 0).
    A table without chromosomes scores 0.
    """
    found = counts(table)
    if sum(found.values()) - found[ClusterType.OTHER] == 0:
        return 0.0
    burden = sum(kind.severity * number for kind, number in found.items())
    estimated = estimate_chromosomes(table)
    expected = expected or estimated
    missing = abs(estimated - expected) / expected
    loss = _CLUSTER_WEIGHT * min(1.0, burden / (expected / 4))
    return max(0.0, 100.0 - loss - _COUNT_WEIGHT * min(1.0, missing))


def summarise(table: pd.DataFrame, expected: int | None = EXPECTED_CHROMOSOMES) -> MetaphaseSummary:
    """Summarize the features table of one metaphase."""
    return MetaphaseSummary(
        counts(table),
        estimate_chromosomes(table),
        expected or None,
        round(score(table, expected), 1),
    )


def sort_by_score(
    tables: Mapping[str, pd.DataFrame], expected: int | None = EXPECTED_CHROMOSOMES
) -> pd.DataFrame:
    """Rank metaphases from best to worst.

    Returns
    -------
    DataFrame
        ``metaphase``, ``score``, ``chromosomes`` and a column of counts per type.
    """
    return rank({name: summarise(table, expected) for name, table in tables.items()})


def rank(summaries: Mapping[str, MetaphaseSummary]) -> pd.DataFrame:
    """Return a table like `sort_by_score`, of metaphases that are summarized already."""
    rows = [
        {
            "metaphase": name,
            "score": summary.score,
            "chromosomes": summary.chromosomes,
            **{str(kind): number for kind, number in summary.counts.items()},
        }
        for name, summary in summaries.items()
    ]
    columns = ["metaphase", "score", "chromosomes", *(str(kind) for kind in ClusterType)]
    out = pd.DataFrame(rows, columns=columns)
    return out.sort_values("score", ascending=False, kind="stable").reset_index(drop=True)
