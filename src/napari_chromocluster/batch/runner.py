"""Batch processing: find images, skip finished ones, summarize the results."""

from __future__ import annotations

import json
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from numbers import Integral
from pathlib import Path
from typing import Any

import pandas as pd

from napari_chromocluster.batch.executors import runner
from napari_chromocluster.batch.files import BatchError, ResultFiles, writable_folder
from napari_chromocluster.batch.images import find_images, not_read
from napari_chromocluster.batch.jobs import Job, Outcome, cached_model, error_message
from napari_chromocluster.batch.merged_tables import (
    check_parquet,
    foreign_columns,
    write_merged,
    write_parquet,
)
from napari_chromocluster.batch.output_names import unique_names
from napari_chromocluster.batch.pipeline import is_reviewed
from napari_chromocluster.cluster_types import EXPECTED_CHROMOSOMES
from napari_chromocluster.imaging.files import atomic_path, size_and_change
from napari_chromocluster.imaging.normalization import Polarity
from napari_chromocluster.results.features_table import TableError
from napari_chromocluster.results.summary import MetaphaseSummary, rank, summarise
from napari_chromocluster.results.table_files import read_table

_RECORDS, _SUMMARY = "batch.jsonl", "summary.csv"
#: Increase this when files are read differently, to invalidate earlier results.
_READING = 2
_REGIONS, _CHART = "all_regions.csv", "summary_overlay.png"
#: Maximum number of metaphases in the chart.
_CHARTED = 2500


@dataclass(frozen=True)
class BatchResult:
    """Result of a batch.

    Attributes
    ----------
    summary : DataFrame
        One row per metaphase, best first: ``metaphase``, ``score``, ``chromosomes``, regions per
        type, ``image``.
    failures : dict of str to str
        Files, or frames of stacks, that failed, and why.
    skipped : int
        Number of files that were already finished.
    kept : tuple of str
        Metaphases that were not processed again because they contain human decisions.
    notes : tuple of str
        Automatic choices when reading files, such as a channel.
    """

    summary: pd.DataFrame
    failures: dict[str, str]
    skipped: int = 0
    kept: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def run_batch(
    images: str | Path | Sequence[str | Path],
    output: str | Path,
    *,
    model: str | Path = "default",
    device: str = "auto",
    scheduler: str | None = None,
    workers: int = 1,
    overwrite: bool = False,
    expected: int | None = EXPECTED_CHROMOSOMES,
    threshold: float | None = None,
    channel: int | str | None = None,
    polarity: Polarity = "auto",
    overlays: bool = True,
    labels_as: str | None = None,
    parquet: bool = False,
    progress: Callable[[int, int], None] | None = None,
    tell: Callable[[str], None] | None = None,
) -> BatchResult:
    """Classify many metaphases; one that fails does not stop the others.

    Parameters
    ----------
    images : path or sequence of path
        Files, folders and patterns; each frame of a stack is a metaphase.
    output : path
        Folder of the results.  Files finished there with the same model and settings are skipped.
        The summary contains only the named images.
    model, device : str
        As in `load_model`.
    scheduler : str, optional
        Address of a dask scheduler (extra ``distributed``); all workers must see the same files and
        have this package.
    workers : int
        Processes on this machine, without a scheduler.
    overwrite : bool
        Process finished files again, except those with human decisions.
    expected : int, optional
        Chromosomes in a cell, for the types and the score; None if unknown.
    threshold : float, optional
        Confidence under which a region is unsure (default: the model's).
    channel : int or str, optional
        Channel of the chromosomes in multichannel files, see `open_image`.
    polarity : {"auto", "dark", "bright"}
        Whether chromosomes are darker or brighter than the background.
    overlays : bool
        Whether to write an overlay of each metaphase, which takes the most space.
    labels_as : {"ome-tiff", "ome-zarr"}, optional
        Format in which to also write the labels of each metaphase.
    parquet : bool
        Also write the summary and the merged tables as Parquet (extra ``parquet``), as always if
        an earlier run did.
    progress : callable, optional
        Called with the number of files done and the total.
    tell : callable, optional
        Called with a line for each file, such as ``3 of 20: name``.

    Returns
    -------
    BatchResult
        Also written as ``summary.csv``, ``all_regions.csv`` and ``summary_overlay.png``.

    Raises
    ------
    ImageError, BatchError
        If there is no image, the folder cannot be written to, another batch is writing to it,
        there is no scheduler, or an extra is missing.
    ModelFileError, RegistryError
        If the model cannot be used.
    """
    if workers < 1:
        raise BatchError(f"A batch needs at least one worker, not {workers}.")
    if expected is not None and not (isinstance(expected, Integral) and expected >= 1):
        raise BatchError(
            f"A cell has at least one chromosome, not {expected!r}: give their number, or None "
            f"if it is not known."
        )
    named = [images] if isinstance(images, (str, Path)) else list(images)
    files = find_images(named)
    folder = Path(output).expanduser().resolve()
    # Files of an earlier run must not contradict the CSV.
    if parquet := parquet or (folder / _SUMMARY).with_suffix(".parquet").exists():
        check_parquet()
    with writable_folder(folder), folder_lock(folder):
        records = _read_records(folder)
        settings = {
            "expected": expected, "threshold": threshold, "channel": channel, "polarity": polarity,
        }  # fmt: skip
        written = {"overlay": overlays, "labels_as": labels_as}
        jobs = _jobs(files, folder, model, device, settings, written, records)
        # A damaged model or a wrong device fails here, not once for every file; the
        # devices of a cluster's workers are not those of this machine.
        cached_model(jobs[0].model, device if scheduler is None else "cpu")
        outcomes = {} if overwrite else _finished_before(jobs, records)
        todo = [job for job in jobs if job.name not in outcomes or outcomes[job.name].failures]
        skipped = len(jobs) - len(todo)
        if not overwrite:
            todo = [_rest(job, outcomes.get(job.name)) for job in todo]

        def take_in(job: Job, outcome: Outcome) -> None:
            before = outcomes.get(job.name, Outcome()).familiarity
            outcome = replace(outcome, familiarity={**before, **outcome.familiarity})
            outcomes[job.name] = _recorded(folder, job, outcome)
            finished.add(job.name)
            done = skipped + len(finished)
            if progress is not None:
                progress(done, len(jobs))
            if tell is not None:
                tell(f"{done} of {len(jobs)}: {job.name}{_remark(outcomes[job.name])}")

        finished: set[str] = set()
        with runner(scheduler, workers) as running:
            try:
                for job, outcome in running.run(todo):
                    take_in(job, outcome)
            except KeyboardInterrupt:
                for job, outcome in running.finish():
                    take_in(job, outcome)
                raise
        result = _summarise(folder, jobs, outcomes, expected, skipped, parquet)
        return replace(result, notes=(*result.notes, *not_read(named)))


@contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """Prevent two batches from writing to a folder at the same time.

    Their names could clash.  The lock is on the folder itself and ends with the process.  Nothing
    is locked on systems without ``fcntl``.

    Raises
    ------
    BatchError
        If another process has locked the folder.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BatchError(
                f"Another batch writes into {folder}: wait until it has ended, or choose another "
                f"folder."
            ) from None
        except OSError:  # a network drive that cannot lock folders
            pass
        yield
    finally:
        os.close(handle)


def _jobs(
    files: list[Path],
    folder: Path,
    model: str | Path,
    device: str,
    settings: dict[str, Any],
    written: dict[str, Any],
    records: dict[str, dict[str, Any]],
) -> list[Job]:
    from napari_chromocluster.models.registry import model_card, resolve_model

    path = resolve_model(model)
    card = model_card(path)
    # Pass listed models by name: their path differs on other machines.
    where = str(path.resolve()) if path.resolve() == Path(str(model)).resolve() else str(model)
    jobs = []
    for file, name in zip(files, unique_names(files, records), strict=True):
        try:
            size, changed = size_and_change(file)
        except OSError:  # missing, or a broken link: reported when it is read
            size, changed = -1, -1
        stamp = {
            "image": str(file),
            "bytes": size,
            "changed": changed,
            "model": [card.name, card.created],
            "reading": _READING,
            **settings,
        }
        job = Job(str(file), name, str(folder), where, device, stamp, **settings, **written)
        jobs.append(job)
    return jobs


def _read_records(folder: Path) -> dict[str, dict[str, Any]]:
    """Read the records of finished files in a folder, the latest last, skipping invalid lines."""
    records: dict[str, dict[str, Any]] = {}
    try:
        lines = (folder / _RECORDS).read_text(encoding="utf-8").splitlines()
    except OSError:
        return records
    for line in lines:
        try:
            record = json.loads(line)
            name = str(record["name"])
            record = {**record, "image": str(record["image"]), "frames": list(record["frames"])}
            records.pop(name, None)  # so that the latest is last
            records[name] = record
        except (ValueError, KeyError, TypeError):
            continue
    return records


def _recorded(folder: Path, job: Job, outcome: Outcome) -> Outcome:
    """Record a finished job; if that fails, only this file is reported as failed."""
    if not outcome.frames:
        return outcome
    try:
        _write_record(folder, job, outcome)
    except OSError as error:
        return replace(outcome, failures={**outcome.failures, _RECORDS: error_message(error)})
    return outcome


def _write_record(folder: Path, job: Job, outcome: Outcome) -> None:
    record: dict[str, Any] = {"name": job.name, "frames": outcome.frames, **job.stamp}
    if outcome.kept:
        record["kept"] = outcome.kept
    if outcome.familiarity:
        record["familiarity"] = outcome.familiarity
    if outcome.failures:
        record["failed"] = list(outcome.failures)
    with (folder / _RECORDS).open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(record) + "\n")


def _finished_before(jobs: list[Job], records: dict[str, dict[str, Any]]) -> dict[str, Outcome]:
    """Return the valid earlier results: of the same file with the same settings.

    The failures of an outcome are the frames still to be processed.
    """
    found = {}
    for job in jobs:
        record = records.get(job.name)
        if record is None or any(record.get(key) != job.stamp[key] for key in job.stamp):
            continue
        kept = [name for name in record.get("kept", ()) if _still_reviewed(job, name)]
        frames = [
            name
            for name in record["frames"]
            if ResultFiles.of(job.folder, name).regions.exists()
            and (name in kept or name not in record.get("kept", ()))
        ]
        open_ones = [*record.get("failed", ()), *(set(record["frames"]) - set(frames))]
        found[job.name] = Outcome(
            tuple(frames),
            tuple(kept),
            dict.fromkeys(open_ones, ""),
            familiarity=record.get("familiarity", {}),
        )
    return found


def _still_reviewed(job: Job, name: str) -> bool:
    try:
        return is_reviewed(ResultFiles.of(job.folder, name))
    except BatchError:  # damaged since; reported in the summary
        return True


def _rest(job: Job, before: Outcome | None) -> Job:
    """Return a job without the frames that have valid earlier results."""
    if before is None:
        return job
    return replace(job, done=tuple(name for name in before.frames if name not in before.kept))


def _remark(outcome: Outcome) -> str:
    if not outcome.failures:
        return ", left as it is" if outcome.frames == outcome.kept else ""
    if set(outcome.failures) == {_RECORDS}:
        return ", but it could not be noted as finished"
    return ", not all of its frames" if outcome.frames else " could not be done"


def _familiar(value: float | None) -> str:
    """Return ``true`` or ``false`` for a familiarity; empty if unknown."""
    return "" if value is None else str(value >= 1).lower()


def _summarise(
    folder: Path,
    jobs: list[Job],
    outcomes: dict[str, Outcome],
    expected: int | None,
    skipped: int,
    parquet: bool,
) -> BatchResult:
    """Rank all metaphases and write the tables and the chart of the whole batch."""
    from napari_chromocluster.results.figures import batch_chart, save_figure

    images: dict[str, str] = {}
    failures: dict[str, str] = {}
    kept: list[str] = []
    notes: list[str] = []
    familiarity: dict[str, float] = {}
    for job in jobs:
        outcome = outcomes[job.name]
        familiarity |= outcome.familiarity
        notes += outcome.notes
        images |= dict.fromkeys(outcome.frames, job.image)
        kept += outcome.kept
        for part, reason in outcome.failures.items():
            failures[f"{job.image}, {part}" if part else job.image] = reason
    regions = {frame: ResultFiles.of(folder, frame).regions for frame in images}

    def tables() -> Iterator[tuple[str, pd.DataFrame]]:
        """Read each table once, for the summary and the merged tables."""
        for frame, path in regions.items():
            try:
                table = read_table(path)
            except TableError as error:  # finished before, and edited since
                failures[images[frame]] = f"{path.name}: {error}"
                continue
            summaries[frame] = summarise(table, expected)
            yield frame, table

    summaries: dict[str, MetaphaseSummary] = {}
    read = tables()
    with _reported(failures, folder / _REGIONS):
        target = (folder / _REGIONS).with_suffix(".parquet") if parquet else None
        write_merged(read, folder / _REGIONS, target, foreign_columns(regions.values()))
    deque(read, maxlen=0)  # those that could not be merged are summarized all the same
    summary = rank(summaries)
    summary["image"] = [images[name] for name in summary["metaphase"]]
    summary["familiar"] = [_familiar(familiarity.get(name)) for name in summary["metaphase"]]
    with _reported(failures, folder / _SUMMARY):
        _write_csv(folder / _SUMMARY, summary)
        if parquet:
            words = summary["familiar"].map({"true": True, "false": False}).astype("boolean")
            typed = summary.assign(familiar=words)
            write_parquet((folder / _SUMMARY).with_suffix(".parquet"), typed)
    best = list(summary["metaphase"][:_CHARTED])
    if len(best) < len(summary):
        notes.append(f"{_CHART} shows the best {len(best)} of {len(summary)} metaphases.")
    if best:
        with _reported(failures, folder / _CHART):
            save_figure(folder / _CHART, batch_chart({one: summaries[one].counts for one in best}))
    return BatchResult(summary, failures, skipped, tuple(kept), tuple(notes))


@contextmanager
def _reported(failures: dict[str, str], path: Path) -> Iterator[None]:
    """List any error as a failure of a file; the failed images are listed all the same."""
    try:
        yield
    except Exception as error:
        failures[str(path)] = error_message(error)


def _write_csv(path: Path, table: pd.DataFrame) -> None:
    with atomic_path(path) as temporary:
        table.to_csv(temporary, index=False, lineterminator="\n")
