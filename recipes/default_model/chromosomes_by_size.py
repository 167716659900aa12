"""Count how large clusters of so many chromosomes are.

From the regions of the training groups whose boxes or maps tell how many chromosomes they hold:
how frequent each number is among clusters, the median area over that of a usual region, and how
the logarithm of the area varies, each beside what `results.chromosome_count` takes for it::

    python recipes/default_model/chromosomes_by_size.py ../shared/data WORK
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd

import plain_annotations
from held_out import part, source_of
from napari_chromocluster.imaging.io import read_labels
from napari_chromocluster.imaging.regions import extract_regions, reference_area
from napari_chromocluster.results.annotations import read_annotations
from napari_chromocluster.results.chromosome_count import (
    FEWEST,
    MOST,
    chromosome_count_distribution,
    expected_chromosome_count,
    share_of,
    size_of,
    spread_of,
)

#: Fewest regions that a line is printed of.
_FEW = 20


def sizes(data: Path, work: Path) -> pd.DataFrame:
    """Return ``chromosomes`` and ``size`` of the regions of the training groups.

    Parameters
    ----------
    data, work : path
        The shared data, and the folder of the trainings.
    """
    files = [data / "mfish" / "annotations.csv"]
    files += [work / name / "annotations.csv" for name in ("boxes", "plain")]
    rows = []
    for file in files:
        table = read_annotations(file)
        if file.parent.name == "plain":
            end = f"_plain{plain_annotations.ANNOTATED}.png"
            table = table[table["labels"].str.endswith(end)]
        for (image, labels, group), mine in table.groupby(["image", "labels", "group"]):
            if part(source_of(str(image)), str(group)) != "train":
                continue
            areas = {one.label: one.area for one in extract_regions(read_labels(Path(str(labels))))}
            usual = reference_area(np.array([*areas.values()], np.float64))
            if usual is not None:
                held = zip(mine["chromosomes"], mine["label"], strict=True)
                rows += [(int(number), areas[int(label)] / usual) for number, label in held]
    found = pd.DataFrame(rows, columns=["chromosomes", "size"])
    return found[found["chromosomes"] > 0]


def main(data: Path, work: Path) -> None:
    """Print a line for each number, and how likely the numbers are."""
    found = sizes(data, work)
    clusters = found[found["chromosomes"].between(FEWEST, MOST)]
    numbers = np.arange(1.0, MOST + 1)
    taken = pd.DataFrame(
        {"share": share_of(numbers), "size": size_of(numbers), "spread": spread_of(numbers)},
        index=numbers.astype(int),
    )
    taken["share"] /= taken.loc[FEWEST:, "share"].sum()
    print(f"{len(found) - len(clusters)} singles, {len(clusters)} clusters")
    for number, here in taken.iterrows():
        mine = found.loc[found["chromosomes"] == number, "size"].to_numpy(float)
        if len(mine) < _FEW:
            continue
        low, middle, high = np.percentile(np.log(mine), [16, 50, 84])
        share = f"share {len(mine) / len(clusters):.3f} ({here['share']:.3f}), "
        print(
            f"{number:2d}: n {len(mine):5d}, {share if number != 1 else ''}"
            f"size {np.exp(middle):.2f} ({here['size']:.2f}), "
            f"varies by {(high - low) / 2:.2f} ({here['spread']:.2f})"
        )
    chances = chromosome_count_distribution(clusters["size"].to_numpy(float))
    true = clusters["chromosomes"].to_numpy(int)
    away = expected_chromosome_count(clusters["size"].to_numpy(float)) - true
    print(f"log likelihood {np.log(chances[np.arange(len(true)), true - FEWEST]).mean():.4f}")
    print(f"expected less true number: {away.mean():+.3f} on average")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
