import numpy as np
import pytest
from scipy import ndimage

from napari_chromocluster.imaging.morphometry import (
    SPECK,
    chromosome_area,
    chromosome_half_width,
    plausible_areas,
    remove_small_objects,
)


def test_half_width_is_that_of_the_rods_whatever_specks_and_a_disc_say():
    mask = np.zeros((300, 300), bool)
    for row in range(20, 180, 20):
        mask[row : row + 9, 20:80] = True
    y, x = np.mgrid[:300, :300]
    mask[np.hypot(y - 240, x - 240) < 40] = True
    mask[::10, 150:290:10] = True
    assert chromosome_half_width(ndimage.distance_transform_edt(mask)) == pytest.approx(5, abs=0.5)
    assert chromosome_half_width(np.zeros((10, 10))) == 0.0


def test_area_of_the_median_chromosome_leaves_out_what_cannot_be_one():
    half = 4.0
    areas = np.array([3, 5, 200, 220, 240, 260, 280, 9000])
    assert list(plausible_areas(areas, half)) == [200, 220, 240, 260, 280]
    assert chromosome_area(areas, half) == 240
    assert chromosome_area(areas[:3], half) == 16 * half**2
    assert chromosome_area(np.zeros(3, int), half) == 0.0


def test_specks_are_left_out():
    mask = np.zeros((20, 20), bool)
    mask[2:5, 2 : 2 + SPECK // 3] = True
    mask[10:12, 10 : 10 + SPECK // 2 - 1] = True
    kept = remove_small_objects(mask)
    assert kept[3, 3]
    assert not kept[10:12].any()
