"""What it is worth to fill the holes that a plain threshold leaves in bright bands.

First the holes of the training groups, by their signal (as a share of their region's) and the
name of their region.  Then, in the plain outlines of the validation groups, at the threshold of
the annotated label images and at a tighter and a looser one: mean loss and accuracy of the
embedded model with no hole filled, and with those filled that are at most so large (as a share
of a usual region) and have at least so much signal::

    python benchmarks/bright_bands.py ../shared/data WORK [--filled 0.02:0.2 0.06:0 ...]
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).parents[1] / "tools"))

from expected_number import weighed

from held_out import known_types, other_thresholds, part
from napari_chromocluster.cluster_types import EXPECTED_CHROMOSOMES, TYPES
from napari_chromocluster.imaging import hole_filling
from napari_chromocluster.imaging.io import read_image, read_labels
from napari_chromocluster.imaging.normalization import normalize_stain
from napari_chromocluster.imaging.regions import extract_regions, reference_area
from napari_chromocluster.models.classifier import ClusterClassifier, load_model
from napari_chromocluster.results.annotations import read_annotations

#: Share of the signal below which a hole is background.
_BACKGROUND = 0.2


def holes_of_training(work: Path, largest: float) -> dict[bool, Counter[str]]:
    """Count the holes of the training groups: background or not, by the name of their region."""
    table = read_annotations(work / "plain" / "annotations.csv")
    here = table["group"].map(lambda group: part("gband_metaphases", group) == "train")
    alike = table["labels"].str.endswith("_plain8.png")
    found: dict[bool, Counter[str]] = {True: Counter(), False: Counter()}
    for (image, labels), rows in table[here & alike].groupby(["image", "labels"]):
        array = read_labels(str(labels))
        signal = normalize_stain(read_image(str(image)), array).values
        regions = {one.label: one for one in extract_regions(array)}
        usual = reference_area(np.array([one.area for one in regions.values()], np.float64))
        if usual is None:
            continue
        for label, name in zip(rows["label"], rows["cluster_type"], strict=True):
            y0, x0, y1, x1 = regions[label].bbox
            level = np.median(signal[y0:y1, x0:x1][array[y0:y1, x0:x1] == label])
            for hole in hole_filling.holes(array, regions[label], largest * usual):
                background = bool(signal[hole].mean() < _BACKGROUND * level)
                found[background][str(name)] += 1
    return found


def losses(classifier: ClusterClassifier, file: Path) -> tuple[NDArray[np.float64], float]:
    """Return the loss of each region of a file, and the accuracy."""
    said = weighed(classifier, file, [EXPECTED_CHROMOSOMES])
    chances = said.found[EXPECTED_CHROMOSOMES]
    true = np.array([TYPES.index(kind) for kind in said.kinds])
    right = float((chances.argmax(axis=1) == true).mean())
    return -np.log(np.clip(chances[np.arange(len(true)), true], 1e-6, None)), right


def main() -> None:
    """Print the holes, and a line for each outline and each way to fill."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--filled", nargs="+", default=["0.02:0.2"])
    options = parser.parse_args()
    for background, names in holes_of_training(options.work, 0.02).items():
        print("background" if background else "a band", sum(names.values()), dict(names))
    files = {8: known_types(options.data, options.work, "validation", "plain")}
    files |= other_thresholds(options.work, "validation")
    classifier = load_model("default", "cpu")
    for level, file in sorted(files.items()):
        for way in ["0:0", *options.filled]:
            hole_filling.FILLED, hole_filling.BAND = (float(part) for part in way.split(":"))
            loss, right = losses(classifier, file)
            print(f"plain{level} filled {way}: n {len(loss)} loss {loss.mean():.4f} {right:.4f}")


if __name__ == "__main__":
    main()
