"""Segment and classify full metaphases, and hold the result against the boxes.

For the held-out patients of ``gband_metaphases``: do regions that hold one box
come out as single and those that hold several as a cluster; how many regions
called a chromosome or a cluster hold no box; seconds per metaphase.  With ``--plain`` the
regions are those of a plain threshold, the outline of the annotated label images::

    python benchmarks/end_to_end.py ../shared/data [MODEL] [--every 4] [--plain]
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from napari_chromocluster.imaging.io import read_image
from napari_chromocluster.imaging.segmentation import segment_metaphase
from napari_chromocluster.models.classifier import load_model
from napari_chromocluster.taxonomy import ClusterType

sys.path.insert(0, str(Path(__file__).parents[1] / "tools"))
from box_annotations import annotate
from held_out import part
from plain_annotations import ANNOTATED, threshold_plainly

#: Smallest region of a plain threshold that is classified, as a share of the usual one.
SMALLEST = 0.15


def plain_regions(image: NDArray[np.generic]) -> NDArray[np.int32]:
    """Threshold the picture as the annotated label images were, without specks."""
    labels = threshold_plainly(image, (ANNOTATED,))[ANNOTATED]
    areas = np.bincount(labels.ravel())
    usual = np.median(areas[1:][areas[1:] > 100])
    areas[0] = 0
    return np.where(areas[labels] >= SMALLEST * usual, labels, 0).astype(np.int32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("model", nargs="?", default="default")
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--plain", action="store_true")
    options = parser.parse_args()
    folder = options.data / "gband_metaphases"
    boxes = pd.read_csv(folder / "boxes.csv")
    model = load_model(options.model, "cpu")
    rows, seconds, covered, total = [], [], 0, 0
    held_out = [
        (str(name), mine)
        for name, mine in boxes.groupby("image")
        if part("gband_metaphases", Path(str(name)).stem) == "test"
    ]
    for name, mine in held_out[:: options.every]:
        image = read_image(folder / name)
        began = time.perf_counter()
        labels = plain_regions(image) if options.plain else segment_metaphase(image)
        table = model.classify(image, labels)
        seconds.append(time.perf_counter() - began)
        corners = mine[["xmin", "ymin", "xmax", "ymax"]].to_numpy(np.int64)
        said = dict(zip(table["index"], table["cluster_type"], strict=True))
        rows += [(kind, said[label]) for label, kind, _ in annotate(labels, corners)]
        for x0, y0, x1, y1 in corners:
            total += 1
            covered += bool((labels[max(y0, 0) : y1, max(x0, 0) : x1] > 0).mean() > 0.1)
    found = pd.DataFrame(rows, columns=["truth", "said"])
    known = found[found["truth"] != ClusterType.OTHER]
    cluster = ~known["said"].isin([ClusterType.SINGLE, ClusterType.OTHER])
    agree = (known["truth"] != ClusterType.SINGLE) == cluster
    agree &= known["said"] != ClusterType.OTHER
    called = found[found["said"] != ClusterType.OTHER]
    print(f"metaphases                         {len(seconds)}")
    print(f"boxes covered                      {covered / total:.4f}")
    print(f"single-versus-cluster agreement    {agree.mean():.4f}  ({len(known)} regions)")
    print(f"called a chromosome without a box  {(called['truth'] == 'other').mean():.4f}")
    print(f"seconds per metaphase, median      {np.median(seconds):.2f}")
    print(pd.crosstab(found["truth"], found["said"]).to_string())


if __name__ == "__main__":
    main()
