"""Result files of a metaphase."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from napari_chromocluster.imaging.files import ImageError, check_file, check_writable, is_zarr


class BatchError(ValueError):
    """Input or existing results that prevent a classification."""


#: Formats that label images can also be written in, and their suffix.
LABEL_FORMATS = {"ome-tiff": ".ome.tif", "ome-zarr": ".ome.zarr"}


@dataclass(frozen=True)
class ResultFiles:
    """Paths of the results of one metaphase."""

    labels: Path
    regions: Path
    overlay: Path

    @classmethod
    def of(cls, folder: str | Path, name: str) -> ResultFiles:
        """Name the files of a metaphase in a folder."""
        base = Path(folder)
        return cls(
            base / f"{name}_labels.tif", base / f"{name}_regions.csv", base / f"{name}_overlay.png"
        )

    def label_copies(self, labels_as: str | None) -> list[Path]:
        """Return the copies of the label image: in a format, and those that exist."""
        copies = {
            name: self.labels.with_name(self.labels.stem + suffix)
            for name, suffix in LABEL_FORMATS.items()
        }
        return [path for name, path in copies.items() if name == labels_as or path.exists()]


def check_image(path: str | Path) -> None:
    """Check that the file of a metaphase exists, without reading it.

    Raises
    ------
    ImageError
        If it does not exist, or is a folder.
    """
    if Path(path).is_dir() and not is_zarr(path):
        raise ImageError(
            f"{path} is a folder: use 'chromocluster batch' for the images in it, or "
            f"'chromocluster classify' with --crops if each holds one region."
        )
    check_file(path, "an image")


@contextmanager
def writable_folder(folder: str | Path) -> Iterator[None]:
    """Create a folder for results, and remove it again if it stays empty.

    Raises
    ------
    ImageError
        If the folder cannot be made or written to.
    """
    path = Path(folder).absolute()
    made = [one for one in (path, *path.parents) if not os.path.exists(one)]
    try:
        check_writable(path)
        yield
    finally:
        with suppress(OSError):  # not empty, so its parents are not either
            for one in made:
                one.rmdir()
