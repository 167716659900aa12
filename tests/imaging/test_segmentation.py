import numpy as np
import pytest

from napari_chromocluster.imaging.io import read_image
from napari_chromocluster.imaging.segmentation import (
    SegmentationParameters,
    filter_regions,
    label_foreground,
    segment_metaphase,
)
from napari_chromocluster.imaging.synthetic import synthetic_metaphase
from napari_chromocluster.taxonomy import ClusterType


def agreement(made, labels):
    """Return the share of true regions that one found region covers, and of found ones that are true."""
    chromosomes = [k for k, kind in made.types.items() if kind is not ClusterType.OTHER]
    hit = 0
    for label in chromosomes:
        inside = labels[made.labels == label]
        values, counts = np.unique(inside[inside > 0], return_counts=True)
        hit += bool(counts.size and counts.max() > 0.6 * inside.size)
    true = np.isin(made.labels, chromosomes)
    found = np.unique(labels[true])
    return hit / len(chromosomes), (found > 0).sum() / max(labels.max(), 1)


@pytest.mark.parametrize("stain", ["giemsa", "dapi"])
@pytest.mark.parametrize("seed", [3, 4])
def test_finds_the_chromosomes_of_synthetic_metaphases(stain, seed):
    made = synthetic_metaphase(seed, stain)
    labels = segment_metaphase(made.image)
    covered, true = agreement(made, labels)
    assert covered >= 0.95
    assert true >= 0.9


def test_nucleus_is_left_out(metaphase):
    labels = segment_metaphase(metaphase.image)
    nucleus = max(
        (k for k, kind in metaphase.types.items() if kind is ClusterType.OTHER),
        key=lambda k: (metaphase.labels == k).sum(),
    )
    assert (labels[metaphase.labels == nucleus] > 0).mean() < 0.1
    kept = segment_metaphase(metaphase.image, nucleus_width=0)
    assert (kept[metaphase.labels == nucleus] > 0).mean() > 0.9


def test_result_is_numbered_without_gaps_and_reproducible(metaphase):
    labels = segment_metaphase(metaphase.image)
    assert labels.dtype == np.int32
    assert set(np.unique(labels)) == set(range(labels.max() + 1))
    assert np.array_equal(labels, segment_metaphase(metaphase.image))


def test_size_limits_filter_alone(metaphase):
    foreground = label_foreground(metaphase.image)
    loose = filter_regions(foreground, SegmentationParameters())
    strict = filter_regions(foreground, SegmentationParameters(smallest_region=0.8))
    small = filter_regions(foreground, SegmentationParameters(largest_region=1.2))
    assert strict.max() < loose.max()
    assert small.max() < loose.max()


@pytest.mark.parametrize("image", [np.zeros((60, 60)), np.full((60, 60), 255, np.uint8)])
def test_image_without_contrast_has_no_regions(image):
    assert not segment_metaphase(image).any()


def test_parameters_that_mean_nothing_are_refused():
    with pytest.raises(ValueError, match="smaller than the largest"):
        SegmentationParameters(smallest_region=3, largest_region=2)
    with pytest.raises(ValueError, match="cannot be negative"):
        SegmentationParameters(threshold=-1)


def test_real_metaphases_are_covered(real_data):
    import pandas as pd

    boxes = pd.read_csv(real_data / "gband_metaphases" / "boxes.csv")
    covered = total = 0
    for name, mine in list(boxes.groupby("image"))[::40]:
        labels = segment_metaphase(read_image(real_data / "gband_metaphases" / name))
        for x0, y0, x1, y1 in mine[["xmin", "ymin", "xmax", "ymax"]].to_numpy():
            middle = labels[max(y0, 0) : y1, max(x0, 0) : x1]
            total += 1
            covered += (middle > 0).mean() > 0.1
    assert covered / total > 0.97
