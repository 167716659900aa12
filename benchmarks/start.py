"""Processor time of starting: each command with a wrong file, ``models``, and a first ``classify``.

Each is the least of some rounds in processes of their own, which alternate, in seconds of one
processor and in times that of ``chromocluster --help``; that of ``import torch``, which no
classification can do without, stands beside them::

    python benchmarks/start.py ../shared/data/gband_metaphases/images/1056702.jpg [--rounds 3]
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

_RUN = [sys.executable, "-m", "napari_chromocluster"]


def seconds(command: list[str], home: str) -> float:
    """Return the processor time of a command."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = {**os.environ, "CHROMOCLUSTER_HOME": home}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    subprocess.run(command, capture_output=True, check=False, env=environment)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("image", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        missing, out = str(Path(folder) / "missing.png"), str(Path(folder) / "out")
        commands = {
            "--help": [*_RUN, "--help"],
            "classify, wrong file": [*_RUN, "classify", missing, "-o", out],
            "segment, wrong file": [*_RUN, "segment", missing, "-o", out],
            "batch, wrong file": [*_RUN, "batch", missing, "-o", out],
            "train, wrong file": [*_RUN, "train", missing, "-o", out],
            "evaluate, wrong file": [*_RUN, "evaluate", missing],
            "demo, wrong file": [*_RUN, "demo", missing, "-o", out],
            "models, wrong file": [*_RUN, "models", missing],
            "models": [*_RUN, "models"],
            "import torch": [sys.executable, "-c", "import torch"],
            "segment PICTURE": [*_RUN, "segment", str(options.image), "-o", out],
            "classify PICTURE": [*_RUN, "classify", str(options.image), "-o", out],
        }
        least = dict.fromkeys(commands, float("inf"))
        for _ in range(options.rounds):
            for name, command in commands.items():
                least[name] = min(least[name], seconds(command, folder))
    print("| command | processor time, s | times `--help` |")
    print("|---|---|---|")
    for name, value in least.items():
        print(f"| {name} | {value:.2f} | {value / least['--help']:.1f} |")


if __name__ == "__main__":
    main()
