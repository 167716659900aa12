import numpy as np
import pytest

from napari_chromocluster.imaging.crops import cut_regions
from napari_chromocluster.imaging.hole_filling import fill_band_holes
from napari_chromocluster.imaging.normalization import NormalizedImage
from napari_chromocluster.imaging.regions import extract_regions

#: Side of a region in px: a hole of 4 pixels is 1 % of its area, one of 36 pixels 9 %.
SIDE = 20


@pytest.fixture
def labels():
    made = np.zeros((2 * SIDE, 30 * SIDE), np.int32)
    for number in range(20):
        made[5 : 5 + SIDE, 30 * number + 5 : 30 * number + 5 + SIDE] = number + 1
    return made


def filled(labels, holes, levels, dark=True):
    """Cut holes into regions (label to side in px) with given levels, and fill them again."""
    values = np.where(labels > 0, 1, 0).astype(np.float32)
    holed = labels.copy()
    for label, side in holes.items():
        y, x = 12, 30 * (label - 1) + 12
        holed[y : y + side, x : x + side] = 0
        values[y : y + side, x : x + side] = levels.get(label, 0.4)
    out = fill_band_holes(holed, NormalizedImage(values, dark), extract_regions(holed))
    return {label for label in holes if (out == label).sum() == SIDE**2}


RAW = {1: 1, 2: 1, 3: 1}


def test_what_a_threshold_left_of_bright_bands_is_filled(labels):
    assert filled(labels, {**RAW, 4: 2}, {}) == {1, 2, 3, 4}


def test_gaps_and_rings_stay_open(labels):
    assert filled(labels, {**RAW, 4: 2, 5: 6}, {4: 0.1}) == {1, 2, 3}


def test_labels_that_were_cleaned_up_stay_as_they_are(labels):
    assert filled(labels, {4: 2, 5: 2, 6: 2}, {}) == set()


def test_bright_chromosomes_have_no_bright_bands(labels):
    assert filled(labels, {**RAW, 4: 2}, {}, dark=False) == set()


def test_another_region_in_a_hole_stays(labels):
    holed = labels.copy()
    for label in RAW:
        holed[12, 30 * (label - 1) + 12] = 0
    holed[12:14, 30 * 4 + 12 : 30 * 4 + 14] = 77
    signal = NormalizedImage((holed > 0).astype(np.float32) + 0.5, True)
    out = fill_band_holes(holed, signal, extract_regions(holed))
    assert (out == 77).sum() == 4
    assert (out > 0).sum() == (labels > 0).sum()


def test_the_labels_that_are_given_are_not_touched(labels):
    image = np.where(labels > 0, 60, 220).astype(np.uint8)
    holed = labels.copy()
    for label in RAW:
        holed[12, 30 * (label - 1) + 12] = 0
        image[12, 30 * (label - 1) + 12] = 150
    before = holed.copy()
    crops = list(cut_regions(image, holed, extract_regions(holed)))
    np.testing.assert_array_equal(holed, before)
    assert [int(crop.mask.sum()) for crop in crops] == [SIDE**2] * 20
