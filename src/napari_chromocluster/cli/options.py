"""Shared arguments, options and output of the commands."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from napari_chromocluster.imaging.files import ImageError

Image = Annotated[
    Path, typer.Argument(help="Metaphase image: TIFF, PNG, JPEG, BMP or an OME-Zarr folder.")
]
Output = Annotated[Path, typer.Option("--output", "-o", help="Folder for the results.")]
Model = Annotated[str, typer.Option(help="Name in the model list, or a model file.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")]
Channel = Annotated[
    str | None,
    typer.Option(
        help="Channel of the chromosomes, by name or number from 1 (default: DAPI or the like)."
    ),
]
Polarity = Annotated[
    Literal["auto", "dark", "bright"],
    typer.Option(help="Chromosomes are dark or bright (auto: found by itself)."),
]
LabelsAs = Annotated[
    Literal["ome-tiff", "ome-zarr"] | None,
    typer.Option(help="Also write the label image in this format."),
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Threshold = Annotated[
    float | None,
    typer.Option(
        min=0.0, max=1.0, help="Confidence under which a region is unsure (default: the model's)."
    ),
]
Expected = Annotated[
    int,
    typer.Option(
        min=0,
        help="Chromosomes in a cell, which tell how many clusters are likely (0: not known).",
    ),
]


class Stopped(Exception):
    """A command that the user interrupted; the message explains how to continue."""


def numbers(text: str | None, option: str) -> list[int] | None:
    """Parse integers such as ``1,2,5``; None stays None."""
    if text is None:
        return None
    try:
        return [int(part) for part in text.replace(" ", "").split(",") if part]
    except ValueError:
        raise ValueError(f"{option} takes whole numbers such as 1,2,5, not {text!r}.") from None


def check_there(*paths: Path | None) -> None:
    """Raise for files and folders that do not exist, before anything slow is loaded."""
    for path in paths:
        if path is not None and not path.expanduser().exists():
            raise ImageError(f"{path} does not exist: check the name.")


def check_model(name: str) -> None:
    """Raise for a model that does not exist or cannot be used, according to its card."""
    from napari_chromocluster.models.registry import model_card

    model_card(name)


def check_output(folder: Path | None) -> None:
    """Raise for a folder that results cannot be written to."""
    from napari_chromocluster.batch.files import writable_folder

    if folder is not None:
        with writable_folder(folder):
            pass


def counted(number: int, noun: str) -> str:
    """Return a number with a noun: ``1 region``, ``2 regions``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def print_notes(notes: Iterable[str]) -> None:
    """Print notes about automatic choices on standard error."""
    for text in notes:
        print(f"note: {text}", file=sys.stderr)


def print_json(value: Any) -> None:
    """Print a result as JSON."""
    print(json.dumps(value, indent=2))


def progress_line(unit: str = "", scale: float = 1.0) -> Callable[[int, int], None]:
    """Return a progress callback that rewrites one terminal line; silent without a terminal.

    Parameters
    ----------
    unit : str
        Printed after the numbers.
    scale : float
        Divides the numbers.
    """

    def show(done: int, total: int) -> None:
        if sys.stderr.isatty():
            end = "\n" if done >= total else ""
            text = f"\r{done / scale:.0f} of {total / scale:.0f} {unit}".rstrip()
            print(text, end=end, file=sys.stderr, flush=True)

    return show


def print_classified(result: dict[str, Any]) -> None:
    """Print counts per type, time and files of one classified metaphase."""
    from napari_chromocluster.cluster_types import ClusterType

    for name, number in result["counts"].items():
        print(f"{number:5d}  {ClusterType(name).display_name}")
    if "chromosomes" in result:
        print(f"{result['chromosomes']:5d}  chromosomes, estimated")
    for name in ("count_warning", "familiarity_warning"):
        if result.get(name):
            print(result[name])
    print(f"{result['unsure']:5d}  unsure (confidence below {result['threshold']:g})")
    print(f"{result['seconds']:.1f} s on {result['device']} with the model {result['model']!r}")
    for name in ("labels", "regions", "overlay", "explanation"):
        if name in result:
            print(f"{name + ':':13s}{result[name]}")
