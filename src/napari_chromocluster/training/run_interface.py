"""What preparing data and training need of a run folder: events, files, and requests to stop."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Protocol

from napari_chromocluster.progress import Cancelled, Progress


class RunLike(Protocol):
    """The part of `runs.run_folder.Run` that the preparation of data and the training loop use."""

    @property
    def checkpoint_folder(self) -> Path:
        """Where checkpoints go."""
        ...

    @property
    def model_path(self) -> Path:
        """Where the trained model goes."""
        ...

    def emit(self, event: dict[str, Any]) -> None:
        """Append one event."""
        ...

    def should_stop(self) -> bool:
        """Whether the user asked to stop."""
        ...


def reporter(run: RunLike, what: str) -> Progress:
    """Return a progress callback that writes events and raises Cancelled if the user stopped."""
    last = [0.0]

    def report(done: int, total: int) -> None:
        if run.should_stop():
            raise Cancelled("The training was stopped while it read the data.")
        if time.monotonic() - last[0] > 0.5:
            last[0] = time.monotonic()
            run.emit({"kind": "prepare", "what": what, "done": done, "total": total})

    return report
