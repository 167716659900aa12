"""Run the benchmarks of speed, and write their tables into docs/performance.md.

Each runs in a process of its own, one after the other; nothing else should run meanwhile::

    python benchmarks/performance.py ../shared/data
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

FOLDER = Path(__file__).parent
TARGET = FOLDER.parent / "docs" / "performance.md"
#: Title, script, arguments ({data} is the folder of the shared data).
PARTS = (
    ("A metaphase beside the paper's pipeline", "pipeline.py", "{data}"),
    ("Crops by number of regions and of pixels", "regions.py", ""),
    ("Start", "start.py", "{data}/gband_metaphases/images/1056702.jpg"),
    ("Training beside a plain PyTorch loop", "training_speed.py", ""),
    ("Beside a classical feature classifier", "baseline.py", "{data}"),
    ("Main thread while the Classify dock works, ms", "blocking.py",
     "{data}/gband_metaphases/images/1056702.jpg"),
    ("Review of 60 and of 5000 regions, ms", "review.py", ""),
)  # fmt: skip
#: The section that is written by hand and kept.
AIMS = "## Aims not met"
HEAD = """# Performance

Written by `make benchmark` (`python benchmarks/performance.py ../shared/data`). Seconds depend on
the machine and on what else it does; compare the ratios. Each table is one run of the command
above it.

"""


def run(script: str, arguments: str) -> str:
    """Return what a benchmark prints; tables that are not Markdown are shown as they are."""
    command = [sys.executable, str(FOLDER / script), *arguments.split()]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    text = done.stdout.strip()
    return text if "|---" in text or text.startswith("- ") else f"```\n{text}\n```"


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    options = parser.parse_args()
    packages = ", ".join(f"{name} {version(name)}" for name in ("torch", "numpy", "napari"))
    text = (
        HEAD + f"Python {platform.python_version()}, {packages}, {os.cpu_count()} cores, no GPU.\n"
    )
    old = TARGET.read_text(encoding="utf-8") if TARGET.exists() else ""
    aims = old[old.find(AIMS) :] if AIMS in old else ""
    for title, script, arguments in PARTS:
        print(title, flush=True)
        shown = arguments.format(data="../shared/data")
        text += f"\n## {title}\n\n`python benchmarks/{script} {shown}`".rstrip(" `") + "`\n\n"
        text += run(script, arguments.format(data=options.data)) + "\n"
        temporary = TARGET.with_suffix(".tmp")
        temporary.write_text(f"{text}\n{aims}" if aims else text, encoding="utf-8")
        temporary.replace(TARGET)


if __name__ == "__main__":
    main()
