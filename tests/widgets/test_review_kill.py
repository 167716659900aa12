"""A whole review by keyboard in a process that is killed, and every correction recovered."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

SCRIPT = Path(__file__).with_name("review_process.py")


def run(folder: Path, what: str) -> tuple[dict, int]:
    environment = {**os.environ, "NAPARI_CONFIG": "", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, str(SCRIPT), str(folder), what],
        capture_output=True, text=True, timeout=240, env=environment, check=False,
    )  # fmt: skip
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    assert lines, done.stderr[-3000:]
    return json.loads(lines[-1]), done.returncode


def check(folder: Path) -> None:
    before, code = run(folder, "review")
    assert code == -9, "the process was killed"
    assert len(before["waiting"]) > 5
    assert set(before["waiting"]) - set(before["gone"]) <= set(before["human"])
    assert len(before["stale"]) == 1, "one was painted on after it was decided"
    assert "" in before["types"].values(), "one was split and waits for the model"
    after, code = run(folder, "look")
    assert code == 0
    assert after["types"] == before["types"]
    assert after["human"] == before["human"]
    assert after["stale"] == before["stale"]
    assert after["pixels"] == before["pixels"]
    assert "recovered" in after["banner"]
    # After a proper close: plain files, no journal, and the same content.
    assert not list(folder.glob("*.journal"))
    table = pd.read_csv(folder / "metaphase_regions.csv", keep_default_na=False)
    kinds = {str(n): k for n, k in zip(table["index"], table["cluster_type"], strict=True)}
    assert kinds == before["types"]


def test_killed_review_of_a_synthetic_metaphase(metaphase, tmp_path):
    Image.fromarray(metaphase.image).save(tmp_path / "metaphase.png")
    check(tmp_path)


def test_killed_review_of_a_real_metaphase(real_data, tmp_path):
    images = sorted((real_data / "gband_metaphases").rglob("*.jpg"))
    if not images:
        pytest.skip("gband_metaphases is not here")
    shutil.copy(images[0], tmp_path / "metaphase.jpg")
    check(tmp_path)
