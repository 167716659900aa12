"""The event log of a run: one JSON object per line, appended atomically, read incrementally."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

#: Bytes read at once: about a thousand events, a few milliseconds of work.
_CHUNK = 1 << 18
#: Bytes at the end of the file that are searched for the last change of state.
_TAIL = 1 << 16


def append(path: Path, event: dict[str, Any]) -> None:
    """Append one event, with the time, in a single write.

    Raises
    ------
    OSError
        If the disk is full or the folder is gone.
    """
    line = json.dumps({"time": round(time.time(), 3), **event}).encode() + b"\n"
    number = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        written = os.write(number, line)
        if written < len(line):  # on a full disk, a partial write raises no error
            os.write(number, line[written:])
    finally:
        os.close(number)


def repair(path: Path) -> None:
    """Terminate a truncated line after a crash, so that the next event starts on a new line."""
    try:
        with path.open("rb+") as stream:
            if stream.seek(0, os.SEEK_END) == 0:
                return
            stream.seek(-1, os.SEEK_END)
            if stream.read(1) != b"\n":
                stream.write(b"\n")
    except FileNotFoundError:
        return


def parse(data: bytes) -> list[dict[str, Any]]:
    """Return the events of complete lines; skip invalid ones."""
    found = []
    for line in data.splitlines():
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if isinstance(event, dict):
            found.append(event)
    return found


def last_of(path: Path, kinds: tuple[str, ...]) -> dict[str, Any] | None:
    """Return the last event of the given kinds, reading only the end of the file.

    If the end of a long file has none, the run is in progress: the result is an
    empty event.  None means that there are no such events.
    """
    try:
        with path.open("rb") as stream:
            size = stream.seek(0, os.SEEK_END)
            stream.seek(max(0, size - _TAIL))
            data = stream.read()
    except OSError:
        return None
    events = [event for event in parse(data) if event.get("kind") in kinds]
    if events:
        return events[-1]
    return {} if size > _TAIL else None


class EventReader:
    """Read new events in chunks small enough for the main thread.

    Parameters
    ----------
    path : Path
        The event file; it need not exist yet.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.behind = False
        self._offset = 0

    def read(self, limit: int = _CHUNK) -> list[dict[str, Any]]:
        """Return the next events from at most ``limit`` bytes; ``behind`` if there are more."""
        self.behind = False
        try:
            with self.path.open("rb") as stream:
                size = stream.seek(0, os.SEEK_END)
                if size < self._offset:  # the file was replaced by that of another run
                    self._offset = 0
                stream.seek(self._offset)
                data = stream.read(limit)
        except OSError:
            return []
        whole = data.rfind(b"\n") + 1
        if whole == 0 and len(data) == limit:
            whole = limit  # no event is this long: skip what is not ours
        self._offset += whole
        self.behind = whole > 0 and self._offset < size
        return parse(data[:whole])
