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
    LabelsAs,
    Model,
    Output,
    Polarity,
    Threshold,
    check_model,
    check_output,
    check_there,
    numbers,
    print_classified,
    print_json,
    print_notes,
)
from napari_chromocluster.cluster_types import EXPECTED_CHROMOSOMES

if TYPE_CHECKING:
    from napari_chromocluster.batch import ClassificationResult
    from napari_chromocluster.models.classifier import ClusterClassifier


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
    crops: Annotated[
        bool,
        typer.Option("--crops", help="IMAGE is a folder of crops that hold one region each."),
    ] = False,
    labels_as: LabelsAs = None,
    as_json: Json = False,
) -> None:
    """Classify the regions of a metaphase: labels, table and overlay."""
    if crops:
        if labels is not None or select is not None or explain:
            raise ValueError("Crops have no labels: leave --labels, --select and --explain out.")
        _classify_crops(image, output, model, device, as_json)
        return
    from napari_chromocluster.batch.files import check_image

    chosen = numbers(select, "--select")
    check_image(image)
    check_there(labels)
    check_model(model)
    check_output(output)
    from napari_chromocluster.batch import classify_to_files, read_frame
    from napari_chromocluster.imaging.files import image_stem
    from napari_chromocluster.imaging.io import read_labels

    opened = read_frame(image, channel)
    print_notes(opened.notes)
    pixels = opened.pixels
    regions = None if labels is None else read_labels(labels)
    if labels is not None:
        _check_labels(labels, regions)
    from napari_chromocluster.models.classifier import load_model

    classifier = load_model(model, device)
    done = classify_to_files(
        pixels, image_stem(image), output, classifier, labels=regions, select=chosen,
        expected=expected or None, threshold=threshold, polarity=polarity,
        pixel_size=opened.pixel_size, labels_as=labels_as,
    )  # fmt: skip
    result = summary_of(done, classifier, whole=chosen is None, expected=expected or None)
    if explain:
        path = output / f"{image_stem(image)}_explanation.tif"
        _write_explanation(
            path, classifier.explain(pixels, done.labels, chosen, expected=expected or None)
        )
        result["explanation"] = str(path)
    if as_json:
        print_json(result)
    else:
        print_classified(result)


def _classify_crops(source: Path, output: Path, model: str, device: str, as_json: bool) -> None:
    """Classify a folder of ready-made crops; exits with status 1 if some could not be read."""
    check_there(source)
    check_model(model)
    check_output(output)
    from napari_chromocluster.batch import classify_crops_to_files
    from napari_chromocluster.cluster_types import ClusterType
    from napari_chromocluster.models.classifier import load_model
    from napari_chromocluster.results.features_table import counts

    table, failures = classify_crops_to_files(source, output, load_model(model, device))
    base = output / f"{source.resolve().stem}_crops"
    found = counts(table)
    if as_json:
        print_json(
            {
                "table": f"{base}.csv",
                "sheet": f"{base}.png",
                "counts": {str(kind): number for kind, number in found.items()},
                "failures": failures,
            }
        )
    else:
        for kind, number in found.items():
            print(f"{number:5d}  {ClusterType(kind).display_name}")
        print(f"table:       {base}.csv\nsheet:       {base}.png")
        for name, reason in failures.items():
            print(f"could not be read: {name}: {reason}", file=sys.stderr)
    if failures:
        raise typer.Exit(1)


def _check_labels(path: Path, labels: Any) -> None:
    """Reject an image, and warn if one region has many separate parts."""
    from napari_chromocluster.imaging.files import ImageError
    from napari_chromocluster.imaging.regions import (
        extract_regions,
        label_doubt,
        looks_like_grayscale,
    )

    if labels.ndim != 2 or not labels.any():
        return
    if looks_like_grayscale(extract_regions(labels)):
        raise ImageError(
            f"{path.name} looks like a picture, not like labels: give the label image of the "
            f"metaphase."
        )
    if doubt := label_doubt(labels):
        print_notes([f"{path.name}: {doubt}"])


def summary_of(
    done: ClassificationResult,
    classifier: ClusterClassifier,
    whole: bool = True,
    expected: int | None = EXPECTED_CHROMOSOMES,
) -> dict[str, Any]:
    """Return the printed summary of a classified metaphase, in plain types."""
    from napari_chromocluster.results.features_table import counts, unsure
    from napari_chromocluster.results.summary import (
        count_warning,
        estimate_chromosomes,
        familiarity_warning,
    )

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
    if done.familiarity is not None:
        found["familiar"] = done.familiarity >= 1
        found["familiarity"] = round(done.familiarity, 3)
        found["familiarity_warning"] = familiarity_warning({0: done.familiarity})
    if whole:  # not meaningful for a subset of the regions
        found["chromosomes"] = estimate_chromosomes(done.table)
        found["count_warning"] = count_warning(found["chromosomes"], expected)
    return found


def _write_explanation(path: Path, heat: Any) -> None:
    import tifffile

    from napari_chromocluster.imaging.files import atomic_path

    with atomic_path(path) as temporary:
        tifffile.imwrite(temporary, heat, compression="zlib")
