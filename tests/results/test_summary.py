import numpy as np
import pandas as pd
import pytest

from napari_chromocluster.cluster_types import ClusterType
from napari_chromocluster.imaging.regions import extract_regions
from napari_chromocluster.results.features_table import build_table, empty_table, set_types
from napari_chromocluster.results.summary import (
    count_warning,
    estimate_chromosomes,
    familiarity_warning,
    score,
    sort_by_score,
    summarise,
)


def table(singles=46, touching=0, overlapping=0, both=0):
    kinds = (
        ["single"] * singles
        + ["touching"] * touching
        + ["overlapping"] * overlapping
        + ["touching_overlapping"] * both
    )
    labels = np.zeros((10, 10 * len(kinds) + 1), int)
    for number in range(len(kinds)):
        labels[1:9, 10 * number + 1 : 10 * number + 5] = number + 1
    made = build_table(extract_regions(labels))
    for number, kind in enumerate(kinds, start=1):
        made = set_types(made, [number], kind)
    return made


def test_perfect_metaphase_scores_100():
    summary = summarise(table())
    assert summary.score == 100
    assert summary.chromosomes == 46
    assert summary.counts[ClusterType.SINGLE] == 46


def test_fewer_and_milder_clusters_are_better():
    scores = [
        score(table(46)),
        score(table(44, touching=1)),
        score(table(44, overlapping=1)),
        score(table(40, overlapping=3)),
        score(table(37, both=3)),
    ]
    assert scores == sorted(scores, reverse=True)
    assert len(set(scores)) == len(scores)


def test_missing_chromosomes_cost():
    assert score(table(40)) < score(table(45)) < score(table(46))
    assert score(empty_table()) == 0


@pytest.mark.parametrize("unknown", [None, 0])
def test_where_no_number_is_known_none_is_missing(unknown):
    made = table(30, touching=2)
    assert score(table(40), unknown) == 100
    assert score(made, unknown) == score(made, estimate_chromosomes(made))
    assert summarise(made, unknown).expected is None
    order = sort_by_score({"few": table(20), "clusters": table(40, touching=3)}, unknown)
    assert list(order["metaphase"]) == ["few", "clusters"]


def test_number_of_chromosomes_by_area():
    made = table(4)
    made.loc[3, "area"] = 3 * 32.0
    made = set_types(made, [4], "touching")
    assert summarise(made).chromosomes == 6


def test_a_usual_region_is_no_small_chromosome():
    """Small chromosomes are more often single, so as a reference they would inflate clusters."""
    made = table(30, touching=8)
    made.loc[:9, "area"], made.loc[10:29, "area"] = 18.0, 32.0
    made.loc[30:, "area"] = 60.0
    assert summarise(made).chromosomes == 46
    made.loc[30:, "area"] = 8 * 32.0
    assert 30 + 8 * 6 <= summarise(made).chromosomes <= 30 + 8 * 10


def test_specks_do_not_tell_what_is_usual():
    made = table(30, touching=8)
    made.loc[30:, "area"] = 60.0
    specks = table(60).assign(area=1.0, cluster_type="other")
    both = pd.concat([made, specks], ignore_index=True)
    assert summarise(both).chromosomes == summarise(made).chromosomes == 46


def test_ranking():
    order = sort_by_score(
        {"bad": table(30, overlapping=8), "good": table(46), "fair": table(44, 1)}
    )
    assert list(order["metaphase"]) == ["good", "fair", "bad"]
    assert order["score"][0] == pytest.approx(100)


def test_a_number_that_no_cell_has_is_warned_of():
    assert [count_warning(number, 46) for number in (35, 40, 46, 57)] == [""] * 4
    assert "Far more" in count_warning(180, 46)
    assert "Far fewer" in count_warning(12, 46)
    assert count_warning(180, None) == count_warning(180, 0) == ""


def test_pictures_unlike_those_of_the_training_are_warned_of():
    assert familiarity_warning({}) == familiarity_warning({0: 1.0, 1: None}) == ""
    assert familiarity_warning({0: 0.4}).startswith("This picture looks unlike")
    assert familiarity_warning({0: 0.4, 1: 1.0, 2: 0.9}).startswith("2 of 3 pictures look unlike")
