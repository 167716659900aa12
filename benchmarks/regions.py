"""Time for crops of all regions, by number of regions and of pixels, beside two plain ways.

Sheets of drawn chromosomes, in processor time and one run.  Beside our crops (stain normalized,
mask, common scale, 112 px) stand the plain ways that others use, which only cut and resize: by
the boxes of ``skimage.measure.regionprops``, and by comparing the whole image with each label::

    python benchmarks/regions.py [--most 10000] [--megapixels 100]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage.measure import regionprops
from skimage.transform import resize

from napari_chromocluster.imaging.crops import cut_regions
from napari_chromocluster.imaging.regions import extract_regions
from napari_chromocluster.imaging.segmentation import find_regions
from napari_chromocluster.imaging.synthetic_metaphase import synthetic_metaphase

_SIDE = 112
#: Above this many regions a comparison of the whole image with each label is not waited for.
_MOST_COMPARED = 1000


def sheet(regions: int, megapixels: float) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return an image and labels: metaphases side by side on a background of the given size."""
    made = synthetic_metaphase(seed=1)
    height, width = made.labels.shape
    each = int(made.labels.max())
    count = -(-regions // each)
    side = max(int((megapixels * 1e6) ** 0.5), int(np.ceil(count**0.5)) * max(height, width))
    rows, columns = side // height, side // width
    image = np.full((side, side), np.median(made.image), made.image.dtype)
    labels = np.zeros((side, side), np.int32)
    for number in range(min(count, rows * columns)):
        y, x = number // columns * height, number % columns * width
        image[y : y + height, x : x + width] = made.image
        part = np.where(made.labels > 0, made.labels.astype(np.int32) + number * each, 0)
        labels[y : y + height, x : x + width] = np.where(part <= regions, part, 0)
    return image, labels


def boxes(image: NDArray[Any], labels: NDArray[Any]) -> None:
    """Cut by the boxes of regionprops."""
    for one in regionprops(labels, image):
        resize(one.image_intensity, (_SIDE, _SIDE))


def comparisons(image: NDArray[Any], labels: NDArray[Any]) -> None:
    """Cut by comparing the labels of all pixels with each label."""
    for label in np.unique(labels)[1:]:
        mask = labels == label
        y, x = np.nonzero(mask)
        window = np.s_[y.min() : y.max() + 1, x.min() : x.max() + 1]
        resize(np.where(mask, image, 0)[window], (_SIDE, _SIDE))


def ours(image: NDArray[Any], labels: NDArray[Any]) -> None:
    """Cut as the classifier does."""
    found = extract_regions(labels)
    for _ in cut_regions(image, labels, found, found):
        pass


def seconds(work: Callable[..., Any], *arguments: Any) -> float:
    """Return the processor time of work."""
    began = time.process_time()
    work(*arguments)
    return time.process_time() - began


def main() -> None:
    """Measure and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--most", type=int, default=10_000)
    parser.add_argument("--megapixels", type=float, default=100)
    options = parser.parse_args()
    sizes = [(46, 1), (46, 13), (46, 100), (1000, 13), (10_000, 100)]
    print("| regions | megapixels | find, s/megapixel | our crops, s | regionprops | comparisons |")
    print("|---|---|---|---|---|---|")
    for regions, megapixels in sizes:
        if regions > options.most or megapixels > options.megapixels:
            continue
        image, labels = sheet(regions, megapixels)
        count, size = len(np.unique(labels)) - 1, labels.size / 1e6
        crops = seconds(ours, image, labels)
        plain = seconds(boxes, image, labels)
        compared = "not run"
        if count <= _MOST_COMPARED and count * size < 5000:
            compared = f"{seconds(comparisons, image, labels) / crops:.1f} times ours"
        find = seconds(find_regions, image) / size
        print(
            f"| {count} | {size:.0f} | {find:.2f} | {crops:.2f} | {plain / crops:.1f} times ours "
            f"| {compared} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
