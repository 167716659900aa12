"""What runs the files of a batch: this process, several of them, or a dask cluster."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any

from napari_chromocluster.batch.one import BatchError, classify_to_files
from napari_chromocluster.imaging.io import is_stack, read_image
from napari_chromocluster.models.classifier import ClusterClassifier, load_model
from napari_chromocluster.models.registry import resolve_model
from napari_chromocluster.training.alive import end_with_parent


@dataclass(frozen=True)
class Job:
    """One file of a batch, in plain terms that travel to a worker.

    Attributes
    ----------
    image, name, folder : str
        The file, what its results are named after, and where they go.
    model, device : str
        As in `load_model`.
    stamp : dict
        What must be the same for an earlier result to hold.
    """

    image: str
    name: str
    folder: str
    model: str
    device: str
    stamp: dict[str, Any] = field(default_factory=dict, hash=False)


def classify_job(job: Job) -> list[str] | str:
    """Classify all frames of one file; runs on workers.

    Returns
    -------
    list of str or str
        Names of the frames, or why it could not be done.
    """
    try:
        pixels = read_image(job.image)
        frames = list(pixels) if is_stack(pixels) else [pixels]
        names = [job.name]
        if is_stack(pixels):
            names = [f"{job.name}_{number:03d}" for number in range(len(frames))]
        classifier = load_once(job.model, job.device)
        for frame, name in zip(frames, names, strict=True):
            classify_to_files(frame, name, job.folder, classifier)
    except Exception as error:
        # Whatever it is, the other files are done all the same.
        return " ".join(str(error).split()) or type(error).__name__
    return names


def load_once(model: str, device: str) -> ClusterClassifier:
    """Load a model, or return the one that this process loaded before."""
    path = resolve_model(model)
    return _load(str(path), path.stat().st_mtime_ns if path.exists() else 0, device)


@lru_cache(maxsize=2)
def _load(path: str, changed: int, device: str) -> ClusterClassifier:
    return load_model(path, device)


#: Takes jobs, yields each with its outcome as it is done.
Submit = Callable[[list[Job]], Iterator[tuple[Job, list[str] | str]]]


@contextmanager
def executor(scheduler: str | None, workers: int) -> Iterator[Submit]:
    """Give what runs jobs: this process, several of them, or a dask cluster."""
    if scheduler is not None:
        with _dask_client(scheduler) as client:
            yield partial(_on_cluster, client)
    elif workers <= 1:
        yield lambda jobs: ((job, classify_job(job)) for job in jobs)
    else:
        # Fork is not safe once torch has started its threads.
        pool = ProcessPoolExecutor(
            workers, multiprocessing.get_context("spawn"), _begin, (workers,)
        )
        try:
            yield partial(_in_pool, pool)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _begin(workers: int) -> None:
    """Keep a worker from outliving the batch, and from taking all cores."""
    end_with_parent()
    import torch

    torch.set_num_threads(max(1, (os.cpu_count() or 1) // workers))


def _in_pool(pool: Executor, jobs: list[Job]) -> Iterator[tuple[Job, list[str] | str]]:
    futures: dict[Future[list[str] | str], Job] = {
        pool.submit(classify_job, job): job for job in jobs
    }
    for future in as_completed(futures):
        try:
            outcome = future.result()
        except BrokenProcessPool:
            outcome = (
                "A worker ended suddenly, perhaps for lack of memory: "
                "run the batch again with fewer workers."
            )
        yield futures[future], outcome


@contextmanager
def _dask_client(address: str) -> Iterator[Any]:
    try:
        from dask.distributed import Client
    except ImportError as error:
        raise BatchError(
            "A scheduler needs the extra 'distributed': "
            "pip install 'napari-chromocluster[distributed]'."
        ) from error
    try:
        client = Client(address, set_as_default=False, timeout=10)
    except (OSError, ValueError) as error:
        raise BatchError(f"There is no dask scheduler at {address}: start one first.") from error
    with client:
        if not client.scheduler_info()["workers"]:
            raise BatchError(f"The dask scheduler at {address} has no worker: start some first.")
        yield client


def _on_cluster(client: Any, jobs: list[Job]) -> Iterator[tuple[Job, list[str] | str]]:
    from dask.distributed import as_completed as dask_completed

    futures = {client.submit(classify_job, job, pure=False): job for job in jobs}
    for future in dask_completed(list(futures), loop=client.loop):
        error = future.exception()
        yield futures[future], str(error) if error is not None else future.result()
