import numpy as np
import pytest

from napari_chromocluster.imaging.crops import cut_regions
from napari_chromocluster.imaging.neighborhood import neighborhood_features
from napari_chromocluster.imaging.normalization import NormalizedImage, normalize_stain
from napari_chromocluster.imaging.regions import extract_regions


def spread(far: int = 0, pale: float = 1.0, side: int = 300):
    """Twenty-five squares in rows; number 26 is ``far`` px away from the last one and paler."""
    labels = np.zeros((side, side), int)
    places = [(20 + 25 * row, 20 + 25 * column) for row in range(5) for column in range(5)]
    for label, (y, x) in enumerate([*places, (120 + far, 120 + far)], start=1):
        labels[y : y + 10, x : x + 10] = label
    values = (labels > 0).astype(np.float32)
    values[labels == 26] = pale
    return labels, values


def around(labels, values, dark=True):
    regions = extract_regions(labels)
    return neighborhood_features(NormalizedImage(values, dark), labels, regions, regions)


def test_a_region_far_from_the_others_is_remote():
    near, far = (around(*spread(distance))[25].remoteness for distance in (25, 150))
    assert far > near + 0.5
    rest = [one.remoteness for one in around(*spread(150))[:25]]
    assert np.median(rest) == pytest.approx(0, abs=0.01)
    assert far > max(rest)


def test_remoteness_does_not_hang_on_magnification():
    labels, values = spread(100)
    larger, brighter = (np.kron(one, np.ones((3, 3), one.dtype)) for one in (labels, values))
    small, large = around(labels, values), around(larger, brighter)
    assert [one.remoteness for one in large] == pytest.approx(
        [one.remoteness for one in small], abs=0.01
    )


def test_level_is_told_beside_the_others_and_not_in_fluorescence():
    pale = around(*spread(25, pale=0.5))
    assert pale[25].level == pytest.approx(np.log(0.5), abs=1e-4)
    assert pale[3].level == pytest.approx(0)
    assert np.isnan([one.level for one in around(*spread(25, pale=0.5), dark=False)]).all()


def test_specks_are_no_neighbours_but_have_some():
    labels, values = spread(120)
    # Many specks around the remote region do not make it less remote.
    speckled = labels.copy()
    for number in range(12):
        y, x = 222 + 4 * number, 255 + 5 * (number % 3)
        speckled[y : y + 2, x : x + 2] = 100 + number
    before = around(labels, values)
    after = around(speckled, (speckled > 0).astype(np.float32))
    assert after[25].remoteness == pytest.approx(before[25].remoteness)
    assert len(after) == 38
    assert after[30].remoteness > 0


def test_few_regions_tell_nothing():
    labels, values = spread(25)
    labels[labels > 12] = 0
    assert around(labels, values) == [None] * 12


def test_where_most_regions_are_grains_of_stain_nothing_is_usual():
    labels, _ = spread(25)
    for number in range(40):
        y, x = 170 + 12 * (number // 10), 20 + 12 * (number % 10)
        labels[y : y + 8, x : x + 8] = 100 + number
    assert around(labels, (labels > 0).astype(np.float32)) == [None] * 66


def test_neighbours_in_one_place_and_a_signal_of_nothing():
    labels, values = spread(25)
    found = around(labels, np.zeros_like(values))
    assert np.isfinite([(one.remoteness, one.level) for one in found]).all()


def test_those_of_some_regions_are_as_those_of_all(metaphase):
    regions = extract_regions(metaphase.labels)
    signal = normalize_stain(metaphase.image, metaphase.labels)
    everything = neighborhood_features(signal, metaphase.labels, regions, regions)
    assert None not in everything
    some = [
        cut.surroundings for cut in cut_regions(metaphase.image, metaphase.labels, regions[4:7])
    ]
    assert some == everything[4:7]
