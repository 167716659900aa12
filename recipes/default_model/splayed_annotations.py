"""Synthetic metaphases with sister chromatids apart, segmented and annotated for training.

Few real pictures with chromatids apart may be trained on.  Each drawn metaphase has a style of its
own (opening, gap, contraction, bands, see `imaging.chromatid_synthesis`), a magnification, blur and
noise; it is segmented as a user would, and each region is named by the drawn chromosomes that it
holds.
Writes ``annotations.csv``, pictures and label images into a folder::

    python recipes/default_model/splayed_annotations.py OUT [--count 300] [--seed 0]
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from skimage.transform import resize

from box_annotations import Line, write_regions
from napari_chromocluster.cluster_types import ClusterType
from napari_chromocluster.imaging.chromatid_synthesis import random_style
from napari_chromocluster.imaging.io import write_labels
from napari_chromocluster.imaging.region_filter import SegmentationParameters
from napari_chromocluster.imaging.segmentation import segment_metaphase
from napari_chromocluster.imaging.synthetic_metaphase import SyntheticMetaphase, synthetic_metaphase

#: A region holds a chromosome of which it covers this share...
_HELD = 0.75
#: ...and is left out where it covers more than this share of one that it does not hold.
_PART = 0.1
#: Clusters of a metaphase: type, chromosomes, relative frequency.
_CLUSTERS = (
    (ClusterType.TOUCHING, 2, 0.36),
    (ClusterType.TOUCHING, 3, 0.12),
    (ClusterType.OVERLAPPING, 2, 0.3),
    (ClusterType.TOUCHING_OVERLAPPING, 3, 0.14),
    (ClusterType.TOUCHING_OVERLAPPING, 4, 0.08),
)


def drawn_metaphase(seed: int) -> SyntheticMetaphase:
    """Draw a metaphase with a random style, magnification, blur and noise."""
    rng = np.random.default_rng([seed, 909])
    style = random_style(rng, width=float(rng.uniform(5.0, 8.0)))
    shares = np.array([share for *_, share in _CLUSTERS])
    picks = rng.choice(len(_CLUSTERS), size=int(rng.integers(4, 12)), p=shares / shares.sum())
    count = int(rng.integers(24, 70))
    reach = 0.5 * style.longest * style.width + 1.5 * style.width
    side = int(np.clip(1.35 * np.sqrt(count) * (reach + 4), 420, 1300))
    made = synthetic_metaphase(
        seed,
        "giemsa" if rng.random() < 0.65 else "dapi",
        (side, int(1.15 * side)),
        tuple((kind, n) for kind, n, _ in (_CLUSTERS[one] for one in picks)),
        count,
        style,
    )
    # From coarse pixels to a strong objective; the optics blur as far as the pixels are small.
    zoom = float(np.exp(rng.uniform(np.log(0.5), np.log(1.6))))
    shape = tuple(round(zoom * one) for one in made.image.shape)
    blur = float(rng.uniform(0, 0.3)) * style.width
    image = ndimage.gaussian_filter(made.image.astype(np.float32), blur)
    image = resize(image, shape, order=1, anti_aliasing=zoom < 1, preserve_range=True)
    image = image + rng.normal(0, float(rng.uniform(0, 8)), shape)
    labels = resize(made.labels, shape, order=0, anti_aliasing=False, preserve_range=True)
    return SyntheticMetaphase(
        np.asarray(np.clip(np.rint(image), 0, 255), np.uint8),
        labels.astype(np.int32),
        made.types,
        made.chromosomes,
    )


def named_regions(
    regions: NDArray[np.int32], made: SyntheticMetaphase
) -> Iterator[tuple[int, str, int]]:
    """Yield label, type and number of chromosomes of the regions that the drawn truth names."""
    most = int(made.labels.max()) + 1
    pairs = np.bincount(
        regions.ravel().astype(np.int64) * most + made.labels.ravel(),
        minlength=(int(regions.max()) + 1) * most,
    ).reshape(-1, most)
    whole = np.maximum(np.bincount(made.labels.ravel(), minlength=most), 1)
    for label in range(1, len(pairs)):
        covered = pairs[label] / whole
        covered[0] = 0
        here = np.flatnonzero(covered >= _HELD)
        if ((covered > _PART) & (covered < _HELD)).any():
            continue
        types = [made.types[int(one)] for one in here]
        chromosomes = sum(made.chromosomes[int(one)] for one in here)
        if not types or set(types) == {ClusterType.OTHER}:
            yield label, str(ClusterType.OTHER), 0
        elif len(types) == 1:
            yield label, str(types[0]), chromosomes
        elif set(types) == {ClusterType.SINGLE}:
            # Neighbours that the outline joins.
            yield label, str(ClusterType.TOUCHING), chromosomes


def annotated_metaphase(seed: int, target: Path) -> list[Line]:
    """Draw, segment and write one metaphase; return the lines of its regions."""
    made = drawn_metaphase(seed)
    factor = float(np.random.default_rng([seed, 910]).choice([0.7, 1.0, 1.0, 1.3]))
    # What is cut off by a rule for real debris is a chromosome here.
    settings = SegmentationParameters(most_ragged=12.0, thickest_region=4.0)
    regions = segment_metaphase(made.image, settings.with_tightness(factor))
    name = f"splayed_{seed}"
    image, labels = target / f"{name}.png", target / f"{name}_labels.png"
    Image.fromarray(made.image).save(image)
    write_labels(labels, regions)
    return [
        (image.resolve(), labels.name, *one[:2], name, one[2])
        for one in named_regions(regions, made)
    ]


def main() -> None:
    """Write the annotated metaphases."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target", type=Path)
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    options.target.mkdir(parents=True, exist_ok=True)
    seeds = range(options.seed, options.seed + options.count)
    with ProcessPoolExecutor(2) as pool:
        work = partial(annotated_metaphase, target=options.target)
        write_regions(options.target, pool.map(work, seeds))


if __name__ == "__main__":
    main()
