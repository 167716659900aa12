from pathlib import Path

import numpy as np
import pytest

from napari_chromocluster.imaging.segmentation import segment_metaphase
from napari_chromocluster.imaging.signal import chromosome_signal, to_grayscale


def test_polarity_is_found_for_both_stains(metaphase, dapi):
    assert chromosome_signal(metaphase.image).dark_chromosomes
    assert not chromosome_signal(dapi.image).dark_chromosomes


@pytest.mark.parametrize("convert", [
    lambda a: a,
    lambda a: a.astype(np.uint16) * 200,
    lambda a: a.astype(np.float64) / 255,
    lambda a: np.stack([a] * 3, axis=-1),
    lambda a: np.stack([a] * 4, axis=-1),
])  # fmt: skip
def test_dtype_and_colour_do_not_matter(metaphase, convert):
    plain = chromosome_signal(metaphase.image).values
    other = chromosome_signal(convert(metaphase.image)).values
    assert np.abs(plain - other).max() < 0.02


def test_background_is_zero_and_chromosomes_are_one(metaphase, dapi):
    for made in (metaphase, dapi):
        values = chromosome_signal(made.image, made.labels).values
        assert abs(np.median(values[made.labels == 0])) < 0.1
        assert 0.8 < np.median(values[made.labels > 0]) < 1.2


def test_uneven_light_is_flattened(metaphase):
    x = np.linspace(0.6, 1.0, metaphase.image.shape[1])
    tilted = metaphase.image * x
    values = chromosome_signal(tilted).values
    background = values[metaphase.labels == 0]
    assert np.percentile(np.abs(background), 90) < 0.15


def test_nan_and_black_images():
    image = np.full((40, 50), 200.0)
    image[10:20, 10:40] = 80
    image[0, 0] = np.nan
    assert np.isfinite(chromosome_signal(image).values).all()
    assert not chromosome_signal(np.zeros((30, 30))).values.any()


def test_transparent_pixels_are_no_picture(metaphase):
    alpha = np.full(metaphase.image.shape, 255, np.uint8)
    alpha[:60] = alpha[:, :80] = 0
    pixels = np.where(alpha == 0, 0, metaphase.image)
    rgba = np.stack([pixels] * 3 + [alpha], axis=-1)
    shown = alpha > 0
    signal = chromosome_signal(rgba)
    assert signal.dark_chromosomes
    assert np.abs(signal.values[~shown]).max() < 0.2
    plain = chromosome_signal(metaphase.image).values
    assert np.abs(signal.values - plain)[shown].max() < 0.2
    rgba[..., 3] = 0  # a program that leaves the channel empty
    np.testing.assert_allclose(to_grayscale(rgba), to_grayscale(pixels), atol=0.01)


def test_wrong_shapes_are_refused_in_one_sentence():
    with pytest.raises(ValueError, match="choose one frame"):
        to_grayscale(np.zeros((3, 40, 40)))
    with pytest.raises(ValueError, match="differ in size"):
        chromosome_signal(np.eye(40), np.zeros((20, 20), int))
    with pytest.raises(ValueError, match="empty"):
        to_grayscale(np.zeros((0, 5)))


def test_the_name_of_a_file_is_no_image():
    for name in ("x.tif", Path("x.tif")):
        with pytest.raises(ValueError, match=r"read it with .*read_image\('x.tif'\)"):
            segment_metaphase(name)
