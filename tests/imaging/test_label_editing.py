"""Split, merge and delete regions."""

from __future__ import annotations

import numpy as np
import pytest

from napari_chromocluster.cluster_types import ClusterType
from napari_chromocluster.imaging.label_editing import (
    LabelEditError,
    delete_regions,
    merge_regions,
    split_by_line,
    split_by_watershed,
)
from napari_chromocluster.imaging.normalization import normalize_stain
from napari_chromocluster.imaging.synthetic_metaphase import synthetic_metaphase


def two_bars() -> np.ndarray:
    """Two upright bars connected by a neck, and a third region next to them."""
    labels = np.zeros((60, 80), np.int32)
    labels[10:50, 10:20] = 3
    labels[10:50, 23:33] = 3
    labels[28:32, 20:23] = 3
    labels[5:12, 60:70] = 9
    return labels


def applied(labels: np.ndarray, patch) -> np.ndarray:
    out = labels.copy()
    patch.apply(out)
    return out


def test_line_splits_and_keeps_every_pixel():
    labels = two_bars()
    out = applied(labels, split_by_line(labels, 3, [(5, 21.5), (55, 21.5)]))
    assert (out > 0).sum() == (labels > 0).sum()
    assert set(np.unique(out)) == {0, 3, 9, 10}
    assert (out[10:50, 10:20] == out[10, 10]).all()
    assert (out[10:50, 23:33] == out[10, 30]).all()
    assert out[10, 10] != out[10, 30]
    np.testing.assert_array_equal(out[5:12, 60:70], 9)


def test_line_that_stops_a_little_short_still_cuts():
    labels = two_bars()
    out = applied(labels, split_by_line(labels, 3, [(29, 21), (30, 21)]))
    assert 10 in out


def test_diagonal_line_leaves_no_bridge_over_corners():
    labels = np.zeros((40, 40), np.int32)
    labels[5:35, 5:35] = 1
    out = applied(labels, split_by_line(labels, 1, [(2, 2), (38, 38)]))
    assert set(np.unique(out)) == {0, 1, 2}
    assert abs(int((out == 1).sum()) - int((out == 2).sum())) < 80


@pytest.mark.parametrize("points", [[(5, 5), (5, 8)], [(12, 12), (14, 14)]])
def test_line_that_does_not_cut_is_refused(points):
    with pytest.raises(LabelEditError, match="draw it right across"):
        split_by_line(two_bars(), 3, points)


def test_watershed_finds_the_neck():
    labels = two_bars()
    out = applied(labels, split_by_watershed(labels, 3))
    left, right = out[12:48, 11:19], out[12:48, 24:32]
    assert len(np.unique(left)) == len(np.unique(right)) == 1
    assert left[0, 0] != right[0, 0]


def test_watershed_separates_touching_chromosomes_of_a_metaphase():
    made = synthetic_metaphase(seed=3)
    signal = normalize_stain(made.image, made.labels).values
    touching = [n for n, kind in made.types.items() if kind is ClusterType.TOUCHING]
    for label in touching:
        out = applied(made.labels, split_by_watershed(made.labels, label, signal=signal))
        new = int(out.max())
        parts = [(out == label).sum(), (out == new).sum()]
        assert min(parts) > 0.08 * sum(parts)
        assert sum(parts) == (made.labels == label).sum()


def test_a_disc_has_no_place_to_cut():
    y, x = np.mgrid[:40, :40]
    labels = ((y - 20) ** 2 + (x - 20) ** 2 < 150).astype(np.int32)
    with pytest.raises(LabelEditError, match="drawn line"):
        split_by_watershed(labels, 1)


def test_merge_keeps_the_label_of_the_largest():
    labels = two_bars()
    out = applied(labels, merge_regions(labels, [9, 3]))
    assert set(np.unique(out)) == {0, 3}
    with pytest.raises(LabelEditError, match="at least two"):
        merge_regions(labels, [3])


def test_delete_and_unknown_label():
    labels = two_bars()
    assert 9 not in applied(labels, delete_regions(labels, [9]))
    with pytest.raises(LabelEditError, match="does not occur"):
        delete_regions(labels, [77])


def test_reversed_patch_restores_but_leaves_later_paint():
    labels = two_bars()
    patch = delete_regions(labels, [3])
    out = applied(labels, patch)
    out[11, 11] = 5  # painted since
    patch.reversed().apply(out)
    expected = labels.copy()
    expected[11, 11] = 5
    np.testing.assert_array_equal(out, expected)


def test_full_dtype_says_what_to_do():
    labels = two_bars().astype(np.uint8)
    labels[0, 0] = 255
    with pytest.raises(LabelEditError, match="int32"):
        split_by_line(labels, 3, [(5, 21.5), (55, 21.5)])


def test_labels_are_never_changed_in_place():
    labels = two_bars()
    before = labels.copy()
    split_by_line(labels, 3, [(5, 21.5), (55, 21.5)])
    split_by_watershed(labels, 3)
    merge_regions(labels, [3, 9])
    np.testing.assert_array_equal(labels, before)
