"""Turn chromosome boxes into region annotations (raw material of the default model).

``gband_metaphases/boxes.csv`` holds a box for every chromosome of 400
metaphases.  A region that holds one box is a single chromosome, one that holds
none is no chromosome, one that holds several is a cluster.  Chromosomes that
overlap have boxes that overlap, so boxes that hardly do say *touching*; two
chromosomes make no *touching_overlapping*; more is not known.  Regions in
between are left out.  Writes ``annotations.csv`` and one label image a
metaphase into a folder::

    python recipes/default_model/box_annotations.py ../shared/data/gband_metaphases OUT
"""

from __future__ import annotations

import csv
import sys
from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from napari_chromocluster.cluster_types import ALTERNATIVE, UNTYPED_CLUSTER, ClusterType
from napari_chromocluster.imaging.files import atomic_path
from napari_chromocluster.imaging.io import read_image, write_labels
from napari_chromocluster.imaging.regions import Region, extract_regions
from napari_chromocluster.imaging.segmentation import segment_metaphase

#: What ``annotations.csv`` says of a region, see `write_regions`.
Line = Sequence[object]

#: Intersection over union of a region's bounding box and a box that proves a single.
SINGLE_OVERLAP = 0.6
#: The same where the region takes part in no other box (boxes are drawn loosely).
LONELY_OVERLAP = 0.35
#: Share of a box's foreground in a region from which the region takes part in the box.
PART = 0.1
#: Largest share of the smaller box that two boxes of chromosomes that only touch have in
#: common; those of overlapping pairs, in the annotated metaphases, share 0.35 and more.
APART = 0.25
#: What two chromosomes may make.
PAIR = f"{ClusterType.TOUCHING}{ALTERNATIVE}{ClusterType.OVERLAPPING}"
#: Share of a box's foreground that must lie in a region for the box to be its own.
OWN_SHARE = 0.6


def annotate(labels: NDArray[np.int32], boxes: NDArray[np.int64]) -> list[tuple[int, str, int]]:
    """Name the regions of one metaphase from its boxes (x0, y0, x1, y1).

    Returns
    -------
    list of (label, cluster type, number of chromosomes)
    """
    held: dict[int, list[int]] = defaultdict(list)
    met: dict[int, float] = defaultdict(float)
    parts: dict[int, int] = defaultdict(int)
    for number, box in enumerate(boxes):
        found, counts = _inside(labels, box)
        for label, count in zip(found, counts, strict=True):
            met[int(label)] += float(count)
            parts[int(label)] += bool(count / counts.sum() >= PART)
        held[owner(labels, box)].append(number)
    rows = []
    for region in extract_regions(labels):
        mine = held.get(region.label, [])
        covered = met[region.label] / region.area
        if not mine and covered < 0.1:
            rows.append((region.label, str(ClusterType.OTHER), 0))
        elif len(mine) == 1:
            least = LONELY_OVERLAP if parts[region.label] == 1 else SINGLE_OVERLAP
            if _overlap(region.bbox, boxes[mine[0]]) >= least:
                rows.append((region.label, str(ClusterType.SINGLE), 1))
        elif len(mine) > 1 and _fills(region, boxes[mine]):
            rows.append((region.label, cluster_name(boxes[mine]), len(mine)))
    return rows


def owner(labels: NDArray[np.int32], box: NDArray[np.int64]) -> int:
    """Return the region in which most of a box's foreground lies; 0 where none has enough."""
    found, counts = _inside(labels, box)
    if not found.size or counts.max() / counts.sum() < OWN_SHARE:
        return 0
    return int(found[counts.argmax()])


def _inside(
    labels: NDArray[np.int32], box: NDArray[np.int64]
) -> tuple[NDArray[np.int32], NDArray[np.intp]]:
    """Return the regions that lie in a box, and how many pixels of each."""
    x0, y0, x1, y1 = (int(side) for side in box)
    inside = labels[max(y0, 0) : y1, max(x0, 0) : x1]
    return np.unique(inside[inside > 0], return_counts=True)


def cluster_name(boxes: NDArray[np.int64]) -> str:
    """Name the cluster of chromosomes with these boxes as far as they tell."""
    if max(_shared(a, b) for a, b in combinations(boxes, 2)) <= APART:
        return str(ClusterType.TOUCHING)
    return PAIR if len(boxes) == 2 else UNTYPED_CLUSTER


def _shared(a: NDArray[np.int64], b: NDArray[np.int64]) -> float:
    """Area that two boxes have in common, as a share of the smaller one."""
    width, height = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
    smaller = min(np.prod(a[2:] - a[:2]), np.prod(b[2:] - b[:2]))
    return float(max(width, 0) * max(height, 0) / max(smaller, 1))


def _overlap(bbox: tuple[int, int, int, int], box: NDArray[np.int64]) -> float:
    y0, x0, y1, x1 = bbox
    bx0, by0, bx1, by1 = (int(v) for v in box)
    shared = max(0, min(x1, bx1) - max(x0, bx0)) * max(0, min(y1, by1) - max(y0, by0))
    return shared / ((y1 - y0) * (x1 - x0) + (bx1 - bx0) * (by1 - by0) - shared)


def _fills(region: Region, boxes: NDArray[np.int64]) -> bool:
    """Whether a region's boxes together are about as large as the region."""
    union = np.array([boxes[:, 1].min(), boxes[:, 0].min(), boxes[:, 3].max(), boxes[:, 2].max()])
    y0, x0, y1, x1 = (int(v) for v in union)
    return _overlap(region.bbox, np.array([x0, y0, x1, y1])) >= 0.7


def write_regions(target: Path, metaphases: Iterable[Iterable[Line]]) -> None:
    """Write ``annotations.csv`` into a folder, one metaphase after the other as it is done.

    Parameters
    ----------
    target : path
        Folder of the label images.
    metaphases : iterable of iterables of lines
        Image, label image, label, cluster type, group and number of chromosomes of each region.
    """
    with atomic_path(target / "annotations.csv") as path, path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["image", "labels", "label", "cluster_type", "group", "chromosomes"])
        for lines in metaphases:
            writer.writerows(lines)


def _annotated(image: Path, corners: NDArray[np.int64], target: Path) -> list[Line]:
    labels = np.asarray(segment_metaphase(read_image(image)))
    file = f"{image.stem}_labels.png"
    write_labels(target / file, labels)
    return [
        (image.resolve(), file, *row[:2], image.stem, row[2]) for row in annotate(labels, corners)
    ]


def main(source: Path, target: Path) -> None:
    """Annotate all metaphases of a folder that has a ``boxes.csv``."""
    target.mkdir(parents=True, exist_ok=True)
    boxes = pd.read_csv(source / "boxes.csv").groupby("image", sort=True)
    write_regions(
        target,
        (
            _annotated(
                source / str(name),
                mine[["xmin", "ymin", "xmax", "ymax"]].to_numpy(np.int64),
                target,
            )
            for name, mine in boxes
        ),
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
