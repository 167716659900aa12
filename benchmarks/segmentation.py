"""How well the segmentation finds chromosomes, on real metaphases with a reference.

    python benchmarks/segmentation.py ../shared/data --json out.json

prints the table of `docs/segmentation.md`, where the terms are defined.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import ndimage
from skimage.filters import threshold_otsu
from skimage.transform import resize

from napari_chromocluster.imaging.files import atomic_path
from napari_chromocluster.imaging.io import read_image, read_labels
from napari_chromocluster.imaging.normalization import normalize_stain, to_grayscale
from napari_chromocluster.imaging.nuclei import find_nuclei
from napari_chromocluster.imaging.population import find_population
from napari_chromocluster.imaging.region_filter import (
    Labels,
    SegmentationParameters,
    filter_regions,
)
from napari_chromocluster.imaging.segmentation import label_mask, segment_metaphase

Segmenter = Callable[[NDArray[Any]], Labels]
EIGHT = np.ones((3, 3), bool)
#: Share of a chromosome that must be found, at least, and by the strict definition.
FOUND, STRICT = 0.5, 0.8
#: Share of a chromosome or region that counts as a part of it when it is split.
PART = 0.2
COLUMNS = (
    "chromosomes", "found", "found_strict", "regions", "inside", "holding", "split_chromosomes",
    "clusters", "clusters_split", "singles", "singles_split", "reference_merged", "outlined",
    "jaccard", "seconds", "megapixels",
)  # fmt: skip


@dataclass(frozen=True)
class Case:
    """One metaphase and its reference.

    Attributes
    ----------
    name : str
        Set and file name.
    image : array
        The picture.
    chromosomes : list of (window, mask)
        Reference pixels of each chromosome.
    territory : (H, W) bool array
        Where chromosomes may lie: boxes, or the widened karyotype map.
    labels : (H, W) integer array, optional
        Reference regions.
    types : dict of int to str
        Type of each reference region that has one.
    """

    name: str
    image: NDArray[Any]
    chromosomes: list[tuple[tuple[slice, slice], NDArray[np.bool_]]]
    territory: NDArray[np.bool_]
    labels: NDArray[Any] | None
    types: dict[int, str]


def half(name: str) -> str:
    """Return the half of the images a name belongs to: thresholds are chosen on ``choice``."""
    return "check" if hashlib.sha256(name.encode()).digest()[0] % 2 else "choice"


def gband_cases(folder: Path, wanted: Callable[[str], bool]) -> Iterator[Case]:
    """Metaphases with a box for each chromosome, some with reference regions."""
    types = _types(folder)
    for name, rows in pd.read_csv(folder / "boxes.csv").groupby("image"):
        if not wanted(str(name)):
            continue
        image = read_image(folder / str(name))
        dark = -to_grayscale(image)
        territory = np.zeros(dark.shape, bool)
        chromosomes = []
        for x0, y0, x1, y1 in rows[["xmin", "ymin", "xmax", "ymax"]].to_numpy():
            window = slice(max(y0, 0), y1), slice(max(x0, 0), x1)
            territory[window] = True
            mask = _largest_piece(dark[window] > threshold_otsu(dark[window]))
            chromosomes.append((window, mask))
        path = folder / str(name).replace(".jpg", "_labels.png")
        labels = read_labels(path) if str(name) in types else None
        yield Case(f"gband/{name}", image, chromosomes, territory, labels, types.get(str(name), {}))


def mfish_cases(folder: Path, wanted: Callable[[str], bool]) -> Iterator[Case]:
    """Metaphases with a karyotype map: a number for each type of chromosome."""
    types = _types(folder)
    for path in sorted(folder.glob("images/*_dapi.png")):
        name = f"images/{path.name}"
        if not wanted(name):
            continue
        karyotype = read_image(path.with_name(path.name.replace("_dapi", "_karyotype")))
        chromosomes = []
        for number in range(1, 25):
            pieces, _ = ndimage.label(karyotype == number, EIGHT)
            chromosomes += [
                (window, pieces[window] == one)
                for one, window in enumerate(ndimage.find_objects(pieces), start=1)
            ]
        areas = [mask.sum() for _, mask in chromosomes]
        # Scattered pixels of a wrong number are no chromosomes.
        least = 0.25 * float(np.median([area for area in areas if area > 30]))
        kept = [one for one, area in zip(chromosomes, areas, strict=True) if area >= least]
        territory = ndimage.binary_dilation(karyotype > 0, EIGHT, iterations=2)
        labels = read_labels(path.with_name(path.name.replace("_dapi", "_labels")))
        yield Case(f"mfish/{name}", read_image(path), kept, territory, labels, types.get(name, {}))


def _types(folder: Path) -> dict[str, dict[int, str]]:
    rows = pd.read_csv(folder / "annotations.csv")
    return {
        str(name): dict(zip(mine["label"], mine["cluster_type"], strict=True))
        for name, mine in rows.groupby("image")
    }


def _largest_piece(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    pieces, _ = ndimage.label(mask, EIGHT)
    areas = np.bincount(pieces.ravel())
    areas[0] = 0
    return np.asarray(pieces == areas.argmax())


def measure(case: Case, segment: Segmenter) -> dict[str, float]:
    """Compare one segmentation with the reference; the columns are counts."""
    start = time.process_time()
    labels = segment(case.image)
    row = dict.fromkeys(COLUMNS, 0.0)
    row["seconds"] = time.process_time() - start
    row["megapixels"] = labels.size / 1e6
    areas = np.bincount(labels.ravel())
    inside = np.bincount(labels[case.territory], minlength=areas.size)
    holding = np.zeros(areas.size, bool)
    for window, mask in case.chromosomes:
        shares = np.bincount(labels[window][mask], minlength=areas.size) / mask.sum()
        shares[0] = 0
        row["found"] += shares.sum() >= FOUND
        row["found_strict"] += shares.max() >= STRICT
        row["split_chromosomes"] += (shares >= PART).sum() > 1
        holding |= shares >= FOUND
    row["chromosomes"] = len(case.chromosomes)
    row["regions"] = areas.size - 1
    row["inside"] = int((inside >= 0.5 * areas)[1:].sum())
    row["holding"] = int(holding[1:].sum())
    if case.labels is not None:
        _compare_regions(row, labels, case.labels, case.types)
    return row


def _compare_regions(
    row: dict[str, float], labels: Labels, reference: NDArray[Any], types: dict[int, str]
) -> None:
    """Count reference regions that are split, and those that share a region with another."""
    owners: dict[int, int] = {}
    for label, kind in types.items():
        shares = np.bincount(labels[reference == label]) / (reference == label).sum()
        shares[0] = 0
        which = "singles" if kind == "single" else "clusters"
        row[which] += 1
        row[f"{which}_split"] += (shares >= PART).sum() > 1
        if shares.max() >= FOUND:
            owners[label] = int(shares.argmax())
    taken = list(owners.values())
    row["reference_merged"] = sum(taken.count(owner) > 1 for owner in taken)
    for label, owner in owners.items():
        if types[label] == "single" and taken.count(owner) == 1:
            mine, theirs = labels == owner, reference == label
            row["outlined"] += 1
            row["jaccard"] += (mine & theirs).sum() / (mine | theirs).sum()


def enlarged(image: NDArray[np.generic], zoom: int) -> NDArray[np.generic]:
    """Return a picture with more pixels a side, between those that it has linearly."""
    if zoom == 1:
        return image
    shape = [zoom * side for side in image.shape[:2]] + list(image.shape[2:])
    larger = resize(image, shape, order=1, preserve_range=True)
    return np.asarray(np.rint(larger).astype(image.dtype))


def magnified(case: Case, zoom: int) -> Case:
    """Return a metaphase and its reference with more pixels a side."""

    def larger(mask: NDArray[Any]) -> NDArray[Any]:
        return np.asarray(mask.repeat(zoom, 0).repeat(zoom, 1))

    def larger_slice(one: slice) -> slice:
        return slice(zoom * one.start, zoom * one.stop)

    return Case(
        case.name,
        enlarged(case.image, zoom),
        [
            ((larger_slice(rows), larger_slice(columns)), larger(mask))
            for (rows, columns), mask in case.chromosomes
        ],
        larger(case.territory),
        None if case.labels is None else larger(case.labels),
        case.types,
    )


def plain_otsu(image: NDArray[Any]) -> Labels:
    """Otsu's threshold on the gray values, 8-connected, with a size filter: the baseline."""
    gray = to_grayscale(image)
    level = threshold_otsu(gray)
    mask = gray < level if (gray < level).mean() < 0.5 else gray > level
    pieces, _ = ndimage.label(mask, EIGHT)
    areas = np.bincount(pieces.ravel())
    areas[0] = 0
    usual = float(np.median(areas[areas >= 50])) if (areas >= 50).any() else 0.0
    keep = (areas >= 0.2 * usual) & (areas <= 8 * usual)
    keep[0] = False
    return np.asarray((np.cumsum(keep) * keep)[pieces], np.int32)


def flat_otsu(image: NDArray[Any]) -> Labels:
    """One threshold after the background is flattened, then the filters of the segmentation."""
    chosen = SegmentationParameters()
    signal = ndimage.gaussian_filter(normalize_stain(image).values, chosen.smoothing)
    population = find_population(signal)
    half = population.half if population else 0.0
    nuclei = find_nuclei(signal, chosen.nucleus_width, chosen.nucleus_area, half)
    mask = signal > threshold_otsu(np.clip(signal, 0, 2))
    return filter_regions(label_mask(mask, signal, nuclei), chosen)


METHODS: dict[str, Segmenter] = {
    "plain Otsu, size filter": plain_otsu,
    "flattened Otsu, same filters": flat_otsu,
    "`segment_metaphase`, `nucleus_width=0`": partial(segment_metaphase, nucleus_width=0.0),
    "`segment_metaphase`, `gap=0`": partial(segment_metaphase, gap=0.0),
    "`segment_metaphase`, `edge=0`": partial(segment_metaphase, edge=0.0),
    "`segment_metaphase`": segment_metaphase,
}


def run(
    data: Path, methods: dict[str, Segmenter], wanted: Callable[[str], bool], zoom: int = 1
) -> pd.DataFrame:
    """Measure methods on both sets; one row for each image and method."""
    rows = []
    for name, cases in (
        ("gband_metaphases", gband_cases(data / "gband_metaphases", wanted)),
        ("mfish", mfish_cases(data / "mfish", wanted)),
    ):
        for each in cases:
            case = each if zoom == 1 else magnified(each, zoom)
            for method, segment in methods.items():
                found = measure(case, segment)
                rows.append(
                    {"set": name, "half": half(case.name), "method": method, "image": case.name}
                    | found
                )
    return pd.DataFrame(rows)


def summarise(rows: pd.DataFrame) -> pd.DataFrame:
    """Sum the counts of each set, half and method, and of both halves."""
    both = pd.concat([rows, rows.assign(half="all")])
    groups = both.groupby(["set", "method", "half"], sort=False)
    sums = groups[list(COLUMNS)].sum()
    sums.insert(0, "images", groups.size())
    return sums.reset_index()


def markdown(sums: pd.DataFrame) -> str:
    """Write the sums as a table: shares in percent, counts of what went wrong.

    Both halves are reported separately for the segmentation itself, the last of the methods.
    """
    lines = [
        "| set | method | images | chromosomes found | strict | regions that hold a chromosome "
        "| strict | chromosomes split | clusters split | singles split | regions merged "
        "| Jaccard | s/Mpx |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    last = list(METHODS)[-1]
    shown = sums[(sums["half"] == "all") | (sums["method"] == last)]
    for _, row in shown.sort_values("set", kind="stable").iterrows():
        lines.append(
            f"| {row.set} | {row.method} | {row.images} ({row.half}) "
            f"| {row.found / row.chromosomes:.2%} | {row.found_strict / row.chromosomes:.2%} "
            f"| {row.inside / row.regions:.2%} | {row.holding / row.regions:.2%} "
            f"| {row.split_chromosomes:.0f}/{row.chromosomes:.0f} "
            f"| {row.clusters_split:.0f}/{row.clusters:.0f} "
            f"| {row.singles_split:.0f}/{row.singles:.0f} "
            f"| {row.reference_merged:.0f}/{row.clusters + row.singles:.0f} "
            f"| {row.jaccard / max(row.outlined, 1):.3f} | {row.seconds / row.megapixels:.2f} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="folder with gband_metaphases and mfish")
    parser.add_argument("--json", type=Path, help="also write the sums and each image's row here")
    parser.add_argument("--every", type=int, default=1, help="only every n-th image")
    parser.add_argument("--zoom", type=int, default=1, help="enlarge the images; one method only")
    parser.add_argument(
        "--tightness", type=float, nargs="+", help="instead of the methods, outlines as tight"
    )
    arguments = parser.parse_args()

    def wanted(name: str) -> bool:
        return int(hashlib.sha256(name.encode()).hexdigest()[-6:], 16) % int(arguments.every) == 0

    last = list(METHODS)[-1]
    methods = METHODS if arguments.zoom == 1 else {last: METHODS[last]}
    if arguments.tightness:
        usual = SegmentationParameters()
        methods = {
            f"tightness {factor:g}": partial(
                segment_metaphase, parameters=usual.with_tightness(factor)
            )
            for factor in arguments.tightness
        }
    rows = run(arguments.data, methods, wanted, arguments.zoom)
    sums = summarise(rows)
    print(markdown(sums))
    if arguments.json:
        with atomic_path(arguments.json) as path:
            path.write_text(
                json.dumps(
                    {"sums": sums.to_dict("records"), "images": rows.to_dict("records")}, indent=1
                )
            )


if __name__ == "__main__":
    main()
