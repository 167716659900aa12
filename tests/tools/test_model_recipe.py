"""The recipe of the embedded model: who is held out, which prior, which weights."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from make_model import averaged, part, tempered_prior
from napari_chromocluster.models.calibration import NATURAL_PRIOR
from napari_chromocluster.models.model_file import ModelCard, load_model_file, save_model
from napari_chromocluster.models.network import build_network


def test_all_metaphases_of_a_patient_lie_on_one_side():
    for patient in range(103000, 103060):
        assert len({part("gband_metaphases", f"{patient}{slide}") for slide in range(5)}) == 1


def test_about_a_quarter_of_the_patients_is_held_out():
    sides = [part("gband_metaphases", str(patient)) for patient in range(103000, 104000)]
    assert sides.count("test") / 1000 == pytest.approx(0.25, abs=0.05)
    assert sides.count("validation") / 1000 == pytest.approx(0.12, abs=0.04)


def test_every_source_has_all_three_sides(real_data):
    for name in ("gband_crops", "gband_metaphases", "mfish"):
        groups = pd.read_csv(real_data / name / "annotations.csv", dtype=str)["group"]
        assert {part(name, group) for group in groups} == {"train", "validation", "test"}


def test_the_prior_goes_from_training_to_nature():
    training = dict.fromkeys(NATURAL_PRIOR, 0.2)
    assert tempered_prior(training, 0.0) == pytest.approx(training)
    assert tempered_prior(training, 1.0) == pytest.approx(NATURAL_PRIOR)
    between = tempered_prior(training, 0.5)
    assert sum(between.values()) == pytest.approx(1)
    assert 0.2 < between["single"] < NATURAL_PRIOR["single"]


def test_averaged_weights_lie_in_the_middle(tmp_path):
    files = []
    for seed in range(2):
        torch.manual_seed(seed)
        file = tmp_path / f"{seed}.safetensors"
        save_model(file, build_network("compact"), ModelCard(name=str(seed)))
        files.append(file)
    mean = averaged(files).state_dict()
    one, other = (load_model_file(file)[0].state_dict() for file in files)
    for name, value in mean.items():
        if value.is_floating_point():
            expected = (one[name] + other[name]) / 2
            np.testing.assert_allclose(value.numpy(), expected.numpy(), atol=1e-6)
