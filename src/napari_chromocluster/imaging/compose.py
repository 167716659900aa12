"""Compose labelled clusters from single chromosomes.

Chromosomes are rotated, bent and scaled, then laid down one after the other so
that each touches or crosses one that lies there.  The type is read off the
geometry of what was laid down, never off the intention:

* two chromosomes **overlap** if they share at least ``OVERLAP_AREA`` of the
  square of a chromosome's width;
* they **touch** if they share at most ``TOUCH_AREA`` of it and their masks
  come within the gap that thresholding or a blurred halo bridges;
* anything in between is a case on which humans disagree: it is thrown away.

A cluster whose pairs only touch is *touching*, one whose pairs only overlap
is *overlapping*, one with both is *touching_overlapping*.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_chromocluster.imaging.chromosome import SingleChromosome
from napari_chromocluster.taxonomy import ClusterType

#: Shared area, in squared chromosome widths, from which two chromosomes overlap.
OVERLAP_AREA = 0.45
#: Shared area, in squared chromosome widths, up to which they only touch.
TOUCH_AREA = 0.15
#: Widest gap, in pixels of a chromosome 10 px wide, that a near miss may have.
WIDEST_GAP = 2.6
#: Gaps in sight, in the same pixels, that loose outlines bridge.
_GAPS_IN_SIGHT = (1.5, 4.0)
#: Width of a chromosome, in pixels, at which clusters are composed unless another is asked for.
WORKING_WIDTH = 10.0
#: Widths between which `natural_width` lies: below, shapes are lost; above, only time.
_WIDTHS = (7.0, 14.0)

Float = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class ComposedCluster:
    """A region made of known chromosomes.

    Attributes
    ----------
    signal : (h, w) float32 array
        Chromosome signal.
    mask : (h, w) bool array
        The region, one connected piece unless ``bridged`` by its halo only.
    cluster_type : ClusterType
        The true type, from geometry.
    chromosomes : int
        How many chromosomes it holds.
    """

    signal: Float
    mask: Mask
    cluster_type: ClusterType
    chromosomes: int


@dataclass(frozen=True)
class Appearance:
    """How a composed cluster is made to look.

    Attributes
    ----------
    bend : float
        Largest bend, as the turn of the chromosome's ends in radians.
    opaque : float
        Share of clusters in which the upper chromosome hides the lower one.
    loose : float
        Share of clusters whose mask is a loose outline, not a threshold.
    near : float
        Share of clusters that touch whose chromosomes keep a gap in sight,
        which a loose outline bridges.
    blur : float
        Largest blur, in px of a chromosome 10 px wide.
    noise : float
        Largest standard deviation of noise, in units of the signal.
    """

    bend: float = 1.2
    opaque: float = 0.25
    loose: float = 0.3
    near: float = 0.0
    blur: float = 1.0
    noise: float = 0.05


def chromosome_width(mask: Mask) -> float:
    """Width of a chromosome: twice the 80th percentile of the depth of its ridge, in px."""
    depth = ndimage.distance_transform_edt(np.pad(mask, 1))
    ridge = (depth == ndimage.maximum_filter(depth, size=3)) & (depth > 0)
    values = depth[ridge]
    return float(2 * np.percentile(values, 80)) if values.size else 1.0


def natural_width(singles: Sequence[SingleChromosome]) -> float:
    """Width, in px, at which clusters of these are as sharp as the chromosomes themselves."""
    widths = [chromosome_width(one.mask) for one in singles[:60]]
    return float(np.clip(np.median(widths), *_WIDTHS)) if widths else WORKING_WIDTH


def principal_angle(mask: Mask) -> float:
    """Angle of the long axis of a mask to the x axis, in radians."""
    ys, xs = np.nonzero(mask)
    if ys.size < 3:
        return 0.0
    covariance = np.cov(np.stack([xs, ys]))
    _, vectors = np.linalg.eigh(covariance)
    return math.atan2(float(vectors[1, -1]), float(vectors[0, -1]))


def transform_chromosome(
    chromosome: SingleChromosome, angle: float, scale: float, bend: float, flip: bool = False
) -> SingleChromosome:
    """Turn, scale and bend a chromosome.

    Parameters
    ----------
    chromosome : SingleChromosome
        The chromosome; its surroundings in ``signal`` travel along.
    angle : float
        New angle of its long axis, in radians.
    scale : float
        Factor of its size.
    bend : float
        Turn of its two ends against each other, in radians.
    flip : bool
        Whether to mirror it.
    """
    mask = chromosome.mask
    ys, xs = np.nonzero(mask)
    cy, cx = float(ys.mean()), float(xs.mean())
    long_axis = principal_angle(mask)
    cos, sin = math.cos(long_axis), math.sin(long_axis)
    along = (xs - cx) * cos + (ys - cy) * sin
    half = max(float(np.abs(along).max()), 1.0)
    reach = float(np.sqrt((ys - cy) ** 2 + (xs - cx) ** 2).max())
    side = math.ceil(reach * scale) + 5
    grid_y, grid_x = np.mgrid[-side : side + 1, -side : side + 1].astype(np.float32)
    u = (grid_x * math.cos(angle) + grid_y * math.sin(angle)) / scale
    v = (-grid_x * math.sin(angle) + grid_y * math.cos(angle)) / scale
    if bend:
        # A parabola along the long axis; arc length is kept to first order.
        curve = bend / (4 * half)
        v = v - curve * (u * u - half * half / 3)
        u = u * (1 + 0.5 * (curve * u) ** 2)
    if flip:
        v = -v
    source = np.stack([cy + u * sin + v * cos, cx + u * cos - v * sin])
    signal = ndimage.map_coordinates(chromosome.signal, source, order=1, mode="constant")
    soft = ndimage.map_coordinates(mask.astype(np.float32), source, order=1, mode="constant")
    return SingleChromosome(signal.astype(np.float32), soft > 0.5, chromosome.group)


class _Canvas:
    """Chromosomes laid down so far."""

    def __init__(self, side: int) -> None:
        self.side = side
        self.signals: list[Float] = []
        self.masks: list[Mask] = []
        self.angles: list[float] = []

    def offsets(self, chromosome: SingleChromosome, y: float, x: float) -> tuple[int, int]:
        height, width = chromosome.mask.shape
        return round(y - height / 2), round(x - width / 2)

    def put(self, chromosome: SingleChromosome, y: float, x: float, angle: float) -> bool:
        """Lay a chromosome with its centre at (y, x); False if it does not fit."""
        top, left = self.offsets(chromosome, y, x)
        height, width = chromosome.mask.shape
        if top < 0 or left < 0 or top + height > self.side or left + width > self.side:
            return False
        signal = np.zeros((self.side, self.side), np.float32)
        mask = np.zeros((self.side, self.side), bool)
        window = (slice(top, top + height), slice(left, left + width))
        signal[window] = np.maximum(chromosome.signal, 0.0)
        mask[window] = chromosome.mask
        self.signals.append(signal)
        self.masks.append(mask)
        self.angles.append(angle)
        return True

    @property
    def union(self) -> Mask:
        out: Mask = np.any(self.masks, axis=0)
        return out

    def trimmed(self, margin: int) -> _Canvas:
        """Return the part that holds something: distances over empty canvas cost most."""
        window = _bounding(self.union, margin)
        out = _Canvas(self.side)
        out.signals = [signal[window] for signal in self.signals]
        out.masks = [mask[window] for mask in self.masks]
        out.angles = self.angles
        return out


def _partner_angle(rng: np.random.Generator, base: float, touching: bool) -> float:
    """Angle of a new chromosome relative to the one it joins."""
    kind = rng.random()
    if touching:
        if kind < 0.35:  # side by side
            return base + float(rng.normal(0, 0.15))
        if kind < 0.6:  # end against side
            return base + math.pi / 2 + float(rng.normal(0, 0.3))
        return float(rng.uniform(0, math.pi))
    # Chromosomes that overlap mostly cross; nearly parallel ones look like a single thick one.
    least = 0.3 if kind < 0.15 else 0.75
    return base + float(rng.choice([-1, 1]) * rng.uniform(least, math.pi / 2))


def _place_overlapping(
    rng: np.random.Generator, canvas: _Canvas, chromosome: SingleChromosome, angle: float
) -> bool:
    """Bring a point on the axis of the new one onto a point inside an old one."""
    target = canvas.masks[int(rng.integers(len(canvas.masks)))]
    # Most crossings have arms on all sides; some are at the tip of one of the two.
    tip = int(rng.integers(2)) if rng.random() < 0.35 else -1
    ty, tx = _inner_point(rng, target, central=tip != 0)
    sy, sx = _inner_point(rng, chromosome.mask, central=tip != 1)
    height, width = chromosome.mask.shape
    return canvas.put(chromosome, ty - sy + height / 2, tx - sx + width / 2, angle)


def _inner_point(rng: np.random.Generator, mask: Mask, central: bool = False) -> tuple[int, int]:
    """Draw a point on the axis of a mask; a central one keeps away from both ends."""
    window = _bounding(mask, 1)
    depth = ndimage.distance_transform_edt(mask[window])
    ys, xs = np.nonzero(depth >= 0.7 * depth.max())
    if central:
        angle = principal_angle(mask[window])
        along = xs * math.cos(angle) + ys * math.sin(angle)
        low, high = np.percentile(along, [18, 82])
        inner = (along >= low) & (along <= high)
        ys, xs = ys[inner], xs[inner]
    index = int(rng.integers(ys.size))
    return int(ys[index]) + window[0].start, int(xs[index]) + window[1].start


def _place_touching(
    rng: np.random.Generator,
    canvas: _Canvas,
    chromosome: SingleChromosome,
    angle: float,
    base: float,
    gap: float,
    width: float,
) -> bool:
    """Slide the new chromosome towards the others until the wished gap is left."""
    distance = _distance_to(canvas.union)
    edge = chromosome.mask & ~ndimage.binary_erosion(chromosome.mask)
    ey, ex = np.nonzero(edge)
    height, breadth = chromosome.mask.shape
    target = canvas.masks[int(rng.integers(len(canvas.masks)))]
    ty, tx = _inner_point(rng, target)
    parallel = abs(math.sin(angle - base)) < 0.4
    kind = rng.random()
    if parallel and kind < 0.6:
        direction = base + math.pi / 2 * float(rng.choice([-1, 1])) + float(rng.normal(0, 0.3))
    elif parallel:
        direction = base + (math.pi if rng.random() < 0.5 else 0.0) + float(rng.normal(0, 0.2))
    else:
        direction = float(rng.uniform(0, 2 * math.pi))
    dy, dx = math.sin(direction), math.cos(direction)
    aim_y, aim_x = (
        (ty, tx)
        if rng.random() < 0.5
        else (ty + rng.normal(0, 0.6 * width), tx + rng.normal(0, 0.6 * width))
    )
    previous: tuple[float, float] | None = None
    for step in range(canvas.side, -canvas.side, -1):
        y, x = aim_y + dy * step, aim_x + dx * step
        py = np.rint(ey + y - height / 2).astype(np.intp)
        px = np.rint(ex + x - breadth / 2).astype(np.intp)
        if py.min() < 0 or px.min() < 0 or py.max() >= canvas.side or px.max() >= canvas.side:
            continue
        nearest = float(distance[py, px].min())
        if nearest <= gap:
            place = (y, x) if nearest > 0 or gap < 0 or previous is None else previous
            return canvas.put(chromosome, *place, angle)
        previous = (y, x)
    return False


def _distance_to(mask: Mask, margin: int = 6) -> Float:
    """Distance to a mask, in px; measured near it only, infinite farther away."""
    window = _bounding(mask, margin)
    out = np.full(mask.shape, np.inf, np.float32)
    out[window] = ndimage.distance_transform_edt(~mask[window])
    return out


def _relations(canvas: _Canvas, width: float, gap: float) -> tuple[int, int] | None:
    """Count touching and overlapping pairs; None if a pair is ambiguous or apart."""
    n = len(canvas.masks)
    touching = overlapping = 0
    linked = np.eye(n, dtype=bool)
    reach = [_distance_to(mask) for mask in canvas.masks]
    for i in range(n):
        for j in range(i + 1, n):
            shared = float((canvas.masks[i] & canvas.masks[j]).sum()) / (width * width)
            near = float(reach[i][canvas.masks[j]].min())
            if shared >= OVERLAP_AREA:
                overlapping += 1
            elif shared > TOUCH_AREA:
                return None
            elif near <= gap + 1.5:
                touching += 1
            else:
                continue
            linked[i, j] = linked[j, i] = True
    steps = np.linalg.matrix_power(linked.astype(np.int64), n)
    return (touching, overlapping) if bool((steps[0] > 0).all()) else None


def _type_of(relations: tuple[int, int]) -> ClusterType:
    touching, overlapping = relations
    if touching and overlapping:
        return ClusterType.TOUCHING_OVERLAPPING
    return ClusterType.OVERLAPPING if overlapping else ClusterType.TOUCHING


def _blend(rng: np.random.Generator, canvas: _Canvas, look: Appearance) -> Float:
    """Put the signals together: they add up, or the upper one hides the lower."""
    if rng.random() < look.opaque:
        out = canvas.signals[0].copy()
        for signal, mask in zip(canvas.signals[1:], canvas.masks[1:], strict=True):
            cover = ndimage.gaussian_filter(mask.astype(np.float32), 0.7)
            out = out * (1 - cover) + np.maximum(signal, out * (1 - cover)) * cover
            out = np.maximum(out, signal * (1 - cover))
        return np.asarray(out, np.float32)
    # Absorbances add up, but stain and camera saturate: where two cross it is darker by a
    # fifth up to twofold.  A sum of powers leaves each as it is where it lies alone.
    power = math.exp(float(rng.uniform(math.log(1.0), math.log(3.5))))
    total = np.sum([signal**power for signal in canvas.signals], axis=0)
    return np.asarray(total ** (1 / power), np.float32)


def _finish(
    rng: np.random.Generator,
    canvas: _Canvas,
    look: Appearance,
    gap: float,
    width: float,
    bridged: bool,
) -> tuple[Float, Mask] | None:
    """Blur, add noise, find the region's mask; None if it is not one piece."""
    signal = _blend(rng, canvas, look)
    sigma = look.blur * float(rng.random()) ** 2 * width / WORKING_WIDTH
    if sigma > 0.2:
        signal = ndimage.gaussian_filter(signal, sigma)
    union = canvas.union
    if bridged or rng.random() < look.loose:
        mask = ndimage.binary_dilation(union, iterations=1 + int(rng.integers(0, 2)))
        reach = math.ceil(gap / 2) + 1
        mask = ndimage.binary_closing(np.pad(mask, reach), iterations=reach)
        mask = mask[reach:-reach, reach:-reach]
    else:
        level = float(np.median(signal[union])) * float(rng.uniform(0.25, 0.55))
        mask = signal > level
    pieces, count = ndimage.label(mask, np.ones((3, 3)))
    if count == 0:
        return None
    sizes = np.bincount(pieces.ravel())[1:]
    mask = ndimage.binary_fill_holes(pieces == 1 + int(sizes.argmax())) & (
        ndimage.binary_dilation(pieces == 1 + int(sizes.argmax()))
    )
    covered = [float(mask[one].mean()) for one in canvas.masks]
    if min(covered) < 0.75:
        return None
    if look.noise:
        grain = rng.normal(0, 1, signal.shape)
        grain = ndimage.gaussian_filter(grain, 0.6) * 2.0
        signal = signal + float(rng.uniform(0, look.noise)) * grain
    return np.asarray(signal, np.float32), np.asarray(mask, bool)


def compose_one(
    singles: Sequence[SingleChromosome],
    rng: np.random.Generator,
    cluster_type: ClusterType,
    chromosomes: int,
    look: Appearance | None = None,
    width: float = WORKING_WIDTH,
) -> ComposedCluster | None:
    """Try once to compose a cluster.

    Parameters
    ----------
    singles : sequence of SingleChromosome
        What it may be made of.
    rng : numpy.random.Generator
        Source of randomness.
    cluster_type : ClusterType
        The type to aim at (a single is turned, bent and blurred like the rest).
    chromosomes : int
        How many chromosomes to lay down (1 for a single, at most 6).
    look : Appearance, optional
        How it is made to look.
    width : float
        Width of its chromosomes, in px.

    Returns
    -------
    ComposedCluster or None
        None where chance gave another type or an ambiguous layout.
    """
    look = look or Appearance()
    # A chromosome lies in a metaphase once: it repeats only where there are too few.
    few = len(singles) < chromosomes
    # The longer one is, the likelier it meets another.
    lengths = np.array([max(one.mask.shape) for one in singles], float)
    share = None if chromosomes == 1 else lengths / lengths.sum()
    picks = rng.choice(len(singles), size=chromosomes, replace=few, p=share)
    chosen = [singles[int(i)] for i in picks]
    # Chromosomes of one metaphase share a scale: the first one's width sets it.
    widths = [max(chromosome_width(one.mask), 2.0) for one in chosen]
    common = float(np.median(widths))
    grain = width / WORKING_WIDTH
    gap = float(rng.choice([-1.0, 0.5, 1.5, WIDEST_GAP])) * grain
    bridged = cluster_type is not ClusterType.OVERLAPPING and chromosomes > 1 and look.near > 0
    bridged = bridged and bool(rng.random() < look.near)
    if bridged:
        gap = float(rng.uniform(*_GAPS_IN_SIGHT)) * grain
    canvas = _Canvas(side=int((90 + 60 * chromosomes) * grain))
    for number, one in enumerate(chosen):
        scale = width / (0.5 * common + 0.5 * widths[number])
        base = canvas.angles[int(rng.integers(number))] if number else 0.0
        touching = _wants_touching(rng, cluster_type, number)
        angle = _partner_angle(rng, base, touching) if number else float(rng.uniform(0, math.pi))
        bend = float(rng.uniform(-look.bend, look.bend)) * float(rng.random())
        moved = transform_chromosome(one, angle, scale, bend, bool(rng.random() < 0.5))
        if number == 0:
            placed = canvas.put(moved, canvas.side / 2, canvas.side / 2, angle)
        elif touching:
            placed = _place_touching(rng, canvas, moved, angle, base, gap, width)
        else:
            placed = _place_overlapping(rng, canvas, moved, angle)
        if not placed:
            return None
    canvas = canvas.trimmed(margin=8)
    if chromosomes > 1:
        relations = _relations(canvas, width, gap)
        if relations is None or _type_of(relations) is not cluster_type:
            return None
    finished = _finish(rng, canvas, look, max(gap, 0.0), width, bridged)
    if finished is None:
        return None
    signal, mask = finished
    window = _bounding(mask, margin=4)
    return ComposedCluster(signal[window], mask[window], cluster_type, chromosomes)


def _wants_touching(rng: np.random.Generator, cluster_type: ClusterType, number: int) -> bool:
    if cluster_type is ClusterType.TOUCHING_OVERLAPPING:
        return bool(number == 1) if number <= 2 else bool(rng.random() < 0.5)
    return cluster_type is ClusterType.TOUCHING


def _bounding(mask: Mask, margin: int) -> tuple[slice, slice]:
    ys, xs = np.nonzero(mask)
    return (
        slice(max(int(ys.min()) - margin, 0), int(ys.max()) + 1 + margin),
        slice(max(int(xs.min()) - margin, 0), int(xs.max()) + 1 + margin),
    )


def _chromosome_number(rng: np.random.Generator, cluster_type: ClusterType, most: int) -> int:
    if cluster_type is ClusterType.SINGLE:
        return 1
    both = cluster_type is ClusterType.TOUCHING_OVERLAPPING
    least = 3 if both else 2
    # As in real metaphases, where clusters of both kinds are large.
    usual = [0.42, 0.26, 0.18, 0.14] if both else [0.66, 0.2, 0.09, 0.05]
    shares = np.array(usual)[: max(1, most - least + 1)]
    return least + int(rng.choice(shares.size, p=shares / shares.sum()))


def iterate_clusters(
    singles: Sequence[SingleChromosome],
    seed: int,
    types: Sequence[ClusterType],
    most: int = 6,
    look: Appearance | None = None,
    width: float = WORKING_WIDTH,
) -> Iterator[ComposedCluster]:
    """Compose clusters without end, taking the wished types in turn.

    Raises
    ------
    ValueError
        If there are no single chromosomes to compose from.
    """
    if not singles:
        raise ValueError("Composing clusters needs at least one single chromosome.")
    number = 0
    while True:
        wanted = types[number % len(types)]
        # One generator a cluster: the n-th cluster does not hang on how often earlier ones failed.
        rng = np.random.default_rng([seed, number])
        made = None
        for _ in range(60):
            made = compose_one(
                singles, rng, wanted, _chromosome_number(rng, wanted, most), look, width
            )
            if made is not None:
                yield made
                break
        number += 1
        if made is None and number > 1000 * len(types):
            raise ValueError("These chromosomes cannot be composed: are their masks empty?")


def compose_clusters(
    singles: Sequence[SingleChromosome],
    n: int,
    seed: int = 0,
    types: Sequence[ClusterType] = (
        ClusterType.TOUCHING,
        ClusterType.OVERLAPPING,
        ClusterType.TOUCHING_OVERLAPPING,
    ),
    most: int = 6,
    look: Appearance | None = None,
    width: float = WORKING_WIDTH,
) -> list[ComposedCluster]:
    """Compose labelled clusters from single chromosomes.

    Parameters
    ----------
    singles : sequence of SingleChromosome
        Single chromosomes with their masks.
    n : int
        How many clusters to compose.
    seed : int
        Same seed, same clusters.
    types : sequence of ClusterType
        The types, taken in turn.
    most : int
        Largest number of chromosomes in a cluster (2 to 6).
    look : Appearance, optional
        How they are made to look.
    width : float
        Width of their chromosomes, in px (see `natural_width`).

    Returns
    -------
    list of ComposedCluster
        With the true type of each, from geometry.

    Notes
    -----
    After Lin et al., BIBM 2020, and SupCAM (2023), who compose clusters to
    train on; the rule for the type stands in this module's docstring.
    """
    stream = iterate_clusters(singles, seed, types, most, look, width)
    return [next(stream) for _ in range(n)]
