"""The same metaphases out of focus and at other magnifications, outlined and named anew.

Blur comes before the outline: in a picture out of focus outlines are wider, neighbours run
into each other, and short chromosomes and nuclei look alike.  No variation of a finished crop
shows that.  Each metaphase that is not for testing is blurred, given noise, DAPI ones enlarged as
well, and segmented; names come from boxes and karyotype maps as in `box_annotations` and
`outline_annotations`.  Writes ``annotations.csv``, pictures and label images into a folder::

    python recipes/default_model/blurred_annotations.py ../shared/data OUT
"""

from __future__ import annotations

import sys
import zlib
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from skimage.transform import resize

from box_annotations import Line, annotate, write_regions
from held_out import part
from napari_chromocluster.imaging.io import read_image, read_labels, write_labels
from napari_chromocluster.imaging.normalization import to_grayscale
from napari_chromocluster.imaging.region_filter import SegmentationParameters, filter_regions
from napari_chromocluster.imaging.segmentation import label_foreground
from outline_annotations import NO_CHROMOSOME, mapped_regions

#: Magnifications of DAPI pictures, and least and greatest blur in px of the picture as it was.
DAPI = ((1, 0.7, 2.0), (2, 0.0, 2.0))
#: The same of G-band pictures, which have larger pixels.
GBAND = ((1, 1.0, 3.0),)
#: Greatest noise, a standard deviation as a share of the range.
NOISE = 0.02


def out_of_focus(
    image: NDArray[np.generic], zoom: int, blur: float, noise: float, seed: int
) -> NDArray[np.uint8]:
    """Return a picture (H, W) enlarged, blurred by a standard deviation in its px, and noisy."""
    gray = np.asarray(to_grayscale(image), np.float32)
    low, high = float(gray.min()), float(gray.max())
    gray = (gray - low) / max(high - low, 1e-6)
    if zoom > 1:
        gray = resize(gray, [zoom * side for side in gray.shape], order=1)
    gray = ndimage.gaussian_filter(gray, zoom * blur)
    gray += np.random.default_rng(seed).normal(0, noise, gray.shape).astype(np.float32)
    return np.asarray(np.rint(255 * gray.clip(0, 1)), np.uint8)


def blurred_metaphase(
    image: Path, rows: pd.DataFrame, group: str, mapped: bool, target: Path
) -> list[Line]:
    """Write pictures and label images of one metaphase; return the lines of its regions."""
    picture = read_image(image)
    rng = np.random.default_rng(zlib.crc32(image.name.encode()))
    lines: list[Line] = []
    for zoom, least, most in DAPI if mapped else GBAND:
        blur, noise = rng.uniform(least, most), rng.uniform(0, NOISE)
        changed = out_of_focus(picture, zoom, blur, noise, int(rng.integers(2**31)))
        settings = SegmentationParameters()
        foreground = label_foreground(changed, settings)
        labels = np.asarray(filter_regions(foreground, settings))
        if mapped:
            known = np.asarray(read_labels(image.parent.parent / rows["labels"].iloc[0]), np.int32)
            known = known.repeat(zoom, 0).repeat(zoom, 1)
            names = dict(zip(rows["label"].astype(int), rows["cluster_type"], strict=True))
            thick = NO_CHROMOSOME * foreground.width
            named = list(mapped_regions(labels, known, names, thick))
        else:
            corners = zoom * rows[["xmin", "ymin", "xmax", "ymax"]].to_numpy(np.int64)
            named = annotate(labels, corners)
        if named:
            # The stem of the metaphase stays: types that were read are found by it.
            file = target / f"{zoom}x" / f"{image.stem}.png"
            outlines = file.with_name(f"{image.stem}_labels.png")
            file.parent.mkdir(exist_ok=True)
            Image.fromarray(changed).save(file)
            write_labels(outlines, labels)
            lines += [
                (file.resolve(), outlines.relative_to(target), *one[:2], group, one[2])
                for one in named
            ]
    return lines


def main(data: Path, target: Path) -> None:
    """Annotate the metaphases with boxes and those with karyotype maps."""
    target.mkdir(parents=True, exist_ok=True)
    boxes = pd.read_csv(data / "gband_metaphases" / "boxes.csv")
    maps = pd.read_csv(data / "mfish" / "annotations.csv", dtype={"group": str})
    work = []
    for source, table, mapped in (("mfish", maps, True), ("gband_metaphases", boxes, False)):
        for name, rows in table.groupby("image", sort=True):
            image = data / source / str(name)
            group = str(rows["group"].iloc[0]) if mapped else image.stem
            if part(source, group) != "test":
                work.append((image, rows, group, mapped))
    with ProcessPoolExecutor() as pool:
        write_regions(target, pool.map(blurred_metaphase, *zip(*work, strict=True), repeat(target)))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
