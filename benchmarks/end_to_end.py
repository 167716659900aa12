"""Segment and classify full metaphases, and hold the result against the boxes.

For the held-out patients of ``gband_metaphases``: do regions that hold one box
come out as single and those that hold several as a cluster; how many regions
called a chromosome or a cluster hold no box; seconds per metaphase.  With ``--plain`` the
regions are those of a plain threshold, the outline of the annotated label images.  With
``--dapi`` the metaphases are those of the held-out slides of ``mfish``, and the regions of their
maps tell what ours hold.  With ``--other`` they are those pictures of ``other_labs`` that have
boxes (the embedded model was trained on them).  With ``--zoom`` the pictures are
enlarged first, and ``--side validation`` takes the groups that chose the weights::

    python benchmarks/end_to_end.py ../shared/data [MODEL] [--every 4] [--plain] [--dapi] [--zoom 3]
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from napari_chromocluster.cluster_types import ClusterType
from napari_chromocluster.imaging.io import read_image, read_labels
from napari_chromocluster.imaging.segmentation import segment_metaphase
from napari_chromocluster.models.classifier import ClusterClassifier, load_model
from napari_chromocluster.results.summary import estimate_chromosomes

sys.path.insert(0, str(Path(__file__).parents[1] / "recipes" / "default_model"))
from segmentation import enlarged

from box_annotations import annotate
from held_out import part
from outline_annotations import mapped_regions
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


@dataclass(frozen=True)
class Metaphase:
    """What a picture became: named and classified regions, what was found, and how fast.

    Attributes
    ----------
    rows : list of (str, str)
        What is known of each region that something is known of, and what was said of it.
    covered, total : int
        Boxes (or mapped regions) that were found, and all of them.
    seconds : float
        Of segmentation and classification.
    estimated : int
        How many chromosomes the types and sizes of the regions tell of.
    """

    rows: list[tuple[str, str]]
    covered: int
    total: int
    seconds: float
    estimated: int


def classified(
    image: NDArray[np.generic], model: ClusterClassifier, plain: bool
) -> tuple[NDArray[np.int32], pd.DataFrame, float]:
    """Return the regions of a picture, their table, and the seconds it took."""
    began = time.perf_counter()
    labels = plain_regions(image) if plain else segment_metaphase(image)
    table = model.classify(image, labels)
    return labels, table, time.perf_counter() - began


def types_in(table: pd.DataFrame) -> dict[int, str]:
    """Return what the model says of each region of a table."""
    return dict(zip(table["index"], table["cluster_type"], strict=True))


def boxed(data: Path, model: ClusterClassifier, options: Options) -> Iterator[Metaphase]:
    """Yield the metaphases of the held-out patients, held against their boxes."""
    folder = data / ("other_labs" if options.other else "gband_metaphases")
    boxes = pd.read_csv(folder / "boxes.csv")
    held_out = [
        (str(name), mine)
        for name, mine in boxes.groupby("image")
        if options.other or part("gband_metaphases", Path(str(name)).stem) == options.side
    ]
    for name, mine in held_out[:: options.every]:
        image = enlarged(read_image(folder / name), options.zoom)
        labels, table, seconds = classified(image, model, options.plain)
        said = types_in(table)
        corners = options.zoom * mine[["xmin", "ymin", "xmax", "ymax"]].to_numpy(np.int64)
        rows = [(kind, said[label]) for label, kind, _ in annotate(labels, corners)]
        shares = [
            (labels[max(y0, 0) : y1, max(x0, 0) : x1] > 0).mean() for x0, y0, x1, y1 in corners
        ]
        found = int((np.array(shares) > 0.1).sum())
        yield Metaphase(rows, found, len(shares), seconds, estimate_chromosomes(table))


def mapped(data: Path, model: ClusterClassifier, options: Options) -> Iterator[Metaphase]:
    """Yield the metaphases of the held-out slides, held against the regions of their maps."""
    folder = data / "mfish"
    table = pd.read_csv(folder / "annotations.csv", dtype={"group": str})
    held_out = [
        (str(name), mine)
        for name, mine in table.groupby("image")
        if part("mfish", mine["group"].iloc[0]) == options.side
    ]
    for name, mine in held_out[:: options.every]:
        image = enlarged(read_image(folder / name), options.zoom)
        labels, result, seconds = classified(image, model, options.plain)
        said = types_in(result)
        known = np.asarray(read_labels(folder / mine["labels"].iloc[0]), np.int32)
        known = known.repeat(options.zoom, 0).repeat(options.zoom, 1)
        names = dict(zip(mine["label"].astype(int), mine["cluster_type"], strict=True))
        # A region without a mapped pixel may or may not be a chromosome.
        rows = [
            (kind, said[label]) for label, kind, _ in mapped_regions(labels, known, names, np.inf)
        ]
        areas, found = np.bincount(known.ravel()), np.bincount(known[labels > 0])
        shares = [found[one] / areas[one] if one < found.size else 0.0 for one in names]
        covered = int((np.array(shares) > 0.5).sum())
        yield Metaphase(rows, covered, len(shares), seconds, estimate_chromosomes(result))


class Options(argparse.Namespace):
    """Of the command line."""

    data: Path
    model: str
    every: int
    plain: bool
    dapi: bool
    other: bool
    zoom: int
    side: str


def main() -> None:
    """Print the figures and the confusion matrix."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("model", nargs="?", default="default")
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--plain", action="store_true")
    parser.add_argument("--dapi", action="store_true")
    parser.add_argument("--other", action="store_true")
    parser.add_argument("--zoom", type=int, default=1)
    parser.add_argument("--side", choices=("test", "validation"), default="test")
    options = parser.parse_args(namespace=Options())
    model = load_model(options.model, "cpu")
    done = list((mapped if options.dapi else boxed)(options.data, model, options))
    found = pd.DataFrame([row for one in done for row in one.rows], columns=["truth", "said"])
    known = found[found["truth"] != ClusterType.OTHER]
    cluster = ~known["said"].isin([ClusterType.SINGLE, ClusterType.OTHER])
    agree = (known["truth"] != ClusterType.SINGLE) == cluster
    agree &= known["said"] != ClusterType.OTHER
    called = found[found["said"] != ClusterType.OTHER]
    covered = sum(one.covered for one in done) / sum(one.total for one in done)
    print(f"metaphases                         {len(done)}")
    print(f"{'mapped regions' if options.dapi else 'boxes'} covered".ljust(34), f"{covered:.4f}")
    worst = min(one.covered / one.total for one in done)
    print(f"the same, worst picture            {worst:.4f}")
    print(f"single-versus-cluster agreement    {agree.mean():.4f}  ({len(known)} regions)")
    if options.dapi:
        lost = (known["said"] == ClusterType.OTHER).mean()
        print(f"called other                       {lost:.4f}")
    else:
        empty = (called["truth"] == ClusterType.OTHER).mean()
        print(f"called a chromosome without a box  {empty:.4f}")
        away = np.array([one.estimated - one.total for one in done])
        print(
            f"chromosomes, estimated less boxes  {away.mean():+.1f} on average, "
            f"{np.median(np.abs(away)):.0f} off (median), {(np.abs(away) <= 2).mean():.0%} within 2"
        )
    print(f"seconds per metaphase, median      {np.median([one.seconds for one in done]):.2f}")
    print(pd.crosstab(found["truth"], found["said"]).to_string())


if __name__ == "__main__":
    main()
