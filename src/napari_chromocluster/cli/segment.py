"""``chromocluster segment``."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from napari_chromocluster.cli.options import Image, Json, Output, print_json


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
        float | None, typer.Option(help="Factor of the automatic threshold; above 1 is stricter.")
    ] = None,
    edge: Annotated[
        float | None,
        typer.Option(
            help="Share of the signal at which bright regions end; more for blurred images."
        ),
    ] = None,
    polarity: Annotated[
        str | None, typer.Option(help="Chromosomes are dark or bright (default: found by itself).")
    ] = None,
    as_json: Json = False,
) -> None:
    """Find the regions of a metaphase and write them as a label image."""
    from napari_chromocluster.batch import read_frame
    from napari_chromocluster.imaging.io import check_writable, write_labels
    from napari_chromocluster.imaging.segmentation import segment_metaphase

    chosen: dict[str, Any] = {
        "smallest_region": smallest,
        "largest_region": largest,
        "threshold": threshold,
        "edge": edge,
        "polarity": polarity,
    }
    pixels = read_frame(image)
    check_writable(output)
    # Options that are not given keep the segmentation's own values.
    labels = segment_metaphase(pixels, **{k: v for k, v in chosen.items() if v is not None})
    path = output / f"{image.stem}_labels.tif"
    write_labels(path, labels)
    found = int(labels.max(initial=0))
    if as_json:
        print_json({"labels": str(path), "regions": found})
    else:
        print(f"{found} regions in {path}")
