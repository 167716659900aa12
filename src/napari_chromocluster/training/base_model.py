"""Starting point of a training run: a classification model, a backbone, or a weight file."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from napari_chromocluster.cluster_types import TYPES
from napari_chromocluster.models.backbones import BACKBONES
from napari_chromocluster.models.model_card import read_card
from napari_chromocluster.models.registry import backbone_path, resolve_model
from napari_chromocluster.training.config import ConfigError, StageConfig, TrainingConfig
from napari_chromocluster.training.fit.devices import device_of

#: Suffixes of torch files with weights of a backbone.
_WEIGHT_SUFFIXES = (".pth", ".pt")
#: The backbone of the paper.
_LARGEST = "resnext101_32x8d_wsl"
#: Settings of large pretrained bodies: lower learning rates, larger crops, smaller batches.
_GENTLER = 0.1
_LARGE_SIZE = 224
_LARGE_BATCH = 16


def set_base_model(
    config: TrainingConfig, name: str | Path, weights: str | Path | None = None
) -> TrainingConfig:
    """Return a configuration that starts from a model or backbone.

    Parameters
    ----------
    config : TrainingConfig
        Usually a preset.
    name : str or path
        A listed model, a model file, or a backbone (see ``models.network.BACKBONES``).
    weights : path, optional
        Local file of the backbone's pretrained weights, instead of a download.

    Raises
    ------
    ConfigError
        If the model has other types, or the weights are not on this machine.
    """
    text = str(name)
    if weights is not None and not Path(weights).expanduser().is_file():
        raise ConfigError(_missing(text, weights))
    if weights is not None and (text not in BACKBONES or BACKBONES[text].is_compact):
        raise ConfigError(
            f"{Path(weights).name} would be ignored, because this training starts from {text!r}: "
            f"name the backbone of these weights as the base model (--base-model {_LARGEST}), or "
            f"use the preset paper."
        )
    if text in BACKBONES:
        return _with_backbone(config, text, weights)
    if Path(text).suffix.lower() in _WEIGHT_SUFFIXES:
        raise ConfigError(
            f"{Path(text).name} contains weights of a backbone: name the backbone and give this "
            f"file as its weights."
        )
    path = resolve_model(text)
    card = read_card(path)
    if tuple(card.classes) != tuple(str(kind) for kind in TYPES):
        raise ConfigError(
            f"{card.name} has {len(card.classes)} types, not the {len(TYPES)} of this version: "
            f"start from another model."
        )
    # A network expects chromosomes at the scale it was trained on.
    size = card.input_size
    return config.replace(
        base_model=text,
        stages=tuple(dataclasses.replace(stage, image_size=size) for stage in config.stages),
        backbone=card.backbone,
        backbone_weights=None,
        channels=card.channels,
        tta=card.tta,
    )


def _with_backbone(config: TrainingConfig, name: str, weights: str | Path | None) -> TrainingConfig:
    config = shaped_for(config, name)
    if BACKBONES[name].is_compact:
        return config
    path = Path(weights).expanduser().resolve() if weights is not None else backbone_path(name)
    if not path.is_file():
        raise ConfigError(_missing(name, None))
    return config.replace(backbone_weights=str(path))


def shaped_for(config: TrainingConfig, backbone: str) -> TrainingConfig:
    """Return a configuration with stages suited to a backbone, without checking its weights."""
    config = config.replace(base_model=None, backbone=backbone, backbone_weights=None)
    if BACKBONES[backbone].is_compact:
        return config.replace(channels="signal_mask_scale")
    config = config.replace(channels="gray")
    if config.preset == "paper":
        return config
    return config.replace(
        stages=tuple(_for_large(stage) for stage in config.stages),
        batch_size=min(config.batch_size, _LARGE_BATCH),
    )


def _for_large(stage: StageConfig) -> StageConfig:
    return dataclasses.replace(
        stage,
        lr_body=stage.lr_body * _GENTLER,
        lr_head=stage.lr_head if stage.freeze_body else stage.lr_head * _GENTLER,
        image_size=max(stage.image_size, _LARGE_SIZE),
    )


def _missing(name: str, weights: str | Path | None) -> str:
    if weights is not None:
        return f"{weights} does not exist: check the name of the weight file."
    return (
        f"The weights of {name} are not on this machine: download them with 'chromocluster "
        f"models --download {name} --accept-licence', or give a local file."
    )


def validate_base_model(config: TrainingConfig) -> TrainingConfig:
    """Check that the starting point of a training run exists, and fill in downloaded weights.

    Raises
    ------
    ConfigError
        If pretrained weights or the device are missing on this machine, or no stage has an epoch.
    """
    if not any(stage.epochs for stage in config.stages):
        raise ConfigError("No stage has any epochs: give at least one stage some.")
    if config.device != "auto":
        device_of(config)  # loads torch
    if config.base_model is not None:
        return config
    spec = BACKBONES.get(config.backbone)
    if spec is None:
        raise ConfigError(
            f"There is no backbone {config.backbone!r}: choose one of {', '.join(BACKBONES)}."
        )
    if spec.is_compact or config.backbone_weights is not None:
        if config.backbone_weights is not None and not Path(config.backbone_weights).is_file():
            raise ConfigError(_missing(config.backbone, config.backbone_weights))
        return config
    path = backbone_path(config.backbone)
    if not path.is_file():
        raise ConfigError(_missing(config.backbone, None))
    return config.replace(backbone_weights=str(path))
