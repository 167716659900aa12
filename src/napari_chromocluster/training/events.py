"""The events of a run, one JSON object a line: written whole, read bit by bit."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

#: Bytes read at once: about a thousand events, some milliseconds of work.
_CHUNK = 1 << 18
#: Bytes at the end of the file in which the last turn of a run is looked for.
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
        if written < len(line):  # a full disk takes a part without a word
            os.write(number, line[written:])
    finally:
        os.close(number)


def mend(path: Path) -> None:
    """End a line that a crash has torn, so that the next event gets one of its own."""
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
    """Return the events of whole lines; torn ones are passed over."""
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
    """Return the last event of some kinds, looking at the end of the file only.

    A run that says nothing of the kind there is in the middle of its work:
    that gives an empty event.  None stands for no events at all.
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
    """Reads what is new in an event file, little enough at once for a main thread.

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
        """Return the next whole events; ``behind`` says whether there are more.

        Parameters
        ----------
        limit : int
            Bytes at most.
        """
        self.behind = False
        try:
            with self.path.open("rb") as stream:
                size = stream.seek(0, os.SEEK_END)
                if size < self._offset:  # another run took the place of this one
                    self._offset = 0
                stream.seek(self._offset)
                data = stream.read(limit)
        except OSError:
            return []
        whole = data.rfind(b"\n") + 1
        if whole == 0 and len(data) == limit:
            whole = limit  # no event is as long as this: what it is, it is not ours
        self._offset += whole
        self.behind = whole > 0 and self._offset < size
        return parse(data[:whole])
