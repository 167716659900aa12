"""One file of a batch: what is to be done, and its outcome."""

from __future__ import annotations

import ctypes
import gc
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache, lru_cache
from itertools import count
from typing import TYPE_CHECKING, Any

from napari_chromocluster.batch.files import ResultFiles
from napari_chromocluster.batch.output_names import frame_name
from napari_chromocluster.batch.pipeline import classify_to_files, is_reviewed
from napari_chromocluster.cluster_types import EXPECTED_CHROMOSOMES
from napari_chromocluster.imaging.files import is_full_disk
from napari_chromocluster.imaging.image_file import open_image
from napari_chromocluster.imaging.io import is_stack
from napari_chromocluster.imaging.normalization import Polarity
from napari_chromocluster.models.torch_setup import prepare_torch

if TYPE_CHECKING:
    from napari_chromocluster.models.classifier import ClusterClassifier


#: Number of attempts at a file before it is reported as killing its workers.
TRIES = 2
ENDED = (
    "The worker ended suddenly both times that it did this file, perhaps for lack of memory: run "
    "the batch again with fewer workers, or crop the image."
)
#: Counts the files that this process has finished.
_FINISHED = count(1)


@dataclass(frozen=True)
class Job:
    """One file of a batch, serializable for workers.

    Attributes
    ----------
    image, name, folder : str
        The file, the base name of its results, and their folder.
    model, device : str
        As in `load_model`.
    stamp : dict
        Values that must match for an earlier result to be valid.
    done : tuple of str
        Names of frames with valid earlier results.
    expected : int or None
        Chromosomes in a cell; None if unknown.
    channel, polarity, threshold, overlay, labels_as
        As in `open_image` and `classify_to_files`.
    """

    image: str
    name: str
    folder: str
    model: str
    device: str
    stamp: dict[str, Any] = field(default_factory=dict, hash=False)
    done: tuple[str, ...] = ()
    expected: int | None = EXPECTED_CHROMOSOMES
    channel: int | str | None = None
    polarity: Polarity = "auto"
    threshold: float | None = None
    overlay: bool = True
    labels_as: str | None = None


@dataclass(frozen=True)
class Outcome:
    """Result of one file.

    Attributes
    ----------
    frames : tuple of str
        Names of the frames that have results.
    kept : tuple of str
        Those of them that were not changed, because they contain human decisions.
    failures : dict of str to str
        Frame, such as ``frame 7``, counted from 1, to why it failed; "" is the whole file.
    notes : tuple of str
        Automatic choices when reading the file.
    familiarity : dict of str to float
        Familiarity of each frame, if known.
    """

    frames: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    failures: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    familiarity: dict[str, float] = field(default_factory=dict)


def classify_job(job: Job) -> Outcome:
    """Classify all frames of one file, each separately; runs on workers."""
    try:
        return _classify_frames(job)
    finally:
        _trim_memory()


def _trim_memory() -> None:
    """Free cycles in figures, and what glibc would keep: up to 1 MB more with each file."""
    if next(_FINISHED) % 10 == 0:
        gc.collect()
    if sys.platform == "linux":
        with suppress(AttributeError):  # another C library
            ctypes.CDLL(None).malloc_trim(0)


@cache
def keep_memory_while_busy() -> None:
    """Let glibc keep freed memory until a file is done.

    dask sets MALLOC_TRIM_THRESHOLD_ for its workers, which costs three quarters more time.
    """
    if sys.platform == "linux":
        trim_threshold, mmap_threshold = -1, -3
        with suppress(AttributeError):  # another C library
            library = ctypes.CDLL(None)
            library.mallopt(trim_threshold, 1 << 28)
            library.mallopt(mmap_threshold, 1 << 25)


def _classify_frames(job: Job) -> Outcome:
    try:
        image = open_image(job.image, job.channel)
        classifier = cached_model(job.model, job.device)
    except Exception as error:
        # Any error: the other files are still processed.
        return Outcome(failures={"": error_message(error)})
    parts = {job.name: ("", image.pixels)}
    if is_stack(image.pixels):
        parts = {
            frame_name(job.name, number): (f"frame {number + 1}", frame)
            for number, frame in enumerate(image.pixels)
        }
    frames, kept, failures, familiarity = [], [], {}, {}
    for name, (part, frame) in parts.items():
        try:
            if name not in job.done:
                if is_reviewed(ResultFiles.of(job.folder, name)):
                    kept.append(name)
                else:
                    done = classify_to_files(
                        frame, name, job.folder, classifier, expected=job.expected,
                        threshold=job.threshold, polarity=job.polarity,
                        pixel_size=image.pixel_size, overlay=job.overlay,
                        labels_as=job.labels_as,
                    )  # fmt: skip
                    if done.familiarity is not None:
                        familiarity[name] = done.familiarity
            frames.append(name)
        except Exception as error:  # the other frames are still processed
            failures[part] = error_message(error)
    return Outcome(tuple(frames), tuple(kept), failures, image.notes, familiarity)


def error_message(error: BaseException) -> str:
    """Describe an error in one sentence."""
    if is_full_disk(error):
        return "The disk is full: free some space and run the same command again."
    if isinstance(error, MemoryError):
        return "The memory is too small for this image: use fewer workers, or crop it."
    return " ".join(str(error).split()) or type(error).__name__


def cached_model(model: str, device: str) -> ClusterClassifier:
    """Load a model, or return the one that this process loaded before."""
    from napari_chromocluster.models.registry import resolve_model

    path = resolve_model(model)
    return _load(str(path), path.stat().st_mtime_ns if path.exists() else 0, device)


@lru_cache(maxsize=2)
def _load(path: str, changed: int, device: str) -> ClusterClassifier:
    prepare_torch()
    from napari_chromocluster.models.classifier import load_model

    return load_model(path, device)
