"""Model cards: description and settings of a model, read from its file without weights or torch."""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_chromocluster.cluster_types import TYPES

if TYPE_CHECKING:
    from napari_chromocluster.imaging.crops import CropSpec

#: Shares of the types among the regions of a metaphase, counted in the shared data outside the
#: test groups (``recipes/default_model/natural_prior.py``): 84.8 / 10.1 / 3.2 / 1.9 % of the
#: regions with chromosomes; both stains have similar shares of overlapping and
#: touching-overlapping.  3 % are *other*: the share of segmented regions outside all annotated
#: boxes (228 of 6767 in the training groups of ``gband_metaphases``).
NATURAL_PRIOR: dict[str, float] = {
    "single": 0.823,
    "touching": 0.098,
    "overlapping": 0.0305,
    "touching_overlapping": 0.0185,
    "other": 0.03,
}

#: Newest format that this version writes and reads: 1 for one network, 2 for an ensemble of one
#: kind of body, 3 for an ensemble of different bodies.
FORMAT_VERSION = 3
#: Maximum number of networks in a file: one for each view of a crop.
MOST_MEMBERS = 8
#: Name of the card in the metadata of the file.
CARD_KEY = "chromocluster_card"
_PICKLE_SUFFIXES = (".pth", ".pt", ".ckpt", ".pkl", ".pickle")
#: Maximum size of the header of a safetensors file in bytes.
_MOST_HEADER = 100_000_000


class ModelFileError(ValueError):
    """A file that is damaged, too new, or not a model file."""


@dataclass(frozen=True)
class ModelCard:
    """Description, settings and origin of a model.

    Attributes
    ----------
    name : str
        Shown to the user and written to the features table.
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
        Divides the log probabilities, see `calibration.calibrate`.
    training_prior, deployment_prior : dict of str to float
        Share of each type in training and in use.
    surroundings : dict
        Lookup tables of log-odds by neighborhood, see `neighborhood_prior.Tables`.
    unsure_threshold : float
        Regions with a lower confidence need a review.
    metrics : dict
        Metrics, by the data they were measured on.
    training : dict
        Preset, seed, versions, hashes of the groups.
    data_licences, weight_licence, citations
        Licenses, and what to cite.
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
        from napari_chromocluster.imaging.crops import CropSpec

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


def read_card(path: str | Path) -> ModelCard:
    """Read the card of a model file without its weights.

    Raises
    ------
    ModelFileError
        If the file is missing, damaged, of a newer format, or not a model file.
    """
    file = _checked_path(path)
    try:
        metadata = _metadata(file)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise damaged(file) from error
    return _card(file, metadata)


def _metadata(file: Path) -> dict[str, str]:
    """Read the header of a safetensors file; raises various errors for other or truncated files."""
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if length > _MOST_HEADER:
            raise ValueError("the header is too long")
        header = json.loads(stream.read(length).decode())
    metadata: dict[str, str] = header.pop("__metadata__", {})
    end = max((int(tensor["data_offsets"][1]) for tensor in header.values()), default=0)
    if file.stat().st_size != 8 + length + end:
        raise ValueError("the weights are cut short")
    return metadata


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


def damaged(file: Path) -> ModelFileError:
    """Return the error for a damaged file."""
    return ModelFileError(f"{file.name} is damaged or not a model file: copy or download it again.")


def _card(file: Path, metadata: dict[str, str]) -> ModelCard:
    if CARD_KEY not in metadata:
        raise ModelFileError(f"{file.name} has no model card: it was not made by this program.")
    try:
        version = int(json.loads(metadata[CARD_KEY]).get("format_version", 0))
        card = ModelCard.from_json(metadata[CARD_KEY]) if version <= FORMAT_VERSION else None
    except (TypeError, ValueError, AttributeError) as error:
        raise damaged(file) from error
    if card is None:
        raise ModelFileError(
            f"{file.name} has format version {version}, newer than {FORMAT_VERSION}: "
            f"update napari-chromocluster."
        )
    if not _sensible(card):
        raise damaged(file)
    return card


def _sensible(card: ModelCard) -> bool:
    """Return whether the values of a card are valid."""
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
