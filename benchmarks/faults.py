"""What an older version of the program made of pictures with six kinds of faults, and this one.

    git worktree add --detach ../older COMMIT
    python benchmarks/faults.py --before ../older

draws one metaphase for each stain, lays one fault at a time into it, and prints the table of
`docs/segmentation.md`.  Both versions segment and classify it with the model of their own.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_chromocluster.cluster_types import ClusterType
from napari_chromocluster.imaging import disturbances
from napari_chromocluster.imaging.synthetic_metaphase import SyntheticMetaphase, synthetic_metaphase

#: Share of a chromosome that must be found; share from which on it is hidden, and what hides it.
FOUND, HIDDEN, CHANGED = 0.6, 0.3, 40
#: Faults that hide what they are laid on: chromosomes below are not counted.
HIDES = ("black nucleus and scale bar", "rims of nine nuclei", "burned-in text", "grains")
#: What is left of the contrast of a pale chromosome.
PALE = 0.5
#: What either version does; run by Python with the sources of that version.
CODE = """
import sys
import numpy as np
from napari_chromocluster.imaging.segmentation import segment_metaphase
from napari_chromocluster.models.classifier import load_model
model = load_model("default", "cpu")
pictures = np.load(sys.argv[1])
found = {}
for name in pictures.files:
    labels = segment_metaphase(pictures[name])
    table = model.classify(pictures[name], labels)
    types = np.zeros(labels.max() + 1, "U32")
    types[table["index"].astype(int)] = table["cluster_type"].astype(str)
    found[name + "|labels"], found[name + "|types"] = labels, types
np.savez(sys.argv[2], **found)
"""

Picture = NDArray[np.uint8]


def _small_singles(made: SyntheticMetaphase) -> NDArray[np.intp]:
    """Labels of the singles that are smaller than their median."""
    singles = np.array([k for k, kind in made.types.items() if kind is ClusterType.SINGLE])
    areas = np.bincount(made.labels.ravel())[singles]
    return np.asarray(singles[areas < np.median(areas)], np.intp)


def _pale(made: SyntheticMetaphase) -> Picture:
    """Return the picture with half the contrast where small singles are."""
    small = np.isin(made.labels, _small_singles(made))
    share = ndimage.gaussian_filter(
        ndimage.binary_dilation(small, iterations=3).astype(np.float32), 1.0
    )
    background = np.median(made.image)
    return np.asarray(
        np.rint(made.image - (1 - PALE) * share * (made.image - background)), np.uint8
    )


def _black(made: SyntheticMetaphase, dark: bool) -> Picture:
    return disturbances.with_text(disturbances.with_nuclei(made.image, dark, 1), dark)


FAULTS: dict[str, Callable[[SyntheticMetaphase, bool], Picture]] = {
    "black nucleus and scale bar": _black,
    "rims of nine nuclei": lambda made, dark: disturbances.DISTURBANCES["9 nuclei"](
        made.image, dark
    ),
    "stained cytoplasm": lambda made, dark: disturbances.with_cytoplasm(made.image, dark),
    "grainy outlines, three times the pixels": lambda made, dark: disturbances.magnified(
        made.image, dark
    ),
    "burned-in text": lambda made, dark: disturbances.with_text(made.image, dark),
    "small pale singles": lambda made, dark: _pale(made),
    "grains": lambda made, dark: disturbances.with_grains(made.image, dark),
}


def answers(source: Path, pictures: Path, folder: Path) -> dict[str, NDArray[Any]]:
    """Return what the program in a source tree makes of some pictures."""
    out = folder / "found.npz"
    environment = os.environ | {"PYTHONPATH": str(source / "src")}
    subprocess.run([sys.executable, "-c", CODE, pictures, out], env=environment, check=True)
    with np.load(out) as found:
        return dict(found)


def figures(
    fault: str,
    made: SyntheticMetaphase,
    picture: Picture,
    labels: NDArray[np.integer],
    types: NDArray[np.str_],
) -> str:
    """Chromosomes found, regions that hold one, and singles called other, of all that are whole."""
    zoom = labels.shape[0] // made.labels.shape[0]
    truth = made.labels.repeat(zoom, 0).repeat(zoom, 1)
    covered: set[int] = set()
    if fault in HIDES:
        changed = np.abs(picture.astype(int) - made.image.astype(int)) > CHANGED
        parts = np.bincount(truth[changed], minlength=truth.max() + 1)
        covered = set(np.flatnonzero(parts > HIDDEN * np.bincount(truth.ravel())).tolist())
    chromosomes = [k for k, kind in made.types.items() if kind is not ClusterType.OTHER]
    whole = [k for k in chromosomes if k not in covered]
    found = sum((labels[truth == k] > 0).mean() > FOUND for k in whole)
    areas = np.bincount(labels.ravel())
    held = np.bincount(labels[ndimage.binary_dilation(np.isin(truth, chromosomes), iterations=2)],
                       minlength=areas.size)  # fmt: skip
    true = int((held >= 0.5 * areas)[1:].sum())
    other = 0
    small = [k for k in _small_singles(made) if k in whole]
    for k in small:
        mine = np.bincount(labels[truth == k])
        mine[0] = 0
        other += int(mine.any() and str(types[mine.argmax()]) == ClusterType.OTHER.value)
    return f"{found} of {len(whole)} | {true} of {areas.size - 1} | {other} of {len(small)}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--before", type=Path, help="the source tree of an older version")
    arguments = parser.parse_args()
    made = {stain: synthetic_metaphase(2, stain) for stain in ("giemsa", "dapi")}
    pictures: dict[str, Any] = {
        f"{name}|{stain}": fault(one, stain == "giemsa")
        for name, fault in FAULTS.items()
        for stain, one in made.items()
    }
    trees = {"now": Path(__file__).parents[1]}
    if arguments.before:
        trees = {"before": arguments.before, **trees}
    print("| fault | stain | version | chromosomes found | regions that hold one | small singles "
          "called other |\n|---|---|---|---|---|---|")  # fmt: skip
    with tempfile.TemporaryDirectory() as name:
        file = Path(name) / "pictures.npz"
        np.savez(file, **pictures)
        found = {version: answers(tree, file, Path(name)) for version, tree in trees.items()}
    for key, picture in pictures.items():
        fault, stain = key.split("|")
        for version, answer in found.items():
            labels, types = answer[f"{key}|labels"], answer[f"{key}|types"]
            shown = figures(fault, made[stain], picture, labels, types)
            print(f"| {fault} | {stain} | {version} | {shown} |")


if __name__ == "__main__":
    main()
