"""The network: a ResNeXt body and the head of Lin et al. (2021)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from napari_chromocluster.models.backbones import BACKBONES, BackboneSpec
from napari_chromocluster.models.compact_resnext import CompactResNeXt, LargeCompactResNeXt
from napari_chromocluster.models.torch_setup import prepare_torch

#: Children of a torchvision ResNet that form the body, in order, without pooling and classifier.
_CHILDREN = ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4")
_COMPACT: dict[str, Callable[[int], CompactResNeXt]] = {
    "compact": CompactResNeXt,
    "compact_large": LargeCompactResNeXt,
}


class NetworkError(ValueError):
    """A backbone that does not exist, or weights that do not fit it."""


class ClusterHead(nn.Sequential):
    """Head of Lin et al. (2021): dropout 0.25 and 0.5 around 512 hidden units."""

    def __init__(self, features: int, n_classes: int) -> None:
        super().__init__(
            nn.BatchNorm1d(2 * features),
            nn.Dropout(0.25),
            nn.Linear(2 * features, 512),
            nn.ReLU(inplace=True),
            nn.BatchNorm1d(512),
            nn.Dropout(0.5),
            nn.Linear(512, n_classes),
        )


class ClusterNetwork(nn.Module):
    """Body, concatenated maximum and average pooling, head.

    Parameters
    ----------
    backbone : str
        Name of the body.
    body : nn.Module
        Outputs a feature map (N, F, h, w).
    features : int
        F.
    n_classes : int
        Number of outputs.
    """

    def __init__(self, backbone: str, body: nn.Sequential, features: int, n_classes: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.body = body
        self.head = ClusterHead(features, n_classes)
        self.features = features
        self.n_classes = n_classes

    @property
    def members(self) -> tuple[ClusterNetwork, ...]:
        """The network itself, for the same interface as `ClusterEnsemble`."""
        return (self,)

    def pooled(self, x: Tensor) -> Tensor:
        """Return the pooled features (N, 2F) of crops (N, C, S, S)."""
        maps = self.body(x)
        return torch.cat([maps.amax(dim=(2, 3)), maps.mean(dim=(2, 3))], dim=1)

    def classify_pooled(self, pooled: Tensor) -> Tensor:
        """Return the logits (N, K) of pooled features (N, 2F)."""
        logits: Tensor = self.head(pooled)
        return logits

    def logits_and_features(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logits (N, K) of crops (N, C, S, S), and the last hidden layer (N, 512)."""
        *layers, last = self.head
        hidden = self.pooled(x)
        for layer in layers:
            hidden = layer(hidden)
        return last(hidden), hidden

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits (N, K) of crops (N, C, S, S)."""
        return self.classify_pooled(self.pooled(x))


class ClusterEnsemble(nn.Module):
    """Ensemble of separately trained networks.

    Their average is more accurate and better calibrated than each of them (Lakshminarayanan et
    al., NeurIPS 2017).

    Parameters
    ----------
    members : sequence of ClusterNetwork
        At least one, all with the same classes and input channels.
    """

    def __init__(self, members: Sequence[ClusterNetwork]) -> None:
        super().__init__()
        self._members = nn.ModuleList(members)

    @property
    def members(self) -> tuple[ClusterNetwork, ...]:
        """The networks; a training run starts from the first."""
        return tuple(self._members)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """Return the logarithms of the averaged probabilities (N, K) of crops (N, C, S, S)."""
        answers = torch.stack([member(x).log_softmax(dim=1) for member in self.members])
        return answers.logsumexp(dim=0) - math.log(len(answers))


def build_network(
    backbone: str = "compact", n_classes: int = 5, channels: int = 3
) -> ClusterNetwork:
    """Build a network with random weights.

    Parameters
    ----------
    backbone : str
        A name in `BACKBONES`.
    n_classes : int
        Number of outputs.
    channels : int
        Input channels.

    Raises
    ------
    NetworkError
        If there is no such backbone.
    """
    if backbone not in BACKBONES:
        raise NetworkError(
            f"There is no backbone {backbone!r}: choose one of {', '.join(BACKBONES)}."
        )
    spec = BACKBONES[backbone]
    compact = _COMPACT.get(backbone)
    body = compact(channels) if compact is not None else _body(spec, channels)
    return ClusterNetwork(backbone, body, spec.features, n_classes)


def torchvision_network(spec: BackboneSpec) -> nn.Module:
    """Return torchvision's network of a backbone that is not compact, with random weights."""
    # torchvision is slow to import, and the compact bodies do not need it.
    prepare_torch()
    from torchvision.models import resnet

    network: nn.Module = resnet.ResNet(
        resnet.Bottleneck, list(spec.layers), groups=spec.groups, width_per_group=spec.width
    )
    return network


def _body(spec: BackboneSpec, channels: int) -> nn.Sequential:
    whole: Any = torchvision_network(spec)
    if channels != 3:
        whole.conv1 = nn.Conv2d(channels, 64, 7, 2, 3, bias=False)
    return nn.Sequential(*(getattr(whole, name) for name in _CHILDREN))


def fold_batch_norms(network: nn.Module) -> None:
    """Fold batch norms into preceding convolutions, in place, which saves a quarter of the time.

    For inference only: the outputs stay the same, but the network can no longer be trained or
    saved.
    """
    children = list(network.named_children())
    for (name, layer), (norm_name, norm) in itertools.pairwise(children):
        if isinstance(layer, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
            setattr(network, name, fuse_conv_bn_eval(layer, norm))
            setattr(network, norm_name, nn.Identity())
    for _, child in children:
        fold_batch_norms(child)


def interpolate_state_dicts(
    states: Sequence[Mapping[str, Tensor]], shares: Sequence[float]
) -> dict[str, Tensor]:
    """Average the weights of networks finetuned from the same one (Wortsman et al., ICML 2022).

    Parameters
    ----------
    states : sequence of dict of str to Tensor
        State dicts of the same architecture.  Integers, such as the number of batches of a
        batch norm, are taken from the last one.
    shares : sequence of float
        Weight of each; they sum to 1.
    """
    return {
        name: torch.stack(
            [share * state[name] for share, state in zip(shares, states, strict=True)]
        ).sum(dim=0)
        if value.is_floating_point()
        else value
        for name, value in states[-1].items()
    }


def layer_groups(network: ClusterNetwork) -> list[list[nn.Parameter]]:
    """Return the parameters of the stem, of each stage and of the head.

    For discriminative learning rates (Howard and Ruder, ACL 2018).
    """
    stem: list[nn.Parameter] = []
    stages: list[list[nn.Parameter]] = []
    for child in network.body.children():
        parameters = list(child.parameters())
        if isinstance(child, nn.Sequential) and not _is_stem(child):
            stages.append(parameters)
        else:
            stem.extend(parameters)
    return [stem, *stages, list(network.head.parameters())]


def _is_stem(child: nn.Module) -> bool:
    return any(isinstance(layer, nn.MaxPool2d) for layer in child.children())


def load_backbone_weights(network: ClusterNetwork, path: str | Path) -> None:
    """Load pretrained body weights published by torchvision or WSL.

    Parameters
    ----------
    network : ClusterNetwork
        Its body is updated in place.
    path : path
        A state dict, ``.pth`` or ``.safetensors``, read without executing
        pickled code; its ImageNet classifier (``fc``) is ignored.

    Raises
    ------
    NetworkError
        If the file cannot be read or does not fit the backbone.
    """
    file = Path(path)
    state = {
        _body_name(network.backbone, name): value
        for name, value in _read_state(file).items()
        if not name.startswith("fc.")
    }
    try:
        network.body.load_state_dict(state)
    except (RuntimeError, AttributeError, TypeError) as error:
        raise NetworkError(
            f"{file.name} does not fit the backbone {network.backbone}: choose a file of this "
            f"backbone."
        ) from error


def _body_name(backbone: str, name: str) -> str:
    """Translate a name in torchvision's state dict to that in the body."""
    first, _, rest = name.partition(".")
    if BACKBONES[backbone].is_compact or first not in _CHILDREN:
        return name
    return f"{_CHILDREN.index(first)}.{rest}"


def _read_state(file: Path) -> dict[str, Tensor]:
    if not file.is_file():
        raise NetworkError(f"The weights {file} do not exist: download them or check the name.")
    try:
        if file.suffix.lower() == ".safetensors":
            state: Any = load_file(file)
        else:
            state = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:
        raise NetworkError(
            f"{file.name} cannot be read as weights: it is damaged or contains code; "
            f"download it again."
        ) from error
    # Some tools nest the state dict, or prefix its names with a parallel wrapper.
    for wrapper in ("state_dict", "model"):
        if isinstance(state, dict) and isinstance(state.get(wrapper), dict):
            state = state[wrapper]
    if not isinstance(state, dict):
        raise NetworkError(f"{file.name} is not a state dict: choose another file.")
    return {str(name).removeprefix("module."): value for name, value in state.items()}
