"""Count the types among the regions that people annotated, and the chromosomes in each.

Groups of the test take no part.  Where `NATURAL_PRIOR` and the numbers of chromosomes that
composed clusters have come from; the same for the clusters that were read by eye::

    python recipes/default_model/natural_prior.py ../shared/data
"""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd

from held_out import SETS, part
from napari_chromocluster.results.annotations import read_annotations, with_allowed_types
from read_by_eye import types_read


def main(data: Path) -> None:
    """Print the shares of the types, then how many regions of each have 1, 2, ... chromosomes."""
    table = annotated_regions(data)
    print(shares(table).round(4).to_string())
    print(table.groupby(["stain", "cluster_type", "chromosomes"]).size().unstack(fill_value=0))
    read = pd.DataFrame(
        [(kind, len(boxes.split())) for (_, boxes), kind in types_read().items()],
        columns=["cluster_type", "chromosomes"],
    )
    print("read by eye")
    print(read.groupby(["cluster_type", "chromosomes"]).size().unstack(fill_value=0))


def annotated_regions(data: Path) -> pd.DataFrame:
    """Return type, stain and number of chromosomes of the regions outside the test groups."""
    tables = []
    for name in SETS:
        table = with_allowed_types(read_annotations(data / name / "annotations.csv"))
        mine = table[[part(name, group) != "test" for group in table["group"]]]
        counts = pd.to_numeric(mine["chromosomes"]).astype("Int64")
        stain = "dapi" if name == "mfish" else "gband"
        tables.append(mine[["cluster_type"]].assign(stain=stain, chromosomes=counts))
    return pd.concat(tables)


def shares(regions: pd.DataFrame) -> pd.Series:
    """Return the share of each type, over all regions."""
    return regions["cluster_type"].value_counts(normalize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
