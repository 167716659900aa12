"""Count what the surroundings of a region say of its type.

Chromosomes lie together and are stained alike; debris, stain and nuclei lie anywhere.  And where
chromosomes lie close together, more of them touch or cross.  From the regions of the training
groups logistic regressions tell how the odds of *other* against the rest hang on remoteness,
level and size, and how those of a cluster against a single chromosome hang on remoteness and
size.  Remoteness and level are written as tables for the model card (`neighborhood_prior.Tables`),
each such that the odds stay as they are on average over those that the others are told from.
Size takes part so that the tables do not say again what a crop shows::

    python recipes/default_model/surroundings_odds.py WORK
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from held_out import part, source_of
from napari_chromocluster.cluster_types import ClusterType
from napari_chromocluster.imaging.files import write_text_atomic
from napari_chromocluster.imaging.io import read_image, read_labels
from napari_chromocluster.imaging.neighborhood import NeighborhoodFeatures, neighborhood_features
from napari_chromocluster.imaging.normalization import normalize_stain
from napari_chromocluster.imaging.regions import extract_regions, reference_size
from napari_chromocluster.results.annotations import read_annotations

#: Folders of the regions in our own outlines, in other ones and in plain ones.
OUTLINES = ("boxes", "outlines", "plain")
#: Where the tables have a value.
KNOTS = {
    "size": np.log([0.35, 0.5, 0.7, 0.9, 1.1, 1.4, 2.0]),
    "remoteness": np.log([0.7, 0.9, 1.2, 1.6, 2.2, 3.5]),
    "level": np.array([-0.6, -0.35, -0.15, 0.0, 0.15, 0.3, 0.5]),
}
#: How much of what was counted is taken.  Chosen on the validation groups: with all of it for
#: clusters, DAPI regions become less likely.
TRUST = {"other": 1.0, "cluster": 0.5}
#: How freely the tables follow the counts (inverse of the ridge penalty).
_FREEDOM = 0.3

Tables = dict[str, dict[str, dict[str, list[float]]]]


def main(work: Path) -> None:
    """Print the tables and write them beside the trainings."""
    tables = surroundings_tables(work)
    print(json.dumps(tables, indent=1))


def surroundings_tables(work: Path) -> Tables:
    """Return the tables, from ``surroundings.json`` in the folder of the trainings if it is there.

    Parameters
    ----------
    work : path
        Folder of the trainings, with the regions in all outlines.
    """
    file = work / "surroundings.json"
    if not file.exists():
        counted = pd.concat(
            [_regions(work / name / "annotations.csv").assign(outlines=name) for name in OUTLINES]
        )
        other = counted["kind"] == ClusterType.OTHER
        # The other outlines were drawn to make clusters: they do not tell how frequent these are.
        chromosomes = counted[~other & (counted["outlines"] != "outlines")]
        cluster = chromosomes["kind"] != ClusterType.SINGLE
        found = {
            "other": odds(counted, other, ("remoteness", "level"), TRUST["other"]),
            "cluster": odds(chromosomes, cluster, ("remoteness",), TRUST["cluster"]),
        }
        write_text_atomic(file, json.dumps(found, indent=1))
    tables: Tables = json.loads(file.read_text())
    return tables


def _regions(annotations: Path) -> pd.DataFrame:
    """Return kind, size, remoteness and level of the regions of the training groups."""
    table = read_annotations(annotations)
    train = [
        part(source_of(image), group) == "train"
        for image, group in zip(table["image"], table["group"], strict=True)
    ]
    rows = []
    for (image, labels), mine in table[train].groupby(["image", "labels"], sort=False):
        array = read_labels(Path(str(labels)))
        everything = extract_regions(array)
        by_label = {one.label: one for one in everything}
        chosen = [by_label[int(label)] for label in mine["label"]]
        around = neighborhood_features(
            normalize_stain(read_image(Path(str(image))), array), array, everything, chosen
        )
        reference = reference_size(everything)
        for region, one, kind in zip(chosen, around, mine["cluster_type"], strict=True):
            if one is not None and reference:
                size = float(np.log(np.sqrt(region.area) / reference))
                rows.append((str(kind), size, one.remoteness, one.level))
    return pd.DataFrame(rows, columns=["kind", "size", *NeighborhoodFeatures.__annotations__])


def odds(
    regions: pd.DataFrame, asked: pd.Series, figures: Sequence[str], trust: float = 1.0
) -> dict[str, dict[str, list[float]]]:
    """Return how the logarithm of the odds of some regions hangs on figures.

    Parameters
    ----------
    regions : DataFrame
        With the columns of `_regions` and the ``outlines`` that they come from.
    asked : (N,) bool Series
        The regions whose odds against the rest are told.
    figures : sequence of str
        Those that get a table.
    trust : float
        How much of it is taken, 0 to 1.
    """
    told = asked.to_numpy(bool)
    names = ("size", *figures)
    parts = {name: _hats(regions[name].to_numpy(float), KNOTS[name]) for name in names}
    outlines = pd.get_dummies(regions["outlines"]).to_numpy(float)
    found = LogisticRegression(C=_FREEDOM, max_iter=5000).fit(
        np.concatenate([*parts.values(), outlines], axis=1), told
    )
    places = np.cumsum([0, *(part.shape[1] for part in parts.values())])
    tables = {}
    for name, start, end in zip(parts, places, places[1:], strict=False):
        if name == "size":
            continue
        gained = trust * found.coef_[0][start:end]
        # Where the level is not known it says nothing, and the average is over the rest.
        rest = ~told & parts[name].any(axis=1)
        gained = gained - np.log(np.exp(parts[name][rest] @ gained).mean())
        tables[name] = {
            "at": [round(float(value), 4) for value in KNOTS[name]],
            "adds": [round(float(value), 3) for value in gained],
        }
    return tables


def _hats(values: NDArray[np.float64], knots: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the weights (N, K) of the knots between which values lie; 0 for those not known."""
    inside = np.clip(values, knots[0], knots[-1])
    weights = [np.interp(inside, knots, np.eye(len(knots))[place]) for place in range(len(knots))]
    return np.asarray(np.nan_to_num(np.stack(weights, axis=1)))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
