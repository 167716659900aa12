"""Thumbnails of regions: their contrast and their scale."""

import numpy as np
import pytest

from napari_chromocluster.viewer.review.thumbnails import thumbnail, usual_length


def crossing(level, depth):
    """Two crossing bars, whose signals add up."""
    mask = np.zeros((60, 60), bool)
    signal = np.zeros((60, 60), np.float32)
    for bar in (np.s_[25:35, 5:55], np.s_[5:55, 25:35]):
        mask[bar] = True
        signal[bar] += depth
    return signal + level * mask, mask


@pytest.mark.parametrize(("level", "depth"), [(0.0, 1.0), (2.5, 0.8), (0.0, 0.15), (6.0, 3.0)])
def test_a_crossing_is_seen_in_bright_and_faint_regions(level, depth):
    signal, mask = crossing(level, depth)
    density, opacity = np.moveaxis(thumbnail(signal, mask, 72, 60.0).astype(int), -1, 0)
    middle = density[32:40, 32:40].mean()
    arms = density[opacity > 250]
    assert middle - np.percentile(arms, 30) > 60
    assert np.percentile(arms, 5) > 10, "what is faint is not white"


def test_noise_of_a_plain_region_is_not_drawn_as_bands(rng):
    mask = np.ones((40, 14), bool)
    signal = 1 + 0.02 * rng.normal(size=mask.shape).astype(np.float32)
    density = thumbnail(signal, mask, 72, 60.0)[..., 0].astype(int)
    inside = density[30:42, 33:39]
    assert np.ptp(inside) < 90


def test_the_scale_is_that_of_the_usual_region():
    chromosomes = np.full(40, 600.0)
    usual = usual_length(chromosomes)
    assert usual_length(np.append(chromosomes, [90_000.0, 60_000.0])) == pytest.approx(usual)
    assert usual_length(np.append(chromosomes, np.full(300, 9.0))) == pytest.approx(usual)
