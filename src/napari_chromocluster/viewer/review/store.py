"""Save a review continuously, and find it again by the content of the image.

Four files are saved next to the image (or in a folder that the user chose):

- ``NAME_labels.tif`` and ``NAME_regions.csv``: regions and their types, the same files that the
  command line writes;
- ``NAME_review.json``: hash of the image, hashes of the two files;
- ``NAME_review.N.journal``: changes since they were written.

Every change is written to the journal immediately; the other files are updated later.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from napari_chromocluster.imaging.files import ImageError, atomic_path, write_text_atomic
from napari_chromocluster.imaging.io import read_labels, write_labels
from napari_chromocluster.results.features_table import TableError
from napari_chromocluster.results.table_files import read_table, write_table
from napari_chromocluster.viewer.review import journal
from napari_chromocluster.viewer.review.initial_files import InitialFiles
from napari_chromocluster.viewer.review.journal import Record
from napari_chromocluster.viewer.sidecar_files import REVIEW_SUFFIX, TABLE_SUFFIX

#: Number of frames of a long stack that are hashed.
_HASHED_FRAMES = 16


class ConflictError(ValueError):
    """A saved review that another program has changed on disk."""


def image_hash(image: Any) -> str:
    """Return a hash of the pixels of an image or stack, independent of its file name.

    Long stacks are sampled evenly, so that lazy ones are not read completely.
    """
    digest = hashlib.sha256(f"{tuple(image.shape)} {np.dtype(image.dtype).str}".encode())
    if len(image.shape) > 2 and image.shape[0] > _HASHED_FRAMES:
        chosen = np.unique(np.linspace(0, image.shape[0] - 1, _HASHED_FRAMES).astype(int))
        for number in chosen:
            digest.update(np.asarray(image[int(number)]).tobytes())
    else:
        digest.update(np.asarray(image).tobytes())
    return digest.hexdigest()


def file_hash(path: Path) -> str:
    """Return the hash of a file, or "" if it does not exist."""
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


@dataclass(frozen=True)
class SavedReview:
    """A review found on disk.

    Attributes
    ----------
    store : ReviewStore
        Its files.
    labels : integer array
        Regions with all changes.
    base : integer array
        Regions as in the file, without the journal.
    table : DataFrame
        Features table with all changes.
    base_table : DataFrame
        Features table as in the file, without the journal.
    when : str
        When it was saved, ISO 8601.
    edited : bool
        Whether the CSV was edited outside napari since.
    recovered : int
        Number of changes recovered from the journal because napari did not close properly.
    """

    store: ReviewStore
    labels: NDArray[Any]
    base: NDArray[Any]
    table: pd.DataFrame
    base_table: pd.DataFrame
    when: str
    edited: bool
    recovered: int


class ReviewStore:
    """The files of one review.

    Parameters
    ----------
    folder : path
        Their folder.
    name : str
        Stem of the image's file.
    content : str
        From `image_hash`.
    """

    def __init__(self, folder: str | Path, name: str, content: str) -> None:
        self.folder, self.name, self.content = Path(folder), name, content
        self.labels_path = self.folder / f"{name}_labels.tif"
        self.table_path = self.folder / f"{name}{TABLE_SUFFIX}"
        self.meta_path = self.folder / f"{name}{REVIEW_SUFFIX}"
        self.generation = 0
        # The first journal that the files do not include.
        self._contained = 0
        self._known: dict[str, str] = {}
        self._stamps: dict[str, tuple[int, int]] = {}

    def journal_path(self, generation: int | None = None) -> Path:
        """Return the journal of a generation (default: the one in use)."""
        number = self.generation if generation is None else generation
        return self.folder / f"{self.name}_review.{number}.journal"

    def record(self, change: Record) -> None:
        """Write a change to the journal immediately."""
        journal.append(self.journal_path(), change)

    def begin(self, prepared: InitialFiles) -> None:
        """Copy the prepared files of a new review into place."""
        for source, path in (
            (prepared.labels_path, self.labels_path),
            (prepared.table_path, self.table_path),
        ):
            if path not in prepared.reviewed:
                with atomic_path(path) as temporary:
                    shutil.copyfile(source, temporary)
            self._remember(path)
        self._contained = self.generation
        self._write_meta(writing=False)

    def start_generation(self) -> int:
        """Start a new journal; the next save includes all older ones."""
        self.generation += 1
        return self.generation

    def changed_on_disk(self) -> list[Path]:
        """Return the files that another program has written since we did."""
        found = []
        for path in (self.labels_path, self.table_path):
            if not path.is_file():
                continue
            stamp = _stamp(path)
            if stamp == self._stamps.get(path.name):
                continue
            if file_hash(path) != self._known.get(path.name):
                found.append(path)
            else:
                self._stamps[path.name] = stamp
        return found

    def save(
        self,
        labels: NDArray[Any] | None,
        table: pd.DataFrame,
        generation: int,
        *,
        force: bool = False,
    ) -> None:
        """Write the files; journals that they include are removed last.

        Parameters
        ----------
        labels : integer array or None
            None if unchanged since the last save.
        table : DataFrame
            The features table.
        generation : int
            From `start_generation`, called when labels and table were taken; they include older
            journals.
        force : bool
            Overwrite files changed by another program, which are kept under another name.

        Raises
        ------
        ConflictError
            If a file was changed by another program.
        ImageError
            If the folder cannot be written to.
        """
        foreign = self.changed_on_disk()
        if foreign and not force:
            raise ConflictError(
                f"{foreign[0].name} was changed outside this review: choose which one to keep."
            )
        for path in foreign:
            self._put_aside(path)
        # Until all is written, the journals contain what may be lost.
        self._write_meta(writing=True)
        if labels is not None:
            write_labels(self.labels_path, labels)
            self._remember(self.labels_path)
        write_table(self.table_path, table)
        self._remember(self.table_path)
        self._contained = generation
        self._write_meta(writing=False)
        for path in self._journals():
            if _generation_of(path) < generation:
                path.unlink(missing_ok=True)

    def _put_aside(self, path: Path) -> None:
        """Keep a copy of a file that another program wrote, under another name."""
        name = f"{path.stem}_theirs_{_now_for_names()}{path.suffix}"
        with atomic_path(path.with_name(name)) as temporary:
            shutil.copyfile(path, temporary)

    def finish(self) -> None:
        """Remove an empty journal after the last save."""
        path = self.journal_path()
        if path.is_file() and path.stat().st_size == 0:
            path.unlink()

    def _write_meta(self, writing: bool) -> None:
        meta = {
            "format": 1,
            "image_sha256": self.content,
            "generation": self._contained,
            "writing": writing,
            "files": self._known,
            "saved": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        write_text_atomic(self.meta_path, json.dumps(meta, indent=2) + "\n")

    def _remember(self, path: Path) -> None:
        self._known[path.name] = file_hash(path)
        self._stamps[path.name] = _stamp(path)

    def adopt(self) -> None:
        """Accept the current files as ours, because the user chose them."""
        for path in (self.labels_path, self.table_path):
            if path.is_file():
                self._remember(path)

    def _journals(self) -> list[Path]:
        found = self.folder.glob(f"{_escaped(self.name)}_review.*.journal")
        return sorted((p for p in found if _generation_of(p) >= 0), key=_generation_of)

    def load(self) -> SavedReview:
        """Read the review, including its journals.

        Raises
        ------
        ImageError, TableError
            If a file is missing or damaged.
        """
        meta = json.loads(self.meta_path.read_text(encoding="utf-8"))
        self._known = dict(meta.get("files", {}))
        base = read_labels(self.labels_path)
        table = read_table(self.table_path)
        edited = not meta.get("writing") and file_hash(self.table_path) != self._known.get(
            self.table_path.name
        )
        labels = np.array(base)
        labels = labels.astype(np.int32) if labels.max(initial=0) < 1 << 31 else labels
        self._contained = int(meta["generation"])
        journals = [p for p in self._journals() if _generation_of(p) >= self._contained]
        records = list(journal.read(journals))
        base_table, table = table, journal.replay(labels, table, records)
        self.generation = max([self._contained, *map(_generation_of, journals)])
        self.adopt()
        when = str(meta.get("saved", ""))
        return SavedReview(self, labels, base, table, base_table, when, edited, len(records))


def find_saved(folders: list[Path], content: str) -> ReviewStore | None:
    """Return the latest review of an image in some folders, by the image's content."""
    found: list[tuple[str, ReviewStore]] = []
    for folder in folders:
        for path, meta in _metas(folder):
            if meta.get("image_sha256") == content:
                store = ReviewStore(folder, path.name.removesuffix(REVIEW_SUFFIX), content)
                if store.labels_path.is_file() and store.table_path.is_file():
                    found.append((str(meta.get("saved", "")), store))
    return max(found, key=lambda one: one[0])[1] if found else None


def _metas(folder: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    if not folder.is_dir():
        return
    for path in sorted(folder.glob(f"*{REVIEW_SUFFIX}")):
        try:
            meta = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if isinstance(meta, dict):
            yield path, meta


def new_store(folder: Path, name: str, content: str) -> ReviewStore:
    """Return a store for an image that has none, under an unused name."""
    number, store = 2, ReviewStore(folder, name, content)
    while any(p.exists() for p in (store.meta_path, store.labels_path, store.table_path)):
        store = ReviewStore(folder, f"{name}-{number}", content)
        number += 1
    return store


def load_saved(store: ReviewStore) -> SavedReview | str:
    """Read a review, or return one sentence on why it cannot be read."""
    try:
        return store.load()
    except (ImageError, TableError, OSError, ValueError, KeyError, IndexError) as error:
        return f"The saved review {store.meta_path.name} cannot be restored: {error}"


def _stamp(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_mtime_ns, status.st_size


def _generation_of(path: Path) -> int:
    number = path.name.removesuffix(".journal").rpartition(".")[2]
    return int(number) if number.isdigit() else -1


def _escaped(name: str) -> str:
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in name)


def _now_for_names() -> str:
    return datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
