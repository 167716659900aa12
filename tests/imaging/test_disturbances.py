import numpy as np
import pytest
from scipy import ndimage

from napari_chromocluster.cluster_types import ClusterType
from napari_chromocluster.imaging.region_filter import LeftOut
from napari_chromocluster.imaging.segmentation import find_regions, segment_metaphase
from napari_chromocluster.imaging.synthetic_metaphase import synthetic_metaphase
from picture_faults import (
    DISTURBANCES,
    magnified,
    with_grains,
    with_text,
)

STAINS = ("giemsa", "dapi")


@pytest.fixture(scope="module", params=STAINS)
def made(request):
    return synthetic_metaphase(2, request.param)


def found_and_true(made, picture, labels, disturbed):
    """Return the share of undisturbed chromosomes found, and of regions that are chromosomes."""
    zoom = labels.shape[0] // made.labels.shape[0]
    truth = np.kron(made.labels, np.ones((zoom, zoom), int))
    chromosomes = [k for k, kind in made.types.items() if kind is not ClusterType.OTHER]
    whole = [k for k in chromosomes if not (disturbed & (truth == k)).any()]
    found = [(labels[truth == k] > 0).mean() > 0.6 for k in whole]
    inside = np.isin(truth, chromosomes)
    areas = np.bincount(labels.ravel())
    held = np.bincount(labels[ndimage.binary_dilation(inside, iterations=2)], minlength=areas.size)
    return np.mean(found), np.mean(held[1:] >= 0.5 * areas[1:])


@pytest.mark.parametrize("name", [name for name in DISTURBANCES if name != "none"])
def test_chromosomes_are_found_whatever_a_laboratory_left_in_the_picture(made, name):
    dark = int(np.median(made.image)) > 128
    picture = DISTURBANCES[name](made.image, dark)
    change = np.abs(picture.astype(int) - made.image.astype(int)) > 40
    disturbed = change & (name not in ("cytoplasm", "vignetting"))
    found, true = found_and_true(made, picture, segment_metaphase(picture), disturbed)
    assert found >= 0.95
    assert true >= 0.8


@pytest.mark.parametrize("size", [5, 7])
@pytest.mark.parametrize("stain", STAINS)
def test_grains_far_more_than_chromosomes_do_not_pass_for_chromosomes(stain, size):
    made = synthetic_metaphase(2, stain, size=(900, 900))
    picture = with_grains(made.image, stain == "giemsa", 600, size)
    nothing = np.zeros(picture.shape, bool)
    found, true = found_and_true(made, picture, segment_metaphase(picture), nothing)
    assert found >= 0.95
    assert true >= 0.8


def test_grain_at_high_magnification_leaves_no_chromosome_out(made):
    dark = int(np.median(made.image)) > 128
    picture = magnified(made.image, dark)
    labels = segment_metaphase(picture)
    found, true = found_and_true(made, picture, labels, np.zeros(labels.shape, bool))
    assert found >= 0.95
    assert true >= 0.9


def test_what_was_left_out_is_told_with_the_reason(made):
    dark = int(np.median(made.image)) > 128
    picture = with_text(DISTURBANCES["9 nuclei"](made.image, dark), dark)
    found = find_regions(picture)
    assert np.array_equal(found.labels, segment_metaphase(picture))
    assert not ((found.labels > 0) & (found.left_out > 0)).any()
    assert set(found.reasons) == set(np.unique(found.left_out)) - {0}
    counts = found.counts()
    assert sum(counts.values()) == len(found.reasons)
    assert counts[LeftOut.CONSTANT_AREA] >= 1
    bar = found.left_out[-16, -80]
    assert found.reasons[bar] is LeftOut.CONSTANT_AREA
    assert counts[LeftOut.NUCLEUS] >= 5
