"""Procedural chromosomes and metaphases with known ground truth.

Chromosomes have the lengths and centromeres of the human karyotype, two
chromatids, and bands along their axis.  They are used in the demo, the docs
and the tests.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from napari_chromocluster.cluster_types import TYPES, ClusterType
from napari_chromocluster.imaging.chromatid_synthesis import ChromatidStyle, splayed_chromosome
from napari_chromocluster.imaging.chromosome_synthesis import SingleChromosome, transform_chromosome
from napari_chromocluster.imaging.cluster_synthesis import (
    WORKING_WIDTH,
    ComposedCluster,
    SynthesisParameters,
    compose_one,
)
from napari_chromocluster.imaging.files import atomic_path, write_text_atomic
from napari_chromocluster.imaging.io import write_labels

Stain = Literal["giemsa", "dapi"]

#: Length (relative to the longest) and centromere position of chromosomes 1-22, X and Y.
KARYOTYPE: tuple[tuple[float, float], ...] = (
    (1.00, 0.49), (0.97, 0.39), (0.80, 0.46), (0.76, 0.27), (0.73, 0.27), (0.69, 0.36),
    (0.64, 0.38), (0.58, 0.32), (0.56, 0.35), (0.54, 0.30), (0.54, 0.40), (0.53, 0.27),
    (0.46, 0.16), (0.43, 0.17), (0.41, 0.18), (0.36, 0.41), (0.33, 0.30), (0.32, 0.23),
    (0.24, 0.45), (0.26, 0.44), (0.19, 0.28), (0.21, 0.29), (0.62, 0.39), (0.23, 0.20),
)  # fmt: skip
_LONGEST = 80.0
#: Blur of the optics, in px.
_BLUR = 0.7
#: Signal at the segmented edge of a chromosome; it is fainter with DAPI.
_EDGE: dict[Stain, float] = {"giemsa": 0.2, "dapi": 0.06}


@dataclass(frozen=True)
class SyntheticMetaphase:
    """A metaphase with ground truth.

    Attributes
    ----------
    image : (H, W) uint8 array
        The image.
    labels : (H, W) int32 array
        Regions as a segmentation would find them.
    types : dict of int to ClusterType
        The true type of each label.
    chromosomes : dict of int to int
        Number of chromosomes of each label (0 for a nucleus or debris).
    """

    image: NDArray[np.uint8]
    labels: NDArray[np.int32]
    types: dict[int, ClusterType]
    chromosomes: dict[int, int] = field(default_factory=dict)


def procedural_chromosome(
    rng: np.random.Generator,
    *,
    length: float | None = None,
    width: float = WORKING_WIDTH,
    centromere: float | None = None,
    bend: float | None = None,
    group: str = "synthetic",
    kind: int | None = None,
) -> SingleChromosome:
    """Draw one chromosome.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of randomness.
    length, width : float
        In px; the length defaults to that of the chromosome's kind.
    centromere : float
        Position of the centromere relative to the length.
    bend : float
        Angle between the two ends, in radians.
    group : str
        Name of the metaphase.
    kind : int
        Index in `KARYOTYPE`, which also sets the bands, so that homologues look
        alike; random by default.

    Returns
    -------
    SingleChromosome
        At a random angle.
    """
    kind = int(rng.integers(len(KARYOTYPE))) if kind is None else kind
    share, place = KARYOTYPE[kind]
    length = share * _LONGEST if length is None else length
    centromere = place if centromere is None else centromere
    length = max(length, 1.9 * width)  # as the smallest are in real metaphases
    height, breadth = math.ceil(width) + 12, math.ceil(length) + 12
    y, x = np.mgrid[0:height, 0:breadth].astype(np.float32)
    along = (x - breadth / 2) / length + 0.5
    across = y - height / 2
    half = width / 2 * (1 - 0.3 * np.exp(-(((along - centromere) * length / (0.3 * width)) ** 2)))
    half = half * (1 + 0.05 * np.sin(along * length / width * 4 + float(rng.uniform(0, 6.3))))
    cleft = np.exp(-((across / (0.4 * half)) ** 2))
    # The ends are round, with a notch between the chromatids.
    to_end = np.minimum(along, 1 - along) * length - float(rng.uniform(0, 0.2 * width)) * cleft
    round_end = np.sqrt(np.clip(1 - (1 - np.clip(to_end / half, 0, 1)) ** 2, 0, 1))
    body = np.clip(half * round_end - np.abs(across) + 0.5, 0, 1) * ((along > 0) & (along < 1))
    # Bands are curved.
    bowed = along + float(rng.normal(0, 0.8)) * (across / half) ** 2 / length
    signal = body * _bands(rng, bowed, kind, length, width)
    signal *= 1 - float(rng.uniform(0.05, 0.3)) * cleft
    signal = ndimage.gaussian_filter(signal, 0.7)
    chromosome = SingleChromosome(signal.astype(np.float32), body > 0.5, group)
    turn = float(rng.normal(0, 0.45)) if bend is None else bend
    return transform_chromosome(chromosome, float(rng.uniform(0, math.pi)), 1.0, turn)


def _bands(
    rng: np.random.Generator,
    along: NDArray[np.float32],
    kind: int,
    length: float,
    width: float,
) -> NDArray[np.float32]:
    """Return dark bands of various strengths, the same for all chromosomes of a kind."""
    pattern = np.random.default_rng([kind, 550])
    count = max(3, round(KARYOTYPE[kind][0] * _LONGEST / (0.72 * WORKING_WIDTH)))
    spots = (np.arange(count) + 0.5 + pattern.uniform(-0.3, 0.3, count)) / count
    strength = pattern.choice([0.25, 0.6, 0.9, 1.1], count)
    # No kind is pale from end to end.
    strength = np.maximum(strength * max(1.0, 0.65 / strength.mean()), 0.25)
    spread = pattern.uniform(0.2, 0.36, count) / count
    # Stain and stretching differ from one chromosome to the next.
    strength = strength * rng.normal(1, 0.12, count)
    spots = spots + rng.normal(0, 0.012, count)
    profile = np.full(along.shape, 0.45, np.float32)
    edge = 0.06 * width / length
    for spot, power, wide in zip(spots, strength, spread, strict=True):
        profile += power / (1 + np.exp((np.abs(along - spot) - wide) / edge))
    return np.asarray(np.minimum(profile, 1.5) * float(rng.normal(1, 0.05)), np.float32)


def _chromosome(
    rng: np.random.Generator, kind: int, chromatids: ChromatidStyle | None
) -> SingleChromosome:
    """Draw a chromosome of the karyotype, with its chromatids joined or separate."""
    if chromatids is None:
        return procedural_chromosome(rng, kind=kind)
    share, centromere = KARYOTYPE[kind]
    if chromatids.shortest is not None:
        share, centromere = float(rng.uniform(chromatids.shortest, 1)), float(rng.uniform(0, 0.5))
    if centromere < 0.3:  # the short arms of acrocentrics are too short to be visible
        centromere *= 0.3
    return splayed_chromosome(rng, chromatids, share=share, centromere=centromere, pattern=kind)


def _cluster(
    rng: np.random.Generator,
    kind: ClusterType,
    members: list[int],
    chromatids: ChromatidStyle | None,
) -> ComposedCluster:
    """Compose a cluster of the given chromosomes, each used once."""
    look = SynthesisParameters(bend=0.8, opaque=0.0, loose=0.0, blur=0.4, noise=0.0)
    width = WORKING_WIDTH if chromatids is None else chromatids.width
    while True:
        pool = [_chromosome(rng, member, chromatids) for member in members]
        made = compose_one(pool, rng, kind, len(members), look, width)
        if made is not None:
            return made


def _nucleus(rng: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    radius = float(rng.uniform(34, 46))
    side = math.ceil(1.25 * radius) + 10
    y, x = np.mgrid[-side : side + 1, -side : side + 1].astype(np.float32)
    angle = np.arctan2(y, x)
    wobble = sum(
        float(rng.normal(0, 0.02)) * np.cos(k * angle + float(rng.uniform(0, 6.3)))
        for k in range(2, 6)
    )
    inside = np.clip(radius * (1 + wobble) - np.hypot(y, x * rng.uniform(0.8, 1.0)), 0, 1)
    fine = ndimage.gaussian_filter(rng.normal(0, 1, y.shape), 1.3) * 0.45
    clumps = ndimage.gaussian_filter(rng.normal(0, 1, y.shape), 5.0) * 2.2
    texture = np.clip(0.75 + fine + clumps, 0.3, 1.4)
    return (inside * texture).astype(np.float32), inside > 0.5


def _debris(rng: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    side = 12
    y, x = np.mgrid[-side : side + 1, -side : side + 1].astype(np.float32)
    noise = ndimage.gaussian_filter(rng.normal(0, 1, y.shape), 1.6) * 4
    inside = np.clip(rng.uniform(4, 6) + noise - np.hypot(y, x), 0, 1)
    return (inside * rng.uniform(0.8, 1.6)).astype(np.float32), inside > 0.5


class _Field:
    """An empty slide on which objects are placed where there is space."""

    def __init__(self, shape: tuple[int, int]) -> None:
        self.signal = np.zeros(shape, np.float32)
        self.labels = np.zeros(shape, np.int32)
        self.taken = np.zeros(shape, bool)

    def put(
        self,
        rng: np.random.Generator,
        signal: NDArray[np.float32],
        mask: NDArray[np.bool_],
        spread: float,
    ) -> int:
        """Place an object near the center and return its label, or 0 if there is no space."""
        height, width = mask.shape
        free_y, free_x = self.labels.shape[0] - height, self.labels.shape[1] - width
        if free_y <= 0 or free_x <= 0:
            return 0
        for attempt in range(400):
            wide = spread * (1 + attempt / 150)
            top = round(free_y * (0.5 + wide * float(rng.normal())))
            left = round(free_x * (0.5 + wide * float(rng.normal())))
            if not (0 <= top < free_y and 0 <= left < free_x):
                continue
            window = (slice(top, top + height), slice(left, left + width))
            if (self.taken[window] & mask).any():
                continue
            label = int(self.labels.max()) + 1
            self.signal[window] = np.maximum(self.signal[window], np.where(mask, signal, 0))
            soft = ndimage.binary_dilation(mask, iterations=2) & ~mask
            self.signal[window] += np.where(soft & (self.labels[window] == 0), signal, 0)
            self.labels[window][mask] = label
            near = np.zeros(self.taken.shape, bool)
            near[window] = mask
            self.taken |= ndimage.binary_dilation(near, iterations=6)
            return label
        return 0


#: Clusters of a metaphase: type and number of chromosomes.
_PLAN: tuple[tuple[ClusterType, int], ...] = (
    (ClusterType.TOUCHING_OVERLAPPING, 3),
    (ClusterType.OVERLAPPING, 2),
    (ClusterType.OVERLAPPING, 2),
    (ClusterType.OVERLAPPING, 2),
    (ClusterType.TOUCHING, 3),
    (ClusterType.TOUCHING, 2),
    (ClusterType.TOUCHING, 2),
    (ClusterType.TOUCHING, 2),
    (ClusterType.TOUCHING, 2),
)


def synthetic_metaphase(
    seed: int = 0,
    stain: Stain = "giemsa",
    size: tuple[int, int] = (560, 640),
    clusters: tuple[tuple[ClusterType, int], ...] = _PLAN,
    chromosomes: int = 46,
    chromatids: ChromatidStyle | None = None,
) -> SyntheticMetaphase:
    """Draw a metaphase of about 46 chromosomes, some of them in clusters.

    Parameters
    ----------
    seed : int
        The same seed gives exactly the same image.
    stain : {"giemsa", "dapi"}
        Dark chromosomes on light, or bright ones on black.
    size : tuple of int
        Height and width in px.
    clusters : tuple of (ClusterType, int)
        Clusters and the number of chromosomes of each.
    chromosomes : int
        Total number of chromosomes.
    chromatids : ChromatidStyle, optional
        Style of separate sister chromatids; by default they are joined.

    Returns
    -------
    SyntheticMetaphase
        Image, labels and ground truth; nuclei and debris are ``other``.
    """
    rng = np.random.default_rng([seed, 2021])
    field_ = _Field(size)
    order = [int(i) % 23 for i in rng.permutation(chromosomes)]
    types: dict[int, ClusterType] = {}
    held: dict[int, int] = {}

    def place(
        signal: NDArray[np.float32], mask: NDArray[np.bool_], kind: ClusterType, n: int, wide: float
    ) -> None:
        label = field_.put(rng, signal, mask, wide)
        if label:
            types[label], held[label] = kind, n

    place(*_nucleus(rng), ClusterType.OTHER, 0, 0.45)
    for kind, n in clusters:
        if len(order) - n < chromosomes / 3:  # a small metaphase has fewer clusters
            continue
        mine, order = order[:n], order[n:]
        made = _cluster(rng, kind, mine, chromatids)
        place(made.signal, made.mask, kind, n, 0.2)
    for member in order:
        one = _chromosome(rng, member, chromatids)
        place(one.signal, one.mask, ClusterType.SINGLE, 1, 0.22)
    for _ in range(2):
        place(*_debris(rng), ClusterType.OTHER, 0, 0.4)
    signal = ndimage.gaussian_filter(field_.signal, _BLUR)
    return SyntheticMetaphase(
        _picture(rng, signal, stain), _outlines(signal, field_.labels, _EDGE[stain]), types, held
    )


def _outlines(
    signal: NDArray[np.float32], labels: NDArray[np.int32], edge: float
) -> NDArray[np.int32]:
    """Grow the labels to the outline that a threshold would give."""
    seen = (signal > edge) & (labels == 0)
    distance, nearest = ndimage.distance_transform_edt(labels == 0, return_indices=True)
    grown = labels[tuple(nearest)]
    return np.where(seen & (distance < 2.5), grown, labels).astype(np.int32)


def _litter(rng: np.random.Generator, shape: tuple[int, int], stain: Stain) -> NDArray[np.float32]:
    """Return faint cytoplasm and small bubbles, far too pale for chromosomes."""
    out = ndimage.gaussian_filter(rng.normal(0, 1, shape), 9.0) * 0.25
    bubbles = shape[0] * shape[1] // 20000 if stain == "giemsa" and min(shape) > 16 else 0
    for _ in range(bubbles):
        cy, cx = rng.uniform(8, shape[0] - 8), rng.uniform(8, shape[1] - 8)
        radius, power = rng.uniform(2.0, 4.5), rng.uniform(0.06, 0.16)
        y0, x0 = int(cy) - 8, int(cx) - 8
        window = (slice(max(y0, 0), y0 + 17), slice(max(x0, 0), x0 + 17))
        y, x = np.mgrid[window]
        far = np.hypot(y - cy, x - cx)
        out[window] += power * np.exp(-((far - radius) ** 2)) - 0.5 * power * (far < radius - 1)
    return np.asarray(out, np.float32)


def _picture(
    rng: np.random.Generator, signal: NDArray[np.float32], stain: Stain
) -> NDArray[np.uint8]:
    """Convert signal to a camera image with uneven illumination, debris and noise."""
    height, width = signal.shape
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    tilt = rng.normal(0, 0.03, 2)
    light = 1 - 0.06 * (x * x + y * y) + tilt[0] * x + tilt[1] * y
    signal = signal + _litter(rng, signal.shape, stain) * np.exp(-4 * np.maximum(signal, 0))
    grain = ndimage.gaussian_filter(rng.normal(0, 1, signal.shape), 0.6)
    if stain == "dapi":
        # DAPI bands are paler than Giemsa bands.
        shown = 12 + 110 * light * np.maximum(signal, 0) ** 0.7 + 3.0 * grain
    else:
        shown = 232 * light * np.exp(-0.75 * signal) + 3.0 * grain
    return np.asarray(np.clip(np.rint(shown), 0, 255), np.uint8)


def synthetic_stack(
    seeds: list[int], stain: Stain = "giemsa"
) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """Return images (N, H, W) and labels (N, H, W) of several metaphases."""
    made = [synthetic_metaphase(seed, stain) for seed in seeds]
    return np.stack([one.image for one in made]), np.stack([one.labels for one in made])


def synthetic_annotations(
    folder: str | Path, seeds: list[int], stain: Stain = "giemsa", chromosomes: int = 46
) -> Path:
    """Write annotated synthetic metaphases and return the annotation CSV.

    Parameters
    ----------
    folder : path
        Folder for images, label images and ``annotations.csv``.
    seeds : list of int
        One metaphase, and one group, for each.
    stain : {"giemsa", "dapi"}
        The stain.
    chromosomes : int
        Chromosomes in each.
    """
    target = Path(folder)
    lines = ["image,labels,label,cluster_type,group"]
    for seed in seeds:
        made = synthetic_metaphase(seed, stain, chromosomes=chromosomes)
        image, labels = f"metaphase_{seed}.png", f"metaphase_{seed}_labels.png"
        with atomic_path(target / image) as temporary:
            Image.fromarray(made.image).save(temporary)
        write_labels(target / labels, made.labels)
        for label, kind in sorted(made.types.items()):
            if kind in TYPES:
                lines.append(f"{image},{labels},{label},{kind},metaphase_{seed}")
    write_text_atomic(target / "annotations.csv", "\n".join(lines) + "\n")
    return target / "annotations.csv"
