"""Unique names for the results of each file."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, partial
from itertools import count
from pathlib import Path
from typing import Any

from napari_chromocluster.imaging.files import ImageError, image_stem
from napari_chromocluster.imaging.io import is_stack, read_image

#: Name of the results of a frame: the stack's name and the frame number.
_FRAME = re.compile(r"(.+)_\d{3,}")
#: Possible names of a file, simplest first.
_WAYS: tuple[Callable[[Path], str], ...] = (
    image_stem,
    lambda file: f"{file.parent.name}_{image_stem(file)}",
    lambda file: f"{file.parent.name}_{image_stem(file)}_{file.suffix[1:]}",
    lambda file: "_".join(file.with_suffix("").parts[1:]) + f"_{file.suffix[1:]}",
)


def frame_name(name: str, number: int) -> str:
    """Name the results of one frame of a stack."""
    return f"{name}_{number:03d}"


class _Taken:
    """Names in use, each with a function that returns whether it belongs to a stack."""

    def __init__(self) -> None:
        self._stacks: dict[str, Callable[[], bool]] = {}
        self._bases: set[str] = set()

    def add(self, name: str, stack: Callable[[], bool]) -> None:
        # Some file systems are case-insensitive.
        key = name.casefold()
        self._stacks[key] = stack
        if found := _FRAME.fullmatch(key):
            self._bases.add(found[1])

    def holds(self, name: str, stack: Callable[[], bool]) -> bool:
        """Return whether a name, or one that the frames of its file might have, is in use."""
        return name.casefold() in self._stacks or self.meets_frames(name, stack)

    def meets_frames(self, name: str, stack: Callable[[], bool]) -> bool:
        """Return whether it may be a stack's frame name, or names of its frames are in use."""
        key = name.casefold()
        found = _FRAME.fullmatch(key)
        if found and found[1] in self._stacks and self._stacks[found[1]]():
            return True
        return key in self._bases and stack()


def unique_names(
    files: Sequence[Path], records: Mapping[str, Mapping[str, Any]] | None = None
) -> list[str]:
    """Name each file after its stem, plus its folder and suffix if stems repeat.

    Parameters
    ----------
    files : sequence of path
        The files.
    records : mapping of str to mapping, optional
        Records of finished files in the folder by name, latest last, each with its ``image`` and
        ``frames``.  An image keeps the name of its results; names of other images are not used.

    Returns
    -------
    list of str
        A name for each file that, like the names of its frames, is not used by another file.
    """
    records = records or {}
    # A file is opened only if it matters whether it is a stack.
    stacked = cache(_is_stack)
    taken = _Taken()
    for name, record in records.items():
        stack = list(record["frames"]) != [name]
        taken.add(name, partial(bool, stack))
        for frame in record["frames"] if stack else ():
            taken.add(frame, partial(bool, False))
    owned = _owned(records)
    names = [owned.get(str(file), "") for file in files]
    for i, name in enumerate(_natural_names(files, stacked)):
        stack_of = partial(stacked, files[i])
        if not names[i] and name and not taken.holds(name, stack_of):
            names[i] = name
            taken.add(name, stack_of)
    for i, file in enumerate(files):
        stack_of = partial(stacked, file)
        if not names[i]:
            free = (one for one in _further_names(file) if not taken.holds(one, stack_of))
            names[i] = next(free)
            taken.add(names[i], stack_of)
    return names


def _natural_names(files: Sequence[Path], stacked: Callable[[Path], bool]) -> list[str]:
    """Name files as if there were no results yet; "" if all names are taken."""
    names = [""] * len(files)
    for way in _WAYS:
        wanted = [names[i] or way(file) for i, file in enumerate(files)]
        often = Counter(name.casefold() for name in wanted)
        taken = _Taken()
        for name, file in zip(wanted, files, strict=True):
            taken.add(name, partial(stacked, file))
        for i, (name, file) in enumerate(zip(wanted, files, strict=True)):
            alone = often[name.casefold()] == 1
            if not names[i] and alone and not taken.meets_frames(name, partial(stacked, file)):
                names[i] = name
    return names


def _further_names(file: Path) -> Iterator[str]:
    for way in _WAYS[1:]:
        yield way(file)
    for number in count(2):
        yield f"{_WAYS[-1](file)}_{number}"


def _owned(records: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Return the name of each image whose results still exist, by image."""
    # If two images have written the same files, the files belong to the later one.
    writer = {frame: record["image"] for record in records.values() for frame in record["frames"]}
    return {
        record["image"]: name
        for name, record in records.items()
        if all(writer[frame] == record["image"] for frame in record["frames"])
    }


def _is_stack(file: Path) -> bool:
    try:
        return is_stack(read_image(file))
    except ImageError:  # reported when the file is classified
        return False
