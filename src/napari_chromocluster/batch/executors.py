"""Run the files of a batch in this process, in several processes, or on a dask cluster."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import (
    FIRST_COMPLETED,
    Future,
    ProcessPoolExecutor,
    wait,
)
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from napari_chromocluster.batch.dask_cluster import ClusterRunner, dask_client
from napari_chromocluster.batch.files import BatchError
from napari_chromocluster.batch.jobs import (
    ENDED,
    TRIES,
    Job,
    Outcome,
    classify_job,
)
from napari_chromocluster.child_process import end_with_parent
from napari_chromocluster.models.torch_setup import prepare_torch


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
        with dask_client(scheduler) as client:
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
                elif begun[job] < TRIES:
                    waiting.append(job)
                else:
                    yield job, Outcome(failures={"": ENDED})

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
