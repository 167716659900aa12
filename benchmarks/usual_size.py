"""What size of a chromosome regions tell: the median of all, and without specks.

Both are held against the median of the regions that hold one box, in the training groups of
``gband_metaphases``: in our own outlines and in those of plain thresholds, which leave specks.
*Off* is the share of label images that are wrong by more than a quarter::

    python benchmarks/usual_size.py WORK

``WORK`` is the folder of ``make model``.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd

from napari_chromocluster.imaging.io import read_labels
from napari_chromocluster.imaging.regions import extract_regions, reference_size
from napari_chromocluster.results.annotations import read_annotations

sys.path.insert(0, str(Path(__file__).parents[1] / "tools"))
from held_out import part
from plain_annotations import LEVELS

#: Fewest single chromosomes of a metaphase that tell their size.
FEWEST = 10
#: A ratio of sides that counts as wrong.
WRONG = 1.25


def main(work: Path) -> None:
    """Print a table, one row a kind of outline."""
    table = read_annotations(work / "boxes" / "annotations.csv")
    train = table["group"].map(lambda group: part("gband_metaphases", group) == "train")
    rows = []
    for (image, own), mine in table[train].groupby(["image", "labels"]):
        image, own = str(image), str(own)
        regions = {one.label: one.area for one in extract_regions(read_labels(Path(own)))}
        single = mine.loc[mine["cluster_type"] == "single", "label"].astype(int)
        if len(single) < FEWEST:
            continue
        truth = np.sqrt(np.median([regions[label] for label in single]))
        files = {"own": Path(own)}
        for level in LEVELS:
            files[f"plain {level}"] = work / "plain" / f"{Path(image).stem}_plain{level}.png"
        for name, file in files.items():
            if file.exists():
                found = extract_regions(read_labels(file))
                median = np.sqrt(np.median([one.area for one in found]))
                rows.append((name, median / truth, (reference_size(found) or truth) / truth))
    ratios = pd.DataFrame(rows, columns=["outline", "median", "reference_size"])
    ratios = ratios.set_index("outline")
    off = ratios.gt(WRONG) | ratios.lt(1 / WRONG)
    print("off", off.groupby("outline").mean().round(3).to_string(), sep="\n")
    print("median ratio", ratios.groupby("outline").median().round(2).to_string(), sep="\n")
    print("n", ratios.groupby("outline").size().to_string(), sep="\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
