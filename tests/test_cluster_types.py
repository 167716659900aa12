import pytest

from napari_chromocluster.cluster_types import (
    CHROMOSOME_TYPES,
    CLUSTERS,
    TYPES,
    ClusterType,
    possible_types,
)


def test_order_keys_and_letters():
    assert [str(kind) for kind in TYPES] == [
        "single",
        "touching",
        "overlapping",
        "touching_overlapping",
        "other",
    ]
    assert [kind.key for kind in TYPES] == ["1", "2", "3", "4", "5"]
    assert [kind.letter for kind in TYPES] == ["S", "T", "O", "B", "X"]


def test_colours_are_those_promised_and_distinct():
    assert ClusterType.SINGLE.color == "#009E73"
    assert len({kind.color for kind in TYPES}) == len(TYPES)


def test_clusters_and_severity():
    assert all(kind.is_cluster for kind in CLUSTERS)
    assert not ClusterType.SINGLE.is_cluster
    assert not ClusterType.OTHER.is_cluster
    severities = [kind.severity for kind in CHROMOSOME_TYPES]
    assert severities == sorted(severities)


def test_display_name_and_column():
    assert ClusterType.TOUCHING_OVERLAPPING.display_name == "touching-overlapping"
    assert ClusterType.SINGLE.probability_column == "p_single"


def test_what_an_annotation_leaves_possible():
    assert possible_types("single") == (ClusterType.SINGLE,)
    assert possible_types("cluster") == CLUSTERS
    assert possible_types("touching|overlapping") == CLUSTERS[:2]
    for word in ("", "unresolved", "touching|", "dubble"):
        with pytest.raises(ValueError, match="ClusterType"):
            possible_types(word)
