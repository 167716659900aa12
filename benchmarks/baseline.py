"""The embedded model beside eleven geometric features and a random forest.

After Lin et al., IEEE BIBM 2020, as interactive feature classifiers do it.  Trained on the
annotated regions of the groups that the embedded model is trained on, measured on the same
held-out groups; times are processor time of one run with one thread::

    python benchmarks/baseline.py ../shared/data
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from skimage.measure import regionprops
from skimage.morphology import skeletonize
from sklearn.ensemble import RandomForestClassifier

from napari_chromocluster.cluster_types import TYPES
from napari_chromocluster.imaging.crops import RegionCrop
from napari_chromocluster.models.classifier import load_model
from napari_chromocluster.results.annotated_crops import AnnotatedCrops, load_annotated_crops
from napari_chromocluster.results.annotations import read_annotations, with_allowed_types
from napari_chromocluster.results.metrics import evaluate_predictions

sys.path.insert(0, str(Path(__file__).parents[1] / "recipes" / "default_model"))
from held_out import SETS, part


def features(crop: RegionCrop) -> list[float]:
    """Return eleven geometric features, lengths in units of the metaphase's usual size."""
    props = regionprops(np.pad(crop.mask, 1).astype(np.uint8))[0]
    size = max(np.sqrt(props.area) / 2.0**crop.relative_size, 1.0)
    skeleton = int(skeletonize(crop.mask).sum())
    return [
        props.area / size**2,
        props.perimeter / size,
        props.area_convex / size**2,
        props.solidity,
        props.extent,
        props.eccentricity,
        props.axis_major_length / size,
        props.axis_minor_length / size,
        props.axis_minor_length / max(props.axis_major_length, 1e-6),
        skeleton / size,
        4 * np.pi * props.area / max(props.perimeter, 1.0) ** 2,
    ]


def table_of(data: Path, name: str) -> tuple[AnnotatedCrops, NDArray[np.float64], NDArray[Any]]:
    """Return crops, features and sides (train, test) of a source."""
    table = read_annotations(data / name / "annotations.csv")
    cut = load_annotated_crops(with_allowed_types(table))
    sides = ["train" if part(name, g) != "test" else "test" for g in cut.groups]
    return cut, np.array([features(crop) for crop in cut.crops]), np.array(sides)


def main(data: Path) -> None:
    """Measure and print a Markdown table."""
    torch.set_num_threads(1)
    model = load_model("default", "cpu")
    sources = {name: table_of(data, name) for name in SETS}
    x = np.concatenate([one[1] for one in sources.values()])
    y = np.array([name for one in sources.values() for name in one[0].names])
    train = np.concatenate([one[2] for one in sources.values()]) == "train"
    stain = np.array(
        ["DAPI" if name == "mfish" else "G-band" for name, one in sources.items() for _ in one[1]]
    )
    crops = [crop for one in sources.values() for crop in one[0].crops]
    order = [str(kind) for kind in TYPES]
    forest = RandomForestClassifier(500, class_weight="balanced", random_state=0)
    forest.fit(x[train], y[train])
    print("| stain | regions | method | accuracy | macro sensitivity | ms a region |")
    print("|---|---|---|---|---|---|")
    for kind in ("G-band", "DAPI"):
        rows = np.flatnonzero(~train & (stain == kind))
        mine = [crops[row] for row in rows]
        began = time.process_time()
        found = np.array([features(crop) for crop in mine])
        chances = np.zeros((len(rows), len(TYPES)))
        chances[:, [order.index(c) for c in forest.classes_]] = forest.predict_proba(found)
        forest_s = time.process_time() - began
        began = time.process_time()
        ours = model.predict_regions(mine)
        ours_s = time.process_time() - began
        methods = (("random forest", chances, forest_s), ("embedded model", ours, ours_s))
        for name, answers, seconds in methods:
            result = evaluate_predictions(list(y[rows]), answers)
            print(
                f"| {kind} | {result.n} | {name} | {result.accuracy:.1%} "
                f"| {result.macro_sensitivity:.1%} | {1000 * seconds / len(rows):.1f} |"
            )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
