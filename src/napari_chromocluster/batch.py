"""Many metaphases: on this machine or on a cluster, with dask."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import pandas as pd

from napari_chromocluster.imaging.io import (
    IMAGE_SUFFIXES,
    ImageError,
    atomic_path,
    read_image,
    write_labels,
)
from napari_chromocluster.imaging.segmentation import segment_metaphase
from napari_chromocluster.models.classifier import ClusterClassifier, load_model
from napari_chromocluster.results.figures import batch_chart, overlay_figure, save_figure
from napari_chromocluster.results.summary import rank
from napari_chromocluster.results.table import counts, read_table, write_table


@dataclass(frozen=True)
class BatchResult:
    """What came out of a batch.

    Attributes
    ----------
    summary : DataFrame
        One row a metaphase, best first.
    failures : dict of str to str
        Files that could not be done, and why.
    """

    summary: pd.DataFrame
    failures: dict[str, str]


def find_images(paths: Iterable[str | Path]) -> list[Path]:
    """Return the image files among paths and folders; label images and overlays are passed over.

    Raises
    ------
    ImageError
        If there is none.
    """
    found: list[Path] = []
    for path in (Path(one) for one in paths):
        if path.is_dir():
            inside = sorted(p for p in path.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES)
            found += [p for p in inside if not p.stem.endswith(("_labels", "_overlay"))]
        elif path.is_file():
            found.append(path)
        else:
            raise ImageError(f"{path} does not exist: check the name.")
    if not found:
        raise ImageError("There is no image: name images or folders that hold some.")
    return found


def classify_image(
    path: str, output: str, model: str = "default", device: str = "auto", overwrite: bool = False
) -> dict[str, str]:
    """Classify all frames of one file and write labels, table and pictures.

    Runs on workers: takes and returns plain text.

    Returns
    -------
    dict
        Name of each frame to its table's path.
    """
    image, folder = Path(path), Path(output)
    pixels = read_image(image)
    stack = pixels.ndim == 4 or (pixels.ndim == 3 and pixels.shape[-1] not in (1, 3, 4))
    frames = list(pixels) if stack else [pixels]
    done = {}
    for number, frame in enumerate(frames):
        name = f"{image.stem}_{number:03d}" if stack else image.stem
        table_path = folder / f"{name}_regions.csv"
        if overwrite or not table_path.exists():
            _classify_frame(frame, name, folder, _classifier(model, device))
        done[name] = str(table_path)
    return done


@lru_cache(maxsize=2)
def _classifier(model: str, device: str) -> ClusterClassifier:
    """One model a worker, however many images it gets."""
    return load_model(model, device)


def _classify_frame(frame: Any, name: str, folder: Path, classifier: ClusterClassifier) -> None:
    labels = segment_metaphase(frame)
    table = classifier.classify(frame, labels)
    write_labels(folder / f"{name}_labels.tif", labels)
    figure = overlay_figure(frame, labels, table, threshold=classifier.card.unsure_threshold)
    save_figure(folder / f"{name}_overlay.png", figure, dpi=110)
    # The table is written last: its existence says that the frame is finished.
    write_table(folder / f"{name}_regions.csv", table)


def run_batch(
    images: Sequence[str | Path],
    output: str | Path,
    *,
    model: str = "default",
    device: str = "auto",
    scheduler: str | None = None,
    workers: int = 1,
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> BatchResult:
    """Classify many metaphases; one that fails does not stop the others.

    Parameters
    ----------
    images : sequence of path
        Files and folders.
    output : path
        Folder of the results; finished images in it are passed over.
    model, device : str
        As in `load_model`.
    scheduler : str, optional
        Address of a dask scheduler (extra ``distributed``); all workers must
        see the same files.
    workers : int
        Processes on this machine, without a scheduler.
    overwrite : bool
        Do finished images again.
    progress : callable, optional
        Called with the images done and their number.

    Returns
    -------
    BatchResult
        Also written as ``summary.csv``, ``all_regions.csv`` and ``summary.png``.
    """
    files = find_images(images)
    folder = Path(output).expanduser().resolve()
    folder.mkdir(parents=True, exist_ok=True)
    load_model(model, device)  # a wrong name fails here, once, not on every worker
    options = {"model": model, "device": device, "overwrite": overwrite}
    jobs = [(str(file.resolve()), str(folder)) for file in files]
    outcomes = _run_jobs(jobs, options, scheduler, workers, progress)
    tables: dict[str, pd.DataFrame] = {}
    failures: dict[str, str] = {}
    for file, outcome in zip(files, outcomes, strict=True):
        if isinstance(outcome, Exception):
            failures[file.name] = " ".join(str(outcome).split())
        else:
            tables |= {name: read_table(path) for name, path in outcome.items()}
    summary = rank(tables)
    _write_summary(folder, summary, tables)
    return BatchResult(summary, failures)


def _run_jobs(
    jobs: list[tuple[str, str]],
    options: dict[str, Any],
    scheduler: str | None,
    workers: int,
    progress: Callable[[int, int], None] | None,
) -> list[Any]:
    if scheduler is None and workers <= 1:
        outcomes: list[Any] = []
        for job in jobs:
            outcomes.append(_guarded(job, options))
            if progress is not None:
                progress(len(outcomes), len(jobs))
        return outcomes
    try:
        from dask.distributed import Client, as_completed
    except ImportError as error:
        raise ValueError(
            "Several workers need the extra 'distributed': "
            "pip install 'napari-chromocluster[distributed]'."
        ) from error
    where: dict[str, Any] = {"address": scheduler} if scheduler else {
        "n_workers": workers, "threads_per_worker": 1, "processes": True, "dashboard_address": None,
    }  # fmt: skip
    try:
        client = Client(**where, set_as_default=False, timeout=20)
    except OSError as error:
        raise ValueError(f"There is no dask scheduler at {scheduler}: start one first.") from error
    with client:
        futures = [client.submit(_guarded, job, options, pure=False) for job in jobs]
        for number, _ in enumerate(as_completed(futures), start=1):
            if progress is not None:
                progress(number, len(jobs))
        return list(client.gather(futures))


def _guarded(job: tuple[str, str], options: dict[str, Any]) -> Any:
    try:
        return classify_image(*job, **options)
    except Exception as error:
        return error


def _write_summary(folder: Path, summary: pd.DataFrame, tables: dict[str, pd.DataFrame]) -> None:
    with atomic_path(folder / "summary.csv") as temporary:
        summary.to_csv(temporary, index=False, lineterminator="\n")
    if tables:
        named = [table.assign(metaphase=name) for name, table in tables.items()]
        with atomic_path(folder / "all_regions.csv") as temporary:
            pd.concat(named).to_csv(temporary, index=False, lineterminator="\n")
        order = {name: counts(tables[name]) for name in summary["metaphase"]}
        save_figure(folder / "summary.png", batch_chart(order))
