"""Groups of annotated regions, which are never divided by the train/validation split."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import PurePath

import pandas as pd


def name_groups(annotations: pd.DataFrame) -> pd.DataFrame:
    """Assign a group to the rows that have none.

    An image has the group that any of its rows names.  Otherwise it is its own group, independent
    of the path by which the annotation files refer to it.

    Parameters
    ----------
    annotations : DataFrame
        Columns ``image`` and ``group``, which is empty if none is named.

    Returns
    -------
    DataFrame
        The same with all groups.  Groups of single images are named by the file, with as many
        parent folders as needed to be unique: independent of where the data are stored.
    """
    if annotations.empty:
        return annotations
    images = _files(annotations["image"])
    named = annotations["group"] != ""
    # Backwards, so that the first row of an image decides.
    groups = dict(zip(images[named][::-1], annotations["group"][named][::-1], strict=True))
    groups |= _short_names(one for one in images.unique() if one not in groups)
    return annotations.assign(group=annotations["group"].where(named, images.map(groups)))


def images_of_two_groups(annotations: pd.DataFrame) -> dict[str, list[str]]:
    """Return the images that are in several groups, with the names of these groups."""
    if annotations.empty:
        return {}
    found = annotations["group"].groupby(_files(annotations["image"]), sort=False).unique()
    return {str(image): [str(one) for one in groups] for image, groups in found.items()
            if len(groups) > 1}  # fmt: skip


def _files(images: pd.Series[str]) -> pd.Series[str]:
    """Resolve the symbolic links in paths."""
    real = cache(os.path.realpath)  # each folder only once, however many images it contains

    def file_of(name: str) -> str:
        if not os.path.isabs(name):
            return name  # the name of a layer without a file
        if os.path.islink(name):
            return os.path.realpath(name)
        folder, base = os.path.split(name)
        return os.path.join(real(folder), base)

    places = {name: file_of(name) for name in images.unique()}
    return images.map(places)


def _short_names(paths: Iterable[str]) -> dict[str, str]:
    """Return the shortest unique suffix of each path."""
    left: Sequence[str] = list(paths)
    parts = {path: PurePath(path).parts for path in left}
    names: dict[str, str] = {}
    depth = 1
    while left:
        ends = {path: "/".join(parts[path][-depth:]) for path in left}
        often = Counter(ends.values())
        names |= {
            path: end for path, end in ends.items() if often[end] == 1 or depth >= len(parts[path])
        }
        left = [path for path in left if path not in names]
        depth += 1
    return names
