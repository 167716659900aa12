import dataclasses

import numpy as np
import pytest
from scipy import ndimage
from skimage.morphology import skeletonize

from napari_chromocluster.cluster_types import ClusterType
from napari_chromocluster.imaging.chromatid_synthesis import (
    SHAPES,
    ChromatidStyle,
    random_style,
    splayed_chromosome,
)
from napari_chromocluster.imaging.synthetic_metaphase import synthetic_metaphase

_EIGHT = np.ones((3, 3))
_WIDE = ChromatidStyle(width=7.0, longest=12.0, opening=1.2, shapes=(1, 0, 0, 0), texture=0.0)


def pieces(mask):
    return int(ndimage.label(mask, _EIGHT)[1])


def arm_ends(mask):
    """Count the ends of the skeleton: one for each arm that is visible separately."""
    skeleton = skeletonize(mask)
    neighbours = ndimage.convolve(skeleton.astype(int), np.ones((3, 3)), mode="constant") - 1
    return int((skeleton & (neighbours == 1)).sum())


def draw(seed, style=_WIDE, **how):
    return splayed_chromosome(np.random.default_rng(seed), style, bend=0.0, **how)


def test_arms_open_on_both_sides_of_a_central_centromere_and_on_one_of_a_terminal_one():
    x_shapes = [arm_ends(draw(seed, share=1.0, centromere=0.5).mask) for seed in range(9)]
    v_shapes = [arm_ends(draw(seed, share=1.0, centromere=0.0).mask) for seed in range(9)]
    assert np.median(x_shapes) == 4
    # The skeleton may have a spur at the tip of a V.
    assert 2 <= np.median(v_shapes) <= 3


def test_chromatids_that_have_parted_are_two_parallel_pieces():
    style = dataclasses.replace(_WIDE, joined=1.6, gap=0.6, shapes=(0, 1, 0, 0))
    assert np.median([pieces(draw(seed, style, share=1.0).mask) for seed in range(9)]) == 2


def test_chromatids_that_are_joined_are_one_piece():
    assert all(pieces(draw(seed, shape=shape).mask) == 1 for seed in range(4) for shape in SHAPES)


def test_bowed_arms_of_an_acrocentric_chromosome_can_close_a_ring():
    holes = 0
    for seed in range(40):
        mask = draw(seed, share=0.7, centromere=0.0, shape="bowed").mask
        holes += bool((ndimage.binary_fill_holes(mask) & ~mask).any())
    assert 1 <= holes < 40


@pytest.mark.parametrize("bands", [0.0, 0.8])
def test_bands_vary_the_stain_and_a_solid_stain_does_not(bands):
    style = dataclasses.replace(_WIDE, bands=bands)
    one = draw(3, style, share=1.0, centromere=0.4, pattern=5)
    core = ndimage.binary_erosion(one.mask, iterations=2)
    spread = np.ptp(np.percentile(one.signal[core], [5, 95])) / np.median(one.signal[core])
    assert (spread > 0.5) == bool(bands)


def test_the_same_seed_draws_the_same_chromosome():
    first, second = (draw(11, random_style(np.random.default_rng(2))) for _ in range(2))
    np.testing.assert_array_equal(first.signal, second.signal)


def test_a_metaphase_with_chromatids_apart_has_singles_and_clusters():
    made = synthetic_metaphase(4, chromatids=ChromatidStyle(width=5.5, longest=8.0, opening=0.8))
    kinds = list(made.types.values())
    assert kinds.count(ClusterType.SINGLE) > 15
    assert {ClusterType.TOUCHING, ClusterType.OVERLAPPING} <= set(kinds)
    # The image matches the labels: regions are darker than the background.
    assert np.median(made.image[made.labels > 0]) < np.median(made.image[made.labels == 0]) - 40
