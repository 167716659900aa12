"""Files whose processing kills a worker."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from napari_chromocluster.batch.jobs import Job, Outcome


def begin(workers: int) -> None:
    """Start a worker."""


def work(job: Job) -> Outcome:
    """Record each attempt in the folder; "bad" kills its process, "once" only the first time."""
    tries = Path(job.folder) / job.name
    with tries.open("a") as stream:
        stream.write(".")
    if job.name == "bad" or (job.name == "once" and tries.read_text() == "."):
        os.kill(os.getpid(), signal.SIGKILL)
    return Outcome((job.name,))
