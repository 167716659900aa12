import dataclasses

import numpy as np
import pytest

from napari_chromocluster.cluster_types import TYPES, ClusterType
from napari_chromocluster.imaging.neighborhood import NeighborhoodFeatures
from napari_chromocluster.models.classifier import ClusterClassifier
from napari_chromocluster.models.model_file import load_model_file, save_model
from napari_chromocluster.models.neighborhood_prior import neighborhood_logit_offsets
from napari_chromocluster.models.registry import resolve_model

CLASSES = tuple(str(kind) for kind in TYPES)
OTHER = CLASSES.index(str(ClusterType.OTHER))
TABLES = {
    "other": {
        "remoteness": {"at": [-1.0, 0.0, 1.0], "adds": [-2.0, 0.0, 3.0]},
        "level": {"at": [-0.5, 0.5], "adds": [1.0, 2.0]},
    }
}
CROWDED = {"cluster": {"remoteness": {"at": [-1.0, 1.0], "adds": [1.0, -1.0]}}}


def test_straight_lines_between_level_outside_and_nothing_where_nothing_is_known():
    around = [
        NeighborhoodFeatures(0.5, np.nan),
        NeighborhoodFeatures(9.0, np.nan),
        NeighborhoodFeatures(-9.0, 0.0),
        None,
        NeighborhoodFeatures(0.0, np.nan),
    ]
    shifts = neighborhood_logit_offsets(around, TABLES, CLASSES)
    assert shifts[:, OTHER] == pytest.approx([1.5, 3.0, -2.0 + 1.5, 0, 0])
    assert not np.delete(shifts, OTHER, axis=1).any()


def test_clusters_of_every_type_gain_the_same():
    shifts = neighborhood_logit_offsets(
        [NeighborhoodFeatures(-0.5, 0.1), None], TABLES | CROWDED, CLASSES
    )
    clusters = [kind.is_cluster for kind in TYPES]
    assert shifts[0, clusters] == pytest.approx([0.5] * 3)
    assert shifts[0, CLASSES.index(str(ClusterType.SINGLE))] == 0
    assert shifts[0, OTHER] == pytest.approx(-1.0 + 1.6)
    assert not shifts[1].any()


def test_a_model_without_other_or_without_tables_is_not_touched():
    around = [NeighborhoodFeatures(2.0, 0.4)]
    assert not neighborhood_logit_offsets(around, TABLES, CLASSES[:OTHER]).any()
    assert not neighborhood_logit_offsets(around, {}, CLASSES).any()


@pytest.fixture(scope="module")
def default():
    return load_model_file(resolve_model("default"))


def _remote(labels, distance=400):
    """Move one region far away from the others."""
    ys, xs = np.nonzero(labels == 1)
    wide = np.pad(labels, ((0, distance), (0, distance)))
    wide[ys, xs] = 0
    wide[ys - ys.max() - 20, xs - xs.max() - 20] = 1  # from the end of either axis
    return wide, (ys, xs)


def test_the_odds_of_other_follow_the_tables_and_the_rest_keeps_its_shares(metaphase, default):
    network, card = default
    plain = ClusterClassifier(network, dataclasses.replace(card, surroundings={}), "cpu")
    tables = {"other": {"remoteness": {"at": [-9.0, 9.0], "adds": [2.0, 2.0]}}}
    shifted = ClusterClassifier(network, dataclasses.replace(card, surroundings=tables), "cpu")
    before, after = (
        one.classify(metaphase.image, metaphase.labels, tta=1, expected=None)[
            [f"p_{name}" for name in CLASSES]
        ]
        for one in (plain, shifted)
    )
    odds = [
        (table.iloc[:, OTHER] / (1 - table.iloc[:, OTHER])).to_numpy() for table in (before, after)
    ]
    usual = (before.iloc[:, OTHER] > 1e-5).to_numpy()
    assert usual.any()
    assert odds[1][usual] == pytest.approx(odds[0][usual] * np.exp(2 / card.temperature), rel=0.02)
    rest = [table.drop(columns=f"p_{ClusterType.OTHER}") for table in (before, after)]
    shares = [table.div(table.sum(axis=1), axis=0).to_numpy() for table in rest]
    assert np.allclose(*shares, atol=1e-3)


def test_the_embedded_model_doubts_a_chromosome_that_lies_far_away(metaphase, default):
    model = ClusterClassifier(*default, "cpu")
    assert set(model.card.surroundings) == {"other", "cluster"}
    labels, (ys, xs) = _remote(metaphase.labels)
    image = np.pad(metaphase.image, ((0, 400), (0, 400)), mode="reflect")
    there = np.nonzero(labels == 1)
    image[there], image[ys, xs] = metaphase.image[ys, xs], int(np.median(image[labels == 0]))
    near = model.classify(metaphase.image, metaphase.labels, select=1)
    far = model.classify(image, labels, select=1)
    column = f"p_{ClusterType.OTHER}"
    here, there = (float(table[column].iloc[0]) for table in (near, far))
    assert there / (1 - there) > 5 * here / (1 - here)


def test_tables_are_kept_in_a_model_file(tmp_path, default):
    network, card = default
    save_model(
        tmp_path / "m.safetensors", network, dataclasses.replace(card, surroundings=TABLES), True
    )
    assert load_model_file(tmp_path / "m.safetensors")[1].surroundings == TABLES


def test_what_is_explained_is_the_type_that_was_given(metaphase, default):
    network, card = default
    tables = {"other": {"remoteness": {"at": [-9.0, 9.0], "adds": [50.0, 50.0]}}}
    model = ClusterClassifier(network, dataclasses.replace(card, surroundings=tables, tta=1), "cpu")
    given, other, single = (
        model.explain(metaphase.image, metaphase.labels, 3, cluster_type=kind)
        for kind in (None, "other", "single")
    )
    assert np.array_equal(given, other)
    assert not np.allclose(given, single, atol=0.01)
