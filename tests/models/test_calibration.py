import numpy as np
import pytest

from napari_chromocluster.cluster_types import TYPES
from napari_chromocluster.models.calibration import (
    calibrate,
    expand_to_all_types,
    fit_temperature,
    prior_weights,
    softmax,
)
from napari_chromocluster.models.model_card import NATURAL_PRIOR

CLASSES = tuple(str(kind) for kind in TYPES)


def test_natural_prior_is_a_distribution_over_the_types():
    assert set(NATURAL_PRIOR) == set(CLASSES)
    assert sum(NATURAL_PRIOR.values()) == pytest.approx(1)


def test_softmax_of_large_numbers():
    assert np.allclose(softmax(np.array([[1000.0, 1000.0], [-1000.0, 0.0]])), [[0.5, 0.5], [0, 1]])


def test_copies_are_averaged_as_probabilities(rng):
    logits = rng.normal(size=(4, 6, 5))
    plain = calibrate(logits, 1.0, np.ones(5))
    assert np.allclose(plain, softmax(logits).mean(axis=0))


def test_the_prior_follows_bayes(rng):
    p = softmax(rng.normal(size=(1, 6, 5)))[0]
    training, use = dict.fromkeys(CLASSES, 0.2), NATURAL_PRIOR
    expected = p * [use[name] / training[name] for name in CLASSES]
    expected /= expected.sum(axis=1, keepdims=True)
    found = calibrate(np.log(p)[None], 1.0, prior_weights(training, use, CLASSES))
    assert np.allclose(found, expected)


def test_the_temperature_sharpens_the_prior_too(rng):
    p = softmax(rng.normal(size=(1, 6, 5)))[0]
    weights, shifts = rng.uniform(0.3, 3, 5), rng.normal(size=(6, 5))
    posterior = p * weights * np.exp(shifts)
    expected = posterior ** (1 / 0.7)
    expected /= expected.sum(axis=1, keepdims=True)
    assert np.allclose(calibrate(np.log(p)[None], 0.7, weights, shifts), expected)
    # So a type that is likeliest stays likeliest, whatever the temperature.
    types = [calibrate(np.log(p)[None], t, weights, shifts).argmax(axis=1) for t in (0.3, 1, 4)]
    assert np.array_equal(types[0], types[1])
    assert np.array_equal(types[1], types[2])


def test_without_a_training_prior_nothing_is_weighed():
    assert np.array_equal(prior_weights({}, NATURAL_PRIOR, CLASSES), np.ones(5))


def test_the_temperature_of_overconfident_logits_is_found(rng):
    true = rng.integers(0, 5, 4000)
    honest = rng.normal(size=(4000, 5)) * 1.5
    chances = softmax(honest)
    true = np.array([rng.choice(5, p=row) for row in chances])
    found = fit_temperature(2.5 * honest[None], true, np.ones(5))
    assert found == pytest.approx(2.5, rel=0.12)
    assert fit_temperature(honest[None, :0], true[:0], np.ones(5)) == 1.0


def test_a_model_of_three_types_fills_five_columns():
    spread = expand_to_all_types(np.array([[0.2, 0.7, 0.1]]), ("touching", "single", "other"))
    assert spread.dtype == np.float32
    assert np.allclose(spread, [[0.7, 0.2, 0, 0, 0.1]])


def unsure_share(logits, temperature):
    return (calibrate(logits, temperature, np.ones(5)).max(axis=1) < 0.7).mean()


@pytest.mark.parametrize("start", [0.8, 1.0, 1.7])
def test_a_few_regions_that_are_all_right_do_not_take_the_doubt_away(rng, start):
    logits = rng.normal(size=(1, 28, 5)) * 2.5
    right = logits[0].argmax(axis=1)
    assert fit_temperature(logits, right, np.ones(5)) == pytest.approx(0.3)
    found = fit_temperature(logits, right, np.ones(5), start=start)
    assert 0.8 * start < found <= start
    elsewhere = rng.normal(size=(1, 1000, 5)) * 2.5
    assert unsure_share(elsewhere, found) > 0.75 * unsure_share(elsewhere, start)
    assert fit_temperature(logits[:, :0], right[:0], np.ones(5), start=start) == start


def test_many_regions_win_over_the_start(rng):
    honest = rng.normal(size=(2000, 5)) * 1.5
    true = np.array([rng.choice(5, p=row) for row in softmax(honest)])
    found = fit_temperature(2.5 * honest[None], true, np.ones(5), start=1.0)
    assert found == pytest.approx(2.5, rel=0.15)


def test_a_few_regions_with_mistakes_make_it_more_careful(rng):
    logits = rng.normal(size=(1, 40, 5)) * 4
    wrong = logits[0].argsort(axis=1)[:, -2]
    assert fit_temperature(logits, wrong, np.ones(5), start=1.0) > 1.2
