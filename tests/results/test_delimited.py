"""Tables from spreadsheets: encodings, delimiters, lines."""

import codecs

import pytest

from napari_chromocluster.results.delimited import (
    DelimitedTextError,
    read_delimited,
    read_header,
)

TEXT = "image;note\r\na.png;größe\r\n\r\nb.png;\r\n"
WRITTEN = [
    TEXT.encode(),
    codecs.BOM_UTF8 + TEXT.encode(),
    TEXT.encode("cp1252"),
    TEXT.encode("utf-16"),
    codecs.BOM_UTF16_BE + TEXT.encode("utf-16-be"),
    TEXT.encode("utf-16-le"),
    TEXT.replace(";", "\t").encode(),
    TEXT.replace(";", ",").encode("utf-16"),
]


@pytest.mark.parametrize("content", WRITTEN)
def test_encodings_and_delimiters(tmp_path, content):
    path = tmp_path / "t.csv"
    path.write_bytes(content)
    table = read_delimited(path)
    assert table.header == ["image", "note"] == read_header(path)
    assert table.rows == [["a.png", "größe"], ["b.png", ""]]
    assert table.lines == [2, 4]


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_a_line_names_the_delimiter(tmp_path, delimiter):
    path = tmp_path / "t.csv"
    path.write_text(f"sep={delimiter}\na{delimiter}b\n1{delimiter}2\n")
    table = read_delimited(path)
    assert (table.header, table.rows, table.lines) == (["a", "b"], [["1", "2"]], [3])
    assert read_header(path) == ["a", "b"]


def test_a_cell_of_two_lines_counts_as_two_lines(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text('a,b\n"1\n2",3\n4\n')
    assert read_delimited(path).rows == [["1\n2", "3"], ["4"]]
    assert read_delimited(path).lines == [2, 4]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "cp1252"])
def test_the_header_of_a_long_file(tmp_path, encoding):
    path = tmp_path / "t.csv"
    path.write_bytes(("image,note\n" + "a.png,größe\n" * 5000).encode(encoding))
    assert read_header(path) == ["image", "note"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(range(256)), "not a text file"),
        (b"\n \n", "is empty"),
        (b"a,b,a\n1,2,3\n", "two columns 'a'"),
        (b"a,b\n1,2,3\n", "line 2: 3 values for 2 columns"),
        (b'a,b\n1,"' + b"x" * 200_000, "cannot be read as CSV"),
    ],
)
def test_what_is_no_table_is_one_sentence(tmp_path, content, words):
    path = tmp_path / "t.csv"
    path.write_bytes(content)
    with pytest.raises(DelimitedTextError, match=words):
        read_delimited(path)
