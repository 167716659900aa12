import numpy as np
import pytest
from scipy import ndimage

from napari_chromocluster.cluster_types import CLUSTERS, ClusterType
from napari_chromocluster.imaging.chromosome_synthesis import (
    SingleChromosome,
    chromosome_width,
    transform_chromosome,
)
from napari_chromocluster.imaging.cluster_synthesis import (
    SynthesisParameters,
    cluster_relations,
    compose_clusters,
    compose_one,
    natural_width,
    type_of_relations,
)
from napari_chromocluster.imaging.placement import CompositionCanvas
from napari_chromocluster.imaging.synthetic_metaphase import procedural_chromosome


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


def test_overlapping_clusters_are_pairs_as_a_rule(singles):
    # In real metaphases, clusters of three or more nearly always contain a touching pair.
    made = compose_clusters(singles, 30, seed=2, types=[ClusterType.OVERLAPPING])
    assert np.mean([one.chromosomes == 2 for one in made]) >= 0.8


def test_each_is_one_piece_with_finite_signal(singles):
    for one in compose_clusters(singles, 24, seed=2):
        assert ndimage.label(one.mask, np.ones((3, 3)))[1] == 1
        assert np.isfinite(one.signal).all()
        assert one.signal.shape == one.mask.shape


@pytest.fixture(scope="module")
def bars():
    """Chromosomes without bands: the signal exceeds 1 only at crossings."""
    mask = np.zeros((20, 60), bool)
    mask[5:15, 5:55] = True
    return [SingleChromosome(mask.astype(np.float32), mask, f"bar {i}") for i in range(6)]


PLAIN = SynthesisParameters(bend=0, opaque=0, loose=0, blur=0, noise=0)


@pytest.mark.parametrize("chromosomes", [2, 3])
def test_crossings_add_up_and_touching_does_not(bars, chromosomes):
    def brightest(kind):
        made = compose_clusters(bars, 12, seed=7, types=[kind], most=chromosomes, look=PLAIN)
        return np.array([one.signal[one.mask].max() for one in made])

    touching, overlapping = brightest(ClusterType.TOUCHING), brightest(ClusterType.OVERLAPPING)
    assert overlapping.min() > 1.2 * np.median(touching)


def test_width_of_the_chromosomes_in_a_cluster(bars):
    def area(width):
        kind = [ClusterType.OVERLAPPING]
        made = compose_clusters(bars, 4, seed=7, types=kind, most=2, look=PLAIN, width=width)
        return np.median([one.mask.sum() for one in made])

    assert natural_width(bars) == pytest.approx(10, abs=1)
    assert area(14.0) == pytest.approx(4 * area(7.0), rel=0.15)


def test_opaque_crossings_do_not_add_up(bars):
    look = SynthesisParameters(bend=0, opaque=1, loose=0, blur=0, noise=0)
    made = compose_clusters(bars, 8, seed=7, types=[ClusterType.OVERLAPPING], most=2, look=look)
    assert max(one.signal.max() for one in made) < 1.1


def test_overlapping_area_is_smaller_than_the_sum(bars):
    kinds = [ClusterType.OVERLAPPING]
    made = compose_clusters(bars, 10, seed=8, types=kinds, most=2, look=PLAIN)
    alone = np.median(
        [c.mask.sum() for c in compose_clusters(bars, 5, 1, [ClusterType.SINGLE], look=PLAIN)]
    )
    assert all(one.mask.sum() < 2 * alone - 30 for one in made)


def _laid(*boxes):
    """Place boxes (y0, x0, y1, x1) in a layout with obvious geometry."""
    canvas = CompositionCanvas(100)
    for y0, x0, y1, x1 in boxes:
        mask = np.ones((y1 - y0, x1 - x0), bool)
        one = SingleChromosome(mask.astype(np.float32), mask)
        assert canvas.put(one, (y0 + y1) / 2, (x0 + x1) / 2, 0.0)
    return canvas


UPRIGHT, LYING = (20, 40, 80, 50), (45, 10, 55, 90)


@pytest.mark.parametrize(
    ("boxes", "kind"),
    [
        ((UPRIGHT, LYING), ClusterType.OVERLAPPING),
        ((UPRIGHT, (20, 50, 80, 60)), ClusterType.TOUCHING),
        ((UPRIGHT, (20, 52, 80, 62)), ClusterType.TOUCHING),  # a near miss
        ((UPRIGHT, LYING, (56, 51, 80, 61)), ClusterType.TOUCHING_OVERLAPPING),
        ((UPRIGHT, (20, 51, 80, 61), (20, 62, 80, 72)), ClusterType.TOUCHING),
    ],
)
def test_type_is_read_off_the_geometry(boxes, kind):
    relations = cluster_relations(_laid(*boxes), len(boxes), width=10.0, gap=1.5)
    assert relations is not None
    assert type_of_relations(relations) is kind


@pytest.mark.parametrize(
    "boxes",
    [
        (UPRIGHT, (20, 56, 80, 66)),  # apart
        (UPRIGHT, LYING, (5, 80, 30, 90)),  # the third apart
        (UPRIGHT, (75, 45, 95, 55)),  # a quarter of a squared width: ambiguous for humans
    ],
)
def test_apart_and_ambiguous_layouts_are_thrown_away(boxes):
    assert cluster_relations(_laid(*boxes), len(boxes), width=10.0, gap=1.5) is None


def test_a_chromosome_lies_in_a_cluster_once(monkeypatch, singles):
    used = []

    def spy(chromosome, *args, **kwargs):
        used.append(id(chromosome))
        return transform_chromosome(chromosome, *args, **kwargs)

    monkeypatch.setattr("napari_chromocluster.imaging.cluster_synthesis.transform_chromosome", spy)
    for seed in range(30):
        used.clear()
        compose_one(singles[:3], np.random.default_rng(seed), ClusterType.TOUCHING, 3)
        assert len(set(used)) == len(used)


def test_too_few_chromosomes_repeat(bars):
    made = compose_clusters(bars[:1], 3, seed=1, most=3)
    assert all(one.chromosomes >= 2 for one in made)


def test_near_misses_are_bridged(singles):
    """Some touching clusters have a gap in the signal between the two."""
    look = SynthesisParameters(bend=0.2, opaque=0, loose=1.0, blur=0.0, noise=0)
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
