"""``chromocluster segment``."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from napari_chromocluster.cli.options import (
    Channel,
    Image,
    Json,
    LabelsAs,
    Output,
    Polarity,
    check_output,
    counted,
    print_json,
    print_notes,
)


def segment(
    image: Image,
    output: Output,
    smallest: Annotated[
        float | None, typer.Option(help="Smallest region, in areas of the median chromosome.")
    ] = None,
    largest: Annotated[
        float | None, typer.Option(help="Largest region, in areas of the median chromosome.")
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            "--threshold-factor", help="Factor of the automatic threshold; above 1 is stricter."
        ),
    ] = None,
    edge: Annotated[
        float | None,
        typer.Option(
            help="Share of the signal at which bright regions end; more for blurred images."
        ),
    ] = None,
    channel: Channel = None,
    polarity: Polarity = "auto",
    labels_as: LabelsAs = None,
    as_json: Json = False,
) -> None:
    """Find the regions of a metaphase and write them as a label image."""
    from napari_chromocluster.batch.files import check_image

    check_image(image)
    check_output(output)
    from napari_chromocluster.batch import read_frame, segment_to_files
    from napari_chromocluster.imaging.files import image_stem

    chosen: dict[str, Any] = {
        "smallest_region": smallest,
        "largest_region": largest,
        "threshold": threshold,
        "edge": edge,
        "polarity": polarity,
    }
    opened = read_frame(image, channel)
    print_notes(opened.notes)
    # Options that are not given keep the defaults of the segmentation.
    given = {name: value for name, value in chosen.items() if value is not None}
    done = segment_to_files(
        opened.pixels, image_stem(image), output, pixel_size=opened.pixel_size,
        labels_as=labels_as, **given,
    )  # fmt: skip
    found = int(done.labels.max(initial=0))
    if as_json:
        removed = [str(path) for path in done.removed]
        print_json(
            {
                "labels": str(done.path),
                "regions": found,
                "removed": removed,
                "left_out": done.left_out,
            }
        )
        return
    print(f"{counted(found, 'region')} in {done.path}")
    if done.left_out:
        print("left out:", ", ".join(f"{count} {why}" for why, count in done.left_out.items()))
    for path in done.removed:
        print(f"removed {path}: a model made it of other regions", file=sys.stderr)
