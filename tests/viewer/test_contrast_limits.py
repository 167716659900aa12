"""Contrast limits for regions much darker than other objects."""

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_chromocluster.viewer.contrast_limits import has_default_contrast, limits_for_regions


def picture(nucleus):
    """Background 10, a chromosome of 60, and a disc of another gray level."""
    image = np.full((120, 120), 10, np.uint16)
    labels = np.zeros(image.shape, np.int32)
    image[20:30, 20:60] = 60
    labels[20:30, 20:60] = 1
    y, x = np.ogrid[:120, :120]
    image[np.hypot(y - 80, x - 80) < 20] = nucleus
    return image, labels


def test_regions_that_a_nucleus_outshines_get_the_range_to_themselves():
    image, labels = picture(nucleus=1000)
    assert limits_for_regions(image, labels, (10, 1000)) == [10, 60]


@pytest.mark.parametrize("nucleus", [60, 100])
def test_regions_that_can_be_seen_keep_their_contrast(nucleus):
    image, labels = picture(nucleus)
    assert limits_for_regions(image, labels, (10, nucleus)) is None


def test_dark_chromosomes_keep_their_contrast():
    image, labels = picture(nucleus=1000)
    assert limits_for_regions(1000 - image.astype(float), labels, (0, 990)) is None


def test_pixels_that_are_no_number_and_pictures_without_regions():
    image, labels = picture(nucleus=1000)
    image = image.astype(np.float32)
    image[labels == 0] = np.nan
    assert limits_for_regions(image, labels, (10, 1000)) is None
    assert limits_for_regions(picture(1000)[0], np.zeros_like(labels), (10, 1000)) is None


def test_a_choice_of_the_user_is_known():
    layer = ViewerModel().add_image(picture(1000)[0])
    assert has_default_contrast(layer)
    layer.contrast_limits = (10, 300)
    assert not has_default_contrast(layer)
