import dataclasses

import numpy as np
import pytest

from napari_chromocluster.models.familiarity import (
    FEWEST_REGIONS,
    FeatureStatistics,
    familiarity,
    fit_feature_statistics,
    less_confident,
)

_RNG = np.random.default_rng(0)


def regions(n, shift=0.0):
    """Features of regions of two types, and logits that distinguish them."""
    kind = np.arange(n) % 2
    features = _RNG.normal(shift, 1.0, (n, 20)) + 3.0 * kind[:, None]
    return features, np.eye(2)[kind] * 4.0


@pytest.fixture
def statistics():
    return fit_feature_statistics(*regions(400), usual=1.5)


def test_regions_like_those_of_the_training_are_about_one_deviation_away(statistics):
    assert np.median(statistics.distances(*regions(200))) == pytest.approx(1.0, abs=0.15)


def test_a_metaphase_of_other_looks_is_less_familiar(statistics):
    known = familiarity(statistics.distances(*regions(60)), statistics.usual)
    other = familiarity(statistics.distances(*regions(60, shift=2.5)), statistics.usual)
    assert known == 1.0
    assert other < 0.5


def test_single_odd_regions_do_not_make_a_metaphase_unfamiliar(statistics):
    distances = statistics.distances(*regions(60))
    distances[:20] = 50.0
    assert familiarity(distances, statistics.usual) == 1.0


def test_few_regions_say_nothing(statistics):
    distances = np.full(FEWEST_REGIONS - 1, 50.0)
    assert familiarity(distances, statistics.usual) is None


def test_confidence_falls_with_familiarity_and_types_stay():
    probabilities = np.array([[0.9, 0.05, 0.03, 0.01, 0.01], [0.4, 0.6, 0.0, 0.0, 0.0]])
    flat = less_confident(probabilities, 0.5)
    np.testing.assert_array_equal(flat.argmax(axis=1), probabilities.argmax(axis=1))
    assert (flat.max(axis=1) < probabilities.max(axis=1)).all()
    np.testing.assert_allclose(flat.sum(axis=1), 1.0, atol=1e-6)
    for familiar in (1.0, None):
        np.testing.assert_allclose(less_confident(probabilities, familiar), probabilities)


def test_statistics_survive_the_model_card(statistics):
    again = FeatureStatistics.from_dict(statistics.to_dict())
    features, logits = regions(50)
    np.testing.assert_allclose(
        again.distances(features, logits), statistics.distances(features, logits), rtol=0.02
    )
    assert FeatureStatistics.from_dict({}) is None


def test_a_type_that_is_hardly_predicted_takes_the_centre_of_all():
    features, logits = regions(100)
    logits = np.column_stack([logits, np.zeros(100)])
    fitted = fit_feature_statistics(features, logits)
    np.testing.assert_allclose(fitted.centers[2], features.mean(axis=0), rtol=1e-5)
    assert dataclasses.replace(fitted, usual=2.0).usual == 2.0
