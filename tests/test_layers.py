"""The contracts of import-linter include every module."""

import configparser
from pathlib import Path

import napari_chromocluster

PACKAGE = Path(napari_chromocluster.__file__).parent
ROOT = Path(__file__).resolve().parents[1]


def packages() -> set[str]:
    files = {path.stem for path in PACKAGE.glob("*.py")} - {"__init__", "__main__"}
    return files | {path.parent.name for path in PACKAGE.glob("*/__init__.py")}


def contracts() -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    return parser


def modules(section: str, option: str) -> set[str]:
    lines = contracts()[f"importlinter:contract:{section}"][option].split()
    return {line.removeprefix("napari_chromocluster.") for line in lines}


def test_every_package_has_its_layer():
    assert modules("layers", "layers") == packages()


def test_only_viewer_widgets_and_the_command_line_may_see_napari():
    # The command line starts napari in a separate process.
    assert packages() - modules("no-qt", "source_modules") == {"viewer", "widgets"}


def test_manifest_at_the_root_is_that_of_the_package():
    assert (ROOT / "napari.yaml").read_text() == (PACKAGE / "napari.yaml").read_text()
