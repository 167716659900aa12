"""How well the types are told in pictures that are worse, or other, than those trained on.

The images of annotated regions are changed, each in one way, and the regions classified anew;
label images follow where the size changes.  Prints accuracy, and macro sensitivity over the four
types of chromosomes, of each change::

    python benchmarks/robustness.py FILE.csv [FILE.csv ...] [--model M]

The files are those of ``make model`` (``WORK/test_gband.csv``).  That pixels of other sizes were a
weakness was found with those of the test groups, weights were chosen with those of validation.
"""

from __future__ import annotations

import argparse
import io
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from skimage.segmentation import expand_labels, find_boundaries
from skimage.transform import resize

from napari_chromocluster.imaging.io import read_image, read_labels, write_labels
from napari_chromocluster.imaging.normalization import to_grayscale
from napari_chromocluster.models.classifier import ClusterClassifier, load_model
from napari_chromocluster.models.evaluation import evaluate
from napari_chromocluster.results.annotations import read_annotations, with_allowed_types

Picture = NDArray[np.float32]
Change = Callable[[Picture, np.random.Generator], Picture]


def _as_it_is(picture: Picture, rng: np.random.Generator) -> Picture:
    return picture


def _blurred(picture: Picture, rng: np.random.Generator) -> Picture:
    return np.asarray(ndimage.gaussian_filter(picture, 1.5))


def _noisy(picture: Picture, rng: np.random.Generator) -> Picture:
    return picture + rng.normal(0, 0.05, picture.shape).astype(np.float32)


def _compressed(picture: Picture, rng: np.random.Generator) -> Picture:
    stream = io.BytesIO()
    Image.fromarray(_eight_bits(picture)).save(stream, "JPEG", quality=20)
    return np.asarray(Image.open(stream), np.float32) / np.float32(255)


def _gamma(picture: Picture, rng: np.random.Generator, *, power: float) -> Picture:
    return np.asarray(picture**power, np.float32)


def _faint(picture: Picture, rng: np.random.Generator) -> Picture:
    return 0.4 + 0.25 * picture


def _uneven(picture: Picture, rng: np.random.Generator) -> Picture:
    return picture * np.linspace(0.65, 1.0, picture.shape[1], dtype=np.float32)


def _inverted(picture: Picture, rng: np.random.Generator) -> Picture:
    return 1 - picture


#: Name, what is done to the picture (gray, 0 to 1), the factor of its sides, and by how many px
#: the outlines move outwards.
CHANGES: dict[str, tuple[Change, float, int]] = {
    "as it is": (_as_it_is, 1.0, 0),
    "blurred, standard deviation 1.5 px": (_blurred, 1.0, 0),
    "noise, standard deviation 5 % of the range": (_noisy, 1.0, 0),
    "JPEG of quality 20": (_compressed, 1.0, 0),
    "gamma 1.8": (partial(_gamma, power=1.8), 1.0, 0),
    "gamma 0.55": (partial(_gamma, power=0.55), 1.0, 0),
    "a quarter of the contrast": (_faint, 1.0, 0),
    "light that falls off to 65 % at one side": (_uneven, 1.0, 0),
    "bright and dark exchanged": (_inverted, 1.0, 0),
    "half the resolution": (_as_it_is, 0.5, 0),
    "twice the pixels": (_as_it_is, 2.0, 0),
    "outlines 2 px wider": (_as_it_is, 1.0, 2),
    "outlines 1 px narrower": (_as_it_is, 1.0, -1),
}


def main() -> None:
    """Print a table, one row a change."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--model", default="default")
    options = parser.parse_args()
    classifier = load_model(options.model)
    tables = {file.stem: _with_labels(file) for file in options.files}
    print(",".join(["change", *(f"{name} {what}" for name in tables for what in ("acc", "macro"))]))
    for name, changes in CHANGES.items():
        figures = [_figures(table, changes, classifier) for table in tables.values()]
        print(name, *(f"{value:.3f}" for pair in figures for value in pair), sep=",", flush=True)


def _with_labels(file: Path) -> pd.DataFrame:
    """Return the regions of label images: ready-made crops have no surroundings to change."""
    table = with_allowed_types(read_annotations(file))
    return table[table["labels"].astype(str) != ""].reset_index(drop=True)


def _figures(
    table: pd.DataFrame, changes: tuple[Change, float, int], classifier: ClusterClassifier
) -> tuple[float, float]:
    """Return accuracy and macro sensitivity of regions in changed pictures."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "annotations.csv"
        _changed(table, changes, Path(folder)).to_csv(file, index=False)
        found = evaluate(file, classifier)
    return found.accuracy, found.macro_sensitivity


def _changed(table: pd.DataFrame, changes: tuple[Change, float, int], folder: Path) -> pd.DataFrame:
    """Write changed copies of the images of a table, and return one that names them."""
    change, factor, outwards = changes
    rng = np.random.default_rng(0)
    copies: dict[str, str] = {}
    for name in sorted({str(image) for image in table["image"]}):
        image = read_image(name)
        picture = to_grayscale(image) / (255 if image.dtype == np.uint8 else max(image.max(), 1))
        if factor != 1.0:
            picture = resize(picture, _size(picture, factor), anti_aliasing=factor < 1)
        copies[name] = str(folder / f"image_{len(copies)}.png")
        Image.fromarray(_eight_bits(change(picture, rng))).save(copies[name])
    for name in sorted({str(labels) for labels in table["labels"]}):
        labels = np.asarray(read_labels(name))
        if factor != 1.0:
            labels = _resized(labels, factor)
        labels = _moved(labels, outwards)
        copies[name] = str(folder / f"labels_{len(copies)}.png")
        write_labels(copies[name], labels)
    return table.assign(
        image=table["image"].astype(str).map(copies),
        labels=table["labels"].astype(str).map(copies),
    )


def _resized(labels: NDArray[np.integer], factor: float) -> NDArray[np.integer]:
    """Resize a label image; the steps of larger pixels are smoothed, as fine ones show none."""
    small = np.asarray(
        resize(labels, _size(labels, factor), order=0, preserve_range=True, anti_aliasing=False),
        labels.dtype,
    )
    if factor < 1:
        return small
    out = np.zeros_like(small)
    reach = 2 * round(factor)
    for label, box in enumerate(ndimage.find_objects(small), start=1):
        if box is not None:
            wider = tuple(slice(max(one.start - reach, 0), one.stop + reach) for one in box)
            mask = small[wider] == label
            smooth = ndimage.gaussian_filter(mask.astype(np.float32), factor) > 0.5
            out[wider][smooth] = label
    return out


def _moved(labels: NDArray[np.integer], outwards: int) -> NDArray[np.integer]:
    """Move outlines outwards, or inwards, but for regions that would vanish."""
    if outwards >= 0:
        return np.asarray(expand_labels(labels, outwards))
    edge = find_boundaries(labels, mode="inner")
    thin = np.where(edge, 0, labels)
    lost = np.setdiff1d(np.unique(labels), np.unique(thin))
    return np.where(np.isin(labels, lost), labels, thin)


def _size(picture: NDArray[np.generic], factor: float) -> tuple[int, ...]:
    return tuple(max(1, round(side * factor)) for side in picture.shape)


def _eight_bits(picture: Picture) -> NDArray[np.uint8]:
    return np.rint(np.clip(picture, 0, 1) * 255).astype(np.uint8)


if __name__ == "__main__":
    main()
