"""The recipe of the embedded model: prior and weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from model_recipe import (
    averaged,
    begun_anew,
    blend,
    pixel_trainings,
    second_training,
    sized_trainings,
    split_by_stain,
    tempered_prior,
)
from napari_chromocluster.models.model_card import NATURAL_PRIOR, ModelCard
from napari_chromocluster.models.model_file import load_model_file, save_model
from napari_chromocluster.models.network import build_network
from napari_chromocluster.training.config import StageConfig
from recipe_config import RecipeConfig


def test_the_prior_goes_from_training_to_nature():
    training = dict.fromkeys(NATURAL_PRIOR, 0.2)
    assert tempered_prior(training, 0.0) == pytest.approx(training)
    assert tempered_prior(training, 1.0) == pytest.approx(NATURAL_PRIOR)
    between = tempered_prior(training, 0.5)
    assert sum(between.values()) == pytest.approx(1)
    assert 0.2 < between["single"] < NATURAL_PRIOR["single"]


def test_dapi_regions_count_twice_in_the_second_sized_training(tmp_path):
    dapi, outlines = tmp_path / "dapi.csv", tmp_path / "outlines.csv"
    stage = StageConfig("any", 1, 1e-3, 1e-3)
    read = RecipeConfig(annotations=("gband.csv", str(dapi)), stages=(stage,))
    one, other = sized_trainings(read, dapi, outlines)
    assert one.annotations.count(str(dapi)) == 1
    assert other.annotations.count(str(dapi)) == 2
    assert all(config.annotations.count(str(outlines)) == 1 for config in (one, other))
    assert one.seed != other.seed


def test_pixel_trainings_differ_in_their_seeds_only(tmp_path):
    stage = StageConfig("any", 1, 1e-3, 1e-3)
    read = RecipeConfig(annotations=("gband.csv",), stages=(stage,))
    one, other = pixel_trainings(read, tmp_path / "dapi.csv", tmp_path / "outlines.csv")
    assert one.replace(seed=other.seed) == other
    assert one.seed != other.seed
    assert (one.monitor, one.grown_share) == ("likelihood", 0.5)


def test_each_stain_is_a_source_of_its_own(tmp_path):
    file = tmp_path / "annotations_read.csv"
    header, gband, dapi = "image,group", "a.jpg,1031970", "b.tif,unknow006"
    file.write_text("\n".join([header, gband, dapi, gband, ""]))
    files = split_by_stain(file)
    assert files["gband"].read_text().splitlines() == [header, gband, gband]
    assert files["dapi"].read_text().splitlines() == [header, dapi]
    assert {one.parent for one in files.values()} == {tmp_path}


def test_the_second_network_begins_anew_but_for_the_first_layers(tmp_path):
    torch.manual_seed(1)
    network = build_network("compact")
    fresh = begun_anew(network, seed=23)
    assert sum(map(torch.numel, fresh.parameters())) == sum(map(torch.numel, network.parameters()))
    shared = [
        all(map(torch.equal, mine.parameters(), theirs.parameters()))
        for mine, theirs in zip(fresh.body, network.body, strict=True)
    ]
    assert shared == [True, True, True, False, False]
    again = begun_anew(network, seed=23)
    assert all(map(torch.equal, again.parameters(), fresh.parameters()))


def test_the_second_training_sees_each_file_once(tmp_path):
    stage = StageConfig("any", 1, 1e-3, 1e-3)
    read = RecipeConfig(annotations=("gband.csv",), stages=(stage,))
    files = [tmp_path / name for name in ("ours.csv", "plain.csv", "dapi.csv")]
    config = second_training(read, *files)
    assert config.annotations == ("gband.csv", *map(str, files))
    assert (config.debris_share, config.augment) == (0.3, "wide")


@pytest.fixture
def models(tmp_path):
    """Files of two networks, in separate folders as training runs leave them."""
    files = []
    for seed in range(2):
        torch.manual_seed(seed)
        file = tmp_path / f"training_{seed}" / "model.safetensors"
        file.parent.mkdir()
        save_model(file, build_network("compact"), ModelCard(name=str(seed), input_size=96))
        files.append(file)
    return files


def states(files):
    return [load_model_file(file)[0].state_dict() for file in files]


def test_averaged_weights_lie_in_the_middle(models):
    mean = averaged(models).state_dict()
    one, other = states(models)
    for name, value in mean.items():
        if value.is_floating_point():
            expected = (one[name] + other[name]) / 2
            np.testing.assert_allclose(value.numpy(), expected.numpy(), atol=1e-6)


def test_a_blend_counts_as_its_formula_says(models, tmp_path):
    begun = tmp_path / "begun.safetensors"
    models[1].rename(begun)
    network, card = blend(tmp_path, "training_0+3*begun@128")
    one, other = states([models[0], begun])
    for name, value in network.state_dict().items():
        if value.is_floating_point():
            expected = (one[name] + 3 * other[name]) / 4
            np.testing.assert_allclose(value.numpy(), expected.numpy(), atol=1e-6)
    assert card.name == "0"
    assert card.input_size == 128
    assert card.training["average_of_weights"] == "training_0+3*begun"


def test_without_a_side_a_blend_has_that_of_its_last_training(models, tmp_path):
    _, card = blend(tmp_path, "training_0+training_1")
    assert card.input_size == 96
    assert card.name == "1"


def test_networks_that_answer_together(models, tmp_path):
    network, card = blend(tmp_path, "training_0@128|training_0+training_1")
    first, second = network.members
    one, other = states(models)
    name = "head.6.bias"
    assert torch.equal(first.state_dict()[name], one[name])
    torch.testing.assert_close(second.state_dict()[name], (one[name] + other[name]) / 2)
    assert (card.name, card.input_size) == ("0", 128)
    assert card.training["networks_that_answer_together"].count("|") == 1
    file = tmp_path / "both.safetensors"
    save_model(file, network, card)
    # Such a file may itself be a term.
    again, _ = blend(tmp_path, "both|training_1")
    assert len(again.members) == 3
