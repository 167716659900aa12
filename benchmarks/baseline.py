"""Baseline of the embedded model: eleven geometric features and a random forest.

After Lin et al., IEEE BIBM 2020. Trained on the annotated regions of the groups
that the embedded model is trained on, measured on the same held-out groups::

    python benchmarks/baseline.py ../shared/data
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from skimage.measure import regionprops
from skimage.morphology import skeletonize
from sklearn.ensemble import RandomForestClassifier

from napari_chromocluster.cluster_types import TYPES
from napari_chromocluster.imaging.crops import RegionCrop
from napari_chromocluster.results.annotated_crops import load_annotated_crops
from napari_chromocluster.results.annotations import read_annotations, with_allowed_types
from napari_chromocluster.results.metrics import evaluate_predictions

sys.path.insert(0, str(Path(__file__).parents[1] / "tools"))
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


def table_of(data: Path, name: str) -> tuple[NDArray[np.float64], list[str], list[str]]:
    """Return features, types and sides of a source."""
    cut = load_annotated_crops(
        with_allowed_types(read_annotations(data / name / "annotations.csv"))
    )
    sides = ["train" if part(name, g) != "test" else "test" for g in cut.groups]
    return np.array([features(crop) for crop in cut.crops]), cut.names, sides


def main(data: Path) -> None:
    sources = {name: table_of(data, name) for name in SETS}
    x = np.concatenate([one[0] for one in sources.values()])
    y = np.array([name for one in sources.values() for name in one[1]])
    side = np.array([name for one in sources.values() for name in one[2]])
    stain = np.array(
        ["DAPI" if name == "mfish" else "G-band" for name, one in sources.items() for _ in one[1]]
    )
    order = [str(kind) for kind in TYPES]
    rows = []
    for weights in (None, "balanced"):
        forest = RandomForestClassifier(500, class_weight=weights, random_state=0)
        forest.fit(x[side == "train"], y[side == "train"])
        for kind in ("G-band", "DAPI"):
            mine = (side == "test") & (stain == kind)
            chances = np.zeros((int(mine.sum()), len(TYPES)))
            chances[:, [order.index(c) for c in forest.classes_]] = forest.predict_proba(x[mine])
            found = evaluate_predictions(list(y[mine]), chances)
            rows.append((kind, str(weights), found.n, found.accuracy, found.macro_sensitivity))
    print(pd.DataFrame(rows, columns=["stain", "weights", "n", "accuracy", "macro"]).round(4))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
