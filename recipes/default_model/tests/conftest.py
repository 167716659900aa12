"""Fixtures shared by the tests of the recipe."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from shared_fixtures import annotated, real_data, tiny_model

__all__ = ["annotated", "real_data", "tiny_model"]


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep tests from touching the user's files."""
    monkeypatch.setenv("CHROMOCLUSTER_HOME", str(tmp_path / "home"))


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)
