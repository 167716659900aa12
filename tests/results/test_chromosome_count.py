import numpy as np
import pytest

from napari_chromocluster.results.chromosome_count import (
    chromosome_count_distribution,
    expected_chromosome_count,
)


def test_larger_clusters_hold_more():
    held = expected_chromosome_count(np.linspace(0.01, 20, 60))
    assert (np.diff(held) > -1e-9).all()
    assert held[0] == pytest.approx(2, abs=1e-3)
    assert held[-1] > 15


def test_chances_add_up_whatever_the_size():
    chances = chromosome_count_distribution(np.array([0.0, 1e-9, 1.0, 5.0, 1e6]))
    assert chances.shape == (5, 29)
    assert np.allclose(chances.sum(axis=1), 1)
    assert (chances >= 0).all()


def test_numbers_are_right_on_average_where_large_clusters_are_rare():
    """Clusters as in the data: n chromosomes with frequency n^-2.8 and areas around 0.95 n^0.95."""
    rng = np.random.default_rng(0)
    number = np.arange(2.0, 31.0)
    drawn = rng.choice(number, 20_000, p=(chances := number**-2.8) / chances.sum())
    spread = np.sqrt(0.25 / drawn + 0.04)
    sizes = 0.95 * drawn**0.95 * np.exp(spread * rng.standard_normal(len(drawn)))
    held = expected_chromosome_count(sizes)
    assert held.mean() == pytest.approx(drawn.mean(), rel=0.02)
    large = sizes > 4
    assert held[large].mean() == pytest.approx(drawn[large].mean(), rel=0.03)
