"""Run the files of a batch on a dask cluster."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import Any

from napari_chromocluster.batch.files import BatchError
from napari_chromocluster.batch.jobs import (
    ENDED,
    TRIES,
    Job,
    Outcome,
    classify_job,
    error_message,
    keep_memory_while_busy,
)

_LOG = logging.getLogger(__name__)
#: Seconds to wait for an answer from a dask scheduler.
_PATIENCE = 10
#: Seconds between checks for workers of a cluster, and seconds without any before a warning.
_EVERY, _WITHOUT_WORKERS = 2.0, 20.0
#: Maximum number of submissions of a file if the cluster reports that it killed too many workers.
_SUBMISSIONS = 4
#: Maximum number of files that a scheduler holds at a time: its memory grows with each.
_AT_ONCE = 5000


@contextmanager
def dask_client(address: str) -> Iterator[Any]:
    """Yield a client of a dask scheduler that answers and has workers."""
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
        return Outcome(failures={"": ENDED if _killed_workers(error) else error_message(error)})


def _killed_workers(error: BaseException | None) -> bool:
    """Return whether dask gave up on a job because it killed its workers."""
    from distributed import KilledWorker

    return isinstance(error, KilledWorker)


def work_on_cluster(work: Callable[[Job], Outcome], job: Job, batch: str) -> Outcome:
    """Run a job, unless it has killed two workers; runs on workers.

    dask itself would retry it on one worker after another, and blame all files queued there. Each
    attempt therefore adds a byte to a file, which is deleted when the job ends.
    """
    keep_memory_while_busy()
    mark = _mark_of(job, batch)
    try:
        with mark.open("ab+") as stream:
            stream.seek(0)
            if len(stream.read()) >= TRIES:
                return Outcome(failures={"": ENDED})
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
