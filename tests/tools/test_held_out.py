"""Who is held out from the training of the embedded model."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from held_out import Answers, named_in_part, part


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
    some = Answers(np.zeros((1, 3, 5), np.float32), ["other", "touching|overlapping", "cluster"])
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
