"""How well the segmentation finds chromosomes in pictures in which laboratories left something.

    python benchmarks/disturbances.py ../shared/data --every 64

lays black nuclei, text, frames and the like into metaphases with a reference, and counts the
chromosomes that are found and the regions that hold one.  Chromosomes that what was laid in covers
are not counted.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import numpy as np
import pandas as pd
from segmentation import FOUND, Case, gband_cases, mfish_cases

from napari_chromocluster.imaging.normalization import to_grayscale
from napari_chromocluster.imaging.segmentation import segment_metaphase

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))
from picture_faults import DISTURBANCES

#: Change of a pixel from which on what was laid in covers it; stain and light cover nothing.
COVERED = 40
COVERS_NOTHING = ("none", "cytoplasm", "vignetting")


def measure(case: Case, name: str) -> dict[str, int]:
    """Disturb one picture, segment it, and count."""
    gray = np.clip(np.rint(to_grayscale(case.image)), 0, 255).astype(np.uint8)
    picture = DISTURBANCES[name](gray, bool(np.median(gray) > 128))
    covered = np.abs(picture.astype(int) - gray.astype(int)) > COVERED
    if name in COVERS_NOTHING:
        covered[:] = False
    labels = segment_metaphase(picture)
    free = [one for one in case.chromosomes if not (covered[one[0]] & one[1]).any()]
    found = sum((labels[window][mask] > 0).mean() >= FOUND for window, mask in free)
    areas = np.bincount(labels.ravel(), minlength=1)
    inside = np.bincount(labels[case.territory], minlength=areas.size)
    return {
        "chromosomes": len(free),
        "found": int(found),
        "regions": areas.size - 1,
        "inside": int((inside >= 0.5 * areas)[1:].sum()),
    }


def rows(data: Path, every: int, names: list[str]) -> Iterator[dict[str, object]]:
    """Yield the counts of each picture and disturbance."""

    def wanted(name: str) -> bool:
        return int(hashlib.sha256(name.encode()).hexdigest()[-6:], 16) % every == 0

    for case in chain(
        gband_cases(data / "gband_metaphases", wanted), mfish_cases(data / "mfish", wanted)
    ):
        for name in names:
            yield {
                "set": case.name.split("/")[0],
                "disturbance": name,
                **measure(case, name),
            }


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="folder with gband_metaphases and mfish")
    parser.add_argument("--every", type=int, default=16, help="only every n-th picture")
    parser.add_argument("--only", nargs="+", choices=DISTURBANCES, default=list(DISTURBANCES))
    arguments = parser.parse_args()
    counted = pd.DataFrame(rows(arguments.data, arguments.every, arguments.only))
    sums = counted.groupby(["set", "disturbance"], sort=False).sum().reset_index()
    print("| set | disturbance | chromosomes found | regions | that hold a chromosome |")
    print("|---|---|---|---|---|")
    for row in sums.to_dict("records"):
        found = row["found"] / max(row["chromosomes"], 1)
        held = row["inside"] / max(row["regions"], 1)
        print(
            f"| {row['set']} | {row['disturbance']} | {found:.1%} | {row['regions']} | {held:.1%} |"
        )


if __name__ == "__main__":
    main()
