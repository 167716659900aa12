import numpy as np
import pytest
from scipy import ndimage

from napari_chromocluster.imaging.compose import (
    OVERLAP_AREA,
    Appearance,
    chromosome_width,
    compose_clusters,
    transform_chromosome,
)
from napari_chromocluster.imaging.synthetic import procedural_chromosome
from napari_chromocluster.taxonomy import CLUSTERS, ClusterType


@pytest.fixture(scope="module")
def singles():
    rng = np.random.default_rng(5)
    return [procedural_chromosome(rng) for _ in range(20)]


def test_same_seed_same_clusters(singles):
    first = compose_clusters(singles, 6, seed=3)
    again = compose_clusters(singles, 6, seed=3)
    other = compose_clusters(singles, 6, seed=4)
    assert all(np.array_equal(a.signal, b.signal) for a, b in zip(first, again, strict=True))
    assert not all(
        a.signal.shape == b.signal.shape and np.array_equal(a.signal, b.signal)
        for a, b in zip(first, other, strict=True)
    )


def test_types_in_turn_and_numbers_in_range(singles):
    made = compose_clusters(singles, 30, seed=1)
    assert {one.cluster_type for one in made} == set(CLUSTERS)
    assert all(2 <= one.chromosomes <= 6 for one in made)
    both = [one for one in made if one.cluster_type is ClusterType.TOUCHING_OVERLAPPING]
    assert all(one.chromosomes >= 3 for one in both)


def test_each_is_one_piece_with_finite_signal(singles):
    for one in compose_clusters(singles, 24, seed=2):
        assert ndimage.label(one.mask, np.ones((3, 3)))[1] == 1
        assert np.isfinite(one.signal).all()
        assert one.signal.shape == one.mask.shape


def test_crossings_add_up_and_touching_does_not(singles):
    look = Appearance(bend=0, opaque=0, loose=0, blur=0, noise=0)
    kinds = [ClusterType.OVERLAPPING, ClusterType.TOUCHING]
    made = compose_clusters(singles, 40, seed=7, types=kinds, most=2, look=look)

    def brightest(kind):
        return np.median(
            [np.percentile(o.signal[o.mask], 98) for o in made if o.cluster_type is kind]
        )

    assert brightest(ClusterType.OVERLAPPING) > 1.25 * brightest(ClusterType.TOUCHING)


def test_overlapping_area_is_smaller_than_the_sum(singles):
    look = Appearance(bend=0, opaque=0, loose=0, blur=0, noise=0)
    made = compose_clusters(
        singles, 10, seed=8, types=[ClusterType.OVERLAPPING], most=2, look=look
    )
    width = 10.0
    assert all(one.mask.sum() > OVERLAP_AREA * width**2 for one in made)


def test_near_misses_are_bridged(singles):
    """Among touching clusters there are some whose signal dips between the two."""
    look = Appearance(bend=0.2, opaque=0, loose=1.0, blur=0.0, noise=0)
    made = compose_clusters(singles, 30, seed=9, types=[ClusterType.TOUCHING], most=2, look=look)
    apart = [ndimage.label(one.signal > 0.5, np.ones((3, 3)))[1] > 1 for one in made]
    assert any(apart)


def test_width_and_transform():
    one = procedural_chromosome(np.random.default_rng(1), length=70, width=10, bend=0)
    assert chromosome_width(one.mask) == pytest.approx(10, abs=2.5)
    larger = transform_chromosome(one, 0.3, 2.0, 0.0)
    assert larger.mask.sum() == pytest.approx(4 * one.mask.sum(), rel=0.1)
    bent = transform_chromosome(one, 0.3, 1.0, 1.0)
    assert bent.mask.sum() == pytest.approx(one.mask.sum(), rel=0.2)


def test_nothing_to_compose_from_is_refused():
    with pytest.raises(ValueError, match="at least one single"):
        compose_clusters([], 3)
