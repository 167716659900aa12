"""Clusters that start from real ones, have visible gaps, or have debris at them."""

from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
from scipy import ndimage

from grown_clusters import Debris, GrownParameters, SeedCluster, iterate_grown
from napari_chromocluster.cluster_types import ClusterType
from napari_chromocluster.imaging.chromosome_synthesis import SingleChromosome
from napari_chromocluster.imaging.cluster_synthesis import compose_clusters

PLAIN = GrownParameters(bend=0, opaque=0, loose=0, blur=0, noise=0)


@pytest.fixture(scope="module")
def bars():
    """Chromosomes without bands: the signal exceeds 1 only at crossings."""
    mask = np.zeros((20, 60), bool)
    mask[5:15, 5:55] = True
    return [SingleChromosome(mask.astype(np.float32), mask, f"bar {i}") for i in range(6)]


def test_without_the_additions_they_are_the_clusters_of_the_package(bars):
    types = [ClusterType.SINGLE, ClusterType.TOUCHING, ClusterType.TOUCHING_OVERLAPPING]
    mine = islice(iterate_grown(bars, 4, types), 6)
    for one, other in zip(mine, compose_clusters(bars, 6, 4, types), strict=True):
        np.testing.assert_array_equal(one.signal, other.signal)


def test_near_misses_keep_a_gap_in_sight_that_the_outline_bridges(bars):
    look = replace(PLAIN, near=1.0)
    made = list(islice(iterate_grown(bars, 7, [ClusterType.TOUCHING], 2, look), 8))
    assert all(ndimage.label(one.mask, np.ones((3, 3)))[1] == 1 for one in made)
    # The narrowest gaps are one pixel wide and may close at a corner.
    assert sum(ndimage.label(one.signal > 0.6)[1] == 2 for one in made) >= 7
    crossed = islice(iterate_grown(bars, 7, [ClusterType.OVERLAPPING], 2, look), 4)
    assert all(ndimage.label(one.signal > 0.6)[1] == 1 for one in crossed)


@pytest.fixture(scope="module")
def known():
    """A real cross and a real pair of parallel bars, with a higher signal than the bars."""
    cross, pair = np.zeros((60, 60), bool), np.zeros((60, 60), bool)
    cross[25:35, 5:55] = cross[5:55, 25:35] = True
    pair[15:25, 5:55] = pair[27:37, 5:55] = True
    return {
        kind: SeedCluster(SingleChromosome(3 * mask.astype(np.float32), mask), kind)
        for kind, mask in ((ClusterType.OVERLAPPING, cross), (ClusterType.TOUCHING, pair))
    }


@pytest.mark.parametrize("begun", [ClusterType.OVERLAPPING, ClusterType.TOUCHING])
def test_a_real_cluster_grows_by_what_it_lacks(bars, known, begun):
    both = ClusterType.TOUCHING_OVERLAPPING
    look = replace(PLAIN, grown=1.0)
    stream = iterate_grown(bars, 3, [both], look=look, most=3, known=[known[begun]])
    for _ in range(6):
        made = next(stream)
        assert (made.cluster_type, made.chromosomes) == (both, 3)
        # All of the real cluster is in the composed one, except what the threshold removes.
        assert (made.signal[made.mask] > 2).sum() > 0.7 * known[begun].piece.mask.sum()
        # A crossing bar hides part of itself, a touching one shows all of its 500 px.
        shown = (made.signal > 0.5).sum() - known[begun].piece.mask.sum()
        assert shown < 450 if begun is ClusterType.TOUCHING else shown > 500


def test_only_clusters_that_touch_grow_from_touching_ones(bars, known):
    look = replace(PLAIN, grown=1.0)
    kinds = [ClusterType.TOUCHING, ClusterType.OVERLAPPING, ClusterType.SINGLE]
    for begun in known.values():
        stream = iterate_grown(bars, 3, kinds, look=look, known=[begun])
        grown = {one.cluster_type for one in (next(stream) for _ in range(9)) if _is_grown(one)}
        assert grown == ({ClusterType.TOUCHING} if begun is known[ClusterType.TOUCHING] else set())


def test_debris_lies_at_single_chromosomes_and_changes_no_type(bars):
    grain = np.pad(np.ones((8, 8), bool), 2)
    debris = [Debris(SingleChromosome(grain.astype(np.float32), grain), 10.0)]
    kinds = [ClusterType.SINGLE, ClusterType.TOUCHING]
    clean, dirty = (
        list(islice(iterate_grown(bars, 5, kinds, look=look, most=2, debris=debris), 24))
        for look in (PLAIN, replace(PLAIN, debris=1.0))
    )
    for one, other in zip(clean, dirty, strict=True):
        assert (one.cluster_type, one.chromosomes) == (other.cluster_type, other.chromosomes)
    grew = [b.mask.sum() - a.mask.sum() for a, b in zip(clean[::2], dirty[::2], strict=True)]
    # A pale grain may be below the level of the outline, and is then not part of the region.
    assert min(grew) > -60
    assert sum(30 < more < 150 for more in grew) >= 8


def test_without_debris_the_same_clusters_come_out(bars):
    kinds = [ClusterType.SINGLE, ClusterType.TOUCHING]
    one, other = (
        list(islice(iterate_grown(bars, 5, kinds, look=look), 4))
        for look in (PLAIN, replace(PLAIN, debris=1.0))
    )
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a.signal, b.signal)


def _is_grown(made):
    # Crossing bars are at most twice as dark as one bar; real clusters are three times as dark.
    return np.median(made.signal[made.mask]) > 2 or (made.signal > 2.5).sum() > 50
