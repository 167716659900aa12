"""Closing napari at any moment of any work: the process ends, and nothing decided is lost."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from napari_chromocluster.viewer.review.autosave import find_saved, image_hash, load_saved
from review_dock import MADE

SCRIPT = Path(__file__).with_name("closing_process.py")
SUPPORT = Path(__file__).parents[1] / "support"
#: Seconds from closing the window to the end of the process, on a machine that is not busy.
LIMIT = 3.0
KINDS = ("load", "find", "classify", "explain", "save", "count")


def close_during(folder: Path, kind: str, moment: str) -> None:
    folder.mkdir()
    environment = {**os.environ, "NAPARI_CONFIG": "", "PYTHONPATH": str(SUPPORT)}
    process = subprocess.Popen(
        [sys.executable, "-X", "faulthandler", str(SCRIPT), str(folder), kind, moment],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
    )  # fmt: skip
    try:
        line = process.stdout.readline()
        assert line, process.stderr.read()[-3000:]
        said = json.loads(line)
        busy = max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
        _, said = process.communicate(timeout=20 * LIMIT)
        passed = time.time() - said["closed"]
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0, (kind, moment, said[-3000:])
    assert passed < LIMIT * busy, (kind, moment, passed, busy)
    saved = load_saved(find_saved([folder / "own"], image_hash(MADE.image)))
    row = saved.table.set_index("index").loc[said["label"]]
    assert (row["cluster_type"], row["source"]) == ("other", "human")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "moment"),
    [("classify", "0.7"), ("classify", "end"), ("explain", "0.4"), ("load", "0.1")],
)
def test_napari_ends_when_it_is_closed_during_work(tmp_path, kind, moment):
    close_during(tmp_path / "own", kind, moment)


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_napari_ends_at_fifty_moments(tmp_path):
    moments = random.Random(0)
    for number in range(50):
        kind = KINDS[number % len(KINDS)]
        ends = kind in ("find", "classify", "explain") and moments.random() < 0.3
        moment = "end" if ends else f"{moments.uniform(0.0, 3.0):.3f}"
        close_during(tmp_path / str(number), kind, moment)
