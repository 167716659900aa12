"""Automatic annotation of regions: from boxes, and from other outlines."""

from __future__ import annotations

import numpy as np
import pytest

from box_annotations import annotate, owner
from outline_annotations import (
    bridged,
    close_gaps,
    fallen_apart,
    joined_type,
    mapped_regions,
    parents,
)


def bars(*places: tuple[int, int, int, int]) -> np.ndarray:
    """Label rectangles (y0, x0, y1, x1) in an image of 60 x 60."""
    labels = np.zeros((60, 60), np.int32)
    for number, (y0, x0, y1, x1) in enumerate(places, 1):
        labels[y0:y1, x0:x1] = number
    return labels


def boxes(*places: tuple[int, int, int, int]) -> np.ndarray:
    """Return boxes as x0, y0, x1, y1 from the same rectangles."""
    return np.array([[x0, y0, x1, y1] for y0, x0, y1, x1 in places], np.int64)


LEFT, RIGHT, FAR = (10, 5, 18, 25), (10, 28, 18, 48), (40, 5, 48, 25)


def test_a_box_belongs_to_the_region_that_has_most_of_it():
    labels = bars(LEFT, RIGHT)
    assert owner(labels, boxes(LEFT)[0]) == 1
    assert owner(labels, boxes((10, 5, 18, 48))[0]) == 0  # half of each
    assert owner(labels, boxes(FAR)[0]) == 0


def test_boxes_name_singles_clusters_and_what_is_no_chromosome():
    pair = (10, 5, 18, 48)
    labels = bars(pair, FAR, (40, 40, 48, 55))
    assert annotate(labels, boxes(LEFT, RIGHT, FAR)) == [
        (1, "touching", 2),
        (2, "single", 1),
        (3, "other", 0),
    ]


def test_closing_bridges_narrow_gaps_only():
    closed = close_gaps(bars(LEFT, RIGHT, FAR), 4.0)
    assert closed.max() == 2
    assert closed[14, 26] == closed[14, 10] != 0
    assert close_gaps(bars(LEFT, RIGHT, FAR), 2.0).max() == 3


def test_closing_leaves_regions_at_the_border_as_they_are():
    at_border = bars((0, 5, 8, 25))
    assert np.array_equal(close_gaps(at_border, 4.0) > 0, at_border > 0)


def test_bridged_singles_touch():
    labels = bars(LEFT, RIGHT, FAR)
    closed = close_gaps(labels, 4.0)
    named = list(bridged(labels, dict.fromkeys((1, 2, 3), "single"), closed))
    assert named == [(int(closed[14, 10]), "touching", 2)]


def test_a_region_of_which_a_part_is_unknown_gets_no_name():
    labels = bars(LEFT, RIGHT, FAR)
    closed = close_gaps(labels, 4.0)
    assert not list(bridged(labels, {1: "single", 3: "single"}, closed))
    assert not list(bridged(labels, {1: "single", 2: "other", 3: "single"}, closed))


@pytest.mark.parametrize(
    ("kinds", "joined"),
    [
        (["single", "single"], "touching"),
        (["single", "touching"], "touching"),
        (["single", "overlapping"], "touching_overlapping"),
        (["overlapping", "overlapping"], "touching_overlapping"),
        (["single", "other"], ""),
        (["single", "unresolved"], ""),
        (["single", ""], ""),
    ],
)
def test_what_joined_regions_make(kinds, joined):
    assert joined_type(kinds) == joined


def test_a_cluster_falls_apart_when_each_box_gets_a_piece_of_its_own():
    loose, tight = bars((10, 5, 18, 48)), bars(LEFT, RIGHT)
    assert fallen_apart(loose, tight, boxes(LEFT, RIGHT)) == {1}


def test_a_crossing_does_not_fall_apart():
    cross = bars((28, 5, 34, 55))
    cross[5:55, 28:34] = 1
    both = boxes((28, 5, 34, 55), (5, 28, 55, 34))
    assert fallen_apart(cross, cross, both) == set()


def test_a_lost_chromosome_proves_nothing():
    loose, tight = bars((10, 5, 18, 48)), bars(LEFT)
    assert fallen_apart(loose, tight, boxes(LEFT, RIGHT)) == set()


def test_mapped_regions_take_the_name_of_what_they_hold():
    mapped = bars(LEFT, RIGHT, FAR)
    ours = bars((9, 4, 19, 49), (39, 4, 49, 26), (30, 36, 54, 58), (52, 4, 56, 20))
    names = {1: "single", 2: "single", 3: "overlapping"}
    assert list(mapped_regions(ours, mapped, names, thick=15.0)) == [
        (1, "touching", 0),
        (2, "overlapping", 0),
        (3, "other", 0),  # thick; the thin one below may be an unmapped chromosome
    ]


def test_parents_need_most_of_a_region():
    inner, outer = bars(LEFT), bars((10, 5, 18, 13))
    assert parents(inner, outer) == {}
    assert parents(inner, outer, share=0.0) == {1: [1]}
