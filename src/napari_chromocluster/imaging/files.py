"""Names of files, and files that are written whole or not at all: the standard library alone.

The command line checks its arguments with it before it loads anything else.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

TIFF_SUFFIXES = (".tif", ".tiff")
#: Suffixes of files that `imaging.io.read_image` reads.
IMAGE_SUFFIXES = (*TIFF_SUFFIXES, ".png", ".jpg", ".jpeg", ".bmp")


class ImageError(ValueError):
    """A file that is not an image, is truncated, or cannot be written."""


def check_file(path: str | Path, what: str) -> Path:
    """Make sure that a file is there.

    Parameters
    ----------
    path : path
        The file.
    what : str
        What it should be, such as ``"an image"``.

    Raises
    ------
    ImageError
        If it is not, or is a folder.
    """
    file = Path(path)
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


def check_writable(folder: str | Path) -> None:
    """Create a folder and check that it can be written to, before starting long work.

    Raises
    ------
    ImageError
        If the folder cannot be created or written to.
    """
    _new_file(Path(folder), ".check-", "").unlink()


def _new_file(folder: Path, prefix: str, suffix: str) -> Path:
    """Make an empty file of a new name, with the rights that the user's new files have."""
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
    """Whether an error was caused by a full disk; torch reports it as another error."""
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
