"""Model files: weights and a model card in one ``.safetensors``, without pickle."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from napari_chromocluster.imaging.crops import CropSpec
from napari_chromocluster.imaging.io import atomic_path
from napari_chromocluster.models.calibration import NATURAL_PRIOR
from napari_chromocluster.models.network import (
    ClusterEnsemble,
    ClusterNetwork,
    NetworkError,
    build_network,
)
from napari_chromocluster.taxonomy import TYPES

#: Newest format that this version writes and reads: 1 for one network, 2 for an ensemble of one
#: kind of body, 3 for an ensemble of different bodies.
FORMAT_VERSION = 3
#: Maximum number of networks in a file: one for each view of a crop.
MOST_MEMBERS = 8
_KEY = "chromocluster_card"
#: Checksum of the weights: safetensors does not detect a flipped bit.
_CHECKSUM = "chromocluster_weights_sha256"
_PICKLE_SUFFIXES = (".pth", ".pt", ".ckpt", ".pkl", ".pickle")


class ModelFileError(ValueError):
    """A file that is damaged, too new, or not a model file."""


@dataclass(frozen=True)
class ModelCard:
    """Description, settings and origin of a model.

    Attributes
    ----------
    name : str
        Shown to the user and written into the features table.
    backbone : str
        Name of the body, of the first network in an ensemble.
    members : int
        Number of networks in the file; they take turns on the views of a crop.
    backbones : tuple of str
        Names of the bodies of all networks, if they differ.
    classes : tuple of str
        Cluster types in the order of the outputs.
    input_size : int
        Side of a crop, in px.
    channels : str
        Kind of crop (see ``imaging.crops.CropSpec``).
    tta : int
        Rotated and mirrored views averaged (1 to 8).
    view_threshold : float
        Regions with a lower confidence in the first view get the other views; with 1, all do.
    feature_statistics : dict
        Features of the training regions, see `familiarity.FeatureStatistics`.
    temperature : float
        Divides the logits.
    training_prior, deployment_prior : dict of str to float
        Share of each type in training and in use.
    surroundings : dict
        Lookup tables of log-odds by neighbourhood, see `surroundings_prior.Tables`.
    unsure_threshold : float
        Regions with a lower confidence need a review.
    metrics : dict
        Metrics, by the data they were measured on.
    training : dict
        Preset, seed, versions, hashes of the groups.
    data_licences, weight_licence, citations
        Licences, and what to cite.
    created : str
        ISO 8601, UTC.
    format_version : int
        Format version of the file.
    """

    name: str
    backbone: str = "compact"
    members: int = 1
    backbones: tuple[str, ...] = ()
    classes: tuple[str, ...] = tuple(str(kind) for kind in TYPES)
    input_size: int = 112
    channels: str = "signal_mask_scale"
    tta: int = 8
    view_threshold: float = 1.0
    feature_statistics: dict[str, Any] = field(default_factory=dict)
    temperature: float = 1.0
    training_prior: dict[str, float] = field(default_factory=dict)
    deployment_prior: dict[str, float] = field(default_factory=lambda: dict(NATURAL_PRIOR))
    surroundings: dict[str, dict[str, dict[str, list[float]]]] = field(default_factory=dict)
    unsure_threshold: float = 0.7
    metrics: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    data_licences: tuple[str, ...] = ()
    weight_licence: str = ""
    citations: tuple[str, ...] = ()
    created: str = ""
    format_version: int = 1

    @property
    def crop_spec(self) -> CropSpec:
        """Kind of crops for this model."""
        if self.channels == "gray":
            return CropSpec(size=self.input_size, channels="gray")
        return CropSpec(size=self.input_size)

    def to_json(self) -> str:
        """Return the card as JSON text."""
        return json.dumps(dataclasses.asdict(self), indent=2, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> ModelCard:
        """Read a card, ignoring unknown fields."""
        values = json.loads(text)
        known = {one.name for one in dataclasses.fields(cls)}
        values = {name: value for name, value in values.items() if name in known}
        for name in ("backbones", "classes", "data_licences", "citations"):
            if name in values:
                values[name] = tuple(values[name])
        return cls(**values)


def save_model(
    path: str | Path,
    network: ClusterNetwork | ClusterEnsemble,
    card: ModelCard,
    half: bool = False,
) -> None:
    """Write a model file.

    Parameters
    ----------
    path : path
        Ends in ``.safetensors``; written to a temporary name and renamed.
    network : ClusterNetwork or ClusterEnsemble
        The network or ensemble.
    card : ModelCard
        Its card; the fields about the networks are filled in.
    half : bool
        Store weights as float16, which halves the file; they are loaded as
        float32.

    Raises
    ------
    ModelFileError
        If the file cannot be written, such as on a full disk; an existing file
        is not changed.
    """
    tensors = {}
    for name, tensor in network.state_dict().items():
        plain = tensor.detach().cpu().contiguous()
        if half and plain.is_floating_point() and "running_" not in name:
            plain = plain.to(torch.float16)
        tensors[name] = plain.clone()
    names = tuple(one.backbone for one in network.members)
    different = len(set(names)) > 1
    card = dataclasses.replace(
        card,
        backbone=names[0],
        members=len(names),
        backbones=names if different else (),
        # Use the oldest format possible, for earlier versions of the program.
        format_version=3 if different else min(len(names), 2),
    )
    metadata = {_KEY: card.to_json(), _CHECKSUM: _checksum(tensors)}
    with atomic_path(path) as temporary:
        try:
            save_file(tensors, temporary, metadata=metadata)
        except (OSError, SafetensorError) as error:
            raise ModelFileError(
                f"{Path(path).name} cannot be written ({error}): "
                f"free some disk space or choose another folder."
            ) from error


def _checksum(tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(tensors[name].contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def read_card(path: str | Path) -> ModelCard:
    """Read the card of a model file without its weights.

    Raises
    ------
    ModelFileError
        If the file is missing, damaged, of a newer format, or not a model file.
    """
    file = _checked_path(path)
    try:
        with safe_open(str(file), framework="pt") as opened:
            metadata = opened.metadata() or {}
    except (SafetensorError, OSError, ValueError) as error:
        raise _damaged(file) from error
    return _card(file, metadata)


def load_model_file(path: str | Path) -> tuple[ClusterNetwork | ClusterEnsemble, ModelCard]:
    """Read the network or ensemble and the card of a model file.

    Raises
    ------
    ModelFileError
        If the file is missing, damaged, of a newer format, or not a model file.
    """
    file = _checked_path(path)
    try:
        with safe_open(str(file), framework="pt") as opened:
            metadata = opened.metadata() or {}
            card = _card(file, metadata)
            state = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise _damaged(file) from error
    if metadata.get(_CHECKSUM, "") not in ("", _checksum(state)):
        raise _damaged(file)
    try:
        names = card.backbones or (card.backbone,) * card.members
        members = [build_network(name, len(card.classes)) for name in names]
        network = members[0] if card.members == 1 else ClusterEnsemble(members)
        network.load_state_dict({name: _full(tensor) for name, tensor in state.items()})
    except (NetworkError, RuntimeError) as error:
        raise ModelFileError(
            f"The weights in {file.name} do not match its card: use another model file."
        ) from error
    network.eval()
    return network, card


def _full(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.is_floating_point() else tensor


def _checked_path(path: str | Path) -> Path:
    file = Path(path)
    if not file.is_file():
        raise ModelFileError(f"The model file {file} does not exist: check the name.")
    if file.suffix.lower() in _PICKLE_SUFFIXES or _is_pickle(file):
        raise ModelFileError(
            f"{file.name} is a pickle, which can run code when it is read: "
            f"use a .safetensors model file."
        )
    return file


def _is_pickle(file: Path) -> bool:
    try:
        with file.open("rb") as stream:
            start = stream.read(9)
    except OSError as error:
        raise ModelFileError(
            f"{file} cannot be read ({error.strerror}): check its permissions."
        ) from error
    if start[8:9] == b"{":  # the header of a safetensors file
        return False
    # A zip archive (torch.save) or a bare pickle of protocol 2 or later.
    return start[:2] == b"PK" or (start[:1] == b"\x80" and start[1:2] in b"\x02\x03\x04\x05")


def _damaged(file: Path) -> ModelFileError:
    return ModelFileError(f"{file.name} is damaged or not a model file: copy or download it again.")


def _card(file: Path, metadata: dict[str, str]) -> ModelCard:
    if _KEY not in metadata:
        raise ModelFileError(f"{file.name} has no model card: it was not made by this program.")
    try:
        version = int(json.loads(metadata[_KEY]).get("format_version", 0))
        card = ModelCard.from_json(metadata[_KEY]) if version <= FORMAT_VERSION else None
    except (TypeError, ValueError, AttributeError) as error:
        raise _damaged(file) from error
    if card is None:
        raise ModelFileError(
            f"{file.name} has format version {version}, newer than {FORMAT_VERSION}: "
            f"update napari-chromocluster."
        )
    if not _sensible(card):
        raise _damaged(file)
    return card


def _sensible(card: ModelCard) -> bool:
    """Whether the values of a card are valid."""
    known = {str(kind) for kind in TYPES}
    return (
        len(card.classes) > 0
        and len(set(card.classes)) == len(card.classes)
        and set(card.classes) <= known
        and card.channels in ("signal_mask_scale", "gray")
        and isinstance(card.input_size, int)
        and 16 <= card.input_size <= 4096
        and isinstance(card.temperature, int | float)
        and math.isfinite(card.temperature)
        and card.temperature > 0
        and isinstance(card.tta, int)
        and isinstance(card.members, int)
        and 1 <= card.members <= MOST_MEMBERS
        and len(card.backbones) in (0, card.members)
        and isinstance(card.training_prior, dict)
        and isinstance(card.deployment_prior, dict)
    )
