import numpy as np
import pytest

from napari_chromocluster.imaging.crops import (
    CropSpec,
    crop_region,
    cut_region,
    frame_side,
    render_crop,
)
from napari_chromocluster.imaging.regions import Region, extract_regions
from napari_chromocluster.imaging.signal import chromosome_signal


@pytest.fixture(scope="module")
def signal(metaphase):
    return chromosome_signal(metaphase.image, metaphase.labels).values


def test_shape_range_and_channels(metaphase, signal):
    for region in extract_regions(metaphase.labels)[:8]:
        crop = crop_region(signal, metaphase.labels, region, CropSpec(64), reference=20.0)
        assert crop.shape == (3, 64, 64)
        assert crop.dtype == np.float32
        assert crop[:2].min() >= 0
        assert crop[:2].max() <= 1
        assert np.ptp(crop[2]) == 0


def test_neighbours_are_masked_out():
    labels = np.zeros((40, 40), int)
    labels[10:30, 10:15] = 1
    labels[10:30, 16:30] = 2
    signal = np.where(labels == 2, 5.0, np.where(labels == 1, 1.0, 0.0)).astype(np.float32)
    region = extract_regions(labels, [1])[0]
    cut = cut_region(signal, labels, region)
    assert cut.mask.sum() == 100
    assert cut.signal.max() == pytest.approx(1.0)


def test_scale_does_not_change_when_a_region_is_turned():
    mask = np.zeros((80, 80), bool)
    mask[38:44, 10:70] = True
    turned = np.zeros_like(mask)
    for k in range(-30, 30):
        for w in range(-4, 4):
            turned[int(40 + 0.707 * (k + w)), int(40 + 0.707 * (k - w))] = True
    assert frame_side(turned)[2] == pytest.approx(frame_side(mask)[2], rel=0.1)


def test_giemsa_and_dapi_look_alike(metaphase):
    dark = metaphase.image.astype(float)
    bright = 255.0 * (1 - np.log(dark.clip(1) / 255) / np.log(1 / 255))
    bright = -np.log(dark.clip(1) / dark.max()) * 100
    region = extract_regions(metaphase.labels)[5]
    crops = []
    for image in (dark, bright):
        values = chromosome_signal(image, metaphase.labels).values
        crops.append(crop_region(values, metaphase.labels, region, CropSpec(48)))
    assert np.abs(crops[0] - crops[1]).mean() < 0.03


def test_one_pixel_and_border_regions():
    labels = np.zeros((20, 20), int)
    labels[0, 0] = 1
    labels[19, 10:20] = 2
    signal = np.ones((20, 20), np.float32)
    for region in extract_regions(labels):
        crop = crop_region(signal, labels, region, CropSpec(32))
        assert np.isfinite(crop).all()
        assert crop[1].max() > 0


def test_relative_size_is_seen_and_unknown_is_zero():
    labels = np.zeros((30, 30), int)
    labels[5:25, 5:25] = 1
    region = extract_regions(labels)[0]
    signal = np.ones((30, 30), np.float32)
    assert cut_region(signal, labels, region, reference=10.0).relative_size == pytest.approx(1.0)
    assert cut_region(signal, labels, region).relative_size == 0.0


def test_gray_crops_are_dark_on_white(metaphase, signal):
    region = extract_regions(metaphase.labels)[3]
    crop = render_crop(cut_region(signal, metaphase.labels, region), CropSpec(64, "gray"))
    assert crop[0, 0, 0] == pytest.approx((1 - 0.485) / 0.229, rel=1e-3)
    assert crop[0].min() < 0


def test_missing_label_is_refused():
    region = Region(5, 0, (2, 2, 5, 5), 9, (3.0, 3.0))
    with pytest.raises(ValueError, match="no pixels"):
        cut_region(np.zeros((9, 9), np.float32), np.zeros((9, 9), int), region)
