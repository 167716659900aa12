import numpy as np
import pytest
from scipy import ndimage

from napari_chromocluster.cluster_types import ClusterType
from napari_chromocluster.imaging.nuclei import find_nuclei, without_cytoplasm
from napari_chromocluster.imaging.segmentation import segment_metaphase
from napari_chromocluster.imaging.synthetic_metaphase import synthetic_metaphase


def rods_and_discs(discs, rods=12, level=1.0):
    """Draw rods 8 px wide with given levels, and discs of radius 40 px and level 1, blurred."""
    signal = np.zeros((400, 400))
    for number in range(rods):
        row, column = 20 + 30 * (number // 4), 20 + 60 * (number % 4)
        signal[row : row + 8, column : column + 40] = level
    y, x = np.mgrid[:400, :400]
    for number in range(discs):
        signal[np.hypot(y - 330, x - 70 - 120 * number) < 40] = 1.0
    return ndimage.gaussian_filter(signal, 1)


def test_nuclei_are_what_is_much_thicker_than_the_chromosomes():
    nuclei = find_nuclei(rods_and_discs(2), 2.9, 8.0, 4.0)
    assert ndimage.label(nuclei)[1] == 2
    assert not nuclei[:140].any()
    assert not find_nuclei(rods_and_discs(2), 0.0, 8.0, 4.0).any()
    assert not find_nuclei(rods_and_discs(0), 2.9, 8.0, 4.0).any()


def test_a_thick_body_that_holds_chromosomes_is_cytoplasm_and_no_nucleus():
    rods = rods_and_discs(0)
    signal = np.maximum(rods, 0.0)
    signal[5:130, 5:280] = np.maximum(signal[5:130, 5:280], 0.5)
    signal = ndimage.gaussian_filter(signal, 1).astype(np.float32)
    chromosomes = rods > 0.5
    assert not find_nuclei(signal, 2.9, 8.0, 4.0, chromosomes).any()
    flat = without_cytoplasm(signal, 2.9, 4.0, chromosomes)
    assert flat[chromosomes].min() > 2 * flat[5:130, 5:280][~chromosomes[5:130, 5:280]].max() / 3
    assert np.median(flat[40:120, 20:260][~chromosomes[40:120, 20:260]]) < 0.1
    alone = rods_and_discs(2).astype(np.float32)
    assert without_cytoplasm(alone, 2.9, 4.0, chromosomes) is alone


def test_chromosomes_that_their_glow_joins_are_no_nucleus():
    signal = np.zeros((400, 400))
    for column in range(40, 360, 14):
        signal[100:300, column : column + 8] = 1.0
    signal = ndimage.gaussian_filter(np.maximum(signal, 0.0), 1.0)
    signal[100:300, 40:350] = np.maximum(signal[100:300, 40:350], 0.45)
    assert not find_nuclei(signal, 2.9, 8.0, 4.0).any()


def with_bright_nuclei(picture, brightness):
    """Draw two glowing nuclei with the maximum value of an image (H, W)."""
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
