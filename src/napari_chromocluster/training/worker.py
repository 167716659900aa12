"""The work of one training process: run the loop, turn every end into an event."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import torch

from napari_chromocluster.imaging.io import is_full_disk
from napari_chromocluster.training import alive
from napari_chromocluster.training.callbacks import Stopped
from napari_chromocluster.training.folds import train_folds
from napari_chromocluster.training.loop import fit
from napari_chromocluster.training.report import write_report
from napari_chromocluster.training.run import FINISHED, RUNNING, Run, RunError

Result = TypeVar("Result")
#: Begins the sentence of an error that nobody foresaw.
UNEXPECTED = "The training ended with an error of the program"


class _Seen:
    """The run as a training sees it, where what is emitted goes another way."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def __getattr__(self, name: str) -> Any:
        return getattr(self._run, name)


class _Reporting(_Seen):
    """Trains the other folds and writes the report before it says that the training has ended."""

    def emit(self, event: dict[str, Any]) -> None:
        """Append one event."""
        if event["kind"] == "end":
            train_folds(self._run)
            _report(self._run)
            event = {**event, "stopped": self._run.should_stop()}
        self._run.emit(event)


class _Helper(_Seen):
    """The run as seen by a process that helps another with the same training.

    Lightning starts one process for each further device; only the first one
    writes events and says how it ended.
    """

    def emit(self, event: dict[str, Any]) -> None:
        """Say nothing."""


def is_helper() -> bool:
    """Whether this process was started by Lightning for a further device or machine."""
    names = ["LOCAL_RANK", "NODE_RANK", "GROUP_RANK"]
    if os.environ.get("SLURM_NTASKS", "1") != "1":  # Slurm started all processes itself
        names.append("SLURM_PROCID")
    return any(os.environ.get(name, "0") not in ("", "0") for name in names)


def work(run: Run, *, resume: bool = False) -> Path | None:
    """Train in this process and write the report.

    Parameters
    ----------
    run : Run
        The run folder.
    resume : bool
        Go on from the last checkpoint.

    Returns
    -------
    Path or None
        The model file; None if it was stopped before there was one.

    Raises
    ------
    RunError
        If another process trains this run already, or if there is nothing left to resume.
    Exception
        Whatever ended the training, after an event that says it in one sentence.
    """
    if is_helper():
        return fit(run.config, _Helper(run), resume=resume)
    # One that is running may be so by the mark of this very process: `guarded` tells.
    if resume and run.state() == FINISHED:
        run.check_resumable()
    path = guarded(run, lambda: fit(run.config, _Reporting(run), resume=resume))
    if not run.should_stop():
        _free_checkpoints(run)
    return path


def guarded(run: Run, job: Callable[[], Result]) -> Result | None:
    """Do the one job of a run folder, so that the folder always tells how it ended.

    Parameters
    ----------
    run : Run
        The run folder.
    job : callable
        The work.

    Returns
    -------
    object or None
        What the job gives; None if it was stopped.

    Raises
    ------
    RunError
        If another process works on this run already.
    Exception
        What the job raises.
    """
    # The run folder tells what is worth telling.
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    found = alive.local_process(run.pid_path)
    if run.state() == RUNNING and (found is None or found.pid != os.getpid()):
        raise RunError("This training is running already: attach to it instead.")
    try:
        run.clear_stop()
        alive.mark(run.pid_path)
        run.begin()
        _clear_torn(run)
        return job()
    except Stopped as stopped:
        run.emit_last({"kind": "stopped", "message": str(stopped)})
        return None
    except BaseException as error:
        event = {"kind": "error", "message": sentence(error), "type": type(error).__name__}
        run.emit_last(event)
        raise
    finally:
        run.reserve_path.unlink(missing_ok=True)
        run.pid_path.unlink(missing_ok=True)


def _report(run: Run) -> None:
    """Write the report; the model is there already, so a failure here is only told."""
    try:
        run.emit({"kind": "report", "done": False})
        write_report(run)
        run.emit({"kind": "report", "done": True})
    except Exception as error:
        message = f"The model is saved, but its report could not be written: {sentence(error)}"
        run.emit_last({"kind": "report", "done": True, "message": message})


def _clear_torn(run: Run) -> None:
    """Delete what a killed process left half written."""
    for folder in (run.folder, run.checkpoint_folder, run.report_folder):
        for path in folder.glob(".*-*.*"):
            if path.is_file():
                path.unlink(missing_ok=True)


def _free_checkpoints(run: Run) -> None:
    """Delete what only a resumed training needs: it can be many times the model's size."""
    for pattern in ("*.ckpt", "stage*-done.json"):
        for path in run.checkpoint_folder.glob(pattern):
            path.unlink(missing_ok=True)


def sentence(error: BaseException) -> str:
    """Say in one sentence what ended a training and what to do."""
    text = str(error).strip()
    if is_full_disk(error) or "PytorchStreamWriter failed" in text:
        return "The disk is full: free some space and resume; the last finished epoch is kept."
    if isinstance(error, torch.cuda.OutOfMemoryError):
        return "The GPU has too little memory: choose a smaller batch or image size."
    if isinstance(error, MemoryError) or "can't allocate memory" in text:
        return "The memory is full: choose a smaller batch or image size, or fewer clusters."
    if isinstance(error, (KeyboardInterrupt, SystemExit)):
        return "The training was interrupted: resume it to go on from the last finished epoch."
    line = text.splitlines()[0] if text else "no details"
    if isinstance(error, (ValueError, OSError, FloatingPointError)):
        return line
    # Nothing a user did: what to tell whoever can mend it.
    return f"{UNEXPECTED} ({type(error).__name__}: {line}): please report it as a fault."
