"""Training in a separate process that outlives the viewer."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil

from napari_chromocluster.training.runs import process_lock
from napari_chromocluster.training.runs.run_folder import RUNNING, Run, RunError

#: Children of this process by PID, kept so that they can be waited for when they end.
_CHILDREN: dict[int, subprocess.Popen[bytes]] = {}
#: Seconds before a training run that was asked to stop is terminated: it still has to calibrate
#: and save the best model.
GRACE = 120.0
_MODULE = "napari_chromocluster.training"


def python_executable() -> str:
    """Return the Python executable, also of a bundled application.

    Raises
    ------
    RunError
        If no executable is found.
    """
    found = [sys.executable, getattr(sys, "_base_executable", "")]
    folder = Path(sys.exec_prefix)
    found += [str(folder / "bin" / "python3"), str(folder / "python.exe")]
    for name in found:
        if name and Path(name).stem.lower().startswith("python") and Path(name).is_file():
            return name
    raise RunError(
        "No Python was found to train with: start napari from a terminal, or train with "
        "'chromocluster train'."
    )


def start(
    run: Run, *, resume: bool = False, find_rates: int | None = None, module: str = _MODULE
) -> int:
    """Start the training of a run folder in a separate process.

    Parameters
    ----------
    run : Run
        The run folder.
    resume : bool
        Continue from the last checkpoint.
    find_rates : int, optional
        Find a learning rate for this stage instead of training.
    module : str
        The module to run on the folder.

    Returns
    -------
    int
        PID of the process.

    Raises
    ------
    RunError
        If the training is already running, finished, or cannot be started.
    """
    if resume:
        run.check_resumable()
    elif run.state() == RUNNING:
        raise RunError("This training is already running: attach to it instead.")
    command = [python_executable(), "-m", module, str(run.folder)]
    if resume:
        command.append("--resume")
    if find_rates is not None:
        command += ["--find-rates", str(find_rates)]
    try:
        run.clear_stop()
        with run.log_path.open("ab") as log:
            child = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **_detached()
            )
        process_lock.mark(run.pid_path, child.pid)
    except OSError as error:
        raise RunError(
            f"The training could not be started ({error.strerror}): check the free space and "
            f"permissions of {run.folder}."
        ) from error
    _reap()
    _CHILDREN[child.pid] = child
    return child.pid


def is_helper() -> bool:
    """Whether this process was started by Lightning for a further device or machine."""
    names = ["LOCAL_RANK", "NODE_RANK", "GROUP_RANK"]
    if os.environ.get("SLURM_NTASKS", "1") != "1":  # Slurm started all processes itself
        names.append("SLURM_PROCID")
    return any(os.environ.get(name, "0") not in ("", "0") for name in names)


def _detached() -> dict[str, Any]:
    """Return Popen arguments for a child that survives napari and its terminal."""
    if sys.platform == "win32":
        flags = subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW
        return {"creationflags": flags | subprocess.BELOW_NORMAL_PRIORITY_CLASS}
    return {"start_new_session": True}


def _reap() -> None:
    """Forget children that have ended."""
    for pid in [pid for pid, child in _CHILDREN.items() if child.poll() is not None]:
        del _CHILDREN[pid]


def stop(run: Run, grace: float = GRACE) -> None:
    """Stop a training run by its stop file, and terminate it after ``grace`` seconds.

    The best epoch so far is kept either way, in the model file or in the
    checkpoints.
    """
    run.request_stop()
    _reap()
    until = time.monotonic() + grace
    while run.process_alive() and time.monotonic() < until:
        time.sleep(0.1)
    terminate(run)


def terminate(run: Run) -> None:
    """Terminate the process of a run and its children now; its last checkpoint is kept."""
    process = process_lock.local_process(run.pid_path)
    if process is None or process.pid == os.getpid():
        return
    try:
        family = [*process.children(recursive=True), process]
    except psutil.Error:
        return
    for one in family:
        try:
            one.terminate()
        except psutil.Error:
            continue
