"""A training in a process of its own, which outlives the viewer that started it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

from napari_chromocluster.training.run import RUNNING, Run, RunError

#: Children of this process by number: kept so that they are waited for when they end.
_CHILDREN: dict[int, subprocess.Popen[bytes]] = {}
#: Seconds that a training has to stop by itself before it is terminated.
GRACE = 30.0


def start(run: Run, *, resume: bool = False) -> int:
    """Start the training of a run folder in its own process.

    Parameters
    ----------
    run : Run
        The run folder.
    resume : bool
        Go on from the last checkpoint.

    Returns
    -------
    int
        Number of the process.

    Raises
    ------
    RunError
        If it is running already.
    """
    if run.state() == RUNNING:
        raise RunError("This training is running already: attach to it instead.")
    run.clear_stop()
    command = [sys.executable, "-m", "napari_chromocluster.training", str(run.folder)]
    if resume:
        command.append("--resume")
    with run.log_path.open("ab") as log:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            # Its own session: closing napari or its terminal does not end the training.
            start_new_session=True,
        )
    run.pid_path.write_text(str(child.pid))
    _reap()
    _CHILDREN[child.pid] = child
    return child.pid


def _reap() -> None:
    """Forget children that have ended."""
    for pid in [pid for pid, child in _CHILDREN.items() if child.poll() is not None]:
        del _CHILDREN[pid]


def stop(run: Run, grace: float = GRACE) -> None:
    """Stop a training and wait: first by its stop file, then by force.

    The best epoch so far is kept either way.
    """
    run.request_stop()
    _reap()
    until = time.monotonic() + grace
    while run.process_alive() and time.monotonic() < until:
        time.sleep(0.1)
    terminate(run)


def terminate(run: Run) -> None:
    """End the process of a run now; its last checkpoint is kept."""
    try:
        pid = int(run.pid_path.read_text())
    except (OSError, ValueError):
        return
    if run.process_alive():
        os.kill(pid, signal.SIGTERM)
