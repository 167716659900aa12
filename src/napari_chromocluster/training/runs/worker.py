"""The work of a training process: run the loop and record how it ended."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import torch

from napari_chromocluster.imaging.files import is_full_disk
from napari_chromocluster.progress import Cancelled
from napari_chromocluster.training.fit.lr_finder import RateFinding, find_rates
from napari_chromocluster.training.fit.trainer import fit
from napari_chromocluster.training.runs import process_lock
from napari_chromocluster.training.runs.cross_validation import train_folds
from napari_chromocluster.training.runs.process import is_helper
from napari_chromocluster.training.runs.report import write_report
from napari_chromocluster.training.runs.run_folder import FINISHED, RUNNING, Run, RunError

Result = TypeVar("Result")
#: Start of the message of an unexpected error.
UNEXPECTED = "The training ended with an error of the program"


class _Helper:
    """The run in a process that Lightning started for a further device; it writes no events."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def __getattr__(self, name: str) -> Any:
        return getattr(self._run, name)

    def emit(self, event: dict[str, Any]) -> None:
        """Do nothing."""


def run_training(run: Run, *, resume: bool = False) -> Path | None:
    """Train in this process and write the report.

    Parameters
    ----------
    run : Run
        The run folder.
    resume : bool
        Continue from the last checkpoint.

    Returns
    -------
    Path or None
        The model file; None if it was stopped before there was one.

    Raises
    ------
    RunError
        If another process already trains this run, or there is nothing left to resume.
    Exception
        Whatever ended the training, after an event with a one-sentence message.
    """
    if is_helper():
        return fit(run.config, _Helper(run), resume=resume)
    # `run_with_status` checks for a running training run: the mark may be that of this process.
    if resume and run.state() == FINISHED:
        run.check_resumable()
    path = run_with_status(run, lambda: _train(run, resume))
    if not run.should_stop():
        _free_checkpoints(run)
    return path


def _train(run: Run, resume: bool) -> Path:
    """Train the run, then its other folds, and write the report."""
    began = time.monotonic()
    path = fit(run.training_config(), run, resume=resume)
    train_folds(run)
    _report(run)
    seconds = round(time.monotonic() - began, 1)
    run.emit({"kind": "end", "model": path.name, "seconds": seconds, "stopped": run.should_stop()})
    return path


def run_with_status(run: Run, job: Callable[[], Result]) -> Result | None:
    """Run the job of a run folder, and record in the folder how it ended.

    Returns
    -------
    object or None
        The result of the job; None if it was stopped.

    Raises
    ------
    RunError
        If another process already works on this run.
    Exception
        Any error of the job.
    """
    # Progress is recorded in the run folder.
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    found = process_lock.local_process(run.pid_path)
    if run.state() == RUNNING and (found is None or found.pid != os.getpid()):
        raise RunError("This training is already running: attach to it instead.")
    try:
        run.clear_stop()
        process_lock.mark(run.pid_path)
        run.begin()
        _delete_temporary_files(run)
        return job()
    except Cancelled as stopped:
        run.emit_last({"kind": "stopped", "message": str(stopped)})
        return None
    except BaseException as error:
        event = {"kind": "error", "message": error_message(error), "type": type(error).__name__}
        run.emit_last(event)
        raise
    finally:
        run.reserve_path.unlink(missing_ok=True)
        run.pid_path.unlink(missing_ok=True)


def find_rates_of(run: Run, stage_number: int = -1) -> RateFinding | None:
    """Run a range test in a run folder and write it to the folder's event log."""

    def job() -> RateFinding:
        run.emit({"kind": "start", "preset": run.config.preset})

        def on_point(rate: float, loss: float) -> None:
            run.emit({"kind": "rate", "rate": rate, "loss": loss})

        found = find_rates(run.config, run, stage_number, on_point=on_point)
        run.emit({"kind": "end", "suggestion": found.suggestion})
        return found

    return run_with_status(run, job)


def _report(run: Run) -> None:
    """Write the report; as the model is already saved, a failure is only recorded."""
    try:
        run.emit({"kind": "report", "done": False})
        write_report(run)
        run.emit({"kind": "report", "done": True})
    except Exception as error:
        message = f"The model is saved, but its report could not be written: {error_message(error)}"
        run.emit_last({"kind": "report", "done": True, "message": message})


def _delete_temporary_files(run: Run) -> None:
    """Delete incomplete files of a killed process."""
    for folder in (run.folder, run.checkpoint_folder, run.report_folder):
        for path in folder.glob(".*-*.*"):
            if path.is_file():
                path.unlink(missing_ok=True)


def _free_checkpoints(run: Run) -> None:
    """Delete the checkpoints of a finished run: they can be many times the size of the model."""
    for pattern in ("*.ckpt", "stage*-done.json"):
        for path in run.checkpoint_folder.glob(pattern):
            path.unlink(missing_ok=True)


def error_message(error: BaseException) -> str:
    """Describe in one sentence what ended a training run and what to do."""
    text = str(error).strip()
    if is_full_disk(error) or "PytorchStreamWriter failed" in text:
        return "The disk is full: free some space and resume; the last finished epoch is kept."
    if isinstance(error, torch.cuda.OutOfMemoryError):
        return "The GPU has too little memory: choose a smaller batch or image size."
    if isinstance(error, MemoryError) or "can't allocate memory" in text:
        return "The memory is full: choose a smaller batch or image size, or fewer clusters."
    if isinstance(error, (KeyboardInterrupt, SystemExit)):
        return "The training was interrupted: resume it to continue from the last finished epoch."
    line = text.splitlines()[0] if text else "no details"
    if isinstance(error, (ValueError, OSError, FloatingPointError)):
        return line
    # Not the user's fault: give the details for a bug report.
    return f"{UNEXPECTED} ({type(error).__name__}: {line}): please report it as a bug."
