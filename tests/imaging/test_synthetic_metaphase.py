import numpy as np
import pandas as pd
import pytest
from scipy import ndimage
from skimage.measure import perimeter

from napari_chromocluster.cluster_types import TYPES, ClusterType
from napari_chromocluster.imaging.io import read_image, read_labels
from napari_chromocluster.imaging.segmentation import segment_metaphase
from napari_chromocluster.imaging.synthetic_metaphase import (
    procedural_chromosome,
    synthetic_annotations,
    synthetic_metaphase,
    synthetic_stack,
)


def test_bit_for_bit_reproducible():
    first, again = synthetic_metaphase(7), synthetic_metaphase(7)
    assert np.array_equal(first.image, again.image)
    assert np.array_equal(first.labels, again.labels)
    assert not np.array_equal(first.image, synthetic_metaphase(8).image)


def test_a_metaphase_holds_46_chromosomes_of_all_types(metaphase):
    assert sum(metaphase.chromosomes.values()) == 46
    assert set(metaphase.types.values()) == set(TYPES)
    assert set(metaphase.types) == set(np.unique(metaphase.labels)) - {0}
    assert metaphase.image.dtype == np.uint8


def test_stains(metaphase, dapi):
    assert np.median(metaphase.image) > 150
    assert np.median(dapi.image) < 60


def test_procedural_chromosome_has_length_and_bands():
    one = procedural_chromosome(np.random.default_rng(0), length=80, width=10, bend=0)
    ys, xs = np.nonzero(one.mask)
    assert np.hypot(np.ptp(ys), np.ptp(xs)) > 65
    assert one.signal[one.mask].std() > 0.1


def test_annotations_on_disk(tmp_path):
    table = pd.read_csv(synthetic_annotations(tmp_path, [1, 2], chromosomes=12))
    assert set(table["group"]) == {"metaphase_1", "metaphase_2"}
    assert (tmp_path / "metaphase_1_labels.png").exists()


def test_stack():
    images, labels = synthetic_stack([1, 2])
    assert images.shape == labels.shape == (2, 560, 640)


def test_homologues_share_their_bands_and_others_do_not():
    def bands(kind, seed):
        one = procedural_chromosome(np.random.default_rng(seed), kind=kind, length=80, bend=0)
        ys, xs = np.nonzero(one.mask)
        spread = np.stack([xs - xs.mean(), ys - ys.mean()])
        along = np.linalg.eigh(np.cov(spread))[1][:, -1] @ spread
        profile = [
            np.median(one.signal[one.mask][(along >= p) & (along < p + 2)])
            for p in range(-36, 36, 2)
        ]
        return np.array(profile)

    def alike(a, b):  # either end may come first
        return max(np.corrcoef(a, b)[0, 1], np.corrcoef(a, b[::-1])[0, 1])

    same = [alike(bands(kind, 1), bands(kind, 2)) for kind in range(4)]
    different = [alike(bands(kind, 1), bands(kind + 1, 2)) for kind in range(4)]
    assert min(same) > 0.7
    assert np.mean(different) < 0.5


@pytest.mark.parametrize("stain", ["giemsa", "dapi"])
def test_labels_are_those_of_a_segmentation(stain):
    """Singles and clusters are outlined alike: an outline must not reveal the type."""
    made = synthetic_metaphase(3, stain)
    found = segment_metaphase(made.image)
    beyond = {True: [], False: []}  # distance in px of the found outline outside the label's
    for label, kind in made.types.items():
        mask = made.labels == label
        assert ndimage.label(mask, np.ones((3, 3)))[1] == 1
        if kind is ClusterType.OTHER:
            continue
        region = np.bincount(found[mask])[1:].argmax() + 1
        assert np.isin(made.labels[found == region], [0, label]).all()
        grown = int((found == region).sum()) - int(mask.sum())
        beyond[kind.is_cluster].append(grown / perimeter(found == region))
    assert abs(np.mean(beyond[True]) - np.mean(beyond[False])) < 0.3
    assert abs(np.mean(beyond[True] + beyond[False])) < 0.6


def test_written_labels_fit_their_images_and_rows(tmp_path):
    path = synthetic_annotations(tmp_path, [3], "dapi", chromosomes=16)
    table = pd.read_csv(path)
    labels = read_labels(tmp_path / table["labels"][0])
    assert read_image(tmp_path / table["image"][0]).shape == labels.shape
    assert set(table["label"]) == set(np.unique(labels)) - {0}


@pytest.mark.parametrize("size", [(12, 12), (64, 80)])
def test_too_small_a_slide_takes_what_fits(size):
    made = synthetic_metaphase(0, size=size)
    assert made.image.shape == made.labels.shape == size
    assert set(made.types) == set(np.unique(made.labels)) - {0}
