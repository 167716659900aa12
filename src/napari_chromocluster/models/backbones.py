"""The available network bodies and the sources of their pretrained weights; without torch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class BackboneSpec:
    """A network body and the source of its pretrained weights.

    Attributes
    ----------
    name : str
        Name in the model list.
    layers : tuple of int
        Blocks of each stage of a torchvision ResNeXt; empty for a compact body.
    groups, width : int
        Groups of its convolutions, and channels per group.
    licence : str
        License of the pretrained weights.
    url : str or None
        URL of the pretrained weights.
    hash_prefix : str
        First hex digits of their SHA-256.
    megabytes : int
        Size of the download (10**6 bytes).
    source : str
        Data that they were trained on.
    features : int
        Channels of the output of the body.
    """

    name: str
    layers: tuple[int, ...] = ()
    groups: int = 0
    width: int = 0
    licence: str = ""
    url: str | None = None
    hash_prefix: str = ""
    megabytes: int = 0
    source: str = ""
    features: int = 2048

    @property
    def is_compact(self) -> bool:
        """Whether it is a compact body, which has no published weights."""
        return self.url is None


def _wsl(width: int, digits: str, megabytes: int) -> BackboneSpec:
    return BackboneSpec(
        name=f"resnext101_32x{width}d_wsl",
        layers=(3, 4, 23, 3),
        groups=32,
        width=width,
        licence="CC-BY-NC-4.0",
        url=f"https://download.pytorch.org/models/ig_resnext101_32x{width}-{digits}.pth",
        hash_prefix=digits,
        megabytes=megabytes,
        source="940 million hashtagged images, then ImageNet (Mahajan et al., ECCV 2018)",
    )


def _imagenet(
    name: str, layers: tuple[int, ...], groups: int, width: int, digits: str, mb: int
) -> BackboneSpec:
    return BackboneSpec(
        name=name,
        layers=layers,
        groups=groups,
        width=width,
        licence="BSD-3-Clause",
        url=f"https://download.pytorch.org/models/{name}-{digits}.pth",
        hash_prefix=digits,
        megabytes=mb,
        source="ImageNet-1k (torchvision)",
    )


#: Bodies by name.
BACKBONES: dict[str, BackboneSpec] = {
    spec.name: spec
    for spec in (
        BackboneSpec("compact", features=512),
        BackboneSpec("compact_large", features=768),
        _imagenet("resnext50_32x4d", (3, 4, 6, 3), 32, 4, "7cdf4587", 100),
        _imagenet("resnext101_32x8d", (3, 4, 23, 3), 32, 8, "8ba56ff5", 356),
        _imagenet("resnext101_64x4d", (3, 4, 23, 3), 64, 4, "173b62eb", 335),
        _wsl(8, "c38310e5", 356),
        _wsl(16, "c6f796b0", 777),
        _wsl(32, "e4b90b00", 1876),
        _wsl(48, "3e41cc8a", 3317),
    )
}
