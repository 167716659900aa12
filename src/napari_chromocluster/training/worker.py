"""The work of one training process: run the loop, turn every end into an event."""

from __future__ import annotations

import os
from pathlib import Path

import torch

from napari_chromocluster.training.loop import Stopped, fit
from napari_chromocluster.training.run import Run

#: What the system says when the disk is full.
_NO_SPACE = 28


def work(run: Run, *, resume: bool = False) -> Path | None:
    """Train in this process.

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
    Exception
        Whatever ended the training, after an event that says it in one sentence.
    """
    run.clear_stop()
    run.pid_path.write_text(str(os.getpid()))
    try:
        path = fit(run.config, run, resume=resume)
    except Stopped as stopped:
        run.emit({"kind": "stopped", "message": str(stopped)})
        return None
    except BaseException as error:
        run.emit({"kind": "error", "message": sentence(error), "type": type(error).__name__})
        raise
    finally:
        run.pid_path.unlink(missing_ok=True)
    return path


def sentence(error: BaseException) -> str:
    """Say in one sentence what ended a training and what to do."""
    if isinstance(error, OSError) and error.errno == _NO_SPACE:
        return "The disk is full: free some space and resume; the last checkpoint is kept."
    if isinstance(error, torch.cuda.OutOfMemoryError):
        return "The GPU has too little memory: choose a smaller batch or image size."
    if isinstance(error, MemoryError):
        return "The memory is full: choose fewer composed clusters or a smaller image size."
    if isinstance(error, (KeyboardInterrupt, SystemExit)):
        return "The training was interrupted: resume it to go on from the last checkpoint."
    text = str(error).strip().splitlines()
    return text[0] if text else type(error).__name__
