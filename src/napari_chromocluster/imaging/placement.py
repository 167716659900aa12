"""Place chromosomes on a canvas so that they touch or overlap previous ones."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_chromocluster.imaging.chromosome_synthesis import SingleChromosome, principal_angle

Float = NDArray[np.float32]
Mask = NDArray[np.bool_]


class CompositionCanvas:
    """The chromosomes placed so far."""

    def __init__(self, side: int) -> None:
        self.side = side
        self.signals: list[Float] = []
        self.masks: list[Mask] = []
        self.angles: list[float] = []

    def _corner(self, chromosome: SingleChromosome, y: float, x: float) -> tuple[int, int]:
        height, width = chromosome.mask.shape
        return round(y - height / 2), round(x - width / 2)

    def put(self, chromosome: SingleChromosome, y: float, x: float, angle: float) -> bool:
        """Place a chromosome with its center at (y, x); return False if it does not fit."""
        top, left = self._corner(chromosome, y, x)
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
        """Mask of all chromosomes."""
        out: Mask = np.any(self.masks, axis=0)
        return out

    def trimmed(self, margin: int) -> CompositionCanvas:
        """Return the canvas cropped to the chromosomes, to save distance transforms."""
        window = bounding(self.union, margin)
        out = CompositionCanvas(self.side)
        out.signals = [signal[window] for signal in self.signals]
        out.masks = [mask[window] for mask in self.masks]
        out.angles = self.angles
        return out


def partner_angle(rng: np.random.Generator, base: float, touching: bool) -> float:
    """Draw the angle of a new chromosome next to one at angle ``base``."""
    kind = rng.random()
    if touching:
        if kind < 0.35:  # side by side
            return base + float(rng.normal(0, 0.15))
        if kind < 0.6:  # end against side
            return base + math.pi / 2 + float(rng.normal(0, 0.3))
        return float(rng.uniform(0, math.pi))
    # Overlapping chromosomes mostly cross; nearly parallel ones look like a single thick one.
    least = 0.3 if kind < 0.15 else 0.75
    return base + float(rng.choice([-1, 1]) * rng.uniform(least, math.pi / 2))


def place_overlapping(
    rng: np.random.Generator, canvas: CompositionCanvas, chromosome: SingleChromosome, angle: float
) -> bool:
    """Place a point on the axis of the new chromosome on a point inside a previous one."""
    target = canvas.masks[int(rng.integers(len(canvas.masks)))]
    # Most crossings have arms on all sides; some are at the tip of one chromosome.
    tip = int(rng.integers(2)) if rng.random() < 0.35 else -1
    ty, tx = _inner_point(rng, target, central=tip != 0)
    sy, sx = _inner_point(rng, chromosome.mask, central=tip != 1)
    height, width = chromosome.mask.shape
    return canvas.put(chromosome, ty - sy + height / 2, tx - sx + width / 2, angle)


def _inner_point(rng: np.random.Generator, mask: Mask, central: bool = False) -> tuple[int, int]:
    """Draw a point on the axis of a mask; a central point is away from both ends."""
    window = bounding(mask, 1)
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


def place_touching(
    rng: np.random.Generator,
    canvas: CompositionCanvas,
    chromosome: SingleChromosome,
    angle: float,
    base: float,
    gap: float,
    width: float,
) -> bool:
    """Slide the new chromosome toward the others until the gap is reached.

    With a negative gap their outlines overlap by so many px.
    """
    target = canvas.masks[int(rng.integers(len(canvas.masks)))]
    aim_y, aim_x = _inner_point(rng, target)
    parallel = abs(math.sin(angle - base)) < 0.4
    kind = rng.random()
    if parallel and kind < 0.6:
        direction = base + math.pi / 2 * float(rng.choice([-1, 1])) + float(rng.normal(0, 0.3))
    elif parallel:
        direction = base + (math.pi if rng.random() < 0.5 else 0.0) + float(rng.normal(0, 0.2))
    else:
        direction = float(rng.uniform(0, 2 * math.pi))
    aim = (float(aim_y), float(aim_x))
    if rng.random() >= 0.5:
        aim = (aim_y + rng.normal(0, 0.6 * width), aim_x + rng.normal(0, 0.6 * width))
    return _slide(canvas, chromosome, aim, direction, angle, gap)


def place_end_to_end(
    rng: np.random.Generator,
    canvas: CompositionCanvas,
    chromosome: SingleChromosome,
    angle: float,
    gap: float,
    width: float,
) -> bool:
    """Slide the new chromosome, one end first, toward an end of the last one placed."""
    tip, outward = _end(canvas.masks[-1], canvas.angles[-1], bool(rng.random() < 0.5))
    ends = [_end(chromosome.mask, angle, last) for last in (False, True)]
    # Lead with the end that points back at the tip.
    mine, _ = min(ends, key=lambda end: float(end[1] @ outward))
    height, breadth = chromosome.mask.shape
    aside = rng.normal(0, 0.2 * width, 2)
    aim_y = tip[0] - mine[0] + height / 2 + aside[0]
    aim_x = tip[1] - mine[1] + breadth / 2 + aside[1]
    direction = math.atan2(outward[0], outward[1])
    return _slide(canvas, chromosome, (aim_y, aim_x), direction, angle, gap)


def _end(mask: Mask, angle: float, last: bool) -> tuple[Float, Float]:
    """Return an end (y, x) of a chromosome along its long axis, and its outward direction."""
    ys, xs = np.nonzero(mask)
    points = np.stack([ys, xs], axis=1).astype(np.float32)
    along = points @ np.array([math.sin(angle), math.cos(angle)], np.float32)
    along = along if last else -along
    far, before = np.percentile(along, [96, 75])
    tip = points[along >= far].mean(axis=0)
    # The part before the end gives the direction, also of bent chromosomes.
    stretch = points[(along >= before - 1) & (along <= before + 1)].mean(axis=0)
    way = tip - stretch
    return tip, np.asarray(way / max(float(np.hypot(*way)), 1e-3), np.float32)


def _slide(
    canvas: CompositionCanvas,
    chromosome: SingleChromosome,
    aim: tuple[float, float],
    direction: float,
    angle: float,
    gap: float,
) -> bool:
    """Slide from outside toward an aim (y, x of the center) and stop at the gap."""
    distance = distance_to(canvas.union)
    if gap < 0:
        distance = distance - ndimage.distance_transform_edt(canvas.union).astype(np.float32)
    edge = chromosome.mask & ~ndimage.binary_erosion(chromosome.mask)
    ey, ex = np.nonzero(edge)
    height, breadth = chromosome.mask.shape
    dy, dx = math.sin(direction), math.cos(direction)
    previous: tuple[float, float] | None = None
    for step in range(canvas.side, -canvas.side, -1):
        y, x = aim[0] + dy * step, aim[1] + dx * step
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


def distance_to(mask: Mask, margin: int = 6) -> Float:
    """Return the distance to a mask in px; infinite beyond ``margin`` of its bounding box."""
    window = bounding(mask, margin)
    out = np.full(mask.shape, np.inf, np.float32)
    out[window] = ndimage.distance_transform_edt(~mask[window])
    return out


def bounding(mask: Mask, margin: int) -> tuple[slice, slice]:
    """Return the bounding window of a mask with a margin in px, which may exceed the array."""
    ys, xs = np.nonzero(mask)
    return (
        slice(max(int(ys.min()) - margin, 0), int(ys.max()) + 1 + margin),
        slice(max(int(xs.min()) - margin, 0), int(xs.max()) + 1 + margin),
    )
