import numpy as np
import pandas as pd

from napari_chromocluster.imaging.synthetic import (
    procedural_chromosome,
    synthetic_annotations,
    synthetic_metaphase,
    synthetic_stack,
)
from napari_chromocluster.taxonomy import TYPES


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
