from itertools import product

import numpy as np
import pytest

from napari_chromocluster.cluster_types import TYPES, ClusterType
from napari_chromocluster.imaging.synthetic_metaphase import synthetic_metaphase
from napari_chromocluster.models import chromosome_count_prior
from napari_chromocluster.models.chromosome_count_prior import (
    apply_chromosome_count_prior,
    prior_is_informative,
)
from napari_chromocluster.models.classifier import load_model
from napari_chromocluster.results.chromosome_count import chromosome_count_distribution

SINGLE, TOUCHING, OTHER = (
    TYPES.index(kind) for kind in (ClusterType.SINGLE, ClusterType.TOUCHING, ClusterType.OTHER)
)


def regions(sure_singles: int, sure_pairs: int = 0, doubtful: int = 1):
    """Return probabilities and sizes; uncertain regions are single or a pair."""
    n = sure_singles + sure_pairs + doubtful
    chances = np.full((n, 5), 1e-4)
    chances[:sure_singles, SINGLE] = chances[sure_singles : n - doubtful, TOUCHING] = 1.0
    chances[n - doubtful :, [SINGLE, TOUCHING]] = 0.5
    sizes = np.ones(n)
    sizes[sure_singles:] = 1.8
    return chances / chances.sum(axis=1, keepdims=True), sizes


@pytest.mark.parametrize(
    ("singles", "likelier"),
    [(41, TOUCHING), (42, TOUCHING), (43, TOUCHING), (47, SINGLE), (48, SINGLE), (52, SINGLE)],
)
def test_the_doubtful_region_is_what_the_number_leaves(singles, likelier):
    chances, sizes = regions(singles)
    weighed = apply_chromosome_count_prior(chances, sizes, 46)
    assert weighed[-1, likelier] > 0.52
    assert np.allclose(weighed.sum(axis=1), 1)


def test_clusters_keep_their_shares_among_each_other():
    chances, sizes = regions(30, 6, 3)
    chances[-1] = [0.5, 0.2, 0.15, 0.1, 0.05]
    weighed = apply_chromosome_count_prior(chances, sizes, 46)
    clusters = [kind.is_cluster for kind in TYPES]
    before, after = (one[-1, clusters] / one[-1, clusters].sum() for one in (chances, weighed))
    assert np.allclose(before, after)
    assert weighed[-1, SINGLE] != pytest.approx(chances[-1, SINGLE], abs=1e-3)


def test_debris_takes_no_part_in_the_number():
    chances, sizes = regions(45)
    chances[:6] = np.eye(5)[OTHER] * 0.9996 + 1e-4
    few = apply_chromosome_count_prior(chances, sizes, 46)  # 39 chromosomes, one uncertain region
    many = apply_chromosome_count_prior(*regions(45), 46)
    assert few[-1, TOUCHING] > many[-1, TOUCHING]


def test_a_large_region_fills_a_large_gap():
    chances, sizes = regions(36)
    small, large = sizes.copy(), sizes.copy()
    small[-1], large[-1] = 0.8, 9.0
    assert (
        apply_chromosome_count_prior(chances, large, 46)[-1, TOUCHING]
        > apply_chromosome_count_prior(chances, small, 46)[-1, TOUCHING]
    )


def test_a_cell_of_another_kind_is_left_nearly_as_it_is():
    chances, sizes = regions(39)  # forty, as of a mouse
    chances[-1, [SINGLE, TOUCHING]] = 0.9, 0.1
    chances[-1] /= chances[-1].sum()
    as_human, as_mouse = (
        apply_chromosome_count_prior(chances, sizes, number) for number in (46, 40)
    )
    assert np.abs(as_human[:-1] - chances[:-1]).max() < 0.01
    assert as_human[-1, SINGLE] > 0.7
    assert as_mouse[-1, SINGLE] > chances[-1, SINGLE]


def test_it_is_the_sum_over_all_that_the_regions_may_hold(monkeypatch):
    """Enumerate all combinations, which is too slow for a whole metaphase."""
    monkeypatch.setattr(chromosome_count_prior, "_FEWEST", 0.0)
    rng = np.random.default_rng(0)
    chances = rng.dirichlet(np.ones(5), size=4)
    sizes = rng.uniform(0.5, 4.0, 4)
    weighed = apply_chromosome_count_prior(chances, sizes, 9)
    held = chromosome_count_distribution(sizes)
    of_sum = chromosome_count_prior.distribution_of_sum(9)
    total = np.zeros((4, 5))
    for kinds in product(range(5), repeat=4):
        ways = np.ones(1)
        for place, kind in enumerate(kinds):
            if TYPES[kind].is_cluster:
                numbers = np.concatenate([[0, 0], held[place]])
            else:
                numbers = np.eye(2)[int(TYPES[kind] == ClusterType.SINGLE)]
            ways = np.convolve(ways, numbers)
        inside = min(len(ways), len(of_sum))
        chance = (ways[:inside] * of_sum[:inside]).sum()
        chance *= np.prod([chances[place, kind] for place, kind in enumerate(kinds)])
        for place, kind in enumerate(kinds):
            total[place, kind] += chance
    assert np.allclose(weighed, total / total.sum(axis=1, keepdims=True), atol=1e-9)


def test_a_picture_of_debris_is_not_made_a_cell():
    chances = np.full((20, 5), 1e-4)
    chances[:17, OTHER] = chances[17:, SINGLE] = 1.0
    chances /= chances.sum(axis=1, keepdims=True)
    assert np.abs(apply_chromosome_count_prior(chances, np.ones(20), 46) - chances).max() < 0.01


@pytest.mark.parametrize("least", [0.0, 1e-12])
def test_far_more_chromosomes_than_expected_say_nothing(least):
    """Clusters of a tetraploid cell, with more chromosomes than the table covers."""
    for size in (4.0, 25.0):
        chances = np.full((50, 5), least)
        chances[:, TOUCHING] = 1.0
        weighed = apply_chromosome_count_prior(chances, np.full(50, size), 46)
        assert np.isfinite(weighed).all()
        assert (weighed[:, TOUCHING] > 0.99).all()


@pytest.mark.parametrize("count", [11, 60])
def test_too_few_and_too_many_regions_say_nothing(count):
    chances, sizes = regions(count - 1)
    assert prior_is_informative(count + (1 if count < 46 else -1), 46)
    assert not prior_is_informative(count, 46)
    assert np.array_equal(apply_chromosome_count_prior(chances, sizes, 46), chances)


def test_without_a_number_nothing_is_said():
    assert not prior_is_informative(40, None)
    assert not prior_is_informative(40, 0)
    with pytest.raises(ValueError, match="cannot have -4 chromosomes"):
        prior_is_informative(40, -4)


def test_the_right_number_makes_the_truth_likelier():
    """The embedded model on synthetic metaphases of non-human cells."""
    classifier = load_model("default", "cpu")
    losses = {}
    for chromosomes, seed in ((24, 100), (24, 102), (60, 101), (80, 103)):
        made = synthetic_metaphase(seed=seed, chromosomes=chromosomes)
        for name, number in (("none", None), ("human", 46), ("right", chromosomes)):
            table = classifier.classify(made.image, made.labels, expected=number, tta=2)
            true = [f"p_{made.types[label]}" for label in table["index"]]
            chances = [table.loc[row, column] for row, column in enumerate(true)]
            losses.setdefault(name, []).extend(-np.log(np.clip(chances, 1e-6, 1)))
    losses = {name: np.mean(loss) for name, loss in losses.items()}
    assert losses["right"] < 0.98 * losses["none"]
    assert losses["human"] < 1.02 * losses["none"]
