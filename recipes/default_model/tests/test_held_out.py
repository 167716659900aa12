"""Groups held out from the training of the embedded model."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from held_out import Answers, known_types, named_in_part, other_thresholds, part, typed_by_eye
from napari_chromocluster.imaging.io import write_labels


def test_all_metaphases_of_a_patient_lie_on_one_side():
    for patient in range(103000, 103060):
        assert len({part("gband_metaphases", f"{patient}{slide}") for slide in range(5)}) == 1


def test_about_a_quarter_of_the_patients_is_held_out():
    sides = [part("gband_metaphases", str(patient)) for patient in range(103000, 104000)]
    assert sides.count("test") / 1000 == pytest.approx(0.25, abs=0.05)
    assert sides.count("validation") / 1000 == pytest.approx(0.12, abs=0.04)


def test_every_source_has_all_three_sides(real_data):
    for name in ("gband_crops", "gband_metaphases", "mfish"):
        groups = pd.read_csv(real_data / name / "annotations.csv", dtype=str)["group"]
        assert {part(name, group) for group in groups} == {"train", "validation", "test"}


def test_the_possible_types_of_an_annotation_are_known():
    names = ["other", "touching|overlapping", "cluster"]
    some = Answers(np.zeros((1, 3, 5), np.float32), names, np.zeros((3, 5)))
    expected = [[0, 0, 0, 0, 1], [0, 1, 1, 0, 0], [0, 1, 1, 1, 0]]
    np.testing.assert_array_equal(some.possible, np.array(expected, bool))
    np.testing.assert_array_equal(some.true, [4, 1, 1])


def test_regions_named_in_part_are_of_one_side_and_not_too_many(tmp_path):
    images = tmp_path / "gband_metaphases"
    images.mkdir()
    sides = {
        side: [str(n) for n in range(103000, 103060) if part("gband_metaphases", str(n)) == side]
        for side in ("train", "validation")
    }
    rows = [
        (images / f"{group}.jpg", images / f"{group}_plain{level}.png", label, kind, group)
        for groups in sides.values()
        for group in groups[:4]
        for level in (0, 8)
        for label, kind in enumerate(["single", "cluster", "touching|overlapping"] * 30, start=1)
    ]
    columns = ["image", "labels", "label", "cluster_type", "group"]
    for image, labels, *_ in rows:
        image.touch()
        labels.touch()
    for name in ("boxes", "outlines", "plain"):
        (tmp_path / name).mkdir()
        pd.DataFrame(rows, columns=columns).to_csv(tmp_path / name / "annotations.csv", index=False)
    files = named_in_part(tmp_path, "validation", most=50)
    for name, file in files.items():
        table = pd.read_csv(file, dtype=str)
        assert set(table["group"]) <= set(sides["validation"])
        assert table["cluster_type"].value_counts()["cluster"] == 50
        assert table["labels"].str.contains("plain0").any() == (name != "plain, in part")


def test_regions_of_known_type_are_those_that_boxes_or_a_reader_tell(tmp_path, monkeypatch):
    patients = [str(n) for n in range(103000, 103060)]
    here = next(one for one in patients if part("gband_metaphases", one) == "test")
    elsewhere = next(one for one in patients if part("gband_metaphases", one) == "train")
    data, boxes = tmp_path / "data" / "gband_metaphases", tmp_path / "boxes"
    data.mkdir(parents=True)
    boxes.mkdir()
    labels = np.zeros((40, 100), np.int32)
    labels[5:35, 5:35], labels[5:35, 40:60], labels[5:35, 65:95] = 1, 2, 3
    corners = [(5, 20), (15, 20), (42, 16), (66, 25), (70, 25)]
    lines = [
        (f"images/{one}.jpg", x, 6, x + width, 34)
        for one in (here, elsewhere)
        for x, width in corners
    ]
    header = ["image", "xmin", "ymin", "xmax", "ymax"]
    pd.DataFrame(lines, columns=header).to_csv(data / "boxes.csv", index=False)
    rows = []
    for one in (here, elsewhere):
        image, outlines = boxes / f"{one}.jpg", boxes / f"{one}_labels.png"
        image.touch()
        write_labels(outlines, labels)
        kinds = ["touching|overlapping", "single", "touching|overlapping"]
        rows += [(image, outlines, label, kind, one) for label, kind in enumerate(kinds, start=1)]
    header = ["image", "labels", "label", "cluster_type", "group"]
    pd.DataFrame(rows, columns=header).to_csv(boxes / "annotations.csv", index=False)
    read = {(here, "0 1"): "overlapping"}
    monkeypatch.setattr("held_out.types_read", lambda file: read)
    known = pd.read_csv(known_types(tmp_path / "data", tmp_path, "test"), dtype=str)
    assert known["cluster_type"].tolist() == ["overlapping", "single"]
    assert known["label"].tolist() == ["1", "2"]
    seen = pd.read_csv(typed_by_eye(tmp_path / "data", tmp_path, "test"), dtype=str)
    assert seen["cluster_type"].tolist() == ["overlapping"]


def test_tighter_and_looser_outlines_of_one_side(tmp_path):
    images = tmp_path / "gband_metaphases"
    images.mkdir()
    here = next(
        str(n) for n in range(103000, 103999) if part("gband_metaphases", str(n)) == "validation"
    )
    away = next(
        str(n) for n in range(103000, 103999) if part("gband_metaphases", str(n)) == "train"
    )
    names = {"plain": ["single", "touching|overlapping"], "typed": ["single", "overlapping"]}
    for name, kinds in names.items():
        rows = [
            (images / f"{group}.jpg", images / f"{group}_plain{level}.png", label, kind, group)
            for group in (here, away)
            for level in (0, 8, 16)
            for label, kind in enumerate(kinds, start=1)
        ]
        for image, labels, *_ in rows:
            image.touch()
            labels.touch()
        (tmp_path / name).mkdir()
        columns = ["image", "labels", "label", "cluster_type", "group"]
        pd.DataFrame(rows, columns=columns).to_csv(tmp_path / name / "annotations.csv", index=False)
    files = other_thresholds(tmp_path, "validation")
    assert set(files) == {0, 16}
    for level, file in files.items():
        table = pd.read_csv(file, dtype=str)
        assert list(table["cluster_type"]) == ["single", "overlapping"]
        assert table["labels"].str.endswith(f"{here}_plain{level}.png").all()
