"""``chromocluster classify``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_chromocluster.cli.options import (
    Channel,
    Device,
    Expected,
    Image,
    Json,
    Model,
    Output,
    Polarity,
    Threshold,
    numbers,
    print_classified,
    print_json,
    print_notes,
)
from napari_chromocluster.taxonomy import EXPECTED_CHROMOSOMES

if TYPE_CHECKING:
    from napari_chromocluster.batch import Classified
    from napari_chromocluster.models.classifier import ClusterClassifier

#: Separate parts from which on a single region is rather a mask of many.
_PARTS = 5


def classify(
    image: Image,
    output: Output,
    labels: Annotated[
        Path | None, typer.Option(help="Label image (default: find the regions).")
    ] = None,
    select: Annotated[str | None, typer.Option(help="Only these labels, such as 1,2,5.")] = None,
    model: Model = "default",
    device: Device = "auto",
    expected: Expected = EXPECTED_CHROMOSOMES,
    threshold: Threshold = None,
    channel: Channel = None,
    polarity: Polarity = "auto",
    explain: Annotated[
        bool,
        typer.Option("--explain", help="Also write what decided (class activation maps) as TIFF."),
    ] = False,
    as_json: Json = False,
) -> None:
    """Classify the regions of a metaphase: labels, table and picture."""
    from napari_chromocluster.batch import classify_to_files, read_frame
    from napari_chromocluster.imaging.io import read_labels
    from napari_chromocluster.models.classifier import load_model

    chosen = numbers(select, "--select")
    opened = read_frame(image, channel)
    print_notes(opened.notes)
    pixels = opened.pixels
    regions = None if labels is None else read_labels(labels)
    if labels is not None:
        _check_labels(labels, regions)
    classifier = load_model(model, device)
    done = classify_to_files(
        pixels, image.stem, output, classifier, labels=regions, select=chosen,
        expected=expected or None, threshold=threshold, polarity=polarity,
        pixel_size=opened.pixel_size,
    )  # fmt: skip
    result = summary_of(done, classifier, whole=chosen is None, expected=expected or None)
    if explain:
        path = output / f"{image.stem}_explanation.tif"
        _write_explanation(
            path, classifier.explain(pixels, done.labels, chosen, expected=expected or None)
        )
        result["explanation"] = str(path)
    if as_json:
        print_json(result)
    else:
        print_classified(result)


def _check_labels(path: Path, labels: Any) -> None:
    """Refuse a picture, and say so where one region in many parts should be many regions."""
    from scipy import ndimage

    from napari_chromocluster.imaging.io import ImageError
    from napari_chromocluster.imaging.regions import are_grays, extract_regions

    if labels.ndim != 2 or not labels.any():
        return
    if are_grays(extract_regions(labels)):
        raise ImageError(
            f"{path.name} looks like a picture, not like labels: give the label image of the "
            f"metaphase."
        )
    parts = ndimage.label(labels)[1]
    if parts >= _PARTS and (labels[labels != 0] == labels.max()).all():
        print(
            f"chromocluster: {path.name} holds one region in {parts} separate parts: if it is a "
            f"mask, give each part a label of its own.",
            file=sys.stderr,
        )


def summary_of(
    done: Classified,
    classifier: ClusterClassifier,
    whole: bool = True,
    expected: int | None = EXPECTED_CHROMOSOMES,
) -> dict[str, Any]:
    """Return what is printed of a classified metaphase, in plain types."""
    from napari_chromocluster.results.summary import count_warning, estimate_chromosomes
    from napari_chromocluster.results.table import counts, unsure

    found: dict[str, Any] = {
        "labels": str(done.files.labels),
        "regions": str(done.files.regions),
        "overlay": str(done.files.overlay),
        "model": classifier.name,
        "device": str(classifier.device),
        "counts": {str(kind): number for kind, number in counts(done.table).items()},
        "unsure": int(unsure(done.table, done.threshold).sum()),
        "threshold": done.threshold,
        "seconds": round(done.seconds, 2),
        "left_out": done.left_out,
    }
    if whole:  # of a part nothing can be told
        found["chromosomes"] = estimate_chromosomes(done.table)
        found["count_warning"] = count_warning(found["chromosomes"], expected)
    return found


def _write_explanation(path: Path, heat: Any) -> None:
    import tifffile

    from napari_chromocluster.imaging.io import atomic_path

    with atomic_path(path) as temporary:
        tifffile.imwrite(temporary, heat, compression="zlib")
