"""Where and when a review is saved, and how to handle an existing one."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from napari_chromocluster.imaging.files import ImageError
from napari_chromocluster.imaging.io import read_labels
from napari_chromocluster.paths import home_dir
from napari_chromocluster.results.features_table import (
    HUMAN,
    KEY,
    MODEL,
    PROBABILITIES,
    merge_tables,
)
from napari_chromocluster.results.table_files import read_table
from napari_chromocluster.viewer.layer_tables import table_of
from napari_chromocluster.viewer.layers import layer_data, source_of
from napari_chromocluster.viewer.review.initial_files import InitialFiles
from napari_chromocluster.viewer.review.journal import Record
from napari_chromocluster.viewer.review.session import ReviewSession
from napari_chromocluster.viewer.review.store import (
    ConflictError,
    ReviewStore,
    SavedReview,
    find_saved,
    image_hash,
    load_saved,
    new_store,
)
from napari_chromocluster.viewer.sidecar_files import TABLE_SUFFIX, labels_in


def own_folder() -> Path:
    """Return the user's folder for reviews of images without a file or a writable folder."""
    return home_dir() / "reviews"


def folders_for(image: Any, chosen: Path | None) -> list[Path]:
    """Return the possible folders of a review: the chosen one, the image's, the user's own."""
    source = source_of(image)
    beside = Path(source).parent if source and Path(source).parent.is_dir() else None
    return [folder for folder in (chosen, beside, own_folder()) if folder is not None]


def review_stem(image: Any) -> str:
    """Return the file name stem under which the review of an image is saved."""
    source = source_of(image)
    if source:  # results next to the image have the same stem
        return Path(source).stem
    stem = str(image.name)
    return "".join(c if c.isalnum() or c in "-_. " else "_" for c in stem).strip() or "metaphase"


@dataclass(frozen=True)
class RestoreDecision:
    """How to handle a saved review.

    Attributes
    ----------
    kind : str
        ``none``: there is no saved review;
        ``open``: there are no regions yet, use the saved ones;
        ``same``: the regions are the saved ones, use the saved types;
        ``conflict``: the regions differ, the user must choose;
        ``damaged``: it cannot be read.
    saved : SavedReview, optional
        The review.
    message : str
        One sentence for the user.
    """

    kind: Literal["none", "open", "same", "conflict", "damaged"]
    saved: SavedReview | None = None
    message: str = ""


def find_saved_review(
    image: Any, labels: Any | None, chosen: Path | None, content: str | None = None
) -> RestoreDecision:
    """Look for a saved review of an image, by the content of the image.

    Parameters
    ----------
    image : Image layer
        The metaphase.
    labels : Labels layer or None
        Regions that are already open.
    chosen : path, optional
        Folder that the user chose.
    content : str, optional
        From `image_hash`, if already known.
    """
    store = find_saved(folders_for(image, chosen), content or image_hash(layer_data(image)))
    if store is None:
        return RestoreDecision("none")
    saved = load_saved(store)
    if isinstance(saved, str):
        return RestoreDecision("damaged", message=saved)
    if labels is None:
        return RestoreDecision("open", saved, _welcome(saved))
    array = layer_data(labels)
    if array.shape == saved.labels.shape and (
        np.array_equal(array, saved.labels) or np.array_equal(array, saved.base)
    ):
        other = _other_decisions(saved, table_of(labels))
        if not other:
            return RestoreDecision("same", saved, _welcome(saved))
        decided = "1 decision" if other == 1 else f"{other} decisions"
        return RestoreDecision(
            "conflict",
            saved,
            f"{labels.name!r} holds {decided} by hand that the review saved on {_day(saved)} "
            f"does not have. Which do you want to review?",
        )
    return RestoreDecision(
        "conflict",
        saved,
        f"A review of this image was saved on {_day(saved)} with {len(saved.table)} regions "
        f"that are not the ones in {labels.name!r}. Which do you want to review?",
    )


def _welcome(saved: SavedReview) -> str:
    human = int((saved.table["source"] == "human").sum())
    text = (
        f"Restored the review of {_day(saved)}: {len(saved.table)} regions, {human} decided by hand"
    )
    if saved.recovered:
        text += f", {saved.recovered} changes recovered after napari was cut off"
    if saved.edited:
        text += f"; {saved.store.table_path.name} was edited outside napari and is taken as it is"
    return text + "."


def _day(saved: SavedReview) -> str:
    """Return when a review was saved, in local time."""
    try:
        return datetime.fromisoformat(saved.when).astimezone().strftime("%Y-%m-%d %H:%M")
    except ValueError:  # a file that was edited
        return saved.when or "an unknown day"


def merge_saved_table(saved: SavedReview, current: pd.DataFrame) -> pd.DataFrame:
    """Merge new model results into a saved table; human decisions are kept.

    Rows that are identical in the saved CSV are not new: the journal may contain later changes.
    """
    table = saved.table
    known = pd.MultiIndex.from_frame(table[KEY])
    news = current[(current["source"] == MODEL).to_numpy()]
    news = news[pd.MultiIndex.from_frame(news[KEY]).isin(known)] if len(news) else news
    if len(news):
        news = news[~_stands_in(news, saved.base_table)]
    return merge_tables(table, news) if len(news) else table


def _stands_in(rows: pd.DataFrame, table: pd.DataFrame) -> NDArray[np.bool_]:
    """Return which rows have the same model and probabilities as in a table."""
    theirs = table.set_index(KEY).reindex(pd.MultiIndex.from_frame(rows[KEY]))
    columns = list(PROBABILITIES)
    same = np.isclose(rows[columns].to_numpy(float), theirs[columns].to_numpy(float), atol=1e-6)
    return np.asarray(same.all(axis=1) & (rows["model"].to_numpy() == theirs["model"].to_numpy()))


def _other_decisions(saved: SavedReview, current: pd.DataFrame) -> int:
    """Count the human decisions that are in neither the saved review nor its CSV."""
    mine = current[(current["source"] == HUMAN).to_numpy()]
    keys = pd.MultiIndex.from_frame(mine[KEY])
    new = np.ones(len(mine), bool)
    for table in (saved.table, saved.base_table):
        theirs = table.set_index(KEY).reindex(keys)
        same = theirs["cluster_type"].to_numpy() == mine["cluster_type"].to_numpy()
        new &= ~(same & (theirs["source"] == HUMAN).to_numpy())
    return int(new.sum())


class Autosave:
    """Writes a session to its store.

    Parameters
    ----------
    session : ReviewSession
        Session to save.
    folders : sequence of path
        Folders to try, in order of preference.
    store : ReviewStore, optional
        The store of a review that was restored.

    Attributes
    ----------
    problem : str
        Why nothing can be written, one sentence; empty if there is no problem.
    conflict : str
        What another program has changed on disk, one sentence.
    """

    def __init__(
        self, session: ReviewSession, folders: Sequence[Path], store: ReviewStore | None = None
    ) -> None:
        self.session, self.folders, self.store = session, list(folders), store
        self._name = review_stem(session.image)
        self.problem, self.conflict = "", ""
        self.dirty = False
        self._labels_dirty = store is None
        self._lock = threading.Lock()
        self._content = store.content if store is not None else ""
        #: Existing label images that contain exactly the regions under review.
        self._reviewed: set[Path] = set()
        self._prepared = self._prepare() if store is None else None
        session.recorded.connect(self._record)

    def _prepare(self) -> InitialFiles | None:
        labels = layer_data(self.session.labels)
        if isinstance(labels, np.ndarray):
            labels = labels.copy()
        image = self.session.picture
        name = self._name
        results = [
            (labels_path, folder / f"{name}{TABLE_SUFFIX}")
            for folder in self.folders
            if (labels_path := labels_in(folder, name)) is not None
        ]
        try:
            return InitialFiles(image, labels, self.session.table, self._content, results)
        except OSError:
            return None  # The first correction then writes the files.

    def _begin(self) -> bool:
        """Start the store of a new review with the prepared files."""
        prepared, self._prepared = self._prepared, None
        if prepared is None:
            return False
        try:
            if not prepared.wait():
                return False
            self._content, self._reviewed = prepared.content, prepared.reviewed
            store = self._new_store()
            store.begin(prepared)
        except (ImageError, OSError):
            return False
        finally:
            prepared.discard()
        self.store, self._labels_dirty = store, False
        return True

    def _record(self, record: Record) -> None:
        """Write a change to disk before anything else happens."""
        if self.store is None and not _is_correction(record):
            # Model results alone are no reason to write files.  The prepared ones are now outdated.
            if self._prepared is not None:
                self._prepared.discard()
                self._reviewed, self._prepared = self._prepared.reviewed, None
            return
        self.dirty = True
        # The first change of a new review: from here on there is something to lose.
        if self.store is None and not self._begin():
            self.save_now()
            return
        self._labels_dirty |= bool(record.patches)
        store = self.store
        if store is None:
            return
        try:
            store.record(record)
        except OSError as error:
            self.problem = _unwritten(store.folder, error)

    def mark_dirty(self) -> None:
        """Make the next save write everything again."""
        self.dirty = self._labels_dirty = True

    def _new_store(self) -> ReviewStore:
        content = self._content or image_hash(self.session.picture)
        self._content = content
        for folder in self.folders:
            if _writable(folder):
                name = self._name
                # Reviewed results are overwritten with the review, so that other programs using
                # them get the decisions.
                store = ReviewStore(folder, name, content)
                if labels_in(folder, name) in self._reviewed and not store.meta_path.exists():
                    store.adopt()
                    return store
                return new_store(folder, name, content)
        raise ImageError("No folder can be written to: choose a folder for the review.")

    def snapshot(self) -> tuple[NDArray[Any] | None, pd.DataFrame, int] | None:
        """Return what is to be written, or None (main thread only)."""
        if not self.dirty or self.conflict:
            return None
        try:
            self.store = self.store or self._new_store()
        except ImageError as error:
            self.problem = str(error)
            return None
        labels = np.array(layer_data(self.session.labels)) if self._labels_dirty else None
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
                self.problem = _unwritten(store.folder, error)
            else:
                self.problem = ""
                return
        self.dirty = True
        self._labels_dirty |= labels is not None

    def save_now(self, force: bool = False) -> None:
        """Write everything immediately, in this thread."""
        snapshot = self.snapshot()
        if snapshot is not None:
            self.write(snapshot, force)

    def keep_mine(self) -> None:
        """Resolve a conflict by overwriting the other version, which is kept under another name."""
        self.conflict = ""
        self.mark_dirty()
        self.save_now(force=True)

    def take_theirs(self) -> None:
        """Resolve a conflict by loading the files; undo restores the previous regions and types.

        Raises
        ------
        ImageError, TableError, LabelEditError
            If a file cannot be read, or its regions do not fit the image.
        """
        store = self.store
        if store is None:
            return
        foreign = store.changed_on_disk()
        table = read_table(store.table_path)
        # Cleared first, since listeners of the session would otherwise ask again.
        conflict, self.conflict = self.conflict, ""
        try:
            if store.labels_path in foreign:
                self.session.replace_regions(
                    read_labels(store.labels_path), table, f"take {store.labels_path.name}"
                )
            else:
                self.session.replace_table(table, f"take {store.table_path.name}")
        except (ValueError, OSError):
            self.conflict = conflict
            raise
        store.adopt()
        self._labels_dirty = True

    def move_to(self, folder: Path) -> None:
        """Save to another folder from now on; files already written stay in place."""
        self.folders = [folder, *(one for one in self.folders if one != folder)]
        self.store, self.problem, self.conflict = None, "", ""
        self.mark_dirty()
        self.save_now()

    def close(self) -> None:
        """Write pending changes and disconnect from the session."""
        self.save_now()
        if self._prepared is not None:
            self._prepared.discard()
            self._prepared = None
        self.session.recorded.disconnect(self._record)


def _is_correction(record: Record) -> bool:
    """Return whether a record contains a human's change."""
    human = bool((record.rows["source"] == HUMAN).any())
    return human or bool(record.removed) or bool(record.patches)


def _unwritten(folder: Path, error: Exception) -> str:
    """Return one sentence on what may be lost, and how to avoid it."""
    reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
    return (
        f"{folder} cannot be written to ({reason.rstrip('.')}): choose another folder or free "
        f"some space, or corrections are lost when napari closes."
    )


def _writable(folder: Path) -> bool:
    import tempfile

    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False
