"""Fixtures of the tests of the package and of those of its recipe."""

from __future__ import annotations

from pathlib import Path

import pytest

from napari_chromocluster.imaging.synthetic_metaphase import synthetic_annotations

#: Real images that are never part of the repository; tests that need them are skipped without them.
REAL_DATA = Path(__file__).resolve().parents[3] / "shared" / "data"


@pytest.fixture(scope="session")
def real_data() -> Path:
    if not REAL_DATA.is_dir():
        pytest.skip("the real images (../shared/data) are not here")
    return REAL_DATA


@pytest.fixture(scope="session")
def annotated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Annotation file of four small synthetic metaphases, one group each."""
    folder = tmp_path_factory.mktemp("annotated")
    return synthetic_annotations(folder, seeds=[11, 12, 13, 14], chromosomes=24)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model file with random weights: fast, but not accurate."""
    import torch

    from napari_chromocluster.models.model_card import ModelCard
    from napari_chromocluster.models.model_file import save_model
    from napari_chromocluster.models.network import build_network

    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("model") / "tiny.safetensors"
    save_model(path, build_network("compact"), ModelCard(name="tiny", input_size=48, tta=2))
    return path
