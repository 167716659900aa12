"""The list of models: the embedded one, the user's own, and backbones to download."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from napari_chromocluster.imaging.io import atomic_path
from napari_chromocluster.models.home import cache_dir, home_dir
from napari_chromocluster.models.model_file import (
    ModelCard,
    ModelFileError,
    load_model_file,
    read_card,
)
from napari_chromocluster.models.network import BACKBONES

_WEIGHTS = Path(__file__).parent / "weights"
_SUFFIX = ".safetensors"


class RegistryError(ValueError):
    """A model that is not in the list."""


@dataclass(frozen=True)
class ModelEntry:
    """One line of the model list.

    Attributes
    ----------
    name : str
        What the user chooses.
    kind : {"embedded", "user", "backbone"}
        ``backbone``: pretrained body to finetune, no cluster types yet.
    path : Path or None
        The file, where it is on this machine.
    licence : str
        Licence of the weights.
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
    """Return where the weights of a backbone lie once they are downloaded."""
    url = BACKBONES[name].url or name
    return cache_dir() / "backbones" / url.rpartition("/")[2]


def resolve_model(name_or_path: str | Path) -> Path:
    """Return the file of a model that classifies.

    Parameters
    ----------
    name_or_path : str or path
        A name of the list, or a file.

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
    # The name that a model was given, where the list had to write it in another way.
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
    """Return the name that a model file has in the list, None if it is not in it."""
    inside = path.suffix == _SUFFIX and path.parent in (_WEIGHTS, user_models_dir())
    return path.stem if inside else None


def register_model(path: str | Path, name: str) -> ModelEntry:
    """Copy a model file into the user's list.

    Parameters
    ----------
    path : path
        The model file; it is loaded once to see that it can be used.
    name : str
        Name in the list; a name that is taken gets a number.

    Returns
    -------
    ModelEntry
        The new line of the list.

    Raises
    ------
    ModelFileError
        If the file is no model file that this version can use.
    """
    source = Path(path)
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
    """Write a name without what no file's name may hold."""
    return re.sub(r"[^\w.() -]+", "_", name).strip(" .")


def model_card(name_or_path: str | Path) -> ModelCard:
    """Return the card of a model of the list or of a file."""
    return read_card(resolve_model(name_or_path))
