"""What a model that is already good answers about a training's crops, learnt beside the labels."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from napari_chromocluster.models.model_file import load_model_file
from napari_chromocluster.models.network import ClusterNetwork
from napari_chromocluster.models.registry import resolve_model
from napari_chromocluster.taxonomy import TYPES
from napari_chromocluster.training.config import ConfigError, TrainingConfig


class Teacher:
    """A model whose answers are learnt as soft labels (Hinton et al., 2015, arXiv:1503.02531).

    It sees the very crops that the learning network sees (Beyer et al., CVPR 2022), and so says
    of each how clear it is.  Where it is what a training begins with, the network keeps more of
    what that knew (Li and Hoiem, ECCV 2016).

    Parameters
    ----------
    networks : sequence of ClusterNetwork
        Asked by turns, one a batch: on average that teaches the mean of their answers.
    """

    # No module: what teaches is neither learnt, nor averaged, nor written into checkpoints.

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
            Crops, as the learning network gets them.
        turn : int
            Says which network is asked.
        """
        network = self.networks[turn % len(self.networks)]
        network.to(inputs.device)
        logits: Tensor = network(inputs.contiguous(memory_format=torch.channels_last))
        return logits.float().softmax(dim=1)


def load_teacher(config: TrainingConfig) -> Teacher | None:
    """Return the teacher of a training, None where there is none.

    Raises
    ------
    ConfigError
        If it takes other crops than the training, or tells other types.
    """
    if config.teacher is None or config.teacher_share == 0:
        return None
    model, card = load_model_file(resolve_model(config.teacher))
    types = tuple(str(kind) for kind in TYPES)
    if card.channels != config.channels or tuple(card.classes) != types:
        raise ConfigError(
            f"{card.name} cannot teach this training: it takes other crops, or tells other "
            f"types. Choose a model that grew from the embedded one."
        )
    return Teacher(model.members)


def taught_loss(logits: Tensor, answers: Tensor) -> Tensor:
    """Return the cross entropy of a network's logits (N, K) and a teacher's answers (N, K)."""
    return functional.cross_entropy(logits.float(), answers)
