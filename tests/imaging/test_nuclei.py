import numpy as np
import pytest
from scipy import ndimage

from napari_chromocluster.imaging.nuclei import find_nuclei, level_beside
from napari_chromocluster.imaging.segmentation import segment_metaphase
from napari_chromocluster.imaging.synthetic import synthetic_metaphase
from napari_chromocluster.taxonomy import ClusterType


def rods_and_discs(discs, rods=12, level=1.0):
    """Draw rods 8 px wide of some level, and discs of radius 40 px and level 1, blurred."""
    signal = np.zeros((400, 400))
    for number in range(rods):
        row, column = 20 + 30 * (number // 4), 20 + 60 * (number % 4)
        signal[row : row + 8, column : column + 40] = level
    y, x = np.mgrid[:400, :400]
    for number in range(discs):
        signal[np.hypot(y - 330, x - 70 - 120 * number) < 40] = 1.0
    return ndimage.gaussian_filter(signal, 1)


def test_nuclei_are_what_is_much_thicker_than_the_chromosomes():
    nuclei, half = find_nuclei(rods_and_discs(2), 2.9, 8.0)
    assert half == pytest.approx(4, abs=1)
    assert ndimage.label(nuclei)[1] == 2
    assert not nuclei[:140].any()
    assert not find_nuclei(rods_and_discs(2), 0.0, 8.0)[0].any()
    assert not find_nuclei(rods_and_discs(0), 2.9, 8.0)[0].any()


@pytest.mark.parametrize("level", [0.1, 0.5, 1.0])
def test_level_of_chromosomes_is_told_beside_nuclei(level):
    signal = rods_and_discs(2, level=level)
    nuclei, half = find_nuclei(signal, 2.9, 8.0)
    # At a tenth only the nuclei are seen at first, and taken for chromosomes.
    assert nuclei.any() == (level > 0.1)
    assert level_beside(nuclei, half, signal, 2.9) == pytest.approx(level, rel=0.15)


def test_level_is_one_where_no_nuclei_are_or_nothing_lies_beside_them():
    for signal in (rods_and_discs(0), rods_and_discs(2, rods=0), rods_and_discs(2, rods=3)):
        nuclei, half = find_nuclei(signal, 2.9, 8.0)
        assert level_beside(nuclei, half, signal, 2.9) == pytest.approx(1.0, rel=0.15)


def with_bright_nuclei(picture, brightness):
    """Lay two nuclei that glow into a picture (H, W), in the greatest of its values."""
    height, width = picture.shape
    y, x = np.mgrid[:height, :width]
    nuclei = [np.hypot(y - at[0], x - at[1]) < 45 for at in ((40, 40), (height - 50, width - 50))]
    bodies = np.where(np.any(nuclei, axis=0), brightness * float(picture.max()), 0.0)
    light = ndimage.gaussian_filter(bodies, 2) + 0.02 * ndimage.gaussian_filter(bodies, 25)
    together = picture + light
    return np.rint(together * (255 / together.max())).astype(np.uint8)


@pytest.mark.parametrize("brightness", [1, 3, 10])
def test_chromosomes_far_fainter_than_the_nuclei_are_found(brightness):
    made = synthetic_metaphase(4, "dapi")
    labels = segment_metaphase(with_bright_nuclei(made.image.astype(float), brightness))
    chromosomes = [k for k, kind in made.types.items() if kind is not ClusterType.OTHER]
    found = [(labels[made.labels == k] > 0).mean() > 0.6 for k in chromosomes]
    assert np.mean(found) >= 0.95
    assert labels.max() <= 1.1 * len(chromosomes)


@pytest.mark.parametrize("noise", [0.5, 4.0])
def test_noise_beside_nuclei_is_no_chromosome(noise):
    empty = np.full((400, 400), 10.0) + np.random.default_rng(0).normal(0, noise, (400, 400))
    assert segment_metaphase(with_bright_nuclei(empty, 10)).max() == 0
