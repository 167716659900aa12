"""Read delimited text (CSV) from any program: encoding and delimiter are detected."""

from __future__ import annotations

import codecs
import csv
import io
import locale
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

_DELIMITERS = ",;\t"
#: First bytes of a file in one of these encodings.
_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
#: Number of bytes sufficient for the header of a table.
_HEADER_BYTES = 1 << 14


class DelimitedTextError(ValueError):
    """A file that is not delimited text; the message is one sentence."""


@dataclass(frozen=True)
class DelimitedText:
    """The non-empty rows of a file.

    Attributes
    ----------
    header : list of str
        Names of the columns.
    rows : list of list of str
        The cells, at most as many per row as there are columns.
    lines : list of int
        The line of the file in which each row starts, counted from 1.
    """

    header: list[str]
    rows: list[list[str]]
    lines: list[int]

    def to_frame(self) -> pd.DataFrame:
        """Return the cells as text; short rows are filled with empty cells."""
        width = len(self.header)
        rows = [[*row, *[""] * (width - len(row))] for row in self.rows]
        return pd.DataFrame(rows, columns=self.header, dtype=object)


def read_delimited(path: str | Path) -> DelimitedText:
    """Read a table delimited by commas, semicolons or tabs.

    UTF-8, UTF-16 and the Windows code page ("ANSI") are supported; a first line such as ``sep=;``
    sets the delimiter.

    Raises
    ------
    DelimitedTextError
        If the file cannot be read, is empty, is not text, or a row has more cells than the header.
    """
    file = Path(path)
    try:
        numbered = _rows(read_any_text(file))
    except csv.Error as error:
        raise DelimitedTextError(f"{file.name} cannot be read as CSV: {error}.") from error
    if not numbered:
        raise DelimitedTextError(f"{file.name} is empty: choose a table with a header.")
    names = [name.strip() for name in numbered[0][1]]
    while not names[-1]:
        names.pop()
    header = [name or f"column {number}" for number, name in enumerate(names, start=1)]
    if len(set(header)) < len(header):
        twice = next(name for name in header if header.count(name) > 1)
        raise DelimitedTextError(f"{file.name} has two columns {twice!r}: rename or remove one.")
    rows = []
    for line, cells in numbered[1:]:
        if any(cell.strip() for cell in cells[len(header) :]):
            raise DelimitedTextError(
                f"{file.name}, line {line}: {len(cells)} values for {len(header)} columns: put "
                f"values that hold the separator in quotes."
            )
        rows.append(cells[: len(header)])
    return DelimitedText(header, rows, [line for line, _ in numbered[1:]])


def read_any_text(path: str | Path) -> str:
    """Read a text file in any encoding.

    Raises
    ------
    DelimitedTextError
        If it cannot be read, or is not text.
    """
    file = Path(path)
    try:
        return _decoded(file.read_bytes())
    except OSError as error:
        raise DelimitedTextError(
            f"{file.name} cannot be read ({error.strerror}): check its rights."
        ) from error
    except UnicodeError as error:
        raise DelimitedTextError(
            f"{file.name} is not a text file: save the table as CSV UTF-8."
        ) from error


def read_header(path: str | Path) -> list[str]:
    """Return the column names of a table; empty if the file is not a table."""
    with suppress(OSError, UnicodeError, csv.Error), Path(path).open("rb") as stream:
        start = stream.read(_HEADER_BYTES)
        if len(start) == _HEADER_BYTES:  # a character must not be cut in half
            start = start[: start.rfind(b"\n") + 1]
            start += b"\0" * (len(start) % 2 if b"\0" in start else 0)
        for _, cells in _rows(_decoded(start)):
            return [name.strip() for name in cells]
    return []


def _decoded(content: bytes) -> str:
    """Decode text by its byte order mark, else by the first encoding that works."""
    for mark, encoding in _MARKS.items():
        if content.startswith(mark):
            return content.decode(encoding)
    if b"\0" in content:  # UTF-16 without a mark: every other byte of ASCII text is zero
        encoding = "utf-16-le" if content[1:2] == b"\0" else "utf-16-be"
        text = content.decode(encoding)
        if "\0" in text:
            raise UnicodeError("no text")
        return text
    for encoding in ("utf-8", locale.getencoding()):
        with suppress(UnicodeDecodeError):
            return content.decode(encoding)
    return content.decode("cp1252")


def _rows(text: str) -> list[tuple[int, list[str]]]:
    """Return the non-empty rows, the header first, each with its line number."""
    lines = text.splitlines(keepends=True)
    skipped = 0
    while skipped < len(lines) and not lines[skipped].strip():
        skipped += 1
    delimiter = ""
    if skipped < len(lines) and lines[skipped].lower().startswith("sep="):
        delimiter = lines[skipped].rstrip("\r\n")[4:5]
        skipped += 1
    rest = lines[skipped:]
    reader = csv.reader(
        io.StringIO("".join(rest), newline=""), delimiter=delimiter or _likely(rest)
    )
    rows = []
    begin = 1
    for cells in reader:
        if any(cell.strip() for cell in cells):
            rows.append((skipped + begin, cells))
        begin = reader.line_num + 1
    return rows


def _likely(lines: list[str]) -> str:
    """Return the delimiter that occurs most often in the first non-empty line."""
    header = next((line for line in lines if line.strip()), "")
    return max(_DELIMITERS, key=header.count)
