"""Model files: weights and a model card in one ``.safetensors``, without pickle."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from napari_chromocluster.imaging.files import atomic_path
from napari_chromocluster.models.model_card import (
    CARD_KEY,
    ModelCard,
    ModelFileError,
    damaged,
    read_card,
)
from napari_chromocluster.models.network import (
    ClusterEnsemble,
    ClusterNetwork,
    NetworkError,
    build_network,
)

#: Checksum of the weights: safetensors does not detect a flipped bit.
_CHECKSUM = "chromocluster_weights_sha256"


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
    metadata = {CARD_KEY: card.to_json(), _CHECKSUM: _checksum(tensors)}
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


def load_model_file(path: str | Path) -> tuple[ClusterNetwork | ClusterEnsemble, ModelCard]:
    """Read the network or ensemble and the card of a model file.

    Raises
    ------
    ModelFileError
        If the file is missing, damaged, of a newer format, or not a model file.
    """
    card, file = read_card(path), Path(path)
    try:
        with safe_open(str(file), framework="pt") as opened:
            metadata = opened.metadata() or {}
            state = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise damaged(file) from error
    if metadata.get(_CHECKSUM, "") not in ("", _checksum(state)):
        raise damaged(file)
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
