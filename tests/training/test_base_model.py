"""Starting point of a training run."""

from dataclasses import replace

import pytest
import torch

from napari_chromocluster.models.model_card import ModelCard, read_card
from napari_chromocluster.models.model_file import save_model
from napari_chromocluster.models.network import build_network
from napari_chromocluster.models.registry import RegistryError, backbone_path, register_model
from napari_chromocluster.training.api import train
from napari_chromocluster.training.base_model import set_base_model, shaped_for, validate_base_model
from napari_chromocluster.training.config import ConfigError, preset
from napari_chromocluster.training.runs.run_folder import Run
from napari_chromocluster.training.runs.worker import run_training

WSL = "resnext101_32x8d_wsl"
QUICK = preset("quick").replace(base_model=None, composed_clusters=0)


def test_a_model_of_the_list_brings_its_own_kind_of_crop(tiny_model):
    register_model(tiny_model, "lab")
    config = set_base_model(preset("paper"), "lab")
    assert config.base_model == "lab"
    assert (config.backbone, config.channels) == ("compact", "signal_mask_scale")
    assert {stage.image_size for stage in config.stages} == {read_card(tiny_model).input_size}
    assert validate_base_model(config) == config


def test_a_downloaded_backbone_is_changed_gently():
    path = backbone_path(WSL)
    path.parent.mkdir(parents=True)
    torch.save({}, path)
    plain = preset("default")
    config = set_base_model(plain, WSL)
    assert (config.base_model, config.backbone_weights) == (None, str(path))
    assert config.channels == "gray"
    assert config.stages[1].lr_body < plain.stages[1].lr_body
    assert {stage.image_size for stage in config.stages} == {224}
    assert set_base_model(preset("paper"), WSL).stages == preset("paper").stages
    assert validate_base_model(preset("paper")).backbone_weights == str(path)


def test_a_backbone_is_shown_with_its_stages_before_it_is_downloaded():
    path = backbone_path(WSL)
    shown = shaped_for(preset("default"), WSL)
    assert {stage.image_size for stage in shown.stages} == {224}
    path.parent.mkdir(parents=True)
    torch.save({}, path)
    assert shown.replace(backbone_weights=str(path)) == set_base_model(preset("default"), WSL)
    assert shaped_for(preset("paper"), WSL).stages == preset("paper").stages


def test_missing_weights_say_how_to_get_them(tmp_path):
    with pytest.raises(ConfigError, match=f"models --download {WSL}"):
        set_base_model(preset("default"), WSL)
    with pytest.raises(ConfigError, match="does not exist"):
        set_base_model(preset("default"), WSL, tmp_path / "gone.pth")
    with pytest.raises(ConfigError, match="not on this machine"):
        train("anything.csv", preset="paper", out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("options", [{"preset": "quick"}, {"base_model": "compact"}])
def test_weights_that_would_be_passed_over_are_refused(options, annotated, tmp_path):
    weights = tmp_path / "ig.pth"
    for words in ("does not exist", "name the backbone of these weights"):
        with pytest.raises(ConfigError, match=words):
            train(annotated, backbone_weights=weights, out=tmp_path / "run", **options)
        weights.write_bytes(b"")
    assert not (tmp_path / "run").exists()


def test_weights_of_a_backbone_are_no_model(tmp_path):
    with pytest.raises(ConfigError, match="name the backbone"):
        set_base_model(preset("default"), tmp_path / "ig_resnext.pth")
    with pytest.raises(RegistryError, match="There is no model"):
        set_base_model(preset("default"), "unknown")


def test_a_model_of_other_types_is_refused(tmp_path):
    path = tmp_path / "two.safetensors"
    card = ModelCard("two", classes=("single", "touching"))
    save_model(path, build_network("compact", n_classes=2), card)
    with pytest.raises(ConfigError, match="has 2 types"):
        set_base_model(preset("default"), path)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"device": "abacus"}, "There is no device 'abacus' on this machine"),
        (
            {"stages": tuple(replace(one, epochs=0) for one in QUICK.stages)},
            "No stage has any epochs",
        ),
        ({"excluded_groups": ("metaphase_11", "metaphase_12", "metaphase_13")}, "two groups"),
    ],
)
def test_what_cannot_be_trained_is_told_before_there_is_a_folder(
    changes, words, annotated, tmp_path
):
    with pytest.raises(ConfigError, match=words):
        train(annotated, config=QUICK, out=tmp_path / "run", **changes)
    assert not (tmp_path / "run").exists()


def test_a_device_that_is_gone_is_told_before_anything_is_read(annotated, tmp_path):
    config = QUICK.replace(annotations=(str(annotated),), device="abacus")
    run = Run.create(tmp_path / "run", config)  # created on a machine that had the device
    with pytest.raises(ConfigError, match="There is no device 'abacus'"):
        run_training(run, resume=True)
    assert [event["kind"] for event in run.events()] == ["start", "error"]
    assert "choose 'auto' or 'cpu'" in run.message()


def test_from_scratch():
    config = validate_base_model(set_base_model(preset("quick"), "compact"))
    assert config.base_model is None
    assert config.backbone_weights is None
