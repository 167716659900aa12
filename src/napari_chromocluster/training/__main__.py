"""``python -m napari_chromocluster.training RUN [--resume | --find-rates STAGE]``."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from typing import Any

import psutil


def main(arguments: list[str]) -> int:
    """Train the run folder; return 0 when it finished or was stopped, 1 when it failed."""
    _stay_in_the_background()
    # Exit through an exception, so that the interruption is recorded in the run folder.
    signal.signal(signal.SIGTERM, _exit_on_signal)
    from napari_chromocluster.training.runs.run_folder import Run

    run = Run.open(arguments[0])
    if "--find-rates" in arguments[1:]:
        from napari_chromocluster.training.runs.worker import find_rates_of

        find_rates_of(run, int(arguments[arguments.index("--find-rates") + 1]))
        return 0
    from napari_chromocluster.training.runs.worker import run_training

    run_training(run, resume="--resume" in arguments[1:])
    return 0


def _stay_in_the_background() -> None:
    """Lower the priority and leave one core free for the viewer."""
    with contextlib.suppress(psutil.Error, OSError):
        process = psutil.Process()
        process.nice(psutil.BELOW_NORMAL_PRIORITY_CLASS if sys.platform == "win32" else 19)
    spare = max(1, (os.cpu_count() or 2) - 1)
    os.environ.setdefault("OMP_NUM_THREADS", str(spare))
    os.environ.setdefault("MKL_NUM_THREADS", str(spare))
    # Waiting threads release their core instead of busy-waiting.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("KMP_BLOCKTIME", "0")


def _exit_on_signal(number: int, frame: Any) -> None:
    sys.exit(128 + number)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
