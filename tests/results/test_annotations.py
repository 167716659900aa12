import numpy as np
import pandas as pd
import pytest
from PIL import Image

from napari_chromocluster.results.annotations import (
    COLUMNS,
    WHERE,
    AnnotationError,
    is_annotation_file,
    is_annotation_folder,
    read_annotations,
    with_allowed_types,
    write_annotations,
)


@pytest.fixture
def folder(tmp_path):
    for name in ("a.png", "b.png"):
        Image.fromarray(np.zeros((5, 5), np.uint8)).save(tmp_path / name)
    return tmp_path


def write(folder, *lines, header="image,labels,label,cluster_type,group"):
    path = folder / "annotations.csv"
    path.write_text("\n".join([header, *lines]) + "\n")
    return path


def test_regions_and_whole_images_may_mix(folder):
    table = read_annotations(write(folder, "a.png,b.png,3,single,g1", "b.png,,,touching,g2"))
    assert list(table["label"]) == [3, 0]
    assert table["labels"][1] == ""
    assert table["image"][0] == str(folder / "a.png")
    assert list(table["group"]) == ["g1", "g2"]


def test_types_may_be_typed_as_they_are_shown(folder):
    rows = "a.png,b.png,1,Touching-overlapping,g", "a.png,b.png,2,touching | Overlapping,g"
    kinds = read_annotations(write(folder, *rows, "a.png,b.png,3,SINGLE,g"))["cluster_type"]
    assert list(kinds) == ["touching_overlapping", "touching|overlapping", "single"]


def test_group_defaults_to_the_image(folder):
    table = read_annotations(write(folder, "a.png,single", header="image,cluster_type"))
    assert table["group"][0] == "a.png"


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["a.png,b.png,1,single,g", "c.png,b.png,1,single,g"], r"line 3: .* 'c.png' is missing"),
        (["a.png,b.png,1,dubble,g"], r"line 2: 'dubble' is no cluster type"),
        (["a.png,b.png,1,single,g", "a.png,b.png,1,other,g"], r"line 3: .* annotated twice"),
        (["a.png,,,single,g", "a.png,,,other,g"], r"line 3: this image .* by the columns labels"),
        (["a.png,b.png,x,single,g"], r"line 2: the label 'x'"),
        (["a.png,b.png,0,single,g"], r"line 2: a label is 1 or more"),
        (["a.png,b.png,3.5,single,g"], r"line 2: the label '3.5' is no whole number"),
        (["a.png,b.png,inf,single,g"], r"line 2: the label 'inf' is no whole number"),
        (["a.png,b.png,,single,g"], r"line 2: the label is empty"),
        (["a.png,b.png,1,single,g", ",b.png,2,single,g"], r"line 3: the column 'image' is empty"),
        (["a.png,b.png,1,,g"], r"line 2: '' is no cluster type"),
        (["a.png,b.png,1"], r"line 2: '' is no cluster type"),
    ],
)  # fmt: skip
def test_errors_name_the_line(folder, lines, message):
    with pytest.raises(AnnotationError, match=message):
        read_annotations(write(folder, *lines))


def test_missing_column_and_file(folder):
    with pytest.raises(AnnotationError, match="no column 'cluster_type'"):
        read_annotations(write(folder, "a.png", header="image"))
    with pytest.raises(AnnotationError, match="does not exist"):
        read_annotations(folder / "none.csv")


def test_unresolved_and_untyped_rows_are_not_scored(folder):
    path = write(folder, "a.png,,,unresolved,g", "b.png,,,touching|overlapping,g")
    assert len(read_annotations(path)) == 2
    assert with_allowed_types(read_annotations(path)).empty


def test_folder_per_type(folder):
    for kind in ("single", "touching"):
        (folder / "types" / kind).mkdir(parents=True)
        Image.fromarray(np.zeros((5, 5), np.uint8)).save(folder / "types" / kind / "case3_7.png")
    table = read_annotations(folder / "types")
    assert list(table["cluster_type"]) == ["single", "touching"]
    assert set(table["group"]) == {"case3"}
    assert is_annotation_folder(folder / "types")
    assert not is_annotation_folder(folder)


def test_known_by_its_columns(folder):
    assert is_annotation_file(write(folder))
    (folder / "other.csv").write_text("x,y\n1,2\n")
    assert not is_annotation_file(folder / "other.csv")
    assert not is_annotation_file(folder / "a.png")


def test_round_trip_with_relative_paths(folder):
    table = read_annotations(write(folder, "a.png,b.png,3,single,g1", "b.png,,,touching,g2"))
    write_annotations(folder / "sub" / "out.csv", table)
    assert "../a.png" in (folder / "sub" / "out.csv").read_text()
    again = read_annotations(folder / "sub" / "out.csv")
    assert list(again.pop(WHERE)) == ["out.csv, line 2", "out.csv, line 3"]
    pd.testing.assert_frame_equal(again, table.drop(columns=WHERE))


def test_many_rows_are_quick(folder):
    import time

    path = write(folder, *(f"a.png,b.png,{n},single,g" for n in range(1, 20001)))
    began = time.process_time()
    assert len(read_annotations(path)) == 20000
    assert time.process_time() - began < 3


def test_a_folder_may_be_named_as_the_type_is_shown(folder):
    for kind in ("Single", "Touching-overlapping", "touching overlapping", "notes"):
        (folder / "shown" / kind).mkdir(parents=True)
    picture = Image.fromarray(np.zeros((5, 5), np.uint8))
    for kind, name in (("Single", "a_1"), ("Touching-overlapping", "b_1"), ("Single", "b_2")):
        picture.save(folder / "shown" / kind / f"{name}.png")
    assert is_annotation_folder(folder / "shown")
    table = read_annotations(folder / "shown")
    assert list(zip(table["cluster_type"], table["group"], strict=True)) == [
        ("single", "a"), ("single", "b"), ("touching_overlapping", "b"),
    ]  # fmt: skip


def test_images_in_a_folder_of_no_type_are_not_left_out_without_a_word(folder):
    picture = Image.fromarray(np.zeros((5, 5), np.uint8))
    for kind in ("single", "overlaping"):
        (folder / "typo" / kind).mkdir(parents=True)
        picture.save(folder / "typo" / kind / "a_1.png")
    with pytest.raises(AnnotationError, match="overlaping in typo holds images"):
        read_annotations(folder / "typo")


def test_blanks_around_a_word_lose_no_region(folder):
    path = write(folder, " a.png , b.png,3 ,single , g1 ", "b.png,a.png, 4.0,touching,g1")
    table = read_annotations(path)
    assert list(table["cluster_type"]) == ["single", "touching"]
    assert len(with_allowed_types(table)) == 2
    assert list(table["image"]) == [str(folder / "a.png"), str(folder / "b.png")]
    assert list(table["label"]) == [3, 4]
    assert set(table["group"]) == {"g1"}


def test_labels_under_another_name_are_not_passed_over(folder):
    lines = ("a.png,b.png,1,single", "a.png,b.png,2,single")
    path = write(folder, *lines, header="image,mask,label,cluster_type")
    with pytest.raises(AnnotationError, match="'label' but no column 'labels'"):
        read_annotations(path)


@pytest.mark.parametrize(
    "content",
    [
        "image,cluster_type,note\na.png,single,größe\n".encode("cp1252"),
        "image;cluster_type\na.png;single\n".encode("utf-16"),
        b"image\tcluster_type\na.png\tsingle\n",
        b"sep=|\nimage|cluster_type\na.png|single\n",
    ],
)
@pytest.mark.parametrize("suffix", [".csv", ".tsv"])
def test_tables_of_any_encoding_and_delimiter(folder, content, suffix):
    path = folder / f"odd{suffix}"
    path.write_bytes(content)
    assert is_annotation_file(path)
    table = read_annotations(path)
    assert list(table["image"]) == [str(folder / "a.png")]
    assert list(table["cluster_type"]) == ["single"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\n \n", "is empty"),
        (b"\xff\xd8\xff\xe0\0\x10JFIF\0", "not a text file: save .* CSV UTF-8"),
        ("image,cluster_type\nä.png,single\n".encode("mac-roman"), "is missing .* CSV UTF-8"),
    ],
)
def test_what_is_no_csv_says_how_to_save_it(folder, content, words):
    (folder / "odd.csv").write_bytes(content)
    with pytest.raises(AnnotationError, match=words):
        read_annotations(folder / "odd.csv")


def test_what_spreadsheets_and_windows_leave_in_a_file(folder):
    (folder / "sub").mkdir()
    (folder / "a.png").rename(folder / "sub" / "a.png")
    head = "sep=,", "image,labels,label,cluster_type,group"
    rows = *head, r"sub\a.png,b.png,1,single,g", ",,,,", "", "b.png,b.png,2,touching,g"
    (folder / "x.csv").write_text("\r\n".join(rows))
    table = read_annotations(folder / "x.csv")
    assert list(table["label"]) == [1, 2]
    assert list(table.columns) == [*COLUMNS, WHERE]
    assert table["image"][0] == str(folder / "sub" / "a.png")


def test_empty_lines_count_where_a_line_is_named(folder):
    with pytest.raises(AnnotationError, match="line 4: 'dubble' is no cluster type"):
        read_annotations(write(folder, "a.png,b.png,1,single,g", "", "a.png,b.png,2,dubble,g"))
