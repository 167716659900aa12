"""Groups of annotated regions."""

import numpy as np
import pytest
from PIL import Image

from napari_chromocluster.results.annotated_crops import read_sources
from napari_chromocluster.results.annotation_groups import images_of_two_groups
from napari_chromocluster.results.annotations import read_annotations


@pytest.fixture
def files(tmp_path):
    """Create an annotation file at a path with the given images and, optionally, groups."""
    for name in ("P.png", "day1/m.png", "day2/m.png", "sub/x.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(np.zeros((5, 5), np.uint8)).save(tmp_path / name)

    def make(place, *images, groups=None):
        named = groups or [""] * len(images)
        lines = [f"{image},single,{group}" for image, group in zip(images, named, strict=True)]
        path = tmp_path / place
        path.write_text("\n".join(["image,cluster_type,group", *lines]) + "\n")
        return path

    return make


def test_an_image_is_one_group_whatever_way_leads_to_it(files, tmp_path):
    (tmp_path / "link.png").symlink_to("P.png")
    ways = [
        files("a.csv", "P.png"),
        files("sub/b.csv", "../P.png"),
        files("c.csv", str(tmp_path / "P.png")),
        files("d.csv", "link.png"),
    ]
    assert list(read_sources(ways)["group"]) == ["P.png"] * 4


def test_images_of_one_name_are_told_apart_by_their_folders(files):
    table = read_annotations(files("a.csv", "day1/m.png", "day2/m.png", "P.png"))
    assert list(table["group"]) == ["day1/m.png", "day2/m.png", "P.png"]
    both = [files("day1/a.csv", "m.png"), files("day2/a.csv", "m.png")]
    assert list(read_sources(both)["group"]) == ["day1/m.png", "day2/m.png"]
    assert list(read_annotations(both[0])["group"]) == ["m.png"]


def test_the_group_that_one_row_names_holds_for_the_image(files):
    unnamed, named = files("a.csv", "P.png"), files("sub/b.csv", "../P.png", groups=["patient"])
    for order in ([unnamed, named], [named, unnamed]):
        assert set(read_sources(order)["group"]) == {"patient"}


def test_an_image_of_two_groups_is_found(files, tmp_path):
    ways = [
        files("a.csv", "P.png", "sub/x.png", groups=["one", "one"]),
        files("sub/b.csv", "../P.png", groups=["two"]),
    ]
    assert images_of_two_groups(read_sources(ways)) == {str(tmp_path / "P.png"): ["one", "two"]}
    assert images_of_two_groups(read_sources(ways[:1])) == {}
