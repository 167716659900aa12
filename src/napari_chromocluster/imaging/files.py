"""Suffixes, checks and atomic writing of files, using only the standard library.

The command line uses it to check its arguments before it loads anything else.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

TIFF_SUFFIXES = (".tif", ".tiff")
#: Suffixes of files that `imaging.io.read_image` reads.
IMAGE_SUFFIXES = (*TIFF_SUFFIXES, ".png", ".jpg", ".jpeg", ".bmp")


#: Files that make a folder an array or a group of Zarr.
_ZARR_MARKS = ("zarr.json", ".zgroup", ".zarray")


class ImageError(ValueError):
    """A file that is not an image, is truncated, or cannot be written."""


def is_zarr(path: str | Path) -> bool:
    """Return whether a path is a folder in the Zarr format."""
    folder = Path(path)
    return folder.is_dir() and any((folder / mark).is_file() for mark in _ZARR_MARKS)


def image_stem(path: str | Path) -> str:
    """Return the name of an image without suffix; ``m`` for the folder ``m.ome.zarr``."""
    name = Path(path)
    return name.stem.removesuffix(".ome") if name.suffix.lower() == ".zarr" else name.stem


def size_and_change(path: Path) -> tuple[int, int]:
    """Return the bytes of a file, or of all files in a Zarr folder, and the last change in ns."""
    files = [one for one in path.rglob("*") if one.is_file()] if is_zarr(path) else [path]
    facts = [one.stat() for one in files]
    return sum(one.st_size for one in facts), max(one.st_mtime_ns for one in facts)


def check_file(path: str | Path, what: str) -> Path:
    """Check that a file, or an OME-Zarr folder, exists.

    Parameters
    ----------
    path : path
        The file.
    what : str
        What it should be, such as ``"an image"``.

    Raises
    ------
    ImageError
        If it does not exist, or is another folder.
    """
    file = Path(path)
    if is_zarr(file):
        return file
    if file.is_dir():
        raise ImageError(f"{file} is a folder, not {what}: name a file in it.")
    if file.is_symlink() and not file.is_file():
        raise ImageError(f"{file} is a broken link: repair or remove it.")
    if not file.is_file():
        raise ImageError(f"{file} does not exist: check the name.")
    return file


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yield a temporary name in the folder of a file, and rename it to the file on success.

    Parameters
    ----------
    path : path
        The file to write.

    Yields
    ------
    Path
        The temporary name, with the same suffix.

    Raises
    ------
    ImageError
        If the folder cannot be created or written to.
    """
    target = Path(path)
    temporary = _new_file(target.parent, f".{target.stem}-", target.suffix)
    try:
        yield temporary
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: str | Path) -> Iterator[Path]:
    """Yield a temporary folder next to a Zarr folder, and rename it to that on success.

    Raises
    ------
    ImageError
        If another folder or file has that name, or the parent cannot be written to.
    """
    target = Path(path)
    if target.exists() and not is_zarr(target):
        raise ImageError(f"{target} is not an OME-Zarr folder: move it away.")
    check_writable(target.parent)
    with TemporaryDirectory(dir=target.parent, prefix=f".{target.stem}-") as place:
        new = Path(place, "new")
        yield new
        if target.exists():
            target.replace(Path(place, "old"))
        new.replace(target)


def check_writable(folder: str | Path) -> None:
    """Create a folder and check that it can be written to, before starting long work.

    Raises
    ------
    ImageError
        If the folder cannot be created or written to.
    """
    _new_file(Path(folder), ".check-", "").unlink()


def _new_file(folder: Path, prefix: str, suffix: str) -> Path:
    """Create an empty file with a new name and the user's default permissions."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        while True:
            path = folder / f"{prefix}{os.urandom(4).hex()}{suffix}"
            try:
                path.touch(exist_ok=False)
                return path
            except FileExistsError:
                continue
    except OSError as error:
        raise ImageError(
            f"{folder} cannot be written to ({error.strerror}): choose another folder."
        ) from error


def is_full_disk(error: BaseException | None) -> bool:
    """Return whether an error was caused by a full disk; torch reports it as another error."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        if "No space left on device" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False


def write_text_atomic(path: str | Path, text: str) -> None:
    """Write a text file atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
