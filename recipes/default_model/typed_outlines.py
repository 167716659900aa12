"""Clusters of known type in every outline that holds the same chromosomes.

People annotated clusters in one outline, and types were read by eye in another
(`read_by_eye.csv`).  A cluster keeps its type wherever it holds the same chromosomes, so the
same cluster teaches its type in tighter and looser outlines as well.  Takes the label images
of `plain_annotations` and `outline_annotations`, and writes ``annotations.csv``; none is of the
test groups::

    python recipes/default_model/typed_outlines.py ../shared/data WORK/plain WORK/outlines OUT
"""

from __future__ import annotations

import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from box_annotations import owner, write_regions
from held_out import part
from napari_chromocluster.cluster_types import ClusterType
from napari_chromocluster.imaging.io import read_labels
from read_by_eye import types_read

#: Outlines in which these clusters are not named already.
PLAIN = ("plain0", "plain16")
OURS = ("threshold0.60", "threshold0.75", "threshold1.50", "threshold1.75")
CLUSTERS = {str(kind) for kind in ClusterType if kind.is_cluster}


def held_boxes(labels: NDArray[np.int32], corners: NDArray[np.int64]) -> dict[int, str]:
    """Return for each region the places of the boxes that it holds, as `types_read` names them."""
    held: dict[int, list[str]] = defaultdict(list)
    for place, box in enumerate(corners):
        held[owner(labels, box)].append(str(place))
    return {label: " ".join(places) for label, places in held.items() if label}


def known_clusters(data: Path, corners: dict[str, NDArray[np.int64]]) -> dict[str, dict[str, str]]:
    """Return the types of clusters by metaphase and the boxes that they hold."""
    known: dict[str, dict[str, str]] = defaultdict(dict)
    for (metaphase, boxes), kind in types_read().items():
        known[metaphase][boxes] = kind
    annotations = pd.read_csv(data / "annotations.csv", dtype={"group": str})
    for (image, file), rows in annotations.groupby(["image", "labels"]):
        metaphase = Path(str(image)).stem
        if part("gband_metaphases", metaphase) == "test":
            continue
        held = held_boxes(np.asarray(read_labels(data / str(file)), np.int32), corners[metaphase])
        for label, kind in zip(rows["label"].astype(int), rows["cluster_type"], strict=True):
            if kind in CLUSTERS and " " in held.get(label, ""):
                known[metaphase][held[label]] = str(kind)
    return known


def main(data: Path, plain: Path, ours: Path, target: Path) -> None:
    """Write the annotations."""
    data = (data / "gband_metaphases").resolve()
    corners = {
        Path(str(name)).stem: mine[["xmin", "ymin", "xmax", "ymax"]].to_numpy(np.int64)
        for name, mine in pd.read_csv(data / "boxes.csv").groupby("image")
    }
    files = [(plain, outline) for outline in PLAIN] + [(ours, outline) for outline in OURS]
    rows = []
    for metaphase, known in known_clusters(data, corners).items():
        image = data / "images" / f"{metaphase}.jpg"
        for folder, outline in files:
            file = (folder / f"{metaphase}_{outline}.png").resolve()
            if not file.exists():
                continue
            held = held_boxes(np.asarray(read_labels(file), np.int32), corners[metaphase])
            rows += [
                (image, file, label, known[boxes], metaphase, boxes.count(" ") + 1)
                for label, boxes in held.items()
                if boxes in known
            ]
    target.mkdir(parents=True, exist_ok=True)
    write_regions(target, [rows])


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:5]))
