"""Fixtures shared by all tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_chromocluster.imaging.synthetic_metaphase import (
    SyntheticMetaphase,
    synthetic_metaphase,
)
from shared_fixtures import REAL_DATA, annotated, real_data, tiny_model

__all__ = ["annotated", "real_data", "tiny_model"]


@pytest.fixture(scope="session")
def metaphase() -> SyntheticMetaphase:
    return synthetic_metaphase(seed=0)


@pytest.fixture(scope="session")
def dapi() -> SyntheticMetaphase:
    return synthetic_metaphase(seed=1, stain="dapi")


@pytest.fixture(scope="session")
def shared_cases() -> Path:
    cases = REAL_DATA.with_name("cases")
    if not cases.is_dir():
        pytest.skip("the sample files (../shared/cases) are not here")
    return cases


@pytest.fixture(scope="session")
def unlike_model(tiny_model: Path) -> Path:
    """The same model, but all images look unlike its training data."""
    import dataclasses

    from napari_chromocluster.models.model_file import load_model_file, save_model

    network, card = load_model_file(tiny_model)
    nowhere = {"centers": [[9.0] * 512] * 5, "spread": [0.1] * 512, "usual": 1.0}
    path = tiny_model.with_name("unlike.safetensors")
    card = dataclasses.replace(card, name="unlike", feature_statistics=nowhere)
    save_model(path, network, card)
    return path


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep tests from touching the user's files."""
    home = tmp_path / "home"
    monkeypatch.setenv("CHROMOCLUSTER_HOME", str(home))
    return home


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)
