"""From image files to result files: one metaphase or many, on this machine or a cluster.

The functions are loaded on first use, since the command line first checks its arguments.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

#: Maps each public name to the module of this package that defines it.
_WHERE = {
    "BatchError": "files",
    "BatchResult": "runner",
    "ClassificationResult": "pipeline",
    "ResultFiles": "files",
    "SegmentationResult": "pipeline",
    "classify_crops_to_files": "crops",
    "classify_to_files": "pipeline",
    "find_images": "images",
    "read_frame": "pipeline",
    "run_batch": "runner",
    "segment_to_files": "pipeline",
}
#: Maps names of version 0.1 to current names; to be removed in the next release.
_OLD_NAMES = {"Classified": "ClassificationResult", "Segmented": "SegmentationResult"}

__all__ = [
    "BatchError",
    "BatchResult",
    "ClassificationResult",
    "ResultFiles",
    "SegmentationResult",
    "classify_crops_to_files",
    "classify_to_files",
    "find_images",
    "read_frame",
    "run_batch",
    "segment_to_files",
]

if TYPE_CHECKING:
    from napari_chromocluster.batch.crops import classify_crops_to_files
    from napari_chromocluster.batch.files import BatchError, ResultFiles
    from napari_chromocluster.batch.images import find_images
    from napari_chromocluster.batch.pipeline import (
        ClassificationResult,
        SegmentationResult,
        classify_to_files,
        read_frame,
        segment_to_files,
    )
    from napari_chromocluster.batch.runner import BatchResult, run_batch


def __getattr__(name: str) -> Any:
    """Load a public name on first access."""
    today = _OLD_NAMES.get(name, name)
    if today not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_WHERE[today]}"), today)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names."""
    return list(__all__)
