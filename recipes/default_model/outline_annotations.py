"""The same chromosomes in other outlines, named without a look (raw material of the default model).

Where an outline runs decides what a region holds: a loose one bridges the gap
between neighbours and makes them a touching cluster, though each was alone in
a tighter one.  That names regions that boxes leave open:

* neighbours that are single chromosomes in a tight outline *touch* in a loose one;
* a chromosome alone in its outline stays *single* in every other;
* in a picture with a karyotype map, a thick region without a mapped pixel is *other* (a
  thin one may be a chromosome that nobody mapped).

Writes ``annotations.csv`` and the label images of every outline into a folder::

    python recipes/default_model/outline_annotations.py ../shared/data OUT
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import chain, repeat
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import ndimage

from box_annotations import Line, annotate, owner, write_regions
from napari_chromocluster.cluster_types import TYPES, ClusterType
from napari_chromocluster.imaging.io import read_image, read_labels, write_labels
from napari_chromocluster.imaging.region_filter import SegmentationParameters, filter_regions
from napari_chromocluster.imaging.segmentation import label_foreground

Labels = NDArray[np.int32]
#: A named region: label, cluster type, number of chromosomes.
Named = tuple[int, str, int]

#: Thresholds of loose outlines, in that of the standard one, which is also looked at.
LOOSE = (0.6, 0.75, 1.0)
#: Thresholds at which chromosomes that only touch fall apart; crossings are darkest and do not:
#: of 36 annotated overlapping clusters outside the test groups none does.
TIGHT = (1.5, 1.75)
#: The same for bright chromosomes beside the regions of their map.
MAPPED = (0.8, 1.0, 1.25)
#: Widths of the gaps that are closed, in widths of a chromosome.
CLOSED_GAPS = (0.15, 0.3, 0.45)
#: Share of a tight piece that lies in the loose region it belongs to.
_INSIDE = 0.8
#: Shares of a region up to which it holds no chromosome, and of a mapped region that counts.
_EMPTY, _TAKES_PART = 0.03, 0.5
#: Thickness from which an unmapped region is no chromosome, in widths of a chromosome.
NO_CHROMOSOME = 1.7


def close_gaps(labels: Labels, gap: float) -> Labels:
    """Bridge gaps of a width in px between regions, and number the regions anew."""
    inside = labels > 0
    wide = ndimage.distance_transform_edt(~inside) <= gap / 2
    # The border counts as stained, or closing would eat what lies against it.
    grown = np.pad(wide, 1, constant_values=True)
    closed = inside | (ndimage.distance_transform_edt(grown)[1:-1, 1:-1] > gap / 2)
    return np.asarray(ndimage.label(closed, np.ones((3, 3)))[0], np.int32)


def parents(inner: Labels, outer: Labels, share: float = _INSIDE) -> dict[int, list[int]]:
    """Return for each outer region the inner ones that lie in it with a share of their area."""
    held: dict[int, list[int]] = {}
    pairs, counts = np.unique(
        np.stack([inner[inner > 0], outer[inner > 0]]), axis=1, return_counts=True
    )
    areas = np.bincount(inner.ravel())
    for (one, other), count in zip(pairs.T, counts, strict=True):
        if other and count >= share * areas[one]:
            held.setdefault(int(other), []).append(int(one))
    return held


def bridged(inner: Labels, names: dict[int, str], outer: Labels) -> Iterator[Named]:
    """Name the outer regions that join several inner ones, as far as their names tell."""
    reached = parents(inner, outer, share=0.0)
    for label, members in parents(inner, outer).items():
        kinds = [names.get(one, "") for one in members]
        if len(members) > 1 and reached[label] == members and joined_type(kinds):
            count = len(members) if set(kinds) == {str(ClusterType.SINGLE)} else 0
            yield label, joined_type(kinds), count


def joined_type(kinds: list[str]) -> str:
    """Return the type of a region that joins regions of some types with a gap between them.

    Empty where one of them is no chromosome, or nobody has said what it is.
    """
    if not set(kinds) <= {str(kind) for kind in TYPES} - {str(ClusterType.OTHER)}:
        return ""
    overlaps = {ClusterType.OVERLAPPING, ClusterType.TOUCHING_OVERLAPPING} & set(kinds)
    return str(ClusterType.TOUCHING_OVERLAPPING if overlaps else ClusterType.TOUCHING)


def fallen_apart(loose: Labels, tight: Labels, boxes: NDArray[np.int64]) -> set[int]:
    """Return the loose regions each of whose boxes has a tight piece of its own."""
    homes = {piece: outer for outer, held in parents(tight, loose).items() for piece in held}
    pieces: dict[int, list[int]] = {}
    for box in boxes:
        home, piece = owner(loose, box), owner(tight, box)
        pieces.setdefault(home, []).append(piece if piece and homes.get(piece) == home else 0)
    return {home for home, found in pieces.items() if home and len(set(found) - {0}) == len(found)}


def boxed_metaphase(
    image: NDArray[np.generic], boxes: NDArray[np.int64]
) -> Iterator[tuple[str, Labels, list[Named]]]:
    """Yield name, label image and named regions of each outline of a metaphase with boxes."""
    outlines: dict[float, Labels] = {}
    width = 0.0
    for threshold in (*LOOSE, *TIGHT):
        settings = SegmentationParameters(threshold=threshold)
        foreground = label_foreground(image, settings)
        outlines[threshold] = np.asarray(filter_regions(foreground, settings))
        width = foreground.width if threshold == 1.0 else width
    for threshold in LOOSE:
        labels = outlines[threshold]
        apart = set().union(*(fallen_apart(labels, outlines[one], boxes) for one in TIGHT))
        rows = []
        for label, kind, count in annotate(labels, boxes):
            if count > 1:
                if label in apart:
                    rows.append((label, str(ClusterType.TOUCHING), count))
            elif threshold < 1.0:
                rows.append((label, kind, count))
        yield f"threshold{threshold:.2f}", labels, rows
    standard = outlines[1.0]
    names = {label: kind for label, kind, count in annotate(standard, boxes) if count == 1}
    for gap in CLOSED_GAPS:
        closed = close_gaps(standard, gap * width)
        yield f"gap{gap:.2f}", closed, list(bridged(standard, names, closed))


def mapped_metaphase(
    image: NDArray[np.generic], labels: Labels, names: dict[int, str]
) -> Iterator[tuple[str, Labels, list[Named]]]:
    """Yield the same for a metaphase whose regions are those of its karyotype map."""
    settings = SegmentationParameters()
    foreground = label_foreground(image, settings)
    for threshold in MAPPED:
        chosen = SegmentationParameters(threshold=threshold)
        ours = np.asarray(filter_regions(label_foreground(image, chosen), chosen))
        rows = list(mapped_regions(ours, labels, names, NO_CHROMOSOME * foreground.width))
        yield f"threshold{threshold:.2f}", ours, rows
    for gap in CLOSED_GAPS:
        closed = close_gaps(labels, max(gap * foreground.width, 2.0))
        yield f"gap{gap:.2f}", closed, list(bridged(labels, names, closed))


def mapped_regions(
    ours: Labels, mapped: Labels, names: dict[int, str], thick: float
) -> Iterator[Named]:
    """Name found regions by the mapped regions that they hold; unmapped ones from a thickness."""
    held, reached = parents(mapped, ours), parents(mapped, ours, share=0.0)
    covered = np.bincount(ours[mapped > 0], minlength=ours.max() + 1)
    depth = ndimage.distance_transform_edt(ours > 0)
    thickness = 2 * np.asarray(ndimage.maximum(depth, ours, np.arange(ours.max() + 1)))
    for label, area in enumerate(np.bincount(ours.ravel())):
        if not label:
            continue
        members = held.get(label, [])
        kinds = [names.get(one, "") for one in members]
        if covered[label] <= _EMPTY * area:
            if thickness[label] >= thick:
                yield label, str(ClusterType.OTHER), 0
        elif covered[label] < _TAKES_PART * area or reached.get(label) != members:
            continue  # part of it, or of what it reaches, is not known
        elif len(members) == 1 and joined_type(kinds):
            yield label, kinds[0], int(kinds[0] == ClusterType.SINGLE)
        elif len(members) > 1 and joined_type(kinds):
            yield label, joined_type(kinds), 0


def _boxed(image: Path, boxes: NDArray[np.int64], target: Path) -> list[Line]:
    return _written(image, image.stem, boxed_metaphase(read_image(image), boxes), target)


def _mapped(image: Path, rows: pd.DataFrame, target: Path) -> list[Line]:
    labels = np.asarray(read_labels(image.parent.parent / rows["labels"].iloc[0]), np.int32)
    names = dict(zip(rows["label"].astype(int), rows["cluster_type"], strict=True))
    outlines = mapped_metaphase(read_image(image), labels, names)
    return _written(image, str(rows["group"].iloc[0]), outlines, target)


def _written(
    image: Path, group: str, outlines: Iterator[tuple[str, Labels, list[Named]]], target: Path
) -> list[Line]:
    table: list[Line] = []
    for name, labels, rows in outlines:
        if rows:
            file = f"{image.stem}_{name}.png"
            write_labels(target / file, labels)
            table += [[image.resolve(), file, *row[:2], group, row[2]] for row in rows]
    return table


def main(data: Path, target: Path) -> None:
    """Annotate the metaphases with boxes and those with karyotype maps."""
    target.mkdir(parents=True, exist_ok=True)
    boxed, mapped = data / "gband_metaphases", data / "mfish"
    boxes = pd.read_csv(boxed / "boxes.csv")
    annotations = pd.read_csv(mapped / "annotations.csv", dtype={"group": str})
    images, corners = [], []
    for name, mine in boxes.groupby("image", sort=True):
        images.append(boxed / str(name))
        corners.append(mine[["xmin", "ymin", "xmax", "ymax"]].to_numpy(np.int64))
    maps = list(annotations.groupby("image", sort=True))
    names, frames = [mapped / str(name) for name, _ in maps], [frame for _, frame in maps]
    with ProcessPoolExecutor() as pool:
        ours = pool.map(_boxed, images, corners, repeat(target))
        write_regions(target, chain(ours, pool.map(_mapped, names, frames, repeat(target))))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
