"""Many metaphases: which files, what was finished before, and the summary of all."""

from __future__ import annotations

import glob
import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from napari_chromocluster.batch.one import BatchError, ResultFiles
from napari_chromocluster.batch.workers import Job, executor, load_once
from napari_chromocluster.imaging.io import (
    IMAGE_SUFFIXES,
    ImageError,
    atomic_path,
    check_writable,
)
from napari_chromocluster.models.registry import model_card, resolve_model
from napari_chromocluster.results.figures import batch_chart, save_figure
from napari_chromocluster.results.summary import EXPECTED_CHROMOSOMES, rank
from napari_chromocluster.results.table import TableError, counts, read_table

#: Ends of the names of pictures that this program writes: no metaphases.
_OWN = ("_labels", "_overlay", "_explanation")
_RECORDS, _SUMMARY = "batch.jsonl", "summary.csv"
_REGIONS, _CHART = "all_regions.csv", "summary_overlay.png"


@dataclass(frozen=True)
class BatchResult:
    """What came out of a batch.

    Attributes
    ----------
    summary : DataFrame
        One row a metaphase, best first: ``metaphase``, ``score``,
        ``chromosomes``, regions per type, ``image``.
    failures : dict of str to str
        Files that could not be done, and why.
    skipped : int
        Files that were finished before.
    """

    summary: pd.DataFrame
    failures: dict[str, str]
    skipped: int = 0


def find_images(paths: Iterable[str | Path]) -> list[Path]:
    """Return the image files that files, folders and patterns such as ``slides/*.tif`` name.

    Of a folder, what this program wrote there (labels, overlays) is passed over.

    Raises
    ------
    ImageError
        If a path does not exist, or there is no image.
    """
    found: list[Path] = []
    for path in (Path(one).expanduser() for one in paths):
        if path.is_dir():
            found += _images_among(path.iterdir())
        elif path.is_file():
            found.append(path)
        elif matches := glob.glob(str(path), recursive=True):
            found += _images_among(Path(match) for match in matches)
        else:
            raise ImageError(f"{path} does not exist: check the name.")
    if not found:
        raise ImageError("There is no image: name images or folders that hold some.")
    return list(dict.fromkeys(path.resolve() for path in found))


def _images_among(paths: Iterable[Path]) -> list[Path]:
    return sorted(
        path
        for path in paths
        if path.suffix.lower() in IMAGE_SUFFIXES
        and not path.stem.endswith(_OWN)
        and not path.name.startswith(".")
    )


def unique_names(files: Sequence[Path]) -> list[str]:
    """Name each file after its stem, and after its folder and kind too where stems repeat."""
    ways: list[Callable[[Path], str]] = [
        lambda file: file.stem,
        lambda file: f"{file.parent.name}_{file.stem}",
        lambda file: f"{file.parent.name}_{file.stem}_{file.suffix[1:]}",
        lambda file: "_".join(file.with_suffix("").parts[1:]) + f"_{file.suffix[1:]}",
    ]
    names = [""] * len(files)
    for way in ways:
        # Upper and lower case are one on some file systems.
        taken = Counter((names[i] or way(file)).casefold() for i, file in enumerate(files))
        for i, file in enumerate(files):
            if not names[i] and taken[way(file).casefold()] == 1:
                names[i] = way(file)
    return names


def run_batch(
    images: Sequence[str | Path],
    output: str | Path,
    *,
    model: str | Path = "default",
    device: str = "auto",
    scheduler: str | None = None,
    workers: int = 1,
    overwrite: bool = False,
    expected: int = EXPECTED_CHROMOSOMES,
    progress: Callable[[int, int], None] | None = None,
) -> BatchResult:
    """Classify many metaphases; one that fails does not stop the others.

    Parameters
    ----------
    images : sequence of path
        Files, folders and patterns; each frame of a stack is a metaphase.
    output : path
        Folder of the results.  Files that were finished there with the same
        model are passed over.
    model, device : str
        As in `load_model`.
    scheduler : str, optional
        Address of a dask scheduler (extra ``distributed``); all workers must
        see the same files and have this package.
    workers : int
        Processes on this machine, without a scheduler.
    overwrite : bool
        Do finished files again; types that a human decided are never lost.
    expected : int
        Chromosomes of a cell, which the score compares with.
    progress : callable, optional
        Called with the files done and their number.

    Returns
    -------
    BatchResult
        Also written as ``summary.csv``, ``all_regions.csv`` and
        ``summary_overlay.png``.

    Raises
    ------
    ImageError, BatchError
        If there is no image, the folder cannot be written, or there is no
        scheduler.
    ModelFileError, RegistryError
        If the model cannot be used.
    """
    if workers < 1:
        raise BatchError(f"A batch needs at least one worker, not {workers}.")
    files = find_images(images)
    folder = Path(output).expanduser().resolve()
    check_writable(folder)
    jobs = _jobs(files, folder, model, device)
    # A damaged model or a wrong device fails here, not once for every file; the
    # devices of a cluster's workers are not those of this machine.
    load_once(jobs[0].model, device if scheduler is None else "cpu")
    records = {} if overwrite else _read_records(folder)
    names = {job.name: records[job.name]["frames"] for job in jobs if _finished(job, records)}
    skipped = len(names)
    failures: dict[str, str] = {}
    todo = [job for job in jobs if job.name not in names]
    done = skipped
    with executor(scheduler, min(workers, len(todo))) as submit:
        for job, outcome in submit(todo):
            if isinstance(outcome, list):
                names[job.name] = outcome
                _write_record(folder, job, outcome)
            else:
                failures[job.image] = outcome
            done += 1
            if progress is not None:
                progress(done, len(jobs))
    summary = _summarise(folder, jobs, names, expected, failures)
    return BatchResult(summary, failures, skipped)


def _jobs(files: list[Path], folder: Path, model: str | Path, device: str) -> list[Job]:
    path = resolve_model(model)
    card = model_card(path)
    # A file of the list goes by its name: on another machine it lies elsewhere.
    where = str(path.resolve()) if path.resolve() == Path(str(model)).resolve() else str(model)
    jobs = []
    for file, name in zip(files, unique_names(files), strict=True):
        facts = file.stat()
        stamp = {
            "image": str(file),
            "bytes": facts.st_size,
            "changed": facts.st_mtime_ns,
            "model": [card.name, card.created],
        }
        jobs.append(Job(str(file), name, str(folder), where, device, stamp))
    return jobs


def _read_records(folder: Path) -> dict[str, dict[str, Any]]:
    """Read what was finished in a folder; a line torn by a crash is passed over."""
    records: dict[str, dict[str, Any]] = {}
    try:
        lines = (folder / _RECORDS).read_text(encoding="utf-8").splitlines()
    except OSError:
        return records
    for line in lines:
        try:
            record = json.loads(line)
            records[record["name"]] = record
        except (ValueError, KeyError, TypeError):
            continue
    return records


def _write_record(folder: Path, job: Job, frames: list[str]) -> None:
    line = json.dumps({"name": job.name, "frames": frames, **job.stamp})
    with (folder / _RECORDS).open("a", encoding="utf-8") as stream:
        stream.write(line + "\n")


def _finished(job: Job, records: dict[str, dict[str, Any]]) -> bool:
    """Whether the same file was done with the same model, and its table is still there."""
    record = records.get(job.name)
    return (
        record is not None
        and all(record.get(key) == value for key, value in job.stamp.items())
        and all(ResultFiles.of(job.folder, name).regions.exists() for name in record["frames"])
    )


def _summarise(
    folder: Path,
    jobs: list[Job],
    names: dict[str, list[str]],
    expected: int,
    failures: dict[str, str],
) -> pd.DataFrame:
    """Rank all metaphases and write the tables and the chart of the whole batch."""
    images = {frame: job.image for job in jobs for frame in names.get(job.name, [])}
    tables: dict[str, pd.DataFrame] = {}
    for frame, image in images.items():
        try:
            tables[frame] = read_table(ResultFiles.of(folder, frame).regions)
        except TableError as error:  # finished before, and edited since
            failures[image] = f"{frame}_regions.csv: {error}"
    summary = rank(tables, expected)
    summary["image"] = [images[name] for name in summary["metaphase"]]
    _write_csv(folder / _SUMMARY, summary)
    if tables:
        named = [table.assign(metaphase=name) for name, table in tables.items()]
        _write_csv(folder / _REGIONS, pd.concat(named))
        order = {name: counts(tables[name]) for name in summary["metaphase"]}
        save_figure(folder / _CHART, batch_chart(order))
    return summary


def _write_csv(path: Path, table: pd.DataFrame) -> None:
    with atomic_path(path) as temporary:
        table.to_csv(temporary, index=False, lineterminator="\n")
