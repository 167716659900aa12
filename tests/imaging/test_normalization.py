from pathlib import Path

import numpy as np
import pytest

from napari_chromocluster.imaging.normalization import normalize_stain, to_grayscale
from napari_chromocluster.imaging.segmentation import segment_metaphase


def test_polarity_is_found_for_both_stains(metaphase, dapi):
    assert normalize_stain(metaphase.image).dark_chromosomes
    assert not normalize_stain(dapi.image).dark_chromosomes


@pytest.mark.parametrize("convert", [
    lambda a: a,
    lambda a: a.astype(np.uint16) * 200,
    lambda a: a.astype(np.float64) / 255,
    lambda a: np.stack([a] * 3, axis=-1),
    lambda a: np.stack([a] * 4, axis=-1),
])  # fmt: skip
def test_dtype_and_colour_do_not_matter(metaphase, convert):
    plain = normalize_stain(metaphase.image).values
    other = normalize_stain(convert(metaphase.image)).values
    assert np.abs(plain - other).max() < 0.02


def test_background_is_zero_and_chromosomes_are_one(metaphase, dapi):
    for made in (metaphase, dapi):
        values = normalize_stain(made.image, made.labels).values
        assert abs(np.median(values[made.labels == 0])) < 0.1
        assert 0.8 < np.median(values[made.labels > 0]) < 1.2


def test_uneven_light_is_flattened(metaphase):
    x = np.linspace(0.6, 1.0, metaphase.image.shape[1])
    tilted = metaphase.image * x
    values = normalize_stain(tilted).values
    background = values[metaphase.labels == 0]
    assert np.percentile(np.abs(background), 90) < 0.15


def test_nan_and_black_images():
    image = np.full((40, 50), 200.0)
    image[10:20, 10:40] = 80
    image[0, 0] = np.nan
    assert np.isfinite(normalize_stain(image).values).all()
    assert not normalize_stain(np.zeros((30, 30))).values.any()


def test_transparent_pixels_are_no_picture(metaphase):
    alpha = np.full(metaphase.image.shape, 255, np.uint8)
    alpha[:60] = alpha[:, :80] = 0
    pixels = np.where(alpha == 0, 0, metaphase.image)
    rgba = np.stack([pixels] * 3 + [alpha], axis=-1)
    shown = alpha > 0
    signal = normalize_stain(rgba)
    assert signal.dark_chromosomes
    assert np.abs(signal.values[~shown]).max() < 0.2
    plain = normalize_stain(metaphase.image).values
    assert np.abs(signal.values - plain)[shown].max() < 0.2
    rgba[..., 3] = 0  # as written by a program that leaves the alpha channel empty
    np.testing.assert_allclose(to_grayscale(rgba), to_grayscale(pixels), atol=0.01)


def test_wrong_shapes_are_refused_in_one_sentence():
    with pytest.raises(ValueError, match="choose one frame"):
        to_grayscale(np.zeros((3, 40, 40)))
    with pytest.raises(ValueError, match="differ in size"):
        normalize_stain(np.eye(40), np.zeros((20, 20), int))
    with pytest.raises(ValueError, match="empty"):
        to_grayscale(np.zeros((0, 5)))


def test_the_name_of_a_file_is_no_image():
    for name in ("x.tif", Path("x.tif")):
        with pytest.raises(ValueError, match=r"read it with .*read_image\('x.tif'\)"):
            segment_metaphase(name)
