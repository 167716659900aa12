"""The repository contains no real data and no needlessly large files."""

import hashlib
import shutil
import subprocess
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PICTURES = {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".gif", ".npz", ".npy", ".h5", ".zip"}
MEGABYTE = 1_000_000


@pytest.fixture(scope="module")
def committed() -> list[Path]:
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("this is no git checkout")
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return [path for name in listed.stdout.split("\0") if name and (path := ROOT / name).is_file()]


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_no_file_of_the_real_data_is_committed(committed, real_data):
    mine = [path for path in committed if path.suffix.lower() in PICTURES]
    by_size = defaultdict(list)
    for path in real_data.rglob("*"):
        if path.is_file():
            by_size[path.stat().st_size].append(path)
    for path in mine:
        same = {digest(other) for other in by_size[path.stat().st_size]}
        assert digest(path) not in same, f"{path} is real data"


def test_pictures_are_no_larger_than_needed(committed):
    large = [path for path in committed if path.suffix.lower() in PICTURES]
    assert [path for path in large if path.stat().st_size > MEGABYTE] == []


def test_models_are_the_only_large_files(committed):
    large = {path for path in committed if path.stat().st_size > 2 * MEGABYTE}
    assert {path.suffix for path in large} <= {".safetensors"}
    assert all(path.stat().st_size <= 30 * MEGABYTE for path in large)
