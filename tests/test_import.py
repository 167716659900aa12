"""Importing the package is fast and loads nothing heavy; all public names exist."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

import napari_chromocluster as cc
from napari_chromocluster.imaging.synthetic_metaphase import synthetic_metaphase

HEAVY = ("torch", "torchvision", "lightning", "napari", "qtpy", "PyQt6", "matplotlib", "pandas")
#: Emulates an environment without napari and Qt: importing one of them fails.
WITHOUT_NAPARI = """
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("napari", "qtpy", "superqt", "pyqtgraph", "PyQt5", "PyQt6"):
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Missing())
"""


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_import_is_quick_and_brings_nothing_heavy():
    code = (
        "import sys, time; began = time.process_time(); import napari_chromocluster;"
        f"print(time.process_time() - began, [n for n in {HEAVY} if n in sys.modules])"
    )
    # The best of three, since the first may read from a cold disk.
    seconds, loaded = min(run(code).split(" ", 1) for _ in range(3))
    assert loaded == "[]"
    assert float(seconds) < 0.3


def test_help_is_quick_too():
    code = (
        "import sys; from napari_chromocluster.cli import main; main(['classify', '--help']);"
        f"print([n for n in {HEAVY} if n in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"
    assert "--select" in done.stdout


def test_core_and_command_line_need_neither_napari_nor_qt():
    names = [name for name in cc.__all__ if name != "viewer"]
    code = (
        f"{WITHOUT_NAPARI}\nimport napari_chromocluster as cc, napari_chromocluster.batch;"
        f"import napari_chromocluster.cli; print([getattr(cc, n) for n in {names}] and 'all there')"
    )
    assert run(code) == "all there"


@pytest.mark.parametrize("name", cc.__all__)
def test_public_names(name):
    assert getattr(cc, name) is not None
    assert name in dir(cc)


def test_docs_and_public_names_agree():
    docs = Path(__file__).parents[1] / "docs"
    table = (docs / "napari.md").read_text(encoding="utf-8").partition("\n## Public names\n")[2]
    named = re.findall(r"`cc\.([A-Za-z_.]+)`", table.partition("\n## ")[0])
    inside = [f"viewer.{name}" for name in cc.viewer.__all__]
    assert sorted(named) == sorted([*cc.__all__, *inside, "batch.run_batch"])
    for file in (*docs.glob("*.md"), docs.with_name("README.md")):
        for name in re.findall(r"\bcc\.([A-Za-z_.]*[A-Za-z_])", file.read_text(encoding="utf-8")):
            first, _, second = name.partition(".")
            owner = getattr(cc, first) if second else cc
            assert (second or first) in dir(owner), (file.name, name)


def test_unknown_name():
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = cc.no_such_name


def test_version_is_that_of_the_package():
    from importlib.metadata import version

    assert cc.__version__ == version("napari-chromocluster")


def test_asking_for_a_reader_and_opening_a_sample_do_not_wait_for_torch(tmp_path):
    code = (
        "import sys; from napari_chromocluster.viewer.reader import get_reader;"
        f"get_reader({str(tmp_path)!r});"
        "from napari_chromocluster.viewer.sample_data import synthetic_giemsa; synthetic_giemsa();"
        "from napari_chromocluster.viewer import show_overlay;"
        "print('torch' in sys.modules)"
    )
    assert run(code) == "False"


#: Modules that are slow to load.
SLOW = {
    "torch", "torchvision", "lightning", "numpy", "pandas", "scipy", "skimage", "matplotlib",
    "dask", "napari", "qtpy",
}  # fmt: skip
#: Runs commands, given as JSON, and prints the status, output and loaded modules of each.
RUN_COMMANDS = """
import contextlib, io, json, sys
from napari_chromocluster.cli import main
for arguments in json.loads(sys.argv[1]):
    said, answer = io.StringIO(), io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(answer):
        status = main(arguments)
    print(json.dumps([status, said.getvalue(), list(sys.modules)]))
"""
#: Commands with invalid arguments.
WRONG = [
    "classify MISSING -o OUT",
    "classify MISSING --crops -o OUT",
    "classify FOLDER -o OUT",
    "classify FILE --labels MISSING -o OUT",
    "classify FILE --model MISSING -o OUT",
    "classify FILE -o FILE",
    "segment MISSING -o OUT",
    "segment FILE -o FILE",
    "batch MISSING -o OUT",
    "batch FILE --model MISSING -o OUT",
    "batch FILE -o FILE",
    "train MISSING -o OUT",
    "train FILE --config MISSING -o OUT",
    "train FILE --backbone-weights MISSING -o OUT",
    "train FILE --base-model MISSING -o OUT",
    "train --resume -o MISSING",
    "evaluate MISSING",
    "evaluate FILE --model MISSING",
    "demo MISSING -o OUT",
    "demo --model MISSING -o OUT",
    "models MISSING",
    "models --add MISSING",
    "models --download MISSING",
]


def run_commands(commands: list[list[str]], home: Path) -> list[tuple[int, str, set[str]]]:
    """Run commands one after another in a separate process."""
    done = subprocess.run(
        [sys.executable, "-c", RUN_COMMANDS, json.dumps(commands)],
        capture_output=True, text=True, check=True,
        env={**os.environ, "CHROMOCLUSTER_HOME": str(home)},
    )  # fmt: skip
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    return [(status, said, set(modules)) for status, said, modules in answers]


def test_what_is_wrong_is_said_before_anything_slow_is_loaded(tmp_path):
    (tmp_path / "picture.png").touch()
    names = {
        "MISSING": tmp_path / "missing.png",
        "FOLDER": tmp_path,
        "FILE": tmp_path / "picture.png",
        "OUT": tmp_path / "out",
    }
    commands = [[str(names.get(word, word)) for word in one.split()] for one in WRONG]
    answers = run_commands(commands, tmp_path / "home")
    for command, (status, said, modules) in zip(WRONG, answers, strict=True):
        assert status == 2, command
        assert said.startswith("chromocluster: "), command
        assert len(said.splitlines()) == 1, command
        assert not modules & SLOW, command
        assert not (tmp_path / "out").exists(), command


def test_help_and_the_model_list_load_nothing_slow(tmp_path):
    answers = run_commands([["--help"], ["models"], ["models", "default"]], tmp_path)
    for status, _, modules in answers:
        assert status == 0
        assert not modules & SLOW


def test_each_command_loads_no_more_than_it_uses(tmp_path):
    picture, out = tmp_path / "m.png", str(tmp_path)
    Image.fromarray(synthetic_metaphase().image).save(picture)
    (found, _, with_segment), (status, _, with_classify) = run_commands(
        [["segment", str(picture), "-o", out], ["classify", str(picture), "-o", out]],
        tmp_path / "home",
    )
    assert found == status == 0
    assert not with_segment & {"torch", "matplotlib", "dask"}
    assert "torch" in with_classify
    # The embedded model has a compact body, which needs no torchvision, and nothing is compiled.
    unwanted = {"torchvision", "torch._dynamo", "triton", "lightning", "captum", "dask", "pooch"}
    assert not with_classify & unwanted


def test_importing_any_part_has_no_side_effects():
    pytest.importorskip("napari")
    code = """
import importlib, os, pkgutil, sys
import napari_chromocluster
def umask():
    now = os.umask(0o22)
    os.umask(now)
    return now
os.umask(0o27)
environment = dict(os.environ)
asked = []
mask_was, os.umask = os.umask, lambda mask: asked.append(mask) or mask_was(mask)
for part in pkgutil.walk_packages(napari_chromocluster.__path__, "napari_chromocluster."):
    if ".widgets" not in part.name and not part.name.endswith("__main__"):
        before = set(sys.modules)
        importlib.import_module(part.name)
        blocked = [name for name in set(sys.modules) - before if sys.modules[name] is None]
        assert not blocked, (part.name, blocked)
ours = {name for name in os.environ if os.environ[name] != environment.get(name)}
os.umask = mask_was
print(umask() == 0o27, asked, sorted(name for name in ours if name.startswith(("OMP", "MKL"))))
"""
    assert run(code) == "True [] []"


@pytest.mark.parametrize(
    "dock",
    ["classify:ClassifyWidget", "review.widget:ReviewWidget", "train.widget:TrainWidget"],
)
def test_a_dock_opens_before_torch_is_loaded(dock, tmp_path):
    pytest.importorskip("napari")
    module, name = dock.split(":")
    code = f"""
import sys, threading
from napari.components import ViewerModel
from qtpy.QtWidgets import QApplication
from napari_chromocluster.widgets.{module} import {name}
application = QApplication([])
threading.Thread.start = lambda self: None  # what a dock loads in a thread comes later
dock = {name}(ViewerModel())
print([one for one in ("torch", "torchvision", "lightning", "captum") if one in sys.modules])
sys.stdout.flush()
import os
os._exit(0)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False,
        env={**os.environ, "CHROMOCLUSTER_HOME": str(tmp_path), "QT_QPA_PLATFORM": "offscreen"},
    )  # fmt: skip
    assert done.stdout.strip() == "[]", done.stderr


def test_public_names_of_the_viewer_package():
    for name in cc.viewer.__all__:
        assert callable(getattr(cc.viewer, name))
        assert name in dir(cc.viewer)
