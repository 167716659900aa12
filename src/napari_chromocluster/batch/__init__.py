"""From image files to result files: one metaphase, or many, here or on a cluster.

The functions are loaded when they are first used: the command line checks its arguments first.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

#: Public name -> module of this package that holds it.
_WHERE = {
    "BatchError": "files",
    "BatchResult": "many",
    "Classified": "one",
    "ResultFiles": "files",
    "Segmented": "one",
    "classify_crops_to_files": "crops",
    "classify_to_files": "one",
    "find_images": "images",
    "read_frame": "one",
    "run_batch": "many",
    "segment_to_files": "one",
}

__all__ = [
    "BatchError",
    "BatchResult",
    "Classified",
    "ResultFiles",
    "Segmented",
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
    from napari_chromocluster.batch.many import BatchResult, run_batch
    from napari_chromocluster.batch.one import (
        Classified,
        Segmented,
        classify_to_files,
        read_frame,
        segment_to_files,
    )


def __getattr__(name: str) -> Any:
    """Load a public name when it is first asked for."""
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_WHERE[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names."""
    return list(__all__)
