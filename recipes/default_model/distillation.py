"""Knowledge distillation: learning from the answers of an existing model."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from napari_chromocluster.cluster_types import TYPES
from napari_chromocluster.models.model_file import load_model_file
from napari_chromocluster.models.network import ClusterNetwork
from napari_chromocluster.models.registry import resolve_model
from napari_chromocluster.training.config import ConfigError
from recipe_config import RecipeConfig


class Teacher:
    """A model whose outputs are soft labels for training (Hinton et al., 2015, arXiv:1503.02531).

    It gets the same augmented crops as the student (Beyer et al., CVPR 2022).  If it is the base
    model of the training, the student forgets less of it (Li and Hoiem, ECCV 2016).

    Parameters
    ----------
    networks : sequence of ClusterNetwork
        Used in turn, one per batch; on average this distills the mean of their outputs.
    """

    # Not a module: it must not be trained, averaged or saved in checkpoints.

    def __init__(self, networks: Sequence[ClusterNetwork]) -> None:
        self.networks = [
            network.eval().requires_grad_(False).to(memory_format=torch.channels_last)
            for network in networks
        ]

    @torch.no_grad()
    def answers(self, inputs: Tensor, turn: int) -> Tensor:
        """Return the probabilities (N, K) of the types of crops (N, C, S, S).

        Parameters
        ----------
        inputs : (N, C, S, S) float32 tensor
            The crops of the student.
        turn : int
            Number of the batch; selects the network.
        """
        network = self.networks[turn % len(self.networks)]
        network.to(inputs.device)
        logits: Tensor = network(inputs.contiguous(memory_format=torch.channels_last))
        return logits.float().softmax(dim=1)


def load_teacher(config: RecipeConfig) -> Teacher | None:
    """Return the teacher of a training run, or None if it has none.

    Raises
    ------
    ConfigError
        If it has other inputs or types than the training.
    """
    if config.teacher is None or config.teacher_share == 0:
        return None
    model, card = load_model_file(resolve_model(config.teacher))
    types = tuple(str(kind) for kind in TYPES)
    if card.channels != config.channels or tuple(card.classes) != types:
        raise ConfigError(
            f"{card.name} cannot teach this training: it has other inputs or types. "
            f"Choose a model that was trained from the embedded one."
        )
    return Teacher(model.members)


def distillation_loss(logits: Tensor, answers: Tensor, allowed: Tensor) -> Tensor:
    """Return the cross entropy of a network's logits and a teacher's answers, all (N, K).

    If the teacher's type is not among those that the label allows, only the label is used: a
    teacher may know only some laboratories.
    """
    agrees = allowed.gather(1, answers.argmax(dim=1, keepdim=True)).squeeze(1) > 0.5
    taught = functional.cross_entropy(logits.float(), answers, reduction="none")
    log_p = functional.log_softmax(logits.float(), dim=1)
    labelled = -torch.logsumexp(log_p.masked_fill(allowed < 0.5, -1e9), dim=1)
    return torch.where(agrees, taught, labelled).mean()
