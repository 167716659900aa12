"""What runs the files of a batch: this process, several of them, or a dask cluster."""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import (
    CancelledError,
    Executor,
    Future,
    ProcessPoolExecutor,
    as_completed,
)
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any

from napari_chromocluster.batch.naming import frame_name
from napari_chromocluster.batch.one import (
    BatchError,
    ResultFiles,
    classify_to_files,
    is_reviewed,
)
from napari_chromocluster.imaging.io import is_full_disk, is_stack, read_image
from napari_chromocluster.models.classifier import ClusterClassifier, load_model
from napari_chromocluster.models.registry import resolve_model
from napari_chromocluster.taxonomy import EXPECTED_CHROMOSOMES
from napari_chromocluster.training.alive import end_with_parent

_LOG = logging.getLogger(__name__)
#: Seconds that a dask scheduler has to answer.
_PATIENCE = 10
#: Seconds between two looks at the workers of a cluster, and without any after which that is told.
_EVERY, _WITHOUT_WORKERS = 2.0, 20.0


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
    done : tuple of str
        Names of frames whose earlier results hold.
    expected : int or None
        Chromosomes in a cell; None where that is not known.
    """

    image: str
    name: str
    folder: str
    model: str
    device: str
    stamp: dict[str, Any] = field(default_factory=dict, hash=False)
    done: tuple[str, ...] = ()
    expected: int | None = EXPECTED_CHROMOSOMES


@dataclass(frozen=True)
class Outcome:
    """What came of one file.

    Attributes
    ----------
    frames : tuple of str
        Names of the frames that have results.
    kept : tuple of str
        Those of them that were left as they are, for a human decided there.
    failures : dict of str to str
        Frame, such as ``frame 007``, to why it could not be done; "" is the
        whole file.
    """

    frames: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    failures: dict[str, str] = field(default_factory=dict)


def classify_job(job: Job) -> Outcome:
    """Classify all frames of one file, each by itself; runs on workers."""
    try:
        pixels = read_image(job.image)
        classifier = load_once(job.model, job.device)
    except Exception as error:
        # Whatever it is, the other files are done all the same.
        return Outcome(failures={"": sentence(error)})
    parts = {job.name: ("", pixels)}
    if is_stack(pixels):
        parts = {
            frame_name(job.name, number): (f"frame {number:03d}", frame)
            for number, frame in enumerate(pixels)
        }
    frames, kept, failures = [], [], {}
    for name, (part, frame) in parts.items():
        try:
            if name not in job.done:
                if is_reviewed(ResultFiles.of(job.folder, name)):
                    kept.append(name)
                else:
                    classify_to_files(frame, name, job.folder, classifier, expected=job.expected)
            frames.append(name)
        except Exception as error:  # so are the other frames
            failures[part] = sentence(error)
    return Outcome(tuple(frames), tuple(kept), failures)


def sentence(error: BaseException) -> str:
    """Say in one sentence why something could not be done."""
    if is_full_disk(error):
        return "The disk is full: free some space and run the same command again."
    return " ".join(str(error).split()) or type(error).__name__


def load_once(model: str, device: str) -> ClusterClassifier:
    """Load a model, or return the one that this process loaded before."""
    path = resolve_model(model)
    return _load(str(path), path.stat().st_mtime_ns if path.exists() else 0, device)


@lru_cache(maxsize=2)
def _load(path: str, changed: int, device: str) -> ClusterClassifier:
    return load_model(path, device)


#: Takes jobs, yields each with its outcome as it is done.
Submit = Callable[[list[Job]], Iterator[tuple[Job, Outcome]]]


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
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent()
    import torch

    torch.set_num_threads(max(1, (os.cpu_count() or 1) // workers))


@contextmanager
def _deaf_children() -> Iterator[None]:
    """Start processes that pass over Ctrl+C from their first moment.

    It reaches all processes of a terminal, and the one that started them deals with it.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # signals are a matter of the main thread
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _in_pool(pool: Executor, jobs: list[Job]) -> Iterator[tuple[Job, Outcome]]:
    with _deaf_children():  # the pool starts its processes as it is given work
        futures: dict[Future[Outcome], Job] = {pool.submit(classify_job, job): job for job in jobs}
    for future in as_completed(futures):
        try:
            outcome = future.result()
        except BrokenProcessPool:
            reason = (
                "A worker ended suddenly, perhaps for lack of memory: run the batch again with "
                "fewer workers (in a script, below 'if __name__ == \"__main__\":')."
            )
            outcome = Outcome(failures={"": reason})
        yield futures[future], outcome


@contextmanager
def _dask_client(address: str) -> Iterator[Any]:
    try:
        from dask.distributed import Client, Security
        from distributed.core import connect
        from distributed.utils import LoopRunner
    except ImportError as error:
        raise BatchError(
            "A scheduler needs the extra 'distributed': "
            "pip install 'napari-chromocluster[distributed]'."
        ) from error
    try:
        # A client that finds no scheduler complains once more when it is thrown away, so
        # it is made only where one answers.
        safety = Security().get_connection_args("client")
        LoopRunner().run_sync(_knock, connect, address, safety)
        client = Client(address, set_as_default=False, timeout=_PATIENCE)
    except (OSError, ValueError) as error:
        raise BatchError(f"There is no dask scheduler at {address}: start one first.") from error
    with client:
        if not client.scheduler_info()["workers"]:
            raise BatchError(f"The dask scheduler at {address} has no worker: start some first.")
        yield client


async def _knock(connect: Any, address: str, safety: dict[str, Any]) -> None:
    """Connect to an address and leave again."""
    comm = await connect(address, timeout=_PATIENCE, **safety)
    await comm.close()


def _on_cluster(client: Any, jobs: list[Job]) -> Iterator[tuple[Job, Outcome]]:
    from dask.distributed import as_completed as dask_completed

    futures = {client.submit(classify_job, job, pure=False): job for job in jobs}
    with _told_without_workers(client):
        try:
            for future in dask_completed(list(futures), loop=client.loop):
                error = future.exception()
                if error is None:
                    outcome = future.result()
                else:
                    outcome = Outcome(failures={"": sentence(error)})
                yield futures[future], outcome
        except (CancelledError, asyncio.CancelledError, OSError, TimeoutError) as error:
            raise BatchError(
                "The connection to the dask scheduler was lost: run the same command again to go "
                "on, once it is back."
            ) from error


@contextmanager
def _told_without_workers(client: Any) -> Iterator[None]:
    """Say so where a cluster has no worker for a while: it waits, and nothing would happen."""
    done = threading.Event()

    def watch() -> None:
        since = time.monotonic()
        told = False
        while not done.wait(_EVERY):
            try:
                there = bool(client.scheduler_info()["workers"])
            except Exception:  # it is closing, or has lost its scheduler, which is told elsewhere
                continue
            if there:
                since, told = time.monotonic(), False
            elif not told and time.monotonic() - since > _WITHOUT_WORKERS:
                told = True
                _LOG.warning(
                    "The dask scheduler has no worker any more: start some, and the batch goes on."
                )

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
