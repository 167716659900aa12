"""Annotation files: the cluster type of each annotated region of each image."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd

from napari_chromocluster.cluster_types import (
    TYPES,
    UNRESOLVED,
    UNTYPED_CLUSTER,
    possible_types,
    type_word,
)
from napari_chromocluster.imaging.files import IMAGE_SUFFIXES, ImageError, atomic_path
from napari_chromocluster.imaging.regions import RegionError
from napari_chromocluster.results.annotation_groups import name_groups
from napari_chromocluster.results.delimited import (
    DelimitedTextError,
    read_delimited,
    read_header,
)

#: Columns of an annotation table.
COLUMNS = ("image", "labels", "label", "cluster_type", "group")
_NEEDED = ("image", "cluster_type")
#: Column for the line number of each row while a file is read.
_LINE = "line of the file"
#: Additional column of the result: file and line of each row, for error messages.
WHERE = "file and line"
#: Suffixes of tables: separated by commas or semicolons, and by tabs.
TABLE_SUFFIXES = (".csv", ".tsv")


class AnnotationError(ValueError):
    """An annotation file that cannot be used; the message names the line."""


@contextmanager
def naming_line(rows: pd.DataFrame) -> Iterator[None]:
    """Prefix errors about an image with the file and line of the first of some rows."""
    try:
        yield
    except (ImageError, RegionError, AnnotationError) as error:
        where = str(rows[WHERE].iloc[0]) if WHERE in rows and len(rows) else ""
        raise AnnotationError(f"{where}: {error}" if where else str(error)) from error


def is_annotation_file(path: str | Path) -> bool:
    """Return whether a CSV has the columns of an annotation file."""
    file = Path(path)
    if file.suffix.lower() not in TABLE_SUFFIXES or not file.is_file():
        return False
    return set(_NEEDED) <= set(read_header(file))


def is_annotation_folder(path: str | Path) -> bool:
    """Return whether a folder has subfolders named by cluster types, with images or empty."""
    folder = Path(path)
    types = {str(kind) for kind in TYPES}
    try:
        return any(_kind_of(one) in types and one.is_dir() for one in folder.iterdir())
    except OSError:
        return False


def read_annotations(path: str | Path) -> pd.DataFrame:
    """Read an annotation CSV or a folder with one subfolder per type.

    Parameters
    ----------
    path : path
        CSV with the columns ``image, labels, label, cluster_type[, group]``, paths relative to it;
        if ``labels`` is absent or empty, the image is one region.  ``touching|overlapping`` leaves
        both types possible, and ``cluster`` any type of cluster: training uses such rows, metrics
        do not. Or a folder with subfolders ``single``, ``touching``, ``overlapping``,
        ``touching_overlapping``, ``other``.

    Returns
    -------
    DataFrame
        Columns ``image``, ``labels`` ("" if missing), ``label`` (0 if missing),
        ``cluster_type``, ``group``; absolute paths. Other columns of the CSV are kept, and ``file
        and line`` is the origin of each row.

    Raises
    ------
    AnnotationError
        For a missing file or column, an unknown type or a duplicate row.
    """
    return name_groups(read_rows(path))


def read_rows(path: str | Path) -> pd.DataFrame:
    """Read like `read_annotations`, but leave the group empty if none is named.

    With several files, groups can be named only once all rows are read.
    """
    file = Path(path)
    if file.is_dir():
        return _read_folder(file)
    if not file.is_file():
        raise AnnotationError(f"{file} does not exist: check the name.")
    try:
        text = read_delimited(file)
    except DelimitedTextError as error:
        raise AnnotationError(str(error)) from error
    table = text.to_frame()
    table[_LINE] = text.lines
    for name in _NEEDED:
        if name not in table:
            raise AnnotationError(
                f"{file.name} has no column {name!r}: an annotation file has the columns "
                f"{', '.join(COLUMNS)}."
            )
    # Without it each image would count as one region, whatever its labels.
    if "labels" not in table and "label" in table and (table["label"].str.strip() != "").any():
        raise AnnotationError(
            f"{file.name} has a column 'label' but no column 'labels': name the column that holds "
            f"the label image 'labels'."
        )
    return _checked(table, file)


def _checked(table: pd.DataFrame, file: Path) -> pd.DataFrame:
    base = file.resolve().parent
    for name in ("labels", "label", "group"):
        if name not in table:
            table[name] = ""
    # Spreadsheets may add invisible whitespace, which would result in a different name.
    for name in COLUMNS:
        table[name] = table[name].str.strip()
    typed = table["cluster_type"]
    table["cluster_type"] = typed.map(type_word)
    for line, kind, as_typed in zip(table[_LINE], table["cluster_type"], typed, strict=True):
        if kind != UNRESOLVED and not has_type(kind):
            raise AnnotationError(
                f"{file.name}, line {line}: {as_typed!r} is no cluster type; "
                f"use one of {', '.join(TYPES)}."
            )
    for name in ("image", "labels"):
        table[name] = _absolute(table[name], table[_LINE], base, file, needed=name == "image")
    table["label"] = _label_numbers(table, file)
    twice = table.duplicated(["image", "labels", "label"])
    if twice.any():
        row = int(np.argmax(twice.to_numpy()))
        what = (
            "this region is annotated twice."
            if table["labels"].iloc[row]
            else "this image is annotated twice; regions are distinguished by the columns labels "
            "(the label image) and label."
        )
        raise AnnotationError(f"{file.name}, line {table[_LINE].iloc[row]}: {what}")
    table[WHERE] = [f"{file.name}, line {line}" for line in table[_LINE]]
    others = [name for name in table.columns if name not in (*COLUMNS, _LINE, WHERE)]
    return table[[*COLUMNS, *others, WHERE]]


def _absolute(
    column: pd.Series[str], lines: pd.Series[int], base: Path, file: Path, needed: bool
) -> pd.Series[str]:
    """Make paths absolute, checking each file only once."""
    places: dict[str, str] = {}
    for name in column.unique():
        if name == "" and not needed:
            places[name] = ""
            continue
        target = Path(os.path.normpath(base / name))
        if name and not target.is_file():  # possibly written on Windows
            target = Path(os.path.normpath(base / name.replace("\\", "/")))
        if not target.is_file() or name == "":
            line = lines.iloc[int(np.argmax((column == name).to_numpy()))]
            if name == "":
                raise AnnotationError(f"{file.name}, line {line}: the column 'image' is empty.")
            advice = "" if name.isascii() else " (if its letters are wrong, save it as CSV UTF-8)"
            raise AnnotationError(
                f"{file.name}, line {line}: the file {name!r} is missing{advice}."
            )
        places[name] = str(target)
    return column.map(places)


def _label_numbers(table: pd.DataFrame, file: Path) -> list[int]:
    numbers = []
    for line, labels, label in zip(table[_LINE], table["labels"], table["label"], strict=True):
        if labels == "":
            numbers.append(0)
            continue
        number = _whole_number(label)
        if label == "":
            raise AnnotationError(
                f"{file.name}, line {line}: the label is empty: write the number of the region in "
                f"the label image."
            )
        if number is None:
            raise AnnotationError(
                f"{file.name}, line {line}: the label {label!r} is no whole number."
            )
        if number <= 0:
            raise AnnotationError(f"{file.name}, line {line}: a label is 1 or more, not {number}.")
        numbers.append(number)
    return numbers


def _whole_number(text: str) -> int | None:
    """Parse an integer, even if a spreadsheet wrote it as ``3.0``."""
    try:
        return int(text)
    except ValueError:
        pass
    try:
        number = float(text)
    except ValueError:
        return None
    return int(number) if number.is_integer() else None


def _read_folder(folder: Path) -> pd.DataFrame:
    """Read a folder with one subfolder per type; groups are file names up to the first ``_``."""
    rows = []
    order = [*(str(one) for one in TYPES), UNRESOLVED, UNTYPED_CLUSTER]
    images = {
        one: [file for file in sorted(one.iterdir()) if file.suffix.lower() in IMAGE_SUFFIXES]
        for one in sorted(folder.iterdir())
        if one.is_dir() and not one.name.startswith(".")
    }
    known = [one for one in images if _kind_of(one) in order]
    for one in images:
        # Ignoring them silently would give wrong metrics.
        if known and images[one] and one not in known:
            raise AnnotationError(
                f"{one.name} in {folder.name} holds images and is named like no cluster type: name "
                f"it {', '.join(TYPES)}, or move it elsewhere."
            )
    for one in sorted(known, key=lambda one: order.index(_kind_of(one))):
        for image in images[one]:
            group = image.stem.partition("_")[0]
            rows.append((str(image.resolve()), "", 0, _kind_of(one), group))
    if not rows:
        raise AnnotationError(
            f"{folder} holds no annotated images: it needs subfolders named {', '.join(TYPES)}."
        )
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _kind_of(folder: Path) -> str:
    """Return the value of the column ``cluster_type`` given by a subfolder's name."""
    return type_word(folder.name)


def has_type(name: str) -> bool:
    """Return whether a value of the column ``cluster_type`` is a type, or several possible ones."""
    try:
        return bool(possible_types(name))
    except ValueError:
        return False


def with_allowed_types(annotations: pd.DataFrame) -> pd.DataFrame:
    """Drop unresolved rows and rows without a single type."""
    known = annotations["cluster_type"].isin([str(kind) for kind in TYPES])
    return annotations[known].reset_index(drop=True)


def write_annotations(path: str | Path, annotations: pd.DataFrame) -> None:
    """Write an annotation CSV, with relative paths where possible."""
    file = Path(path).resolve()
    table = annotations.drop(columns=WHERE, errors="ignore")
    for name in ("image", "labels"):
        table[name] = [_relative(str(value), file.parent) for value in table[name]]
    table["label"] = ["" if int(value) == 0 else str(int(value)) for value in table["label"]]
    with atomic_path(file) as temporary:
        table.to_csv(temporary, index=False, lineterminator="\n")


def _relative(name: str, base: Path) -> str:
    if not name:
        return ""
    try:
        return Path(os.path.relpath(name, base)).as_posix()
    except ValueError:  # another drive on Windows
        return name
