"""Holes that a plain threshold leaves are filled; background that chromosomes enclose is not."""

import numpy as np
import pytest

from napari_chromocluster.imaging.crops import cut_regions
from napari_chromocluster.imaging.outlines import without_noise_holes
from napari_chromocluster.imaging.regions import extract_regions


@pytest.fixture
def blocks():
    """Twelve regions of 40 x 20 px."""
    labels = np.zeros((200, 200), np.int32)
    for place in range(12):
        y, x = divmod(place, 4)
        labels[10 + 60 * y : 50 + 60 * y, 10 + 45 * x : 30 + 45 * x] = place + 1
    return labels


def filled(labels):
    return without_noise_holes(labels, extract_regions(labels))


def test_clean_labels_stay_as_they_are(blocks):
    blocks[20:24, 15:20] = 0  # 20 px of background within a region: no noise
    assert filled(blocks) is blocks


def test_holes_of_a_threshold_are_filled(blocks):
    before = blocks.copy()
    blocks[12, 12] = 0  # what no segmentation leaves
    blocks[20:24, 15:20] = 0
    blocks[22, 70] = 0
    out = filled(blocks)
    assert np.array_equal(out, before)
    assert blocks[12, 12] == 0, "the labels of the user are not changed"


def test_background_that_chromosomes_lie_around_is_none(blocks):
    blocks[12, 12] = 0
    blocks[75:90, 12:28] = 0  # a third of a region
    out = filled(blocks)
    assert out[12, 12] == 1
    assert not out[75:90, 12:28].any()


def test_other_regions_in_a_hole_are_none_of_it(blocks):
    blocks[12, 12] = 0
    blocks[20:24, 15:20] = 99
    out = filled(blocks)
    assert (out[20:24, 15:20] == 99).all()
    assert out[12, 12] == 1


def test_few_regions_tell_nothing():
    labels = np.zeros((30, 30), np.int32)
    labels[5:15, 5:15], labels[8, 8] = 1, 0
    assert filled(labels) is labels


def test_crops_are_cut_without_them(blocks):
    image = np.where(blocks > 0, 60, 200).astype(np.uint8)
    blocks[12, 12] = blocks[20, 20] = 0
    crop = next(cut_regions(image, blocks, extract_regions(blocks, {1})))
    assert crop.mask.sum() == 40 * 20
