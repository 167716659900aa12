"""Classify the regions of metaphase images as single chromosomes or types of chromosome clusters.

Everything is loaded on first use: importing the package imports neither Qt nor napari nor torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

#: Maps each public name to the module that defines it.
_WHERE = {
    "ClusterType": "cluster_types",
    "segment_metaphase": "imaging.segmentation",
    "SegmentationParameters": "imaging.region_filter",
    "compose_clusters": "imaging.cluster_synthesis",
    "synthetic_metaphase": "imaging.synthetic_metaphase",
    "read_image": "imaging.io",
    "load_model": "models.classifier",
    "ClusterClassifier": "models.classifier",
    "list_models": "models.registry",
    "evaluate": "models.evaluation",
    "train": "training.api",
}
_MODULES = ("batch", "viewer")

__all__ = [
    "ClusterClassifier",
    "ClusterType",
    "SegmentationParameters",
    "batch",
    "compose_clusters",
    "evaluate",
    "list_models",
    "load_model",
    "read_image",
    "segment_metaphase",
    "synthetic_metaphase",
    "train",
    "viewer",
]

if TYPE_CHECKING:
    from napari_chromocluster import batch, viewer
    from napari_chromocluster.cluster_types import ClusterType
    from napari_chromocluster.imaging.cluster_synthesis import compose_clusters
    from napari_chromocluster.imaging.io import read_image
    from napari_chromocluster.imaging.region_filter import SegmentationParameters
    from napari_chromocluster.imaging.segmentation import segment_metaphase
    from napari_chromocluster.imaging.synthetic_metaphase import synthetic_metaphase
    from napari_chromocluster.models.classifier import ClusterClassifier, load_model
    from napari_chromocluster.models.evaluation import evaluate
    from napari_chromocluster.models.registry import list_models
    from napari_chromocluster.training.api import train


def __getattr__(name: str) -> Any:
    """Load a public name on first access."""
    if name in _WHERE:
        if _WHERE[name].startswith(("models.", "training.")):
            # These import torch, if it is not loaded yet.
            importlib.import_module(f"{__name__}.models.torch_setup").prepare_torch()
        module = importlib.import_module(f"{__name__}.{_WHERE[name]}")
        value = getattr(module, name)
    elif name in _MODULES:
        value = importlib.import_module(f"{__name__}.{name}")
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names."""
    return [*__all__, "__version__"]
