import json

import pytest

from napari_chromocluster.training.config import (
    PRESETS,
    ConfigError,
    StageConfig,
    TrainingConfig,
    preset,
)


@pytest.mark.parametrize("name", list(PRESETS))
def test_json_round_trip(name):
    config = preset(name).replace(annotations=("a.csv",), excluded_groups=("g",))
    assert TrainingConfig.from_json(config.to_json()) == config


def test_paper_preset_is_the_papers():
    paper = preset("paper")
    coarse, fine = paper.stages
    assert (coarse.epochs, coarse.lr_body, coarse.lr_head, coarse.freeze_body) == (
        5,
        1e-5,
        4e-5,
        True,
    )
    assert (fine.epochs, fine.lr_body, fine.lr_head) == (10, 1e-6, 4e-6)
    assert not fine.freeze_body
    assert (paper.batch_size, paper.label_smoothing, paper.optimizer) == (16, 0.1, "adam")
    assert (paper.stop_after, paper.stop_delta, paper.monitor) == (5, 0.01, "accuracy")
    assert coarse.image_size == fine.image_size == 224
    assert paper.backbone == "resnext101_32x8d_wsl"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"stages": ()}, "at least one stage"),
        ({"batch_size": 1}, "batch size"),
        ({"seed": -1}, "whole number from 0, not -1"),
        ({"fold": 2}, "Fold 2"),
        ({"composed_share": 2.0}, "Shares"),
        ({"augment": "wild"}, "no augmentation 'wild': choose full, "),
        ({"monitor": "luck"}, "no monitored metric 'luck': choose macro_sensitivity, accuracy"),
        ({"type_shares": {"double": 1.0}}, "Unknown cluster type"),
        ({"stages": (StageConfig("x", 1, 0, 0, image_size=4),)}, "image size"),
    ],
)
def test_what_cannot_be_run_is_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        preset("quick").replace(**changes)


def test_unknown_preset_and_text():
    with pytest.raises(ConfigError, match="no preset"):
        preset("best")
    with pytest.raises(ConfigError, match="not a training configuration"):
        TrainingConfig.from_json("[]")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "No such file"),
        (b"\xff\xfe\x00", "is not text"),
        (b"no json", "c.json: This is not a training configuration"),
        (b'{"epochs": 3}', "c.json: There is no training setting 'epochs': correct the name"),
        (b'{"stages": [{"name": "fine", "rate": 1}]}', "no training setting 'rate'"),
    ],
)
def test_a_file_that_is_no_configuration_is_told_in_a_sentence(content, words, tmp_path):
    path = tmp_path / "c.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=words):
        TrainingConfig.read(path)


def older(**values):
    return json.dumps(json.loads(preset("quick").to_json()) | values)


def test_removed_settings_without_effect_are_ignored():
    text = older(near_misses=0.0, source_balance=0, teacher=None, teacher_share=0.5)
    assert TrainingConfig.from_json(text) == preset("quick")


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"near_misses": 0.25, "teacher": "default"}, "trains with near_misses, teacher: start"),
        ({"augment": "wide"}, "trains with augment = wide: start a new training without it"),
        ({"monitor": "likelihood"}, "trains with monitor = likelihood: start"),
    ],
)
def test_removed_settings_are_read_but_not_trained_with(values, words):
    assert TrainingConfig.from_json(older(**values), to_train=False) == preset("quick")
    with pytest.raises(ConfigError, match=words):
        TrainingConfig.from_json(older(**values))


def test_a_folder_is_no_configuration(tmp_path):
    with pytest.raises(ConfigError, match=r"cannot be read .*: name the config.json of a run"):
        TrainingConfig.read(tmp_path)
