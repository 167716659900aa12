"""``chromocluster batch``."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_chromocluster.cli.options import (
    Channel,
    Device,
    Json,
    LabelsAs,
    Model,
    Output,
    Polarity,
    Stopped,
    Threshold,
    check_model,
    check_output,
    counted,
    print_json,
    print_notes,
    progress_line,
)
from napari_chromocluster.cluster_types import EXPECTED_CHROMOSOMES

if TYPE_CHECKING:
    from napari_chromocluster.batch import BatchResult


def batch(
    images: Annotated[
        list[Path], typer.Argument(help="Images, folders of images, patterns such as 's/*.tif'.")
    ],
    output: Output,
    model: Model = "default",
    device: Device = "auto",
    scheduler: Annotated[
        str | None, typer.Option(help="Address of a dask scheduler, such as tcp://head:8786.")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes on this machine.")] = 1,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Do finished images again.")
    ] = False,
    expected: Annotated[
        int,
        typer.Option(
            min=0, help="Chromosomes in a cell: for the types and the score (0: not known)."
        ),
    ] = EXPECTED_CHROMOSOMES,
    threshold: Threshold = None,
    channel: Channel = None,
    polarity: Polarity = "auto",
    no_overlays: Annotated[
        bool, typer.Option("--no-overlays", help="Write no picture of each metaphase.")
    ] = False,
    parquet: Annotated[
        bool, typer.Option("--parquet", help="Also write the tables of the batch as Parquet.")
    ] = False,
    labels_as: LabelsAs = None,
    as_json: Json = False,
) -> None:
    """Classify many metaphases and rank them; finished ones are skipped.

    Status 1 if some could not be processed.
    """
    from napari_chromocluster.batch import find_images

    find_images(images)
    check_model(model)
    check_output(output)
    from napari_chromocluster.batch import run_batch

    # On a terminal, one line with a counter; in a log, one line for each image.
    on_terminal = sys.stderr.isatty()
    try:
        result = run_batch(
            images,
            output,
            model=model,
            device=device,
            scheduler=scheduler,
            workers=workers,
            overwrite=overwrite,
            expected=expected or None,
            threshold=threshold,
            channel=channel,
            polarity=polarity,
            overlays=not no_overlays,
            labels_as=labels_as,
            parquet=parquet,
            progress=progress_line("images"),
            tell=None if on_terminal else partial(print, file=sys.stderr, flush=True),
        )
    except KeyboardInterrupt:
        if on_terminal:
            print(file=sys.stderr)  # the counter is still on this line
        raise Stopped("Interrupted: run the same command again to continue.") from None
    if as_json:
        print_json(
            {
                "summary": result.summary.to_dict("records"),
                "failures": result.failures,
                "skipped": result.skipped,
                "kept": list(result.kept),
                "notes": list(result.notes),
            }
        )
    else:
        _print_batch(result, output)
    if result.failures:
        raise typer.Exit(1)


def _print_batch(result: BatchResult, output: Path) -> None:
    print(f"{counted(len(result.summary), 'metaphase')} in {output / 'summary.csv'}")
    if result.skipped:
        print(f"{counted(result.skipped, 'image')} finished before (--overwrite does them again)")
    if result.kept:
        print("counted as they are, for a human decided there: " + ", ".join(result.kept))
    print_notes(result.notes)
    if result.failures:
        print("could not be done:", file=sys.stderr)
    for name, reason in result.failures.items():
        print(f"  {name}: {reason}", file=sys.stderr)
