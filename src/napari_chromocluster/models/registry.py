"""The list of models: the embedded one, the user's own, and downloadable backbones."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from napari_chromocluster.imaging.files import atomic_path
from napari_chromocluster.models.backbones import BACKBONES
from napari_chromocluster.models.model_card import ModelCard, ModelFileError, read_card
from napari_chromocluster.models.torch_setup import prepare_torch
from napari_chromocluster.paths import cache_dir, home_dir

_WEIGHTS = Path(__file__).parent / "weights"
_SUFFIX = ".safetensors"


class RegistryError(ValueError):
    """A model that is not in the list."""


@dataclass(frozen=True)
class ModelEntry:
    """An entry of the model list.

    Attributes
    ----------
    name : str
        Name in the list.
    kind : {"embedded", "user", "backbone"}
        ``backbone``: pretrained body to finetune, without cluster types.
    path : Path or None
        The file, if it is on this machine.
    licence : str
        License of the weights.
    megabytes : int
        Size of the file or of the download.
    """

    name: str
    kind: str
    path: Path | None
    licence: str = ""
    megabytes: int = 0


def user_models_dir() -> Path:
    """Return the folder of the user's own models."""
    return home_dir() / "models"


def list_models() -> list[ModelEntry]:
    """Return all models, the embedded one first, then the user's, then backbones."""
    entries = [_entry(path, "embedded") for path in sorted(_WEIGHTS.glob(f"*{_SUFFIX}"))]
    entries += [_entry(path, "user") for path in sorted(user_models_dir().glob(f"*{_SUFFIX}"))]
    for spec in BACKBONES.values():
        if not spec.is_compact:
            path = backbone_path(spec.name)
            entries.append(
                ModelEntry(
                    spec.name,
                    "backbone",
                    path if path.is_file() else None,
                    spec.licence,
                    spec.megabytes,
                )
            )
    return entries


def _entry(path: Path, kind: str) -> ModelEntry:
    try:
        licence = read_card(path).weight_licence
    except ModelFileError:
        licence = "damaged file"
    return ModelEntry(path.stem, kind, path, licence, round(path.stat().st_size / 1e6))


def backbone_path(name: str) -> Path:
    """Return the path of the downloaded weights of a backbone, whether they exist or not."""
    url = BACKBONES[name].url or name
    return cache_dir() / "backbones" / url.rpartition("/")[2]


def resolve_model(name_or_path: str | Path) -> Path:
    """Return the file of a classification model.

    Parameters
    ----------
    name_or_path : str or path
        A listed name, or a file.

    Raises
    ------
    RegistryError
        If there is no such model.
    """
    text = str(name_or_path)
    classifying = [one for one in list_models() if one.kind != "backbone"]
    for entry in classifying:
        if entry.name == text and entry.path is not None:
            return entry.path
    path = Path(text).expanduser()
    if path.is_file():
        return path
    # The original name of a model that is listed under a cleaned one.
    for entry in classifying:
        if entry.name == _file_name(text) and entry.path is not None:
            return entry.path
    if path.suffix or len(path.parts) > 1:
        return path
    if text in BACKBONES:
        raise RegistryError(
            f"{text} is a backbone without cluster types: finetune it with 'chromocluster train'."
        )
    known = ", ".join(one.name for one in classifying) or "none is installed"
    raise RegistryError(f"There is no model {text!r}: choose one of {known}, or a model file.")


def listed_name(path: Path) -> str | None:
    """Return the listed name of a model file, or None if it is not listed."""
    inside = path.suffix == _SUFFIX and path.parent in (_WEIGHTS, user_models_dir())
    return path.stem if inside else None


def register_model(path: str | Path, name: str) -> ModelEntry:
    """Copy a model file into the user's list.

    Parameters
    ----------
    path : path
        The model file; it is loaded once to check it.
    name : str
        Name in the list; a number is added if it is taken.

    Returns
    -------
    ModelEntry
        The new entry.

    Raises
    ------
    ModelFileError
        If the file is not a model file that this version can use.
    """
    source = Path(path)
    read_card(source)  # reject an invalid card before torch is loaded
    prepare_torch()
    from napari_chromocluster.models.model_file import load_model_file

    load_model_file(source)
    stem = _file_name(name) or "my model"
    taken = {entry.name for entry in list_models()}
    unique, number = stem, 2
    while unique in taken:
        unique, number = f"{stem} ({number})", number + 1
    target = user_models_dir() / f"{unique}{_SUFFIX}"
    with atomic_path(target) as temporary:
        shutil.copyfile(source, temporary)
    return _entry(target, "user")


def _file_name(name: str) -> str:
    """Replace characters that are not allowed in file names."""
    return re.sub(r"[^\w.() -]+", "_", name).strip(" .")


def model_card(name_or_path: str | Path) -> ModelCard:
    """Return the card of a listed model or of a file."""
    return read_card(resolve_model(name_or_path))
