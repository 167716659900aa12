"""The documentation names only tests that exist."""

import ast
import re
from pathlib import Path

TESTS = Path(__file__).parent
FAULTS = TESTS.parent / "docs" / "faults.md"


def named():
    return re.findall(r"`([\w/]+\.py)::(\w+)`", FAULTS.read_text(encoding="utf-8"))


def functions(file):
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return {one.name for one in ast.walk(tree) if isinstance(one, ast.FunctionDef)}


def test_each_test_of_the_faults_exists():
    there = {file: functions(TESTS / file) for file in {file for file, _ in named()}}
    assert [f"{file}::{name}" for file, name in named() if name not in there[file]] == []


def test_each_fault_has_a_test():
    rows = [line for line in FAULTS.read_text(encoding="utf-8").splitlines() if line[:2] == "| "]
    faults = [line for line in rows if line != "| fault | test |"]
    assert len(faults) > 40
    assert [line for line in faults if "::test_" not in line] == []
