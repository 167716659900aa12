"""Clusters of known type found again in other outlines, and defocused images."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import typed_outlines
from blurred_annotations import blurred_metaphase, out_of_focus
from held_out import part
from napari_chromocluster.cluster_types import ClusterType
from napari_chromocluster.imaging.io import read_image, read_labels, write_labels
from napari_chromocluster.imaging.synthetic_metaphase import synthetic_metaphase

BOXES = np.array([[5, 5, 25, 15], [30, 5, 50, 15], [5, 40, 25, 50]], np.int64)


def outline(*together: tuple[int, ...]) -> np.ndarray:
    """Draw each set of boxes as one region."""
    labels = np.zeros((60, 60), np.int32)
    for number, places in enumerate(together, 1):
        corners = BOXES[list(places)]
        x0, y0, x1, y1 = (*corners[:, :2].min(axis=0), *corners[:, 2:].max(axis=0))
        labels[y0:y1, x0:x1] = number
    return labels


def test_regions_are_named_by_the_boxes_that_they_hold():
    assert typed_outlines.held_boxes(outline((0, 1), (2,)), BOXES) == {1: "0 1", 2: "2"}


def test_a_cluster_keeps_its_type_where_it_holds_the_same_chromosomes(tmp_path):
    train, test = (
        next(str(n) for n in range(103000, 103200) if part("gband_metaphases", str(n)) == side)
        for side in ("train", "test")
    )
    data, plain, ours = tmp_path / "gband_metaphases", tmp_path / "plain", tmp_path / "ours"
    for folder in (data / "images", plain, ours):
        folder.mkdir(parents=True)
    rows, boxes = [], []
    for group in (train, test):
        (data / "images" / f"{group}.jpg").touch()
        write_labels(data / "images" / f"{group}_labels.png", outline((0, 1), (2,)))
        write_labels(plain / f"{group}_plain0.png", outline((0,), (1,), (2,)))
        write_labels(plain / f"{group}_plain16.png", outline((2,), (0, 1)))
        name = f"images/{group}.jpg"
        rows += [(name, f"images/{group}_labels.png", 1, "overlapping", group)]
        boxes += [(name, *box) for box in BOXES]
    columns = ["image", "labels", "label", "cluster_type", "group"]
    pd.DataFrame(rows, columns=columns).to_csv(data / "annotations.csv", index=False)
    columns = ["image", "xmin", "ymin", "xmax", "ymax"]
    pd.DataFrame(boxes, columns=columns).to_csv(data / "boxes.csv", index=False)
    typed_outlines.main(tmp_path, plain, ours, tmp_path / "typed")
    table = pd.read_csv(tmp_path / "typed" / "annotations.csv", dtype={"group": str})
    assert list(table["labels"].str.endswith("_plain16.png")) == [True]
    assert list(table["label"]) == [2]
    assert list(table["cluster_type"]) == ["overlapping"]
    assert list(table["group"]) == [train]


def test_a_picture_out_of_focus_is_larger_and_softer():
    image = synthetic_metaphase(1, "dapi", size=(200, 240), chromosomes=8, clusters=()).image
    same, soft = (out_of_focus(image, zoom, blur, 0.0, 0) for zoom, blur in ((1, 0.0), (2, 2.0)))
    assert same.shape == (200, 240)
    assert soft.shape == (400, 480)
    assert soft.dtype == np.uint8
    steps = [np.abs(np.diff(one.astype(float))).max() for one in (same, soft)]
    assert steps[1] < 0.5 * steps[0]


@pytest.mark.parametrize("mapped", [True, False])
def test_blurred_metaphases_are_named_anew(tmp_path, mapped):
    made = synthetic_metaphase(2, "dapi" if mapped else "giemsa")
    image = tmp_path / "images" / "one.png"
    image.parent.mkdir()
    Image.fromarray(made.image).save(image)
    chromosomes = {k: str(t) for k, t in made.types.items() if t is not ClusterType.OTHER}
    if mapped:
        known = np.where(np.isin(made.labels, list(chromosomes)), made.labels, 0)
        write_labels(image.parent / "one_labels.png", known)
        rows = pd.DataFrame(
            [("images/one_labels.png", k, kind) for k, kind in chromosomes.items()],
            columns=["labels", "label", "cluster_type"],
        )
    else:
        inside = [np.nonzero(made.labels == k) for k, kind in chromosomes.items()]
        rows = pd.DataFrame(
            [(x.min(), y.min(), x.max() + 1, y.max() + 1) for y, x in inside],
            columns=["xmin", "ymin", "xmax", "ymax"],
        )
    lines = blurred_metaphase(image, rows, "group", mapped, tmp_path)
    assert len({line[0] for line in lines}) == (2 if mapped else 1)
    singles = [line for line in lines if line[3] == "single"]
    assert len(singles) > 15
    picture, labels = read_image(lines[-1][0]), read_labels(tmp_path / lines[-1][1])
    assert picture.shape == labels.shape
    assert {line[4] for line in lines} == {"group"}
