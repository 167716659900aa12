"""Check whether the process of a run is alive, identified by PID, start time and host.

The PID alone is not enough: the system reuses it after a crash or a reboot.
"""

from __future__ import annotations

import json
import os
import socket
import time
from pathlib import Path

import psutil

from napari_chromocluster.imaging.files import write_text_atomic

#: Seconds by which two readings of a process's start time may differ (the clock may be adjusted).
_CLOCK = 60.0
#: Seconds without an event after which a training run on another machine counts as dead.
_SILENCE = 300.0


def mark(path: Path, pid: int | None = None) -> None:
    """Record that a process (default: this one) works on a run."""
    number = os.getpid() if pid is None else pid
    try:
        started = psutil.Process(number).create_time()
    except psutil.Error:
        started = time.time()
    text = json.dumps({"pid": number, "started": started, "host": socket.gethostname()})
    write_text_atomic(path, text)


def read_mark(path: Path) -> tuple[int, float, str] | None:
    """Return PID, start time and host of the process that works on a run."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        return int(values["pid"]), float(values["started"]), str(values["host"])
    except (OSError, ValueError, TypeError, KeyError):
        return None


def local_process(path: Path) -> psutil.Process | None:
    """Return the process that works on a run, if it runs on this machine."""
    found = read_mark(path)
    if found is None or found[2] != socket.gethostname():
        return None
    try:
        process = psutil.Process(found[0])
        if abs(process.create_time() - found[1]) > _CLOCK:
            return None
        # A child that has ended keeps its PID until it is waited for.
        return None if process.status() == psutil.STATUS_ZOMBIE else process
    except psutil.Error:
        return None


def is_alive(path: Path, events: Path) -> bool:
    """Return whether the process is alive; on another machine, whether it wrote events lately."""
    found = read_mark(path)
    if found is None:
        return False
    if found[2] == socket.gethostname():
        return local_process(path) is not None
    try:
        return time.time() - events.stat().st_mtime < _SILENCE
    except OSError:
        return False
