"""The wheel works in a clean environment, without napari, Qt and network."""

import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
import tifffile
from packaging.requirements import Requirement
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
#: If no network namespace can be created, every connection fails instead.
NO_SOCKETS = """
import socket
def refuse(*_args, **_kwargs):
    raise OSError("the network is off")
socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "-o", str(folder)]
    done = subprocess.run([*command, str(ROOT)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (path,) = folder.glob("*.whl")
    return path


def requirements(name: str, extras: frozenset[str]) -> Iterator[Requirement]:
    for line in metadata.requires(name) or []:
        one = Requirement(line)
        chosen = [{"extra": extra} for extra in extras or {""}]
        if one.marker is None or any(one.marker.evaluate(extra) for extra in chosen):
            yield one


def closure(name: str) -> set[str]:
    """Return the names of all distributions that a package needs, without its own extras."""
    seen: set[tuple[str, frozenset[str]]] = set()
    waiting = [Requirement(name)]
    while waiting:
        one = waiting.pop()
        key = (one.name.lower().replace("_", "-"), frozenset(one.extras))
        if key not in seen:
            seen.add(key)
            waiting += requirements(one.name, key[1])
    return {found for found, _ in seen} - {name}


@pytest.fixture(scope="module")
def clean(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel and exactly its declared dependencies."""
    folder = tmp_path_factory.mktemp("clean") / "env"
    uv = [sys.executable, "-m", "uv"]
    subprocess.run([*uv, "venv", "-q", "--python", sys.executable, str(folder)], check=True)
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    install = [*uv, "pip", "install", "-q", "--offline", "--no-deps", "--python", str(python)]
    subprocess.run([*install, str(wheel)], check=True)
    (site,) = {path.parent for path in folder.rglob("napari_chromocluster")}
    # Links instead of copies, since some of them are gigabytes.
    for name in closure("napari-chromocluster"):
        distribution = metadata.distribution(name)
        for top in {file.parts[0] for file in distribution.files or [] if file.parts[0] != ".."}:
            source, target = Path(str(distribution.locate_file(top))), site / top
            if not target.exists() and source.exists():
                target.symlink_to(source)
    return folder


def offline(folder: Path) -> list[str]:
    """Return a command prefix that disables the network."""
    unshare = shutil.which("unshare")
    if unshare is not None:
        start = [unshare, "--net", "--map-root-user"]
        if subprocess.run([*start, "true"], capture_output=True, check=False).returncode == 0:
            return start
    (site,) = {path.parent for path in folder.rglob("napari_chromocluster")}
    (site / "sitecustomize.py").write_text(NO_SOCKETS)
    return []


def run(folder: Path, cwd: Path, *command: str) -> subprocess.CompletedProcess[str]:
    scripts = folder / ("Scripts" if os.name == "nt" else "bin")
    keep = ("PATH", "SYSTEMROOT", "TMPDIR", "OMP_NUM_THREADS")
    environment = {name: os.environ[name] for name in keep if name in os.environ}
    environment |= {"HOME": str(cwd), "CHROMOCLUSTER_HOME": str(cwd / "home")}
    return subprocess.run(
        [*offline(folder), str(scripts / command[0]), *command[1:]],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_wheel_holds_what_the_plugin_needs(wheel):
    with zipfile.ZipFile(wheel) as opened:
        names = opened.namelist()
        (points,) = [name for name in names if name.endswith("entry_points.txt")]
        entry_points = opened.read(points).decode()
    inside = {name.removeprefix("napari_chromocluster/") for name in names}
    assert {"napari.yaml", "py.typed", "models/weights/default.safetensors"} <= inside
    assert not [name for name in names if "test" in name or name.startswith("src")]
    assert "[napari.manifest]" in entry_points
    assert wheel.stat().st_size < 30_000_000


def test_clean_environment_is_clean(clean, tmp_path):
    code = "import napari_chromocluster as cc, sys; print(cc.__file__); print(sys.path)"
    done = run(clean, tmp_path, "python", "-c", code)
    assert done.returncode == 0, done.stderr
    assert str(ROOT / "src") not in done.stdout
    assert str(clean) in done.stdout.splitlines()[0]
    for name in ("napari", "PyQt6", "PyQt5", "pytest"):
        assert run(clean, tmp_path, "python", "-c", f"import {name}").returncode != 0
    code = "import socket; socket.create_connection(('127.0.0.1', 9), timeout=1)"
    failed = run(clean, tmp_path, "python", "-c", code)
    assert "Network is unreachable" in failed.stderr or "the network is off" in failed.stderr


def test_classify_from_the_wheel_with_the_network_off(clean, tmp_path, metaphase):
    Image.fromarray(metaphase.image).save(tmp_path / "metaphase.png")
    done = run(clean, tmp_path, "chromocluster", "classify", "metaphase.png", "-o", "results")
    assert done.returncode == 0, done.stderr
    made = {path.name for path in (tmp_path / "results").iterdir()}
    assert made == {"metaphase_labels.tif", "metaphase_regions.csv", "metaphase_overlay.png"}
    labels = tifffile.imread(tmp_path / "results" / "metaphase_labels.tif")
    lines = (tmp_path / "results" / "metaphase_regions.csv").read_text().splitlines()
    assert len(lines) == 1 + labels.max() > 20
