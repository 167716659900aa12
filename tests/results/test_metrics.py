import json

import numpy as np
import pytest
from sklearn import metrics as reference

from napari_chromocluster.cluster_types import TYPES
from napari_chromocluster.results.metrics import (
    evaluate_predictions,
    expected_calibration_error,
    selective_accuracy,
    wilson_interval,
)

NAMES = [str(kind) for kind in TYPES]


@pytest.fixture(scope="module")
def case():
    rng = np.random.default_rng(0)
    true = rng.choice(4, 400, p=[0.7, 0.15, 0.1, 0.05])
    chances = rng.dirichlet(np.ones(5), 400)
    chances[np.arange(400), true] += rng.random(400) * 1.5
    chances /= chances.sum(axis=1, keepdims=True)
    groups = rng.choice(["a", "b", "c"], 400)
    return true, chances, groups, evaluate_predictions([NAMES[t] for t in true], chances, groups)


def test_agrees_with_scikit_learn(case):
    true, chances, _, found = case
    predicted = chances.argmax(axis=1)
    recalls = reference.recall_score(true, predicted, labels=range(4), average=None)
    assert found.accuracy == pytest.approx(reference.accuracy_score(true, predicted))
    assert found.macro_sensitivity == pytest.approx(recalls.mean())
    assert found.kappa == pytest.approx(reference.cohen_kappa_score(true, predicted))
    expected = reference.confusion_matrix(true, predicted, labels=range(5))
    assert np.array_equal(found.confusion_matrix, expected)
    f1 = reference.f1_score(true, predicted, labels=range(4), average=None)
    for place in range(4):
        figures = found.per_type[NAMES[place]]
        assert figures.sensitivity == pytest.approx(recalls[place])
        assert figures.f1 == pytest.approx(f1[place])
        assert figures.auroc == pytest.approx(
            reference.roc_auc_score(true == place, chances[:, place])
        )


def test_specificity_and_the_papers_own(case):
    true, chances, _, found = case
    predicted = chances.argmax(axis=1)
    for place in range(4):
        others = true != place
        share = (predicted[others] != place).mean()
        assert found.per_type[NAMES[place]].specificity == pytest.approx(share)
    assert found.micro_specificity == pytest.approx(1 - (1 - found.accuracy) / 3)


def test_groups_and_json_without_nan(case):
    true, chances, groups, found = case
    assert set(found.per_group) == {"a", "b", "c"}
    mine = groups == "a"
    assert found.per_group["a"]["accuracy"] == pytest.approx(
        (chances[mine].argmax(axis=1) == true[mine]).mean()
    )
    assert "NaN" not in json.dumps(found.to_dict(), allow_nan=False)


def test_type_without_rows_has_no_figures(case):
    found = case[-1]
    assert found.per_type["other"].sensitivity is None
    assert found.per_type["other"].n == 0


def test_other_for_a_chromosome_is_wrong():
    chances = np.array([[0.1, 0, 0, 0, 0.9], [0.9, 0, 0, 0, 0.1]])
    assert evaluate_predictions(["single", "single"], chances).accuracy == 0.5


def test_wilson_calibration_and_selection():
    low, high = wilson_interval(90, 100)
    assert (low, high) == (pytest.approx(0.8256, abs=1e-3), pytest.approx(0.9448, abs=1e-3))
    assert expected_calibration_error(np.full(10, 0.8), np.arange(10) < 8) == pytest.approx(0)
    confidence = np.linspace(0, 1, 100)
    right = confidence > 0.04
    assert selective_accuracy(confidence, right) == 1.0


def test_nothing_to_evaluate():
    with pytest.raises(ValueError, match="no annotated region"):
        evaluate_predictions([], np.zeros((0, 5)))


def test_one_type_alone_has_no_specificity(case):
    chances = np.tile(np.eye(5)[0], (4, 1))
    found = evaluate_predictions(["single"] * 4, chances, ["a", "a", "b", "b"])
    assert found.macro_specificity is None
    assert found.to_dict()["per_group"]["a"]["macro_specificity"] is None


def test_each_group_has_its_figures_per_type(case):
    chances = np.eye(5)[[0, 1, 1, 0]]
    types = ["single", "touching", "single", "single"]
    found = evaluate_predictions(types, chances, ["a", "a", "b", "b"]).to_dict()
    assert found["per_group"]["b"]["per_type"]["single"]["sensitivity"] == 0.5
    assert found["per_group"]["a"]["per_type"]["touching"]["n"] == 1
