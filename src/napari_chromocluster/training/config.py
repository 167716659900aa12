"""Training configuration: stages, data and presets, as dataclasses with JSON serialization."""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Self

from napari_chromocluster.cluster_types import ClusterType

#: Metrics by which the best epoch can be chosen.
MONITORS = ("macro_sensitivity", "accuracy")
#: Kinds of augmentation, from strongest to none.
AUGMENTATIONS = ("full", "paper", "none")


#: Settings of older run folders.
_REMOVED = (
    "near_misses",
    "grown_share",
    "debris_share",
    "source_balance",
    "teacher",
    "teacher_share",
)
#: Choices of older run folders, and the nearest ones.
_REMOVED_CHOICES = {"augment": ("wide", "full"), "monitor": ("likelihood", "macro_sensitivity")}


class ConfigError(ValueError):
    """An invalid training configuration."""


@dataclass(frozen=True)
class StageConfig:
    """One stage of a training run.

    Attributes
    ----------
    name : str
        Shown to the user: ``coarse`` (head only) or ``fine`` (all layers).
    epochs : int
        Number of epochs of ``samples_per_epoch`` regions.
    lr_body : float
        Peak learning rate of the first layers of the body.
    lr_head : float
        Peak learning rate of the head; layers in between get rates in between.
    freeze_body : bool
        Whether only the head is trained.
    image_size : int
        Side of the crops, in px.
    """

    name: str
    epochs: int
    lr_body: float
    lr_head: float
    freeze_body: bool = False
    image_size: int = 112


@dataclass(frozen=True)
class TrainingConfig:
    """The complete configuration of a training run; ``config.json`` of a run reproduces it.

    Attributes
    ----------
    annotations : tuple of str
        Annotation CSVs, and folders with one subfolder per type.
    preset : str
        The preset this is based on.
    backbone : str
        Name of the body (see ``models.network.BACKBONES``).
    base_model : str or None
        Model to finetune (a name of the model list or a file); None starts from
        ``backbone_weights`` or from scratch.
    backbone_weights : str or None
        File of pretrained body weights.
    channels : str
        Kind of crop (see ``imaging.crops.CropSpec``).
    stages : tuple of StageConfig
        Run one after the other.
    batch_size : int
        Regions in a batch.
    samples_per_epoch : int or None
        Regions drawn in an epoch; None draws as many as there are.
    optimizer : {"adam", "adamw"}
        Adam is the paper's.
    weight_decay : float
        For AdamW.
    label_smoothing : float
        Share of the target spread over all types.
    average_decay : float
        Decay of the exponential average of the weights; 0 for no average.
    type_shares : dict of str to float
        Share of each type among the regions drawn (oversampling of rare types); empty keeps the
        shares of the data.
    composed_share : float
        Share of composed clusters among the clusters drawn.
    composed_clusters : int
        How many clusters are composed before the training.
    augment : str
        ``full`` (rotation, brightness, blur, noise, masks), ``paper`` (flips, quarter turns),
        ``none``.
    tta : int
        Rotated and mirrored copies averaged at inference (1 or 8).
    validation_share : float
        Share of the groups kept for validation.
    validation_groups : tuple of str
        Names of the groups kept for validation (overrides the share).
    excluded_groups : tuple of str
        Groups used neither for training nor for validation (kept for a test).
    folds : int
        k-fold by group: number of folds; 1 is one plain split.
    fold : int
        Which fold is validated on, from 0.
    stop_after : int
        Epochs without a gain of ``stop_delta`` after which a stage ends; 0 for never.
    stop_delta : float
        Minimum gain of the monitored metric.
    monitor : {"macro_sensitivity", "accuracy"}
        Metric of the best epoch (the paper: accuracy).
    seed : int
        Random seed.
    device : str
        ``auto``, ``cpu``, ``cuda`` or ``mps``.
    precision : str
        ``auto`` (bfloat16 or half on CUDA, bfloat16 on CPUs with native support), or ``32``.
    devices, nodes : int
        For distributed training.
    threads : int
        CPU threads; 0 for the default of torch.
    way_back : bool
        Whether the weights are averaged with those of ``base_model``, and its other networks kept
        in an ensemble, as far as the validation loss allows.
    names_in_card : bool
        Whether the model card contains the names of the groups, instead of their hashes.
    model_name : str
        Name of the trained model.
    """

    augmentations: ClassVar[tuple[str, ...]] = AUGMENTATIONS
    monitors: ClassVar[tuple[str, ...]] = MONITORS

    annotations: tuple[str, ...] = ()
    preset: str = "default"
    backbone: str = "compact"
    base_model: str | None = None
    backbone_weights: str | None = None
    channels: str = "signal_mask_scale"
    stages: tuple[StageConfig, ...] = ()
    batch_size: int = 64
    samples_per_epoch: int | None = None
    optimizer: str = "adamw"
    weight_decay: float = 0.02
    label_smoothing: float = 0.05
    average_decay: float = 0.0
    type_shares: dict[str, float] = field(default_factory=dict)
    composed_share: float = 0.5
    composed_clusters: int = 2000
    augment: str = "full"
    tta: int = 8
    validation_share: float = 0.2
    validation_groups: tuple[str, ...] = ()
    excluded_groups: tuple[str, ...] = ()
    folds: int = 1
    fold: int = 0
    stop_after: int = 0
    stop_delta: float = 0.01
    monitor: str = "macro_sensitivity"
    seed: int = 0
    device: str = "auto"
    precision: str = "auto"
    devices: int = 1
    nodes: int = 1
    threads: int = 0
    way_back: bool = False
    names_in_card: bool = False
    model_name: str = "my model"

    def __post_init__(self) -> None:
        """Raise ConfigError if a value is invalid."""
        if not self.stages:
            raise ConfigError("A training needs at least one stage: add one or choose a preset.")
        if any(stage.epochs < 0 or stage.image_size < 16 for stage in self.stages):
            raise ConfigError("A stage needs 0 or more epochs and an image size of at least 16 px.")
        if any(not _is_rate(stage) for stage in self.stages):
            raise ConfigError("Learning rates must be 0 or more, that of the head above 0.")
        if self.devices * self.nodes > 1 and self.folds > 1:
            raise ConfigError("Folds are trained on one device: use one device or one fold.")
        if not 0.0 <= self.average_decay < 1.0:
            raise ConfigError("The decay of the weight average must be between 0 and 1.")
        if self.seed < 0:
            raise ConfigError(f"The seed must be a whole number from 0, not {self.seed}.")
        if self.batch_size < 2:
            raise ConfigError("The batch size must be at least 2: batch normalisation needs it.")
        if not 0 <= self.fold < self.folds:
            raise ConfigError(f"Fold {self.fold} does not exist: choose 0 to {self.folds - 1}.")
        if not 0.0 <= self.composed_share <= 1.0 or not 0.0 < self.validation_share < 1.0:
            raise ConfigError(
                "Shares must be between 0 and 1: correct that of composed clusters or validation."
            )
        if self.augment not in self.augmentations:
            known = ", ".join(self.augmentations)
            raise ConfigError(f"There is no augmentation {self.augment!r}: choose {known}.")
        if self.monitor not in self.monitors:
            known = ", ".join(self.monitors)
            raise ConfigError(f"There is no monitored metric {self.monitor!r}: choose {known}.")
        unknown = set(self.type_shares) - {str(kind) for kind in ClusterType}
        if unknown:
            raise ConfigError(f"Unknown cluster type in type_shares: {', '.join(sorted(unknown))}.")

    def to_json(self) -> str:
        """Return the configuration as JSON text."""
        return json.dumps(dataclasses.asdict(self), indent=2, sort_keys=True)

    @classmethod
    def from_json(cls, text: str, *, to_train: bool = True) -> Self:
        """Read a configuration that `to_json` wrote, also that of an older run folder.

        Parameters
        ----------
        text : str
            The configuration as JSON text.
        to_train : bool
            Whether settings that no longer exist are refused if they change the training, or
            ignored.

        Raises
        ------
        ConfigError
            If the text is not a valid configuration.
        """
        try:
            values = _without_removed(cls, json.loads(text), to_train)
            stages = [_known_only(StageConfig, stage) for stage in values.get("stages", ())]
            values["stages"] = tuple(StageConfig(**stage) for stage in stages)
            for name in ("annotations", "validation_groups", "excluded_groups"):
                values[name] = tuple(values.get(name, ()))
            return cls(**_known_only(cls, values))
        except (TypeError, AttributeError, json.JSONDecodeError) as error:
            raise ConfigError(
                f"This is not a training configuration ({error}): use the config.json of a run."
            ) from error

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a configuration from a file.

        Raises
        ------
        ConfigError
            If the file cannot be read or is not a valid configuration.
        """
        try:
            return cls.from_json(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise ConfigError(
                f"{path} cannot be read ({error.strerror}): name the config.json of a run."
            ) from error
        except UnicodeDecodeError as error:
            raise ConfigError(f"{path} is not text: name the config.json of a run.") from error
        except ConfigError as error:
            raise ConfigError(f"{path.name}: {error}") from error

    def replace(self, **changes: Any) -> Self:
        """Return a copy with some values changed."""
        return dataclasses.replace(self, **changes)


def _without_removed(
    kind: type[TrainingConfig], values: dict[str, Any], refuse: bool
) -> dict[str, Any]:
    """Drop the settings of older run folders; refuse those that change the training."""
    own = {one.name for one in dataclasses.fields(kind)}
    old = [name for name in _REMOVED if name in values and name not in own]
    changing = [name for name in old if values[name] and name != "teacher_share"]
    nearest = {}
    for name, (value, instead) in _REMOVED_CHOICES.items():
        if values.get(name) == value and value not in (*kind.augmentations, *kind.monitors):
            changing.append(f"{name} = {value}")
            nearest[name] = instead
    if changing and refuse:
        raise ConfigError(
            f"The package no longer trains with {', '.join(changing)}: start a new training "
            f"without it."
        )
    return {name: value for name, value in values.items() if name not in old} | nearest


def _known_only(kind: type, values: dict[str, Any]) -> dict[str, Any]:
    """Reject unknown settings: a typo in a name must not be ignored."""
    unknown = sorted(set(values) - {one.name for one in dataclasses.fields(kind)})
    if unknown:
        raise ConfigError(
            f"There is no training setting {unknown[0]!r}: correct the name or leave it out."
        )
    return values


def _is_rate(stage: StageConfig) -> bool:
    finite = math.isfinite(stage.lr_body) and math.isfinite(stage.lr_head)
    return finite and stage.lr_body >= 0 and stage.lr_head > 0


#: Shares of the types drawn in training: clusters are rare in nature.
BALANCED = {
    "single": 0.34,
    "touching": 0.22,
    "overlapping": 0.16,
    "touching_overlapping": 0.14,
    "other": 0.14,
}

#: ``paper``: Lin et al. (2021) from the authors' published code; ``default``: the best we
#: found for finetuning the embedded model; ``quick``: minutes on a laptop CPU.
PRESETS: dict[str, TrainingConfig] = {
    "paper": TrainingConfig(
        preset="paper",
        backbone="resnext101_32x8d_wsl",
        channels="gray",
        stages=(
            StageConfig("coarse", 5, 1e-5, 4e-5, freeze_body=True, image_size=224),
            StageConfig("fine", 10, 1e-6, 4e-6, image_size=224),
        ),
        batch_size=16,
        optimizer="adam",
        weight_decay=0.0,
        label_smoothing=0.1,
        type_shares=dict.fromkeys(
            ("single", "touching", "overlapping", "touching_overlapping"), 0.25
        ),
        composed_share=0.0,
        composed_clusters=0,
        augment="paper",
        tta=1,
        validation_share=0.1,
        stop_after=5,
        monitor="accuracy",
    ),
    "default": TrainingConfig(
        preset="default",
        base_model="default",
        stages=(
            StageConfig("coarse", 3, 0.0, 1e-3, freeze_body=True, image_size=128),
            StageConfig("fine", 12, 1e-4, 1e-3, image_size=128),
        ),
        type_shares=BALANCED,
        way_back=True,
        stop_after=6,
        stop_delta=0.002,
    ),
    "quick": TrainingConfig(
        preset="quick",
        base_model="default",
        stages=(
            StageConfig("coarse", 3, 0.0, 1e-3, freeze_body=True, image_size=128),
            StageConfig("fine", 3, 1e-4, 5e-4, image_size=128),
        ),
        type_shares=BALANCED,
        composed_clusters=400,
        way_back=True,
        stop_after=3,
        stop_delta=0.002,
    ),
}


def preset(name: str) -> TrainingConfig:
    """Return a preset by name.

    Raises
    ------
    ConfigError
        If there is no preset of that name.
    """
    try:
        return PRESETS[name]
    except KeyError:
        known = ", ".join(PRESETS)
        raise ConfigError(f"There is no preset {name!r}: choose one of {known}.") from None
