"""Find the image files given by files, folders and patterns, without reading any."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable
from pathlib import Path

from napari_chromocluster.imaging.files import IMAGE_SUFFIXES, ImageError, is_zarr

#: Suffixes of images that this program writes, which are not metaphases.
_OWN = ("_labels", "_overlay", "_explanation")
#: Suffixes of files that are clearly not images, and the maximum number of other files listed.
_NO_PICTURES = (".csv", ".tsv", ".json", ".jsonl", ".txt", ".md", ".ini", ".db", ".safetensors")
_NAMED = 5
_OME_SUFFIXES = (".zarr", ".ome.zarr", ".ome.tif", ".ome.tiff")


def find_images(paths: Iterable[str | Path]) -> list[Path]:
    """Return the image files given by files, folders and patterns such as ``slides/*.tif``.

    Results of this program (labels, overlays) are ignored in folders, and also among named files
    (from a pattern expanded by the shell) if their image is in the same folder.

    Raises
    ------
    ImageError
        If a path does not exist, or there is no image.
    """
    found: list[Path] = []
    folders: list[Path] = []
    for path in (Path(one).expanduser() for one in paths):
        if path.is_dir() and not is_zarr(path):
            folders.append(path)
            found += _images_among(path.iterdir())
        elif path.exists() or path.is_symlink():  # a broken link is reported as a failure
            if not _is_result_beside(path):
                found.append(path)
        elif matches := _matches(path):
            found += _images_among(Path(match) for match in matches)
        else:
            raise ImageError(f"{path} does not exist: check the name.")
    if not found:
        raise ImageError(_no_image(folders))
    return list(
        dict.fromkeys(path.resolve() if path.exists() else path.absolute() for path in found)
    )


def _matches(pattern: Path) -> list[str]:
    """Return the files of a pattern; an existing prefix is taken literally, even with brackets."""
    parts = pattern.parts
    for number in range(len(parts), 0, -1):
        if (start := Path(*parts[:number])).exists():
            rest = os.path.join(glob.escape(str(start)), *parts[number:])
            return glob.glob(rest, recursive=True)
    return glob.glob(str(pattern), recursive=True)


def not_read(paths: Iterable[str | Path]) -> tuple[str, ...]:
    """Return notes on files in folders that are not readable images."""
    notes = []
    for folder in (Path(one).expanduser() for one in paths):
        if not folder.is_dir() or is_zarr(folder):
            continue
        others = sorted(
            one.name
            for one in folder.iterdir()
            if one.is_file()
            and not one.name.startswith(".")
            and one.suffix.lower() not in (*IMAGE_SUFFIXES, *_NO_PICTURES)
        )
        if others:
            named = ", ".join(others[:_NAMED])
            more = f" and {len(others) - _NAMED} more" if len(others) > _NAMED else ""
            notes.append(f"not read in {folder}: {named}{more} (save images as TIFF or PNG)")
    return tuple(notes)


def _no_image(folders: Iterable[Path]) -> str:
    for folder in folders:
        if any(one.is_dir() and not one.name.startswith(".") for one in folder.iterdir()):
            return (
                f"There is no image in {folder} itself, but there are folders: name these, or a "
                f"pattern such as '{folder / '**' / '*.tif'}'."
            )
    return ". ".join(
        [*not_read(folders), "There is no image: name images or folders that hold some."]
    )


def _is_result_beside(path: Path) -> bool:
    """Return whether a file is named like a result of an image in the same folder."""
    name = path.stem.removesuffix(".ome")
    stem = next((name.removesuffix(end) for end in _OWN if name.endswith(end)), None)
    return stem is not None and any(
        path.with_name(stem + suffix).exists() for suffix in (*IMAGE_SUFFIXES, *_OME_SUFFIXES)
    )


def _images_among(paths: Iterable[Path]) -> list[Path]:
    return sorted(
        path
        for path in paths
        if not path.stem.removesuffix(".ome").endswith(_OWN)
        and not path.name.startswith(".")
        and (is_zarr(path) or (path.suffix.lower() in IMAGE_SUFFIXES and not path.is_dir()))
    )
