"""Placement of chromosomes on the canvas."""

import math

import numpy as np
import pytest
from scipy import ndimage

from napari_chromocluster.imaging.chromosome_synthesis import SingleChromosome, transform_chromosome
from napari_chromocluster.imaging.placement import (
    CompositionCanvas,
    place_end_to_end,
    place_touching,
)


@pytest.fixture
def bar():
    mask = np.zeros((20, 60), bool)
    mask[5:15, 5:55] = True
    return SingleChromosome(mask.astype(np.float32), mask)


def laid(bar):
    canvas = CompositionCanvas(220)
    assert canvas.put(bar, 110, 110, 0.0)
    return canvas


def gap_between(canvas):
    first, second = canvas.masks
    return float(ndimage.distance_transform_edt(~first)[second].min())


@pytest.mark.parametrize("kink", [0.0, 0.6, -1.2])
@pytest.mark.parametrize("seed", range(4))
def test_end_to_end_lies_beyond_an_end(bar, seed, kink):
    canvas = laid(bar)
    moved = transform_chromosome(bar, kink, 1.0, 0.0)
    assert place_end_to_end(np.random.default_rng(seed), canvas, moved, kink, 1.0, 10.0)
    first, second = canvas.masks
    xs = np.nonzero(second)[1]
    left, right = np.nonzero(first.any(axis=0))[0][[0, -1]]
    # At a sharp kink a corner may reach back over the end, but by no more than a width.
    assert xs.min() > right - 10 or xs.max() < left + 10
    assert not (first & second).any()
    assert gap_between(canvas) <= 2.5


def test_the_end_that_looks_back_leads(bar):
    """After half a turn the other end is placed at the tip."""
    for angle in (0.0, math.pi):
        canvas = laid(bar)
        moved = transform_chromosome(bar, angle, 1.0, 0.0)
        assert place_end_to_end(np.random.default_rng(1), canvas, moved, angle, 1.0, 10.0)
        assert np.ptp(np.nonzero(canvas.union)[1]) == pytest.approx(100, abs=6)


@pytest.mark.parametrize(("gap", "shares"), [(-2.0, True), (2.0, False)])
def test_below_zero_outlines_press_into_each_other(bar, gap, shares):
    canvas = laid(bar)
    across = transform_chromosome(bar, math.pi / 2, 1.0, 0.0)
    rng = np.random.default_rng(3)
    assert place_touching(rng, canvas, across, math.pi / 2, 0.0, gap, 10.0)
    shared = int((canvas.masks[0] & canvas.masks[1]).sum())
    assert (shared > 0) is shares
    assert shared < 0.45 * 10 * 10  # pressed together, not crossed
