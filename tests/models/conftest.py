"""A model with different outputs for different regions, without training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from napari_chromocluster.imaging.crops import CropSpec, crop_region
from napari_chromocluster.imaging.normalization import normalize_stain
from napari_chromocluster.imaging.regions import extract_regions, reference_size
from napari_chromocluster.imaging.synthetic_metaphase import SyntheticMetaphase
from napari_chromocluster.models.classifier import ClusterClassifier, load_model
from napari_chromocluster.models.model_card import ModelCard
from napari_chromocluster.models.model_file import save_model
from napari_chromocluster.models.network import build_network


@pytest.fixture(scope="session")
def lively_model(tmp_path_factory: pytest.TempPathFactory, metaphase: SyntheticMetaphase) -> Path:
    """Random weights with batch statistics of real crops; not accurate.

    A fresh network gives all regions almost the same probabilities, and a test comparing those
    could not fail.
    """
    torch.manual_seed(0)
    network = build_network("compact")
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.ones_(layer.weight)
            layer.momentum = None
    network.train()
    network(torch.from_numpy(_crops(metaphase)))
    last = network.head[-1]
    assert isinstance(last, nn.Linear)
    last.weight.data *= 2
    path = tmp_path_factory.mktemp("lively") / "lively.safetensors"
    save_model(path, network, ModelCard(name="lively", input_size=48, tta=2))
    return path


def _crops(metaphase: SyntheticMetaphase) -> np.ndarray:
    signal = normalize_stain(metaphase.image, metaphase.labels).values
    regions = extract_regions(metaphase.labels)
    reference = reference_size(regions)
    return np.stack(
        [crop_region(signal, metaphase.labels, one, CropSpec(48), reference) for one in regions]
    )


@pytest.fixture
def classifier(lively_model: Path) -> ClusterClassifier:
    return load_model(lively_model, "cpu")
