"""Types of clusters read by eye."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from held_out import part
from napari_chromocluster.cluster_types import CLUSTERS, UNRESOLVED
from napari_chromocluster.imaging.io import write_labels
from napari_chromocluster.results.annotations import read_annotations
from read_by_eye import FILE, MANY, TEST_FILE, types_read, with_types_read, write_with_types_read

SIDES = {FILE: {"train", "validation"}, TEST_FILE: {"test"}}


@pytest.fixture(params=SIDES, ids=lambda file: file.stem)
def file(request):
    return request.param


@pytest.fixture
def lines(file) -> pd.DataFrame:
    return pd.read_csv(file, dtype=str)


def test_clusters_of_the_test_groups_have_a_file_of_their_own(file, lines):
    sides = {part("gband_metaphases", metaphase) for metaphase in lines["metaphase"]}
    assert sides == SIDES[file]


def test_every_line_is_of_one_cluster_and_of_a_type_that_it_may_have(lines):
    assert not lines.duplicated(["metaphase", "boxes"]).any()
    assert set(lines["cluster_type"]) == {*map(str, CLUSTERS), UNRESOLVED}
    count = lines["boxes"].str.split().str.len()
    assert count.min() == 2
    assert "touching_overlapping" not in set(lines.loc[count == 2, "cluster_type"])


def test_boxes_are_those_of_the_metaphase(lines, real_data):
    boxes = pd.read_csv(real_data / "gband_metaphases" / "boxes.csv")
    images = boxes["image"].str.removeprefix("images/").str.removesuffix(".jpg")
    most = images.value_counts()
    for line in lines.itertuples():
        assert max(map(int, line.boxes.split())) < most[line.metaphase]


def test_doubtful_ones_name_nothing(tmp_path):
    file = tmp_path / "read.csv"
    file.write_text("metaphase,boxes,cluster_type\nm,0 1,touching\nm,2 3,unresolved\n")
    assert types_read(file) == {("m", "0 1"): "touching"}


@pytest.fixture
def metaphase(tmp_path):
    """Regions of two boxes each, of an image in a file, and the boxes."""
    labels = np.zeros((40, 100), np.int32)
    labels[5:30, 5:35] = 1
    labels[5:30, 45:95] = 2
    write_labels(tmp_path / "labels.png", labels)
    (tmp_path / "m.jpg").touch()
    corners = [(5, 5, 20, 30), (20, 5, 35, 30), (45, 5, 70, 30), (70, 5, 95, 30)]
    boxes = pd.DataFrame(corners, columns=["xmin", "ymin", "xmax", "ymax"])
    boxes.insert(0, "image", "images/m.jpg")
    regions = pd.DataFrame(
        {
            "image": str(tmp_path / "m.jpg"),
            "labels": str(tmp_path / "labels.png"),
            "label": [1, 2],
            "cluster_type": "touching|overlapping",
            "chromosomes": 2,
        }
    )
    return regions, boxes


def test_a_cluster_has_its_type_in_each_outline_that_holds_the_same_chromosomes(metaphase):
    regions, boxes = metaphase
    # Only one of the two boxes of the second region was read.
    read = {("m", "0 1"): "overlapping", ("m", "2"): "touching"}
    named = with_types_read(regions, boxes, read)
    assert named["cluster_type"].tolist() == ["overlapping", "touching|overlapping"]
    assert named["read"].tolist() == [True, False]
    assert regions["cluster_type"].tolist() == ["touching|overlapping"] * 2


def test_a_type_that_boxes_settle_is_left(tmp_path):
    regions = pd.DataFrame(
        {"image": ["m.jpg"], "labels": ["l.png"], "label": [1], "cluster_type": ["touching"]}
    )
    boxes = pd.DataFrame({"image": ["images/m.jpg"], "xmin": 0, "ymin": 0, "xmax": 1, "ymax": 1})
    named = with_types_read(regions, boxes, {("m", "0"): "overlapping"})
    assert named["cluster_type"].tolist() == ["touching"]


def test_types_are_written_beside_an_annotation_file(metaphase, tmp_path, monkeypatch):
    regions, boxes = metaphase
    third = regions.iloc[[1]].assign(label=3, cluster_type="cluster", chromosomes=4)
    regions = pd.concat([regions, third])
    regions.to_csv(tmp_path / "annotations.csv", index=False)
    boxes.to_csv(tmp_path / "boxes.csv", index=False)
    monkeypatch.setattr("read_by_eye.types_read", lambda: {("m", "2 3"): "touching"})
    file = write_with_types_read(tmp_path / "annotations.csv", tmp_path / "boxes.csv")
    written = read_annotations(file)
    # The third was not read, but four chromosomes do not just overlap.
    assert written["cluster_type"].tolist() == ["touching|overlapping", "touching", MANY]
    assert "read" not in written
