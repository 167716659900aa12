import time

import dask.array as da
import numpy as np
import pytest
from skimage.measure import regionprops

from napari_chromocluster.imaging.regions import (
    Region,
    RegionError,
    extract_regions,
    label_doubt,
    reference_size,
    region_mask,
    topmost_point,
)


def test_a_region_of_one_frame_is_named_by_frame_and_label():
    plane = np.zeros((20, 30), np.int32)
    plane[2:6, 2:6], plane[10:15, 10:15] = 1, 2
    stack = np.stack([plane, plane, plane])
    found = extract_regions(stack, [(1, 2), (2, 1)])
    assert [(one.frame, one.label) for one in found] == [(1, 2), (2, 1)]
    assert len(extract_regions(stack, [2])) == 3
    assert len(extract_regions(plane, [(0, 1)])) == 1
    with pytest.raises(RegionError, match="Label 2 does not occur"):
        extract_regions(stack, [(1, 1), (7, 2)])


def test_agrees_with_regionprops(metaphase):
    found = {region.label: region for region in extract_regions(metaphase.labels)}
    for props in regionprops(metaphase.labels):
        region = found.pop(props.label)
        assert region.area == props.area
        assert region.bbox == props.bbox
        assert region.centroid == pytest.approx(props.centroid)
    assert not found


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int64, np.uint64])
def test_any_integer_dtype_with_gaps(dtype):
    labels = np.zeros((20, 30), dtype)
    labels[2:5, 3:9] = 7
    labels[10:12, 10:12] = 120
    assert [(r.label, r.area) for r in extract_regions(labels)] == [(7, 18), (120, 4)]


def test_labels_as_large_as_uint64():
    top = np.iinfo(np.uint64).max
    labels = np.zeros((9, 9), np.uint64)
    labels[1:3, 1:3] = top
    labels[5:7, 5:7] = 2
    assert [r.label for r in extract_regions(labels)] == [2, int(top)]


def test_stack_and_dask_are_read_by_frame():
    labels = np.zeros((3, 12, 12), np.int32)
    labels[0, 1:3, 1:3] = 1
    labels[2, 4:8, 4:8] = 1
    for array in (labels, da.from_array(labels, chunks=(1, 12, 12))):
        assert [(r.frame, r.label, r.area) for r in extract_regions(array)] == [
            (0, 1, 4),
            (2, 1, 16),
        ]


def test_selection_and_its_errors():
    labels = np.zeros((8, 8), int)
    labels[1, 1] = 3
    labels[0, 5:7] = 4
    assert [r.label for r in extract_regions(labels, [4])] == [4]
    assert extract_regions(labels, [4])[0].touches_border
    with pytest.raises(RegionError, match="No region is selected"):
        extract_regions(labels, [])
    with pytest.raises(RegionError, match="Label 9 does not occur"):
        extract_regions(labels, [3, 9])
    with pytest.raises(RegionError, match="hold no region"):
        extract_regions(np.zeros((8, 8), int))
    with pytest.raises(RegionError, match="whole numbers"):
        extract_regions(np.zeros((8, 8)))


def test_reference_size_is_that_of_a_usual_region(metaphase):
    regions = extract_regions(metaphase.labels)
    # One region is debris, smaller than an eighth of a chromosome.
    usual = np.median(sorted(region.area for region in regions)[1:])
    assert reference_size(regions) ** 2 == pytest.approx(usual)
    assert reference_size(regions[:3]) is None


def test_reference_size_is_that_of_chromosomes_among_specks_and_nuclei():
    """A plain threshold finds hundreds of specks; an image may show a few nuclei."""

    def regions(areas):
        return [
            Region(n + 1, 0, (0, 0, 1, 1), int(area), (0, 0), False) for n, area in enumerate(areas)
        ]

    chromosomes = list(np.linspace(500, 2500, 41))
    usual = reference_size(regions(chromosomes))
    assert usual == pytest.approx(np.sqrt(1500))
    specks = [1, 2, 3, 5, 8, 20] * 60
    assert reference_size(regions([*specks, *chromosomes])) == usual
    with_nuclei = reference_size(regions([*specks, *chromosomes, *[30_000] * 4]))
    assert with_nuclei == pytest.approx(usual, rel=0.1)


def test_region_mask():
    labels = np.zeros((8, 8), int)
    labels[2:4, 2:5] = 3
    labels[3, 4] = 9
    mask = region_mask(labels, extract_regions(labels, [3])[0], pad=1)
    assert mask.shape == (4, 5)
    assert mask.sum() == 5


def test_topmost_point_is_the_middle_of_the_first_row():
    mask = np.zeros((6, 9), bool)
    mask[2, 3:6] = mask[3:, 5:] = True
    assert topmost_point(mask) == (2.0, 4.0)


def test_cost_is_linear_in_pixels_not_in_labels():
    few = np.kron(np.arange(1, 26).reshape(5, 5), np.ones((200, 200), int))
    many = np.kron(np.arange(1, 10001).reshape(100, 100), np.ones((10, 10), int))

    def seconds(labels):
        best = np.inf
        for _ in range(3):
            began = time.thread_time()
            extract_regions(labels)
            best = min(best, time.thread_time() - began)
        return best

    # 400 times as many labels in the same million pixels: comparing the whole image with each label
    # would take hundreds of times as long.
    assert seconds(many) < 40 * seconds(few) + 0.5


def test_regions_whose_boxes_all_overlap_cost_no_more():
    y, x = np.mgrid[:1000, :1000]
    rows, woven = y // 50 + 1, (y + x) % 2000 + 1

    def seconds(labels):
        best = np.inf
        for _ in range(3):
            began = time.thread_time()
            extract_regions(labels)
            best = min(best, time.thread_time() - began)
        return best

    # Diagonals: 2000 regions with boxes of up to a million pixels.
    assert seconds(woven) < 20 * seconds(rows) + 0.3
    assert sum(region.area for region in extract_regions(woven)) == 1_000_000


def test_region_of_one_pixel():
    labels = np.zeros((8, 8), int)
    labels[3, 5] = 2
    (region,) = extract_regions(labels)
    assert (region.area, region.bbox, region.centroid) == (1, (3, 5, 4, 6), (3.0, 5.0))
    assert not region.touches_border
    assert region_mask(labels, region).tolist() == [[True]]


class OnDisk:
    """An array that records which parts of it are read."""

    def __init__(self, array):
        self.array, self.shape, self.dtype, self.read = array, array.shape, array.dtype, []

    def __getitem__(self, index):
        part = self.array[index]
        self.read.append(part.size)
        return part


def test_lazy_arrays_read_only_what_is_needed():
    labels = np.zeros((4, 30, 40), np.uint16)
    labels[2, 5:9, 6:12] = 300
    stack = OnDisk(labels)
    (region,) = extract_regions(stack)
    assert stack.read == [1200] * 4
    stack.read.clear()
    assert region_mask(stack, region, pad=2).sum() == 24
    assert stack.read == [24]


def test_other_shapes_are_refused_in_one_sentence():
    with pytest.raises(RegionError, match="is needed"):
        extract_regions(np.zeros((2, 2, 2, 2), int))


def test_what_looks_wrong_with_labels_is_said(metaphase):
    labels = metaphase.labels
    assert label_doubt(labels) is None
    assert label_doubt(np.stack([labels, labels])) is None
    assert label_doubt(np.zeros_like(labels)) is None
    assert "label 1 surrounds all others" in label_doubt(labels + 1)
    with_zero = np.where(labels > 0, labels + 1, 1)
    with_zero[labels == labels.max()] = 0
    assert "label 1 surrounds all others" in label_doubt(with_zero)
    assert "separate parts: if it is a mask" in label_doubt((labels > 0) * 255)
