from dataclasses import replace

import numpy as np
import pytest

from napari_chromocluster.imaging.crops import (
    USUAL_BRIGHT_SIZE,
    CropSpec,
    crop_region,
    cut_region,
    cut_regions,
    oversampling,
    render_crop,
    resize_crop,
    square_crop_origin,
)
from napari_chromocluster.imaging.normalization import normalize_stain
from napari_chromocluster.imaging.regions import Region, extract_regions


@pytest.fixture(scope="module")
def signal(metaphase):
    return normalize_stain(metaphase.image, metaphase.labels).values


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
    assert square_crop_origin(turned)[2] == pytest.approx(square_crop_origin(mask)[2], rel=0.1)


def test_giemsa_and_dapi_look_alike(metaphase):
    dark = metaphase.image.astype(float)
    bright = -np.log(dark.clip(1) / dark.max()) * 100
    region = extract_regions(metaphase.labels)[5]
    crops = []
    for image in (dark, bright):
        values = normalize_stain(image, metaphase.labels).values
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


def test_the_soft_edge_reaches_as_far_at_any_magnification():
    mask = np.zeros((80, 80), bool)
    mask[20:60, 30:50] = True
    crops = []
    for zoom in (1, 4):
        large = np.kron(mask, np.ones((zoom, zoom), bool))
        signal = np.where(large, 1.0, 0.5).astype(np.float32)
        region = extract_regions(large.astype(int))[0]
        crops.append(crop_region(signal, large.astype(int), region, CropSpec(64), 28.3 * zoom))
    small, large = ((crop[0] > 0.05).sum() for crop in crops)
    assert large == pytest.approx(small, rel=0.1)


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


def test_turning_a_metaphase_turns_its_crops():
    labels = np.zeros((70, 90), np.int32)
    labels[20:30, 15:70], labels[40:60, 30:38] = 1, 2
    signal = np.random.default_rng(0).random(labels.shape).astype(np.float32)
    spec = CropSpec(48)
    turned = np.ascontiguousarray(np.rot90(labels)), np.ascontiguousarray(np.rot90(signal))
    for before, after in zip(extract_regions(labels), extract_regions(turned[0]), strict=True):
        assert (
            square_crop_origin(turned[0] == after.label)[2]
            == square_crop_origin(labels == before.label)[2]
        )
        upright = crop_region(signal, labels, before, spec, 20.0)
        crop = crop_region(turned[1], turned[0], after, spec, 20.0)
        # The frame is aligned to whole pixels, so the position may differ by one, but not the
        # scale.
        assert crop[2, 0, 0] == upright[2, 0, 0]
        assert crop[1].sum() == pytest.approx(upright[1].sum(), rel=1e-3)
        assert crop[0].sum() == pytest.approx(upright[0].sum(), rel=1e-2)


@pytest.mark.parametrize(
    ("dtype", "large"),
    [("uint8", 255), ("uint16", 65535), ("int64", 2**62), ("uint64", 2**64 - 1)],
)
def test_label_values_do_not_matter(dtype, large):
    small = np.zeros((30, 30), dtype)
    small[5:12, 5:25], small[14:20, 5:25] = 1, 2
    renamed = np.where(small == 2, np.array(large, dtype), small)
    signal = np.random.default_rng(1).random(small.shape).astype(np.float32)
    first, second = (extract_regions(one)[1] for one in (small, renamed))
    assert second.label == large
    expected = crop_region(signal, small, first, CropSpec(32))
    assert np.array_equal(crop_region(signal, renamed, second, CropSpec(32)), expected)


def test_no_neighbour_in_any_crop_of_a_metaphase(metaphase):
    """The crop does not depend on the neighbors."""
    values = np.where(metaphase.labels > 0, 1.0, 0.0).astype(np.float32)
    for region in extract_regions(metaphase.labels):
        loud = np.where((metaphase.labels > 0) & (metaphase.labels != region.label), 99, values)
        calm = cut_region(values, metaphase.labels, region)
        assert np.array_equal(
            cut_region(loud.astype(np.float32), metaphase.labels, region).signal, calm.signal
        )


def test_pixels_that_are_far_smaller_than_usual_are_put_together():
    """A region with large pixels and the same one smoothly upsampled give the same crop."""
    y, x = np.mgrid[-40:40, -40:40] + 0.5
    coarse = np.zeros((80, 80), int)
    coarse[(y / 10) ** 2 + (x / 18) ** 2 < 1] = 1
    y, x = np.mgrid[-120:120, -120:120] / 3 + 1 / 6
    fine = np.zeros((240, 240), int)
    fine[(y / 10) ** 2 + (x / 18) ** 2 < 1] = 1

    def mask(labels, oversampled):
        region = extract_regions(labels)[0]
        cut = cut_region(labels.astype(np.float32), labels, region, None, oversampled)
        return resize_crop(cut, 96)[1]

    usual, small, joined = mask(coarse, 1.0), mask(fine, 1.0), mask(fine, 3.0)
    assert joined.mean() == pytest.approx(usual.mean(), rel=0.1)
    # The softness of a mask's edge depends on the pixel size.
    soft = [((one > 0.05) & (one < 0.95)).sum() for one in (usual, small, joined)]
    assert soft[1] < 0.75 * soft[0]
    assert soft[2] == pytest.approx(soft[0], rel=0.2)


def test_a_network_with_larger_crops_keeps_more_pixels():
    labels = np.zeros((400, 400), int)
    labels[100:300, 160:220] = 1
    cut = cut_region(labels.astype(np.float32), labels, extract_regions(labels)[0], None, 2.0)
    plain = replace(cut, oversampling=1.0)
    assert not np.array_equal(resize_crop(cut, 128)[1], resize_crop(plain, 128)[1])
    np.testing.assert_array_equal(resize_crop(cut, 224)[1], resize_crop(plain, 224)[1])


def test_oversampling_is_counted_in_the_usual_size_of_bright_chromosomes():
    assert oversampling(2 * USUAL_BRIGHT_SIZE, dark_chromosomes=False) == 2
    assert oversampling(2 * USUAL_BRIGHT_SIZE, dark_chromosomes=True) == 1
    assert oversampling(None, dark_chromosomes=False) == 1


def test_regions_of_a_metaphase_know_how_fine_its_pixels_are(metaphase):
    regions = extract_regions(metaphase.labels)
    bright = 255 - metaphase.image
    one, *_ = cut_regions(bright, metaphase.labels, regions[:2])
    large = bright.repeat(2, 0).repeat(2, 1)
    labels = metaphase.labels.repeat(2, 0).repeat(2, 1)
    other, *rest = cut_regions(large, labels, extract_regions(labels)[:2])
    assert len(rest) == 1
    assert other.oversampling == pytest.approx(2 * one.oversampling, rel=1e-3)
    assert other.relative_size == pytest.approx(one.relative_size, abs=1e-3)
