"""Run the files of a batch in this process, in several processes, or on a dask cluster."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import logging
import multiprocessing
import os
import signal
import sys
import threading
import time
import uuid
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import (
    FIRST_COMPLETED,
    CancelledError,
    Future,
    ProcessPoolExecutor,
    wait,
)
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache, lru_cache
from itertools import count, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from napari_chromocluster.batch.files import BatchError, ResultFiles
from napari_chromocluster.batch.output_names import frame_name
from napari_chromocluster.batch.pipeline import classify_to_files, is_reviewed
from napari_chromocluster.child_process import end_with_parent
from napari_chromocluster.cluster_types import EXPECTED_CHROMOSOMES
from napari_chromocluster.imaging.files import is_full_disk
from napari_chromocluster.imaging.image_file import open_image
from napari_chromocluster.imaging.io import is_stack
from napari_chromocluster.imaging.normalization import Polarity
from napari_chromocluster.models.torch_setup import prepare_torch

if TYPE_CHECKING:
    from napari_chromocluster.models.classifier import ClusterClassifier

_LOG = logging.getLogger(__name__)
#: Seconds to wait for an answer from a dask scheduler.
_PATIENCE = 10
#: Seconds between checks for workers of a cluster, and seconds without any before a warning.
_EVERY, _WITHOUT_WORKERS = 2.0, 20.0
#: Number of attempts at a file before it is reported as killing its workers.
_TRIES = 2
#: Maximum number of submissions of a file if the cluster reports that it killed too many workers.
_SUBMISSIONS = 4
#: Maximum number of files that a scheduler holds at a time: its memory grows with each.
_AT_ONCE = 5000
#: Counts the files that this process has finished.
_FINISHED = count(1)
_ENDED = (
    "The worker ended suddenly both times that it did this file, perhaps for lack of memory: run "
    "the batch again with fewer workers, or crop the image."
)


@dataclass(frozen=True)
class Job:
    """One file of a batch, serializable for workers.

    Attributes
    ----------
    image, name, folder : str
        The file, the base name of its results, and their folder.
    model, device : str
        As in `load_model`.
    stamp : dict
        Values that must match for an earlier result to be valid.
    done : tuple of str
        Names of frames with valid earlier results.
    expected : int or None
        Chromosomes in a cell; None if unknown.
    channel, polarity, threshold, overlay, labels_as
        As in `open_image` and `classify_to_files`.
    """

    image: str
    name: str
    folder: str
    model: str
    device: str
    stamp: dict[str, Any] = field(default_factory=dict, hash=False)
    done: tuple[str, ...] = ()
    expected: int | None = EXPECTED_CHROMOSOMES
    channel: int | str | None = None
    polarity: Polarity = "auto"
    threshold: float | None = None
    overlay: bool = True
    labels_as: str | None = None


@dataclass(frozen=True)
class Outcome:
    """Result of one file.

    Attributes
    ----------
    frames : tuple of str
        Names of the frames that have results.
    kept : tuple of str
        Those of them that were not changed, because they contain human decisions.
    failures : dict of str to str
        Frame, such as ``frame 7``, counted from 1, to why it failed; "" is the whole file.
    notes : tuple of str
        Automatic choices when reading the file.
    familiarity : dict of str to float
        Familiarity of each frame, if known.
    """

    frames: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    failures: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    familiarity: dict[str, float] = field(default_factory=dict)


def classify_job(job: Job) -> Outcome:
    """Classify all frames of one file, each separately; runs on workers."""
    try:
        return _classify_frames(job)
    finally:
        _trim_memory()


def _trim_memory() -> None:
    """Free cycles in figures, and what glibc would keep: up to 1 MB more with each file."""
    if next(_FINISHED) % 10 == 0:
        gc.collect()
    if sys.platform == "linux":
        with suppress(AttributeError):  # another C library
            ctypes.CDLL(None).malloc_trim(0)


@cache
def _keep_memory_while_busy() -> None:
    """Let glibc keep freed memory until a file is done.

    dask sets MALLOC_TRIM_THRESHOLD_ for its workers, which costs three quarters more time.
    """
    if sys.platform == "linux":
        trim_threshold, mmap_threshold = -1, -3
        with suppress(AttributeError):  # another C library
            library = ctypes.CDLL(None)
            library.mallopt(trim_threshold, 1 << 28)
            library.mallopt(mmap_threshold, 1 << 25)


def _classify_frames(job: Job) -> Outcome:
    try:
        image = open_image(job.image, job.channel)
        classifier = cached_model(job.model, job.device)
    except Exception as error:
        # Any error: the other files are still processed.
        return Outcome(failures={"": error_message(error)})
    parts = {job.name: ("", image.pixels)}
    if is_stack(image.pixels):
        parts = {
            frame_name(job.name, number): (f"frame {number + 1}", frame)
            for number, frame in enumerate(image.pixels)
        }
    frames, kept, failures, familiarity = [], [], {}, {}
    for name, (part, frame) in parts.items():
        try:
            if name not in job.done:
                if is_reviewed(ResultFiles.of(job.folder, name)):
                    kept.append(name)
                else:
                    done = classify_to_files(
                        frame, name, job.folder, classifier, expected=job.expected,
                        threshold=job.threshold, polarity=job.polarity,
                        pixel_size=image.pixel_size, overlay=job.overlay,
                        labels_as=job.labels_as,
                    )  # fmt: skip
                    if done.familiarity is not None:
                        familiarity[name] = done.familiarity
            frames.append(name)
        except Exception as error:  # the other frames are still processed
            failures[part] = error_message(error)
    return Outcome(tuple(frames), tuple(kept), failures, image.notes, familiarity)


def error_message(error: BaseException) -> str:
    """Describe an error in one sentence."""
    if is_full_disk(error):
        return "The disk is full: free some space and run the same command again."
    if isinstance(error, MemoryError):
        return "The memory is too small for this image: use fewer workers, or crop it."
    return " ".join(str(error).split()) or type(error).__name__


def cached_model(model: str, device: str) -> ClusterClassifier:
    """Load a model, or return the one that this process loaded before."""
    from napari_chromocluster.models.registry import resolve_model

    path = resolve_model(model)
    return _load(str(path), path.stat().st_mtime_ns if path.exists() else 0, device)


@lru_cache(maxsize=2)
def _load(path: str, changed: int, device: str) -> ClusterClassifier:
    prepare_torch()
    from napari_chromocluster.models.classifier import load_model

    return load_model(path, device)


class Runner(Protocol):
    """Interface of the classes that run the jobs of a batch."""

    def run(self, jobs: list[Job]) -> Iterator[tuple[Job, Outcome]]:
        """Yield each job with its outcome, as it completes."""

    def finish(self) -> Iterator[tuple[Job, Outcome]]:
        """After an interruption, start no more jobs and yield the finished ones."""


@contextmanager
def runner(scheduler: str | None, workers: int) -> Iterator[Runner]:
    """Yield a runner for this process, several processes, or a dask cluster."""
    if scheduler is not None:
        with _dask_client(scheduler) as client:
            yield ClusterRunner(client)
    elif workers <= 1:
        yield SerialRunner()
    else:
        processes = ProcessRunner(workers)
        try:
            yield processes
        finally:
            processes.close()


class SerialRunner:
    """Run one job after another in this process."""

    def run(self, jobs: list[Job]) -> Iterator[tuple[Job, Outcome]]:
        """Run the jobs in their order."""
        for job in jobs:
            yield job, classify_job(job)

    def finish(self) -> Iterator[tuple[Job, Outcome]]:
        """Yield nothing: the job that was interrupted is not done."""
        return iter(())


def _begin(workers: int) -> None:
    """Keep a worker from outliving the batch, and from using all cores."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent()
    prepare_torch()
    import torch

    torch.set_num_threads(max(1, (os.cpu_count() or 1) // workers))


@contextmanager
def _deaf_children() -> Iterator[None]:
    """Make processes started here ignore Ctrl+C, which the parent handles."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may set signal handlers
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


class ProcessRunner:
    """Run jobs in several processes, each in a separate pool.

    A killed process thus loses only its own job, which is tried once more in a new one.

    Parameters
    ----------
    workers : int
        Maximum number of processes.
    work : callable
        Run in a process with a job.
    begin : callable
        Run in each process first, with the number of workers.
    """

    def __init__(
        self,
        workers: int,
        work: Callable[[Job], Outcome] = classify_job,
        begin: Callable[[int], None] = _begin,
    ) -> None:
        self._workers, self._work, self._begin = workers, work, begin
        self._idle: list[_Process] = []
        self._running: dict[Future[Outcome], tuple[_Process, Job]] = {}
        self._any_started = False

    def run(self, jobs: list[Job]) -> Iterator[tuple[Job, Outcome]]:
        """Keep all processes busy."""
        waiting = deque(jobs)
        begun: dict[Job, int] = {}
        while waiting or self._running:
            while waiting and len(self._running) < self._workers:
                job = waiting.popleft()
                begun[job] = begun.get(job, 0) + 1
                self._start(job)
            for job, outcome in self._done():
                if outcome is not None:
                    yield job, outcome
                elif begun[job] < _TRIES:
                    waiting.append(job)
                else:
                    yield job, Outcome(failures={"": _ENDED})

    def finish(self) -> Iterator[tuple[Job, Outcome]]:
        """Wait for the running jobs."""
        while self._running:
            for job, outcome in self._done():
                if outcome is not None:
                    yield job, outcome

    def close(self) -> None:
        """End the processes after their current jobs."""
        for process in [*self._idle, *(one for one, _ in self._running.values())]:
            process.pool.shutdown(wait=True, cancel_futures=True)

    def _start(self, job: Job) -> None:
        """Submit a job to an idle process that is still alive, or to a new one."""
        while True:
            process = self._idle.pop() if self._idle else self._new_process()
            try:
                self._running[process.pool.submit(self._work, job)] = process, job
                return
            except BrokenProcessPool:
                process.pool.shutdown()

    def _new_process(self) -> _Process:
        # Fork is not safe once torch has started its threads.
        pool = ProcessPoolExecutor(
            1, multiprocessing.get_context("spawn"), self._begin, (self._workers,)
        )
        with _deaf_children():  # a pool starts its process with the first task
            return _Process(pool, pool.submit(os.getpid))

    def _done(self) -> Iterator[tuple[Job, Outcome | None]]:
        """Wait for jobs and yield them with their outcome, or None if the process was killed."""
        for future in wait(self._running, return_when=FIRST_COMPLETED).done:
            process, job = self._running[future]
            self._any_started |= process.started.exception() is None
            try:
                outcome = future.result()
            except BrokenProcessPool:
                outcome = None
            if not self._any_started:
                raise BatchError(
                    "The workers cannot be started: in a script, call run_batch below "
                    "'if __name__ == \"__main__\":'."
                )
            yield job, outcome
            # Remove it only now, so that `finish` yields it again after an interruption.
            del self._running[future]
            if outcome is None:
                process.pool.shutdown()
            else:
                self._idle.append(process)


@dataclass(frozen=True)
class _Process:
    """A pool of one process, and a first task that shows whether it started."""

    pool: ProcessPoolExecutor
    started: Future[int]


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
        # A client without a scheduler logs another error when it is deleted, so create it only
        # if a scheduler answers.
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
    """Connect to an address and disconnect."""
    comm = await connect(address, timeout=_PATIENCE, **safety)
    await comm.close()


class ClusterRunner:
    """Run jobs on a dask cluster.

    Parameters
    ----------
    client : dask.distributed.Client
        Connected to the scheduler.
    work : callable
        Run on a worker with a job.
    """

    def __init__(self, client: Any, work: Callable[[Job], Outcome] = classify_job) -> None:
        self._client, self._work = client, work
        self._batch = uuid.uuid4().hex[:8]
        self._futures: dict[Any, Job] = {}

    def run(self, jobs: list[Job]) -> Iterator[tuple[Job, Outcome]]:
        """Keep a limited number of jobs submitted, and yield them as they complete."""
        from dask.distributed import as_completed

        waiting = iter(jobs)
        submitted: Counter[Job] = Counter()

        def submit(jobs: Iterable[Job]) -> list[Any]:
            submitted.update(jobs := list(jobs))
            return [self._submit(job) for job in jobs]

        with _warn_without_workers(self._client):
            try:
                completed = as_completed(submit(islice(waiting, _AT_ONCE)), loop=self._client.loop)
                for future in completed:
                    job = self._futures[future]
                    error = future.exception()
                    if _killed_workers(error) and submitted[job] < _SUBMISSIONS:
                        # It may have waited on a worker killed by another file.
                        completed.update(submit([job]))
                    else:
                        completed.update(submit(islice(waiting, 1)))
                        yield job, self._outcome(future, error)
                    del self._futures[future]
            except (CancelledError, asyncio.CancelledError, OSError, TimeoutError) as error:
                raise BatchError(
                    "The connection to the dask scheduler was lost: run the same command again to "
                    "continue, once it is back."
                ) from error

    def finish(self) -> Iterator[tuple[Job, Outcome]]:
        """Yield finished jobs; running ones have to be repeated."""
        done = [future for future in self._futures if future.status == "finished"]
        self._client.cancel([future for future in self._futures if future not in done])
        for future in done:
            yield self._futures[future], future.result()

    def _submit(self, job: Job) -> Any:
        future = self._client.submit(work_on_cluster, self._work, job, self._batch, pure=False)
        self._futures[future] = job
        return future

    def _outcome(self, future: Any, error: BaseException | None) -> Outcome:
        _mark_of(self._futures[future], self._batch).unlink(missing_ok=True)
        if error is None:
            outcome: Outcome = future.result()
            return outcome
        return Outcome(failures={"": _ENDED if _killed_workers(error) else error_message(error)})


def _killed_workers(error: BaseException | None) -> bool:
    """Return whether dask gave up on a job because it killed its workers."""
    from distributed import KilledWorker

    return isinstance(error, KilledWorker)


def work_on_cluster(work: Callable[[Job], Outcome], job: Job, batch: str) -> Outcome:
    """Run a job, unless it has killed two workers; runs on workers.

    dask itself would retry it on one worker after another, and blame all files queued there. Each
    attempt therefore adds a byte to a file, which is deleted when the job ends.
    """
    _keep_memory_while_busy()
    mark = _mark_of(job, batch)
    try:
        with mark.open("ab+") as stream:
            stream.seek(0)
            if len(stream.read()) >= _TRIES:
                return Outcome(failures={"": _ENDED})
            stream.write(b".")
    except OSError:
        pass  # the job itself reports problems with the folder
    try:
        return work(job)
    finally:
        with suppress(OSError):
            mark.unlink(missing_ok=True)


def _mark_of(job: Job, batch: str) -> Path:
    return Path(job.folder) / f".{job.name}-{batch}.begun"


@contextmanager
def _warn_without_workers(client: Any) -> Iterator[None]:
    """Log a warning if a cluster has no worker for a while: the batch would wait silently."""
    done = threading.Event()

    def watch() -> None:
        since = time.monotonic()
        warned = False
        while not done.wait(_EVERY):
            try:
                there = bool(client.scheduler_info()["workers"])
            except Exception:  # closing, or the scheduler was lost, which is reported elsewhere
                continue
            if there:
                since, warned = time.monotonic(), False
            elif not warned and time.monotonic() - since > _WITHOUT_WORKERS:
                warned = True
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
