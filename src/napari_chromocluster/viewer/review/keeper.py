"""Where a review is kept, when it is written, and what to do about one that is found."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from platformdirs import user_data_path

from napari_chromocluster.imaging.io import ImageError
from napari_chromocluster.results.table import KEY, merge_tables
from napari_chromocluster.viewer.layers import pixels
from napari_chromocluster.viewer.review.autosave import (
    ConflictError,
    ReviewStore,
    Saved,
    find_saved,
    image_hash,
    load_saved,
    new_store,
)
from napari_chromocluster.viewer.review.journal import Record
from napari_chromocluster.viewer.review.session import ReviewSession


def own_folder() -> Path:
    """Return the user's folder for reviews of images that have no file, or none to write to."""
    return Path(user_data_path("napari-chromocluster")) / "reviews"


def folders_for(image: Any, chosen: Path | None) -> list[Path]:
    """Return where a review of an image may lie: the chosen folder, beside it, the user's own."""
    source = getattr(image.source, "path", None)
    beside = Path(source).parent if source and Path(source).parent.is_dir() else None
    return [folder for folder in (chosen, beside, own_folder()) if folder is not None]


def name_for(image: Any) -> str:
    """Return the stem under which the review of an image is saved."""
    source = getattr(image.source, "path", None)
    stem = Path(source).stem if source else str(image.name)
    return "".join(c if c.isalnum() or c in "-_. " else "_" for c in stem).strip() or "metaphase"


@dataclass(frozen=True)
class Finding:
    """What is to be done about a saved review.

    Attributes
    ----------
    kind : str
        ``none``; ``open``: there are no regions yet, take the saved ones;
        ``same``: the regions are the saved ones, take the saved types;
        ``conflict``: the regions differ, the user must choose;
        ``damaged``: it cannot be read.
    saved : Saved, optional
        The review.
    message : str
        One sentence for the user.
    """

    kind: Literal["none", "open", "same", "conflict", "damaged"]
    saved: Saved | None = None
    message: str = ""


def look_for(
    image: Any, labels: Any | None, chosen: Path | None, content: str | None = None
) -> Finding:
    """Look for a saved review of an image, by the content of the image.

    Parameters
    ----------
    image : Image layer
        The metaphase.
    labels : Labels layer or None
        Regions that are open already.
    chosen : path, optional
        Folder that the user chose.
    content : str, optional
        From `image_hash`, where it is known already.
    """
    store = find_saved(folders_for(image, chosen), content or image_hash(pixels(image)))
    if store is None:
        return Finding("none")
    saved = load_saved(store)
    if isinstance(saved, str):
        return Finding("damaged", message=saved)
    if labels is None:
        return Finding("open", saved, _welcome(saved))
    array = pixels(labels)
    if array.shape == saved.labels.shape and (
        np.array_equal(array, saved.labels) or np.array_equal(array, saved.base)
    ):
        return Finding("same", saved, _welcome(saved))
    return Finding(
        "conflict",
        saved,
        f"A review of this image was saved on {_day(saved)} with {len(saved.table)} regions "
        f"that are not the ones in {labels.name!r}. Which shall be reviewed?",
    )


def _welcome(saved: Saved) -> str:
    human = int((saved.table["source"] == "human").sum())
    text = (
        f"Restored the review of {_day(saved)}: {len(saved.table)} regions, {human} decided by hand"
    )
    if saved.recovered:
        text += f", {saved.recovered} changes recovered after napari was cut off"
    if saved.edited:
        text += f"; {saved.store.table_path.name} was edited outside napari and is taken as it is"
    return text + "."


def _day(saved: Saved) -> str:
    return saved.when.replace("T", " ").partition("+")[0][:16] + " UTC"


def combined(saved: pd.DataFrame, current: pd.DataFrame) -> pd.DataFrame:
    """Put what a model has said meanwhile into a saved table; human decisions stand."""
    known = pd.MultiIndex.from_frame(saved[KEY])
    typed = current[(current["cluster_type"] != "").to_numpy()]
    if len(typed):
        typed = typed[pd.MultiIndex.from_frame(typed[KEY]).isin(known)]
    return merge_tables(saved, typed) if len(typed) else saved


class Keeper:
    """Writes a session to its store.

    Parameters
    ----------
    session : ReviewSession
        What to save.
    folders : sequence of path
        Where to try, the best first.
    store : ReviewStore, optional
        The store of a review that was restored.

    Attributes
    ----------
    problem : str
        Why nothing can be written, one sentence; empty where all is well.
    conflict : str
        What somebody else has changed on disk, one sentence.
    """

    def __init__(
        self, session: ReviewSession, folders: Sequence[Path], store: ReviewStore | None = None
    ) -> None:
        self.session, self.folders, self.store = session, list(folders), store
        self.problem, self.conflict = "", ""
        self.dirty = False
        self._labels_dirty = store is None
        self._lock = threading.Lock()
        self._content = store.content if store is not None else ""
        session.recorded.connect(self._record)

    def _record(self, record: Record) -> None:
        """Put a change on disk before anything else happens."""
        self.dirty = True
        self._labels_dirty |= bool(record.patches)
        if self.problem:
            return
        if self.store is None:
            # The first change of a new review: from here on there is something to lose.
            self.save_now()
            return
        try:
            self.store.record(record)
        except OSError as error:
            self.problem = (
                f"{self.store.folder} cannot be written to ({error.strerror}): "
                f"choose another folder, or corrections are lost when napari closes."
            )

    def mark_dirty(self) -> None:
        """Have everything written anew with the next save."""
        self.dirty = self._labels_dirty = True

    def _new_store(self) -> ReviewStore:
        content = self._content or image_hash(pixels(self.session.image))
        self._content = content
        for folder in self.folders:
            if _writable(folder):
                return new_store(folder, name_for(self.session.image), content)
        raise ImageError("No folder can be written to: choose a folder for the review.")

    def snapshot(self) -> tuple[NDArray[Any] | None, pd.DataFrame, int] | None:
        """Take what is to be written (main thread); None if nothing is."""
        if not self.dirty or self.problem or self.conflict:
            return None
        try:
            self.store = self.store or self._new_store()
        except ImageError as error:
            self.problem = str(error)
            return None
        labels = np.array(pixels(self.session.labels)) if self._labels_dirty else None
        generation = self.store.start_generation()
        self.dirty = self._labels_dirty = False
        return labels, self.session.table, generation

    def write(
        self, snapshot: tuple[NDArray[Any] | None, pd.DataFrame, int], force: bool = False
    ) -> None:
        """Write a snapshot (any thread)."""
        labels, table, generation = snapshot
        store = self.store
        if store is None:
            return
        with self._lock:
            try:
                store.save(labels, table, generation, force=force)
            except ConflictError as error:
                self.conflict = str(error)
            except (ImageError, OSError) as error:
                self.problem = str(error)
            else:
                return
        self.dirty = True
        self._labels_dirty |= labels is not None

    def save_now(self, force: bool = False) -> None:
        """Write everything at once, in this thread."""
        snapshot = self.snapshot()
        if snapshot is not None:
            self.write(snapshot, force)

    def keep_mine(self) -> None:
        """Settle a conflict: write over the other version, which is kept under another name."""
        self.conflict = ""
        self.mark_dirty()
        self.save_now(force=True)

    def take_theirs(self) -> None:
        """Settle a conflict: take the file's types; undo brings the others back."""
        from napari_chromocluster.results.table import read_table
        from napari_chromocluster.viewer.review.autosave import adopt_edits

        if self.store is None:
            return
        table = adopt_edits(read_table(self.store.table_path))
        self.store.adopt()
        self.conflict = ""
        self.session.replace_table(table, f"take {self.store.table_path.name}")
        self._labels_dirty = True

    def move_to(self, folder: Path) -> None:
        """Save to another folder from now on; what was written stays where it is."""
        self.folders = [folder, *(one for one in self.folders if one != folder)]
        self.store, self.problem, self.conflict = None, "", ""
        self.mark_dirty()
        self.save_now()

    def close(self) -> None:
        """Write what is left and let go of the session."""
        self.save_now()
        self.session.recorded.disconnect(self._record)


def _writable(folder: Path) -> bool:
    import tempfile

    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False
