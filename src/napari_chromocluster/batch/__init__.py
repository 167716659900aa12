"""From image files to result files: one metaphase, or many, here or on a cluster."""

from napari_chromocluster.batch.crops import classify_crops_to_files
from napari_chromocluster.batch.many import BatchResult, find_images, run_batch
from napari_chromocluster.batch.one import (
    BatchError,
    Classified,
    ResultFiles,
    Segmented,
    classify_to_files,
    read_frame,
    segment_to_files,
)

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
