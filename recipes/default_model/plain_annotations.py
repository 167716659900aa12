"""Regions of plain thresholds, named by their boxes (raw material of the default model).

The label images of the annotated metaphases with boxes are a plain threshold of
the whole picture: 8 gray levels above Otsu's, to the pixel.  The same is done
here with all 400 metaphases, and once tighter and once looser.  Names come from
the boxes as in `box_annotations`; a cluster that falls into one piece a box at a
tighter threshold *touches* (of 22 annotated overlapping and 14
touching-overlapping clusters outside the test groups none does so).  Writes
``annotations.csv`` and the label images into a folder::

    python recipes/default_model/plain_annotations.py ../shared/data/gband_metaphases OUT
"""

from __future__ import annotations

import sys
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from skimage.filters import threshold_otsu

from box_annotations import annotate, write_regions
from napari_chromocluster.cluster_types import ClusterType
from napari_chromocluster.imaging.io import read_image, write_labels
from outline_annotations import Labels, Named, fallen_apart

#: Gray levels above Otsu's threshold: the one of the annotated label images, and its neighbours.
ANNOTATED = 8
LEVELS = (0, ANNOTATED, 16)
#: The same of tight thresholds, at which chromosomes that only touch fall apart.
TIGHT = (0, -15, -30, -45)
#: Smallest region that is named, as a share of the boxes' median area.
SMALLEST = 0.05


def threshold_plainly(image: NDArray[np.generic], levels: tuple[int, ...]) -> dict[int, Labels]:
    """Label what is darker than so many gray levels above Otsu's threshold.

    Parameters
    ----------
    image : (H, W) or (H, W, 3) uint8 array
        A picture with dark chromosomes.
    levels : tuple of int
        Gray levels above Otsu's threshold.

    Returns
    -------
    dict of level to (H, W) int32 array
    """
    gray = np.asarray(Image.fromarray(np.asarray(image)).convert("L")).astype(np.int16)
    otsu = int(threshold_otsu(gray))
    return {
        level: np.asarray(ndimage.label(gray <= otsu + level, np.ones((3, 3)))[0], np.int32)
        for level in levels
    }


def named_regions(
    labels: Labels, apart: set[int], boxes: NDArray[np.int64], doubtful: bool
) -> list[Named]:
    """Name the regions of one outline as far as boxes tell.

    Parameters
    ----------
    labels : (H, W) int32 array
        Regions.
    apart : set of int
        Those that fall into one piece a box at a tight threshold.
    boxes : (N, 4) int array
        Corners (x0, y0, x1, y1) of the chromosomes.
    doubtful : bool
        Whether to keep clusters of which the boxes leave more than one type.
    """
    areas = np.bincount(labels.ravel())
    least = SMALLEST * float(np.median((boxes[:, 2:] - boxes[:, :2]).prod(axis=1)))
    rows = []
    for label, kind, count in annotate(labels, boxes):
        if count > 1 and label in apart:
            rows.append((label, str(ClusterType.TOUCHING), count))
        elif areas[label] >= least and (count <= 1 or doubtful or kind == ClusterType.TOUCHING):
            rows.append((label, kind, count))
    return rows


def annotate_metaphase(
    image: Path, boxes: NDArray[np.int64], target: Path
) -> list[tuple[object, ...]]:
    """Write the label images of one metaphase and return the lines of its regions."""
    outlines = threshold_plainly(read_image(image), tuple({*LEVELS, *TIGHT}))
    lines: list[tuple[object, ...]] = []
    for level in LEVELS:
        labels = outlines[level]
        tighter = [outlines[one] for one in TIGHT if one < level]
        apart = set().union(*(fallen_apart(labels, one, boxes) for one in tighter))
        file = f"{image.stem}_plain{level}.png"
        write_labels(target / file, labels)
        # Clusters lie in every outline: what is known of them in part is said once.
        rows = named_regions(labels, apart, boxes, doubtful=level == ANNOTATED)
        lines += [(image.resolve(), file, *row[:2], image.stem, row[2]) for row in rows]
    return lines


def main(source: Path, target: Path) -> None:
    """Annotate all metaphases of a folder that has a ``boxes.csv``."""
    target.mkdir(parents=True, exist_ok=True)
    images, corners = [], []
    for name, mine in pd.read_csv(source / "boxes.csv").groupby("image", sort=True):
        images.append(source / str(name))
        corners.append(mine[["xmin", "ymin", "xmax", "ymax"]].to_numpy(np.int64))
    with ProcessPoolExecutor() as pool:
        write_regions(target, pool.map(annotate_metaphase, images, corners, repeat(target)))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
