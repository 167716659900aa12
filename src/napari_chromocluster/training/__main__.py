"""``python -m napari_chromocluster.training RUN [--resume]``: train the run folder."""

from __future__ import annotations

import os
import sys

from napari_chromocluster.training.run import Run
from napari_chromocluster.training.worker import work


def main(arguments: list[str]) -> int:
    """Train; 0 when it ended or was stopped, 1 when it failed."""
    if hasattr(os, "nice"):
        os.nice(10)  # the viewer comes first
    run = Run.open(arguments[0])
    try:
        work(run, resume="--resume" in arguments[1:])
    except Exception as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        raise
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
