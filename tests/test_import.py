"""Importing the package is quick and brings nothing heavy; every public name is there."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import napari_chromocluster as cc

HEAVY = ("torch", "torchvision", "lightning", "napari", "qtpy", "PyQt6", "matplotlib", "pandas")
#: Stands for an environment without napari and Qt: importing one of them fails.
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
    # The best of three: the first may read from a cold disk.
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


@pytest.mark.parametrize("dock", ["classify", "review.dock"])
def test_a_dock_that_only_opens_does_not_wait_for_torch(dock):
    pytest.importorskip("napari")
    code = f"import sys, napari_chromocluster.widgets.{dock}; print('torch' in sys.modules)"
    assert run(code) == "False"


def test_public_names_of_the_viewer_room():
    for name in cc.viewer.__all__:
        assert callable(getattr(cc.viewer, name))
        assert name in dir(cc.viewer)
