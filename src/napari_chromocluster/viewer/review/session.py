"""A review: the regions of one image, the decisions about them, and their undo history.

The features table of the labels layer is the only state; the session watches it and the pixels, and
reports changes through signals.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from psygnal import Signal

from napari_chromocluster.cluster_types import ClusterType
from napari_chromocluster.imaging import label_editing
from napari_chromocluster.imaging.label_editing import LabelEditError, LabelPatch, diff_labels
from napari_chromocluster.imaging.normalization import normalize_stain
from napari_chromocluster.results.features_table import (
    HUMAN,
    KEY,
    PROBABILITIES,
    build_table,
    confirm_types,
    empty_table,
    merge_tables,
    revert_to_model,
    set_types,
    validate_table,
)
from napari_chromocluster.viewer.compat import Box, redraw
from napari_chromocluster.viewer.layer_tables import set_table, table_of
from napari_chromocluster.viewer.layers import (
    belong_together,
    check_pair,
    frame_shape,
    layer_data,
    shown_content,
)
from napari_chromocluster.viewer.review.change_tracker import (
    FrameDiff,
    Key,
    RegionTracker,
    region_codes,
)
from napari_chromocluster.viewer.review.classify_job import ClassifyJob, frames_of
from napari_chromocluster.viewer.review.journal import Record, with_rows
from napari_chromocluster.viewer.review.table_rows import (
    count_text,
    is_among,
    keys_of,
    measure,
    select_rows,
    window_around,
)
from napari_chromocluster.viewer.review.undo import Change, History

#: Minimum number of seconds between two comparisons during a stroke.
_STROKE_PACE = 0.1
_DECISION = ["cluster_type", "confidence", "source"]
#: Stacks with up to this many frames are processed completely when a review starts.
_AT_ONCE = 64
#: Tolerance in px for a centroid that was written and read again.
_SAME_PLACE = 0.01


class ReviewSession:
    """Review of one labels layer.

    Parameters
    ----------
    image : Image layer
        The metaphase, or a stack of them.
    labels : Labels layer
        Its regions; gets a features table if it has none.
    shown : callable, optional
        Returns the frame that is shown, which is the one that edits change (default: all frames
        seen are compared after an edit).

    Attributes
    ----------
    changed : Signal
        The table has changed; carries the regions concerned.
    recorded : Signal
        A change that must be saved; carries a `Record`.
    behind : Signal
        Pixels change faster than they are processed; call `check_all` soon.
    replaced : Signal
        The image layer now shows a different image than the one under review.
    """

    changed = Signal(object)
    recorded = Signal(object)
    behind = Signal()
    replaced = Signal()

    def __init__(self, image: Any, labels: Any, shown: Callable[[], int] | None = None) -> None:
        check_pair(image, labels)
        belong_together(image, labels)
        self.image, self.labels = image, labels
        self.name = str(image.name)
        # Layers are only accessed on the main thread; their arrays may be read in any.
        self.picture, self._stacked = layer_data(image), len(frame_shape(image)) == 3
        self._content = shown_content(image)
        self._shown, self._last_check, self._reported = shown, 0.0, False
        self.history = History()
        self.tracker = RegionTracker(layer_data(labels))
        self._decided: dict[Key, int] = {}
        self._gone: dict[Key, tuple[pd.DataFrame, int]] = {}
        self._model_saw: dict[Key, int] = {}
        self._signals: dict[int, NDArray[np.float32]] = {}
        self._busy = False
        self.table = empty_table()
        # Frames of a long stack are processed when they are first shown.
        frames = self.tracker.frames
        self._gone_through = set(range(frames) if frames <= _AT_ONCE else [self._frame()])
        self._highest = 0
        self.table = self._complete(table_of(labels))
        self._adopt_decisions(self.region_keys())
        self._connect(True)
        self._publish(self.table, [])

    # ---------------------------------------------------------------- reading

    def _frame(self) -> int:
        return self._shown() if self._shown is not None else 0

    def _go_through(self, frame: int) -> None:
        """Add rows for the regions of a frame shown for the first time; not a change to save."""
        if frame in self._gone_through:
            return
        self._gone_through.add(frame)
        before = set(self.region_keys())
        self.table = self._complete(self.table)
        fresh = [key for key in self.region_keys() if key not in before]
        self._adopt_decisions(fresh)
        with self.quiet():
            self.table = set_table(self.labels, self.table, checked=True)
        if fresh:
            self.changed.emit(fresh)

    def _complete(self, table: pd.DataFrame) -> pd.DataFrame:
        """Sync a table with the regions: one row for each, and none for outdated pixels."""
        frames = sorted(self._gone_through)
        parts = [table]
        rows = {key: place for place, key in enumerate(keys_of(table))}
        for frame in frames:
            found = self.tracker.regions(frame)
            missing = [(frame, label) for label in found if (frame, label) not in rows]
            # A table computed before a region was edited has no rows for its pieces.
            ours = self.rows(missing)
            parts.append(ours)
            fresh = [label for _, label in sorted({*missing} - {*keys_of(ours)})]
            if fresh:
                array = self.tracker.frame(frame)
                parts.append(build_table(measure(array, fresh, frame)))
        there = {frame: self.tracker.regions(frame) for frame in frames}
        known = [frame not in there or label in there[frame] for frame, label in rows]
        parts[0] = table[np.array(known, bool)] if len(table) else table
        filled = [part for part in parts if len(part)]
        joined = pd.concat(filled, ignore_index=True) if filled else table
        return self._of_present_pixels(joined.sort_values(KEY, kind="stable"))

    def _of_present_pixels(self, table: pd.DataFrame) -> pd.DataFrame:
        """Replace rows that describe pixels which a region no longer has.

        A model that started before the user painted returns results for the old pixels.  What is
        known of the region is kept then, unless the new row is a different human decision.
        """
        outdated = self._outdated(table)
        if not outdated.any():
            return table.reset_index(drop=True)
        given = table[outdated]
        known = self.rows(keys_of(given)).set_index(KEY)
        theirs = given.set_index(KEY).reindex(known.index)
        news = ((theirs[_DECISION] != known[_DECISION]).any(axis=1)) & (theirs["source"] == HUMAN)
        mine = known[~news].reset_index()
        others = self._measured(given[~is_among(given, keys_of(mine))])
        others = others.assign(stale=others["cluster_type"] != "")
        self._decided.update(dict.fromkeys(keys_of(others), 0))
        return with_rows(table, pd.concat([part for part in (mine, others) if len(part)]))

    def _outdated(self, table: pd.DataFrame) -> NDArray[np.bool_]:
        """Return which rows were measured on different pixels than their regions have now."""
        out, moved = self._suspect(table)
        if moved.any():
            out[moved] = _elsewhere(table[moved], self._measured(table[moved]))
        return out

    def _suspect(self, table: pd.DataFrame) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Return which rows have a different area than their regions, and which may have moved."""
        seen = set(self.tracker.seen)
        now = [self.tracker.area_of(key) if key[0] in seen else 0 for key in keys_of(table)]
        area, present = table["area"].to_numpy(float), np.array(now, float)
        other = np.isfinite(area) & (present > 0) & (present != area)
        # Our own rows are measured after each edit and need no check, but the table may be from a
        # file.
        keys = pd.MultiIndex.from_frame(table[KEY])
        moved = _elsewhere(table, self.table.set_index(KEY).reindex(keys))
        return other, moved & (present > 0) & ~other

    def region_keys(self) -> list[Key]:
        """Return frame and label of all regions."""
        return keys_of(self.table)

    def rows(self, keys: Iterable[Key]) -> pd.DataFrame:
        """Return the rows of some regions."""
        return select_rows(self.table, keys)

    def signal(self, frame: int) -> NDArray[np.float32]:
        """Return the chromosome signal of a frame; cached for the last frames used."""
        if frame not in self._signals:
            if len(self._signals) >= 4:
                self._signals.pop(next(iter(self._signals)))
            self._signals[frame] = normalize_stain(
                self.image_frame(frame), self.tracker.frame(frame)
            ).values
        return self._signals[frame]

    def image_frame(self, frame: int) -> NDArray[Any]:
        """Return the pixels of one frame of the image."""
        array = self.picture
        return np.asarray(array[frame] if self._stacked else array)

    def stale(self) -> list[Key]:
        """Return the regions whose pixels have changed since they were decided."""
        return keys_of(self.table[self.table["stale"]])

    def needs_classification(self) -> list[Key]:
        """Return the regions that the model should classify: without a type, or stale."""
        rows = (self.table["cluster_type"] == "") | self.table["stale"]
        keys = keys_of(self.table[rows.to_numpy()])
        # A stale human decision whose new pixels the model has already seen waits for the human.
        return [key for key in keys if self._model_saw.get(key) != self.tracker.hash_of(key)]

    # ---------------------------------------------------------------- deciding

    def set_type(self, keys: Sequence[Key], kind: ClusterType | str) -> None:
        """Set the type of regions, as a human decision."""
        name = ClusterType(kind).display_name
        self._decide(
            keys, f"{count_text(keys)} to {name}", lambda t, n, f: set_types(t, n, kind, f)
        )

    def accept(self, keys: Sequence[Key]) -> None:
        """Confirm the types that regions have."""
        self._decide(keys, f"accept {count_text(keys)}", lambda t, n, f: confirm_types(t, n, f))

    def restore_model(self, keys: Sequence[Key]) -> None:
        """Restore the model's type of regions, where there is one."""
        classified = self.rows(keys)
        has = np.isfinite(classified[list(PROBABILITIES)].to_numpy(float)).all(axis=1)
        self._decide(
            keys_of(classified[has]),
            f"{count_text(keys)} back to the model's type",
            lambda t, n, f: revert_to_model(t, n, f),
        )

    def _decide(self, keys: Sequence[Key], text: str, work: Callable[..., pd.DataFrame]) -> None:
        before = self.rows(keys)
        keys = keys_of(before)
        if not keys:
            return
        after = before
        for frame in frames_of(keys):
            after = work(after, [label for number, label in keys if number == frame], frame)
        by_human = dict(zip(keys, after["source"] == HUMAN, strict=True))
        decided_before = {key: self._decided.get(key, 0) for key in keys}
        now = {
            key: self.tracker.hash_of(key) if by_human[key] else self._model_saw.get(key, 0)
            for key in keys
        }
        change = Change(text, tuple(keys), before, after, decided_before, now)
        self._make(change, new=True)

    def undo(self) -> Change | None:
        """Undo the last decision and return it, or None without one."""
        change = self.history.undo()
        if change is not None:
            self._make(change)
        return change

    def redo(self) -> Change | None:
        """Redo the last undone decision and return it, or None without one."""
        change = self.history.redo()
        if change is not None:
            self._make(change)
        return change

    def _make(self, change: Change, new: bool = False) -> None:
        """Apply a change, forward or backward: pixels first, then rows."""
        if change.patches:
            self._write_pixels(change.patches)
        self._decided.update(change.decided_after)
        target = validate_table(change.after)
        alive = [key for key in keys_of(target) if self.tracker.hash_of(key)]
        if change.patches:
            removed = [key for key in change.keys if key not in set(alive)]
            boxes = [*change.before["bbox"], *change.after["bbox"]]
            windows = [patch.window for _, patch in change.patches]
            rows = self._measured(select_rows(target, alive), window_around(boxes, windows))
        else:
            removed, rows = [], self._with_decisions(alive, target)
        table = with_rows(self.table, rows, removed)
        if new:  # before listeners ask what can be undone
            self.history.push(change)
        self._publish(table, change.keys, removed=removed, patches=change.patches)

    def _with_decisions(self, keys: list[Key], target: pd.DataFrame) -> pd.DataFrame:
        """Return the current rows with the decisions of other rows.

        If the model's result has changed since, the newest one is used.
        """
        current = self.rows(keys).set_index(KEY)
        wanted = target.set_index(KEY).loc[current.index]
        out = current.copy()
        out[_DECISION] = wanted[_DECISION]
        columns = list(PROBABILITIES)
        same = np.isclose(
            current[columns].to_numpy(float), wanted[columns].to_numpy(float), equal_nan=True
        ).all(axis=1)
        moved = (wanted["source"] != HUMAN).to_numpy() & ~same
        out = out.reset_index()
        for frame in frames_of([key for key, one in zip(current.index, moved, strict=True) if one]):
            labels = [
                n for (f, n), one in zip(current.index, moved, strict=True) if one and f == frame
            ]
            out = revert_to_model(out, labels, frame)
        return out[list(self.table.columns)]

    # ---------------------------------------------------------------- editing

    def split_line(self, key: Key, points: Any) -> list[Key]:
        """Split a region along a line of ``(y, x)`` points; returns the pieces."""
        patch = label_editing.split_by_line(
            self._writable(key[0]), key[1], points, next_label=self._next_label()
        )
        return self._edit(key[0], patch, f"split region {key[1]}")

    def split_watershed(self, key: Key, pieces: int = 2) -> list[Key]:
        """Split a region at its narrowest places; returns the pieces."""
        patch = label_editing.split_by_watershed(
            self._writable(key[0]), key[1], pieces, self.signal(key[0]), self._next_label()
        )
        return self._edit(key[0], patch, f"split region {key[1]}")

    def merge(self, keys: Sequence[Key]) -> list[Key]:
        """Merge regions of one frame; returns the merged region."""
        frame = self._one_frame(keys)
        patch = label_editing.merge_regions(self._writable(frame), [label for _, label in keys])
        return self._edit(frame, patch, f"merge {count_text(keys)}")

    def are_apart(self, keys: Sequence[Key]) -> bool:
        """Return whether regions of one frame are not adjacent, so that merging them is unusual."""
        if len(frames_of(keys)) != 1 or len(keys) < 2:
            return False  # `merge` rejects these with the reason
        frame = self.tracker.frame(keys[0][0])
        return not label_editing.hang_together(frame, [label for _, label in keys])

    def delete(self, keys: Sequence[Key]) -> None:
        """Turn regions of one frame into background."""
        frame = self._one_frame(keys)
        patch = label_editing.delete_regions(self._writable(frame), [label for _, label in keys])
        self._edit(frame, patch, f"delete {count_text(keys)}")

    def _one_frame(self, keys: Sequence[Key]) -> int:
        frames = frames_of(keys)
        if len(frames) != 1:
            raise LabelEditError("Select regions of one metaphase only.")
        return frames[0]

    def _writable(self, frame: int) -> NDArray[Any]:
        array = layer_data(self.labels)
        if not isinstance(array, np.ndarray) or not array.flags.writeable:
            raise LabelEditError(
                "These labels cannot be changed: duplicate the layer and review that."
            )
        self.check_pixels(frame)
        return array[frame] if array.ndim == 3 else array

    def _next_label(self) -> int:
        """Return a label that no frame uses, so that a stack's labels stay unique."""
        if len(self._gone_through) < self.tracker.frames and not self._highest:
            self._highest = int(np.asarray(self.tracker.labels).max())
        rows = self.table["index"]
        gone = (label for _, label in self._gone)
        return max(int(rows.max()) if len(rows) else 0, *gone, self._highest) + 1

    def _edit(self, frame: int, patch: LabelPatch, text: str) -> list[Key]:
        """Apply a pixel edit whose regions are new and need classification."""
        touched = patch.labels_before | patch.labels_after
        # A piece may keep its label and most of its pixels, but is still a different region.
        keys = [(frame, label) for label in sorted(touched)]
        old = self.rows(keys)
        array = np.array(self.tracker.frame(frame))
        patch.apply(array)
        left = [label for label in sorted(touched) if (array[patch.window] == label).any()]
        window = window_around(old["bbox"], [patch.window])
        after = build_table(measure(array, left, frame, window)) if left else empty_table()
        decided = {key: self._decided.get(key, 0) for key in keys}
        change = Change(
            text, tuple(keys), old, after, decided, dict.fromkeys(keys, 0), ((frame, patch),)
        )
        self._make(change, new=True)
        return [(frame, label) for label in left]

    def _write_pixels(self, patches: Iterable[tuple[int, LabelPatch]]) -> None:
        array = layer_data(self.labels)
        boxes: dict[int, list[Box]] = {}
        with self.quiet():
            for frame, patch in patches:
                patch.apply(array[frame] if array.ndim == 3 else array)
                self.tracker.compare(frame)
                rows, columns = patch.window
                box = (rows.start, columns.start, rows.stop, columns.stop)
                boxes.setdefault(frame, []).append(box)
            shown = self._shown() if self._shown is not None else None
            if shown is None or not redraw(self.labels, boxes.get(shown, []), shown):
                self.labels.refresh()

    def _measured(
        self, rows: pd.DataFrame, window: tuple[slice, slice] | None = None
    ) -> pd.DataFrame:
        """Return rows with area, centroid and box measured again, optionally within a window."""
        parts = [rows.iloc[:0]]
        for frame in sorted(rows["frame"].unique()):
            mine = rows[rows["frame"] == frame].set_index("index")
            array = self.tracker.frame(int(frame))
            regions = measure(array, list(mine.index), int(frame), window)
            fresh = build_table(regions).set_index("index")
            for name in ("area", "centroid_y", "centroid_x", "bbox"):
                mine[name] = fresh[name]
            parts.append(mine.reset_index()[list(rows.columns)])
        filled = [part for part in parts if len(part)]
        return pd.concat(filled, ignore_index=True) if filled else rows

    # ---------------------------------------------------------------- watching

    def _connect(self, on: bool) -> None:
        events = self.labels.events
        for emitter, slot in (
            (events.set_data, self._pixels_event),
            (events.paint, self._paint_event),
            (events.labels_update, self._stroke_event),
            (events.data, self._data_event),
            (events.features, self._features_event),
            (self.image.events.data, self._image_event),
        ):
            (emitter.connect if on else emitter.disconnect)(slot)

    def close(self) -> None:
        """Disconnect from the layers."""
        self._connect(False)

    @contextmanager
    def quiet(self) -> Any:
        """Ignore events of the layer within this context."""
        before, self._busy = self._busy, True
        try:
            yield
        finally:
            self._busy = before

    def _pixels_event(self, event: Any = None) -> None:
        """Handle ``set_data``: undo, and other changes."""
        if self._busy:
            return
        if self._shown is None:
            self.check_all()
        else:
            self.check_pixels(self._shown())

    def _paint_event(self, event: Any = None) -> None:
        """Handle ``paint``: after a stroke by hand, but before a script's call has written."""
        self._reported = True
        self._pixels_event()

    def _stroke_event(self, event: Any = None) -> None:
        """Handle ``labels_update``: many times during a stroke, once after a script's call."""
        if self._busy:
            return
        reported, self._reported = self._reported, False
        now = time.monotonic()
        if not reported and now - self._last_check < _STROKE_PACE:
            self.behind.emit()
            return
        self._last_check = now
        self._pixels_event()

    def _image_event(self, event: Any = None) -> None:
        """Report that the image layer's data was replaced; the review is of the previous image."""
        array = layer_data(self.image)
        if array is not self.picture and (
            not shown_content(self.image) or shown_content(self.image) != self._content
        ):
            self.replaced.emit()

    def _data_event(self, event: Any = None) -> None:
        """Handle replacement of the whole labels array."""
        if self._busy:
            return
        array = layer_data(self.labels)
        if tuple(array.shape) != tuple(self.tracker.labels.shape):
            return  # The dock opens a new review when the size has changed.
        self.tracker.labels = array
        for frame in range(self.tracker.frames):
            self.check_pixels(frame)

    def _features_event(self, event: Any = None) -> None:
        """Handle a features table that another dock or the console has set."""
        if self._busy:
            return
        given = table_of(self.labels)
        suspect = bool(np.any(self._suspect(given)))
        if suspect:
            self.check_all()  # A script may have changed the pixels first without an event.
        old = self.table
        self.table = self._complete(given)
        self._adopt_decisions(self.region_keys())
        same = pd.concat([old, self.table]).drop_duplicates(keep=False)
        touched = sorted(set(keys_of(same)) if len(same) else set())
        removed = [key for key in keys_of(old) if key not in set(self.region_keys())]
        if touched or suspect:
            self._publish(self.table, touched, removed=removed)

    def _adopt_decisions(self, keys: Iterable[Key]) -> None:
        """Mark rows that are not stale as decided on the current pixels."""
        stale = set(keys_of(self.table[self.table["stale"]]))
        typed = set(keys_of(self.table[self.table["cluster_type"] != ""]))
        human = set(keys_of(self.table[self.table["source"] == HUMAN]))
        for key in keys:
            if key in stale or key not in typed:
                self._decided.setdefault(key, 0)
                continue
            self._decided[key] = self.tracker.hash_of(key)
            if key not in human:
                self._model_saw[key] = self._decided[key]
            else:
                self._model_saw.setdefault(key, self._decided[key])

    def check_pixels(self, frame: int) -> FrameDiff | None:
        """Compare a frame with its last known state and update the table."""
        self._go_through(frame)
        found = self.tracker.compare(frame)
        if found is None:
            return None
        removed = [(frame, label) for label in sorted(found.removed)]
        for key in removed:
            self._gone[key] = (self.rows([key]), self._decided.get(key, 0))
        rows = self._followed(found)
        for key in removed:
            self._decided.pop(key, None)
        patch = LabelPatch(found.window[0].start, found.window[1].start, found.before, found.after)
        keys = [*keys_of(rows), *removed]
        table = with_rows(self.table, rows, removed)
        self._publish(table, keys, removed=removed, patches=((frame, patch),))
        return found

    def check_all(self) -> None:
        """Compare all frames seen so far, including those not shown."""
        for frame in self.tracker.seen:
            self.check_pixels(frame)

    def _followed(self, found: FrameDiff) -> pd.DataFrame:
        """Return the rows of the regions that an edit touched."""
        frame = found.frame
        parts = [self.rows([(frame, label) for label in found.changed])]
        fresh = []
        for label in sorted(found.added):
            row, decided = self._gone.pop((frame, label), (None, 0))
            if row is not None and len(row) and decided == self.tracker.hash_of((frame, label)):
                parts.append(row)
                self._decided[frame, label] = decided
            else:
                fresh.append(label)
        # Regions are within their old box and the changed pixels; new ones within the latter only.
        boxes = [box for part in parts for box in part["bbox"]]
        window = window_around(boxes, [found.window])
        if fresh:
            parts.append(build_table(measure(self.tracker.frame(frame), fresh, frame, window)))
        filled = [part for part in parts if len(part)]
        rows = pd.concat(filled, ignore_index=True) if filled else self.table.iloc[:0]
        return self._measured(rows, window)

    def _publish(
        self,
        table: pd.DataFrame,
        keys: Sequence[Key],
        *,
        removed: Sequence[Key] = (),
        patches: Iterable[tuple[int, LabelPatch]] = (),
    ) -> None:
        """Set the layer's table and notify listeners."""
        wanted = set(keys)
        stale = table["stale"].to_numpy(bool).copy()
        typed = (table["cluster_type"] != "").to_numpy()
        for place in np.flatnonzero(is_among(table, wanted)) if wanted else ():
            key = (int(table["frame"].iloc[place]), int(table["index"].iloc[place]))
            stale[place] = typed[place] and self._decided.get(key, 0) != self.tracker.hash_of(key)
        with self.quiet():
            self.table = set_table(self.labels, table.assign(stale=stale), checked=True)
        if wanted:
            self.recorded.emit(Record(self.rows(wanted), tuple(removed), tuple(patches)))
            self.changed.emit(list(keys))

    # ---------------------------------------------------------------- model

    def job(self, keys: Sequence[Key] | None = None) -> ClassifyJob | None:
        """Prepare to classify regions (default: those that need it); None if there are none."""
        chosen = tuple(self.needs_classification() if keys is None else keys)
        if not chosen:
            return None
        frames = tuple(
            (frame, self.image_frame(frame), np.array(self.tracker.frame(frame)))
            for frame in frames_of(chosen)
        )
        return ClassifyJob(frames, chosen, {key: self.tracker.hash_of(key) for key in chosen})

    def take(self, job: ClassifyJob, result: pd.DataFrame) -> int:
        """Put the result of a job into the table; returns the number of updated regions.

        Regions whose pixels have changed meanwhile are skipped, and a human's decision is kept,
        stale or not, until the human changes it.
        """
        valid = [
            self.tracker.hash_of(key) != 0 and self.tracker.hash_of(key) == job.hashes.get(key)
            for key in keys_of(result)
        ]
        fresh = result[np.array(valid, bool)] if len(result) else result
        keys = keys_of(fresh)
        if not keys:
            return 0
        human = set(keys_of(self.table[self.table["source"] == HUMAN]))
        for key in keys:
            self._model_saw[key] = job.hashes[key]
            if key not in human:
                self._decided[key] = job.hashes[key]
        self._publish(merge_tables(self.table, fresh), keys)
        return len(keys)

    def replace_table(self, table: pd.DataFrame, text: str) -> None:
        """Replace the table for the same regions, as one undoable step."""
        target = select_rows(table, self.region_keys())
        keys = keys_of(target)
        before = self.rows(keys)
        decided = {key: self._decided.get(key, 0) for key in keys}
        now = {
            key: 0 if stale else self.tracker.hash_of(key)
            for key, stale in zip(keys, target["stale"], strict=True)
        }
        change = Change(text, tuple(keys), before, target, decided, now)
        self._make(change, new=True)

    def replace_regions(self, labels: NDArray[Any], table: pd.DataFrame, text: str) -> None:
        """Replace the regions and their table, as one undoable step.

        Raises
        ------
        LabelEditError
            If their shape differs from the image, or these labels cannot be changed.
        """
        if tuple(labels.shape) != tuple(self.tracker.labels.shape):
            raise LabelEditError(
                f"The regions in the file have another size {tuple(labels.shape)} than the image: "
                f"open the file as a layer of its own, or keep this review."
            )
        highest = np.iinfo(self.tracker.labels.dtype).max
        if int(labels.max(initial=0)) > highest:
            raise LabelEditError(
                f"The regions in the file have labels above {highest}, which this layer cannot "
                f"hold: open the file as a layer of its own, or keep this review."
            )
        patches, parts, now = [], [table], {}
        for frame in range(self.tracker.frames):
            self._writable(frame)
            theirs = labels[frame] if labels.ndim == 3 else labels
            patch = diff_labels(self.tracker.frame(frame), theirs)
            if patch is not None:
                patches.append((frame, patch))
            found = region_codes(theirs)
            now.update({(frame, label): code for label, (_, code) in found.items()})
            mine = set(table.loc[table["frame"] == frame, "index"])
            fresh = [label for label in sorted(found) if label not in mine]
            if fresh:
                parts.append(build_table(measure(theirs, fresh, frame)))
        filled = [part for part in parts if len(part)]
        joined = pd.concat(filled, ignore_index=True) if filled else table
        target = select_rows(joined, now)
        keys = sorted({*self.region_keys(), *now})
        old = {key: self._decided.get(key, 0) for key in keys}
        new = dict.fromkeys(keys, 0) | {
            key: now[key]
            for key, stale in zip(keys_of(target), target["stale"], strict=True)
            if not stale
        }
        change = Change(text, tuple(keys), self.table, target, old, new, tuple(patches))
        self._make(change, new=True)


def _elsewhere(rows: pd.DataFrame, others: pd.DataFrame) -> NDArray[np.bool_]:
    """Return which rows have a different centroid than others, given in the same order."""
    columns = ["centroid_y", "centroid_x"]
    apart = np.abs(rows[columns].to_numpy(float) - others[columns].to_numpy(float))
    return np.asarray((apart > _SAME_PLACE).any(axis=1), bool)
