"""The export file dialog shared by all docks."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from qtpy.QtWidgets import QFileDialog, QWidget

from napari_chromocluster.viewer.layers import source_of
from napari_chromocluster.viewer.sidecar_files import TABLE_SUFFIX, path_next_to_image

_PICTURES = "PNG (*.png);;SVG (*.svg);;PDF (*.pdf)"


class Export(NamedTuple):
    """An export type: title, file name suffix, and file types."""

    title: str
    end: str
    kinds: str


EXPORTS: dict[str, Export] = {
    "regions": Export("Regions and table", "_labels.tif", "TIFF (*.tif *.tiff);;PNG (*.png)"),
    "csv": Export("Table as CSV", TABLE_SUFFIX, "CSV (*.csv)"),
    "annotations": Export("Annotations for training", "_annotations.csv", "CSV (*.csv)"),
    "overlay": Export("Annotated metaphase", "_overlay.png", _PICTURES),
    "sheet": Export("Contact sheet", "_sheet.png", _PICTURES),
    "chart": Export("Bar chart of many", "_chart.png", _PICTURES),
}


def ask_where(
    parent: QWidget, what: str, image: Any, name: str, folder: Path | None = None
) -> str | None:
    """Ask for the file of an export; None if the user cancels.

    Parameters
    ----------
    parent : QWidget
        The dock.
    what : str
        One of `EXPORTS`.
    image : Image layer or None
        The exported image; its file is not replaced.
    name : str
        Start of the file name if the image has no file.
    folder : path, optional
        Default folder if the image has no file.

    Raises
    ------
    LayerError
        If the file is the image, or belongs to a review.
    FileExistsError
        If a suffix was added, and the resulting file exists.
    """
    export = EXPORTS[what]
    start = str(suggested(image, name, export.end, folder))
    path, kind = QFileDialog.getSaveFileName(
        parent, f"Export {export.title.lower()}", start, export.kinds
    )
    return path_next_to_image(image, completed(path, kind or export.kinds)) if path else None


def suggested(image: Any, name: str, end: str, folder: Path | None = None) -> Path:
    """Return an unused path next to the image."""
    source = source_of(image) if image is not None else ""
    place = Path(source).parent if source else folder or Path()
    stem = Path(source).stem if source else name
    path, number = place / f"{stem}{end}", 1
    while path.exists():
        more = "" if number == 1 else f"-{number}"
        path, number = place / f"{stem}_export{more}{end}", number + 1
    return path


def completed(path: str, kind: str) -> str:
    """Return a file name, adding the suffix of the selected file type if it has none.

    Raises
    ------
    FileExistsError
        If that file exists, since the user was not asked about replacing it.
    """
    if Path(path).suffix:
        return path
    whole = path + kind.partition("(*")[2].partition(")")[0].split()[0]
    if Path(whole).exists():
        raise FileExistsError(
            f"{Path(whole).name} exists already: choose another name, or this one with its end."
        )
    return whole
