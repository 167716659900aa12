"""Tell single chromosomes from clusters, and which type of cluster, in metaphase images.

Everything is loaded when it is first used: importing the package brings
neither Qt nor napari nor torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

#: Public name -> module that holds it.
_WHERE = {
    "ClusterType": "cluster_types",
    "segment_metaphase": "imaging.segmentation",
    "SegmentationParameters": "imaging.segmentation",
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
    from napari_chromocluster.imaging.segmentation import (
        SegmentationParameters,
        segment_metaphase,
    )
    from napari_chromocluster.imaging.synthetic_metaphase import synthetic_metaphase
    from napari_chromocluster.models.classifier import ClusterClassifier, load_model
    from napari_chromocluster.models.evaluation import evaluate
    from napari_chromocluster.models.registry import list_models
    from napari_chromocluster.training.api import train


def __getattr__(name: str) -> Any:
    """Load a public name when it is first asked for."""
    if name in _WHERE:
        if _WHERE[name].startswith(("models.", "training.")):
            # Whoever asks for these is about to load torch, if it is not there yet.
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
