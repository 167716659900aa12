"""Draw chromosomes with separated sister chromatids: X, V, U, C, ring and parallel shapes.

A chromosome consists of two chromatids joined at the centromere.  Each chromatid is a curved tube
of constant width with a short and a long arm; opening angle, curvature and gap of the arms give
the shape.  All chromosomes of one metaphase share a `ChromatidStyle`, as they share stain,
contraction and spreading in a real one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_chromocluster.imaging.chromosome_synthesis import SingleChromosome, transform_chromosome

#: Points of an arm's center line.
_POINTS = 20
#: Shapes of the arms.
SHAPES = ("open", "parallel", "bowed", "hooked")


@dataclass(frozen=True)
class ChromatidStyle:
    """Common properties of the chromosomes of one metaphase.

    Attributes
    ----------
    width : float
        Width of a chromatid, in px.
    longest : float
        Length of the longest chromosome, in widths of a chromatid (contraction).
    opening : float
        Typical angle between sister arms, in radians; 0 for side by side.
    gap : float
        Typical distance between the outlines of parallel sister arms, in widths.
    joined : float
        Distance between the center lines at the centromere, in widths; from 1 on the
        chromatids are separate.
    shapes : tuple of float
        Frequencies of open, parallel, bowed (out, and back in) and hooked arms.
    bands : float
        Strength of bands along the arms: 0 is a solid stain.
    texture : float
        Standard deviation of the texture of the stain.
    shortest : float, optional
        Length of the shortest chromosome relative to the longest, for random lengths and
        centromeres; by default they are those of the human karyotype.
    """

    width: float = 6.0
    longest: float = 10.0
    opening: float = 0.6
    gap: float = 0.3
    joined: float = 0.7
    shapes: tuple[float, float, float, float] = (0.5, 0.25, 0.15, 0.1)
    bands: float = 0.0
    texture: float = 0.08
    shortest: float | None = None


def random_style(rng: np.random.Generator, width: float | None = None) -> ChromatidStyle:
    """Draw the style of a metaphase, from barely separated to wide open chromatids.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of randomness.
    width : float, optional
        Width of a chromatid, in px; random by default.
    """
    return ChromatidStyle(
        width=float(rng.uniform(4.0, 9.0)) if width is None else width,
        longest=math.exp(float(rng.uniform(math.log(3.0), math.log(13.0)))),
        opening=float(rng.uniform(0.1, 1.9)),
        gap=float(rng.uniform(0.0, 0.7)) if rng.random() < 0.7 else 0.0,
        joined=float(rng.uniform(0.3, 1.0)),
        shapes=_shares(rng),
        bands=0.0 if rng.random() < 0.6 else float(rng.uniform(0.2, 0.8)),
        texture=float(rng.uniform(0.02, 0.15)),
        shortest=None if rng.random() < 0.5 else float(rng.uniform(0.3, 0.8)),
    )


def _shares(rng: np.random.Generator) -> tuple[float, float, float, float]:
    """Draw frequencies of the shapes; one or two prevail, as in real metaphases."""
    drawn = rng.dirichlet((1.2, 0.8, 0.6, 0.4))
    return (float(drawn[0]), float(drawn[1]), float(drawn[2]), float(drawn[3]))


def splayed_chromosome(
    rng: np.random.Generator,
    style: ChromatidStyle | None = None,
    *,
    share: float | None = None,
    centromere: float | None = None,
    shape: str | None = None,
    bend: float | None = None,
    group: str = "synthetic",
    pattern: int = 0,
) -> SingleChromosome:
    """Draw one chromosome with separated chromatids.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of randomness.
    style : ChromatidStyle, optional
        Common properties of its metaphase.
    share : float, optional
        Length relative to the longest chromosome; random by default.
    centromere : float, optional
        Position of the centromere relative to the length: 0 (V, U and C shapes) to 0.5 (X).
    shape : str, optional
        One of `SHAPES`; by default drawn from the style's frequencies.
    bend : float, optional
        Angle between the two ends, in radians.
    group : str
        Name of the metaphase.
    pattern : int
        Seed of the bands, the same for homologues.

    Returns
    -------
    SingleChromosome
        At a random angle; its mask has two pieces if the chromatids do not touch.
    """
    style = style or ChromatidStyle()
    share = float(rng.uniform(0.2, 1.0)) if share is None else share
    centromere = float(rng.uniform(0, 0.5)) if centromere is None else centromere
    if shape is None:
        shares = np.array(style.shapes) / sum(style.shapes)
        shape = SHAPES[int(rng.choice(len(SHAPES), p=shares))]
    # At least about as long as wide: shorter arms would not be visible.
    length = max(share * style.longest * style.width, 1.4 * style.width)
    arms = (centromere * length, (1 - centromere) * length)
    opening = abs(float(rng.normal(style.opening, 0.35 * style.opening + 0.05)))
    lines = [_chromatid(rng, style, arms, shape, opening, side) for side in (-1.0, 1.0)]
    signal, mask = _render(rng, lines, style, pattern)
    chromosome = SingleChromosome(signal, mask, group)
    turn = float(rng.normal(0, 0.3)) if bend is None else bend
    return transform_chromosome(chromosome, float(rng.uniform(0, math.pi)), 1.0, turn)


def _chromatid(
    rng: np.random.Generator,
    style: ChromatidStyle,
    arms: tuple[float, float],
    shape: str,
    opening: float,
    side: float,
) -> NDArray[np.float64]:
    """Return the center line of a chromatid: x, y, position along the chromosome, half width."""
    start = side * style.joined * style.width / 2
    short = _arm(rng, style, arms[0], shape, opening, side, start)
    long = _arm(rng, style, arms[1], shape, opening, side, start)
    short[:, 0] *= -1
    line = np.concatenate([short[::-1], long[1:]])
    from_centromere = np.concatenate(
        [np.linspace(-arms[0], 0, len(short)), np.linspace(0, arms[1], len(long))[1:]]
    )
    place = (from_centromere + arms[0]) / max(arms[0] + arms[1], 1e-6)
    half = np.full(len(line), style.width / 2 * float(rng.normal(1, 0.04)))
    # The centromere is a constriction; arms vary a little in width.
    half *= 1 - 0.2 * np.exp(-((from_centromere / (0.5 * style.width)) ** 2))
    half *= 1 + 0.05 * np.sin(from_centromere / style.width * 2.2 + float(rng.uniform(0, 6.3)))
    return np.column_stack([line, place, half])


def _arm(
    rng: np.random.Generator,
    style: ChromatidStyle,
    length: float,
    shape: str,
    opening: float,
    side: float,
    start: float,
) -> NDArray[np.float64]:
    """Return the points (x, y) of an arm that leaves the centromere at (0, start) along +x."""
    length = length * float(rng.normal(1, 0.05))
    share = np.linspace(0, 1, _POINTS)
    half = abs(float(rng.normal(opening / 2, 0.2 * opening + 0.03)))
    if shape == "open":
        heading = half + float(rng.normal(0, 0.25)) * share
    elif shape == "parallel":
        # Diverging first, then parallel with a gap.
        wide = style.width * (1 + abs(float(rng.normal(style.gap, 0.15)))) / 2 - abs(start)
        reach = max(min(0.35 * length, 1.2 * style.width), 1e-3)
        parted = math.atan2(max(wide, 0.0), reach) * (share * length < reach)
        heading = parted + float(rng.normal(0, 0.12)) * share
    elif shape == "bowed":
        first = float(rng.uniform(0.6, 1.5))
        heading = first - float(rng.uniform(0.9, 2.2)) * first * share
    else:
        heading = half + float(rng.choice([-1, 1])) * float(rng.uniform(0.8, 2.2)) * share**2
    step = length / (_POINTS - 1)
    x = np.concatenate([[0.0], np.cumsum(np.cos(heading[1:]) * step)])
    y = np.concatenate([[0.0], np.cumsum(np.sin(heading[1:]) * step)])
    return np.column_stack([x, start + side * y])


def _render(
    rng: np.random.Generator, lines: list[NDArray[np.float64]], style: ChromatidStyle, pattern: int
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Draw tubes around center lines: signal and mask."""
    points = np.concatenate(lines)
    margin = style.width / 2 + 5
    low = points[:, :2].min(axis=0) - margin
    high = points[:, :2].max(axis=0) + margin
    width, height = (math.ceil(one) for one in high - low)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    pixels = np.stack([x.ravel() + low[0], y.ravel() + low[1]], axis=1)
    power = math.exp(float(rng.uniform(0.0, math.log(4.0))))
    total = np.zeros(len(pixels), np.float32)
    mask = np.zeros(len(pixels), bool)
    for line in lines:
        squared = (
            (pixels**2).sum(axis=1)[:, None]
            - 2 * pixels @ line[:, :2].T
            + (line[:, :2] ** 2).sum(axis=1)[None]
        )
        nearest = squared.argmin(axis=1)
        distance = np.sqrt(np.maximum(squared[np.arange(len(pixels)), nearest], 0))
        half = line[nearest, 3]
        inside = np.clip(half - distance + 0.5, 0, 1)
        # A tube is deepest in the middle; stain and camera saturate.
        depth = 0.55 + 0.45 * np.sqrt(np.clip(1 - (distance / half) ** 2, 0, 1))
        stain = _stain(line[nearest, 2], style, pattern)
        total += (inside * depth * stain) ** power
        mask |= inside > 0.5
    signal = total ** (1 / power)
    signal = signal.reshape(height, width)
    if style.texture:
        grain = ndimage.gaussian_filter(rng.normal(0, 1, signal.shape), 0.25 * style.width)
        signal = signal * np.clip(1 + style.texture * grain / max(float(grain.std()), 1e-6), 0.3, 2)
    signal = ndimage.gaussian_filter(signal, 0.7)
    return signal.astype(np.float32), mask.reshape(height, width)


def _stain(place: NDArray[np.floating], style: ChromatidStyle, pattern: int) -> NDArray[np.float32]:
    """Return the stain along a chromosome: uniform, or bands common to both chromatids."""
    if not style.bands:
        return np.ones(place.shape, np.float32)
    rng = np.random.default_rng([pattern, 551])
    count = int(rng.integers(3, 9))
    knots = rng.uniform(-1, 1, count)
    wave = np.interp(place, np.linspace(0, 1, count), knots / np.abs(knots).max())
    return np.asarray(1 + style.bands * 0.6 * wave, np.float32)
