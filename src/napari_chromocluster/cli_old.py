"""The command line ``chromocluster``.

Heavy imports happen inside the commands, so that ``--help`` is quick.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from numpy.typing import NDArray

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Find the regions of metaphase images and tell single chromosomes from clusters.",
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Image = Annotated[Path, typer.Argument(help="Metaphase image: TIFF, PNG, JPEG or BMP.")]
Output = Annotated[Path, typer.Option("--output", "-o", help="Folder for the results.")]
Model = Annotated[str, typer.Option(help="Name in the model list, or a model file.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Threshold = Annotated[
    float | None, typer.Option(help="Confidence under which a region is unsure (default: model's).")
]


def main() -> None:
    """Run the command line; bad input gives one line and exit status 2."""
    try:
        app(standalone_mode=False)
    except typer.Exit as done:
        sys.exit(done.exit_code)
    except typer.Abort:
        _fail("Interrupted.")
    except KeyboardInterrupt:
        _fail("Interrupted.")
    except (ValueError, OSError) as error:
        _fail(str(error))
    except Exception as error:
        if hasattr(error, "format_message"):  # a usage error of the command line itself
            _fail(error.format_message())
        raise


def _fail(message: str) -> None:
    line = " ".join(message.split()) or "The input cannot be used."
    print(f"chromocluster: {line}", file=sys.stderr)
    sys.exit(2)


def _read_frame(path: Path) -> NDArray[Any]:
    from napari_chromocluster.imaging.io import ImageError, read_image

    image = read_image(path)
    if image.ndim == 4 or (image.ndim == 3 and image.shape[-1] not in (1, 3, 4)):
        raise ImageError(
            f"{path.name} holds {len(image)} frames: use 'chromocluster batch' for it."
        )
    return image


def _numbers(text: str | None) -> list[int] | None:
    if text is None:
        return None
    try:
        return [int(part) for part in text.replace(" ", "").split(",") if part]
    except ValueError:
        raise ValueError(f"--select takes labels such as 1,2,5, not {text!r}.") from None


@app.command()
def segment(
    image: Image,
    output: Output,
    smallest: Annotated[float, typer.Option(help="Smallest region, in median chromosomes.")] = 0.14,
    largest: Annotated[float, typer.Option(help="Largest region, in median chromosomes.")] = 80.0,
    threshold: Annotated[float, typer.Option(help="Factor of the automatic threshold.")] = 0.9,
    as_json: Json = False,
) -> None:
    """Find the regions of a metaphase and write them as a label image."""
    from napari_chromocluster.imaging.io import write_labels
    from napari_chromocluster.imaging.segmentation import segment_metaphase

    labels = segment_metaphase(
        _read_frame(image), smallest_region=smallest, largest_region=largest, threshold=threshold
    )
    path = output / f"{image.stem}_labels.tif"
    write_labels(path, labels)
    if as_json:
        print(json.dumps({"labels": str(path), "regions": int(labels.max())}))
    else:
        print(f"{int(labels.max())} regions in {path}")


@app.command()
def classify(
    image: Image,
    output: Output,
    labels: Annotated[
        Path | None, typer.Option(help="Label image (default: find regions).")
    ] = None,
    select: Annotated[str | None, typer.Option(help="Only these labels, such as 1,2,5.")] = None,
    model: Model = "default",
    device: Device = "auto",
    threshold: Threshold = None,
    explain: Annotated[
        bool, typer.Option("--explain", help="Also write what decided (Grad-CAM) as TIFF.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Classify the regions of a metaphase: labels, table and picture."""
    result = classify_file(image, output, labels, _numbers(select), (model, device), threshold)
    if explain:
        result["explanation"] = str(_explain(image, output, (model, device), _numbers(select)))
    if as_json:
        print(json.dumps(result))
        return
    _print_counts(result)


def classify_file(
    image: Path,
    output: Path,
    labels: Path | None = None,
    select: list[int] | None = None,
    model_and_device: tuple[str, str] = ("default", "auto"),
    threshold: float | None = None,
) -> dict[str, Any]:
    """Classify one file and write labels, table and picture into a folder.

    Returns
    -------
    dict
        Paths, counts per type, number of unsure regions and seconds.
    """
    from napari_chromocluster.imaging.io import read_labels, write_labels
    from napari_chromocluster.imaging.segmentation import segment_metaphase
    from napari_chromocluster.models.classifier import load_model
    from napari_chromocluster.results.figures import overlay_figure, save_figure
    from napari_chromocluster.results.table import counts, unsure, write_table

    pixels = _read_frame(image)
    classifier = load_model(*model_and_device)
    began = time.perf_counter()
    regions = segment_metaphase(pixels) if labels is None else read_labels(labels)
    table = classifier.classify(pixels, regions, select)
    seconds = time.perf_counter() - began
    limit = classifier.card.unsure_threshold if threshold is None else threshold
    paths = {
        "labels": output / f"{image.stem}_labels.tif",
        "regions": output / f"{image.stem}_regions.csv",
        "overlay": output / f"{image.stem}_overlay.png",
    }
    write_labels(paths["labels"], regions)
    write_table(paths["regions"], table)
    title = f"{image.stem} — {classifier.name}"
    save_figure(
        paths["overlay"], overlay_figure(pixels, regions, table, threshold=limit, title=title)
    )
    return {
        **{name: str(path) for name, path in paths.items()},
        "model": classifier.name,
        "device": str(classifier.device),
        "counts": {str(kind): number for kind, number in counts(table).items()},
        "unsure": int(unsure(table, limit).sum()),
        "seconds": round(seconds, 2),
    }


def _explain(
    image: Path, output: Path, model_and_device: tuple[str, str], select: list[int] | None
) -> Path:
    import tifffile

    from napari_chromocluster.imaging.io import atomic_path, read_labels
    from napari_chromocluster.models.classifier import load_model
    from napari_chromocluster.models.explanation import explain_regions

    labels = read_labels(output / f"{image.stem}_labels.tif")
    shown = explain_regions(load_model(*model_and_device), _read_frame(image), labels, select)
    path = output / f"{image.stem}_explanation.tif"
    with atomic_path(path) as temporary:
        tifffile.imwrite(temporary, shown, compression="zlib")
    return path


def _print_counts(result: dict[str, Any]) -> None:
    from napari_chromocluster.taxonomy import ClusterType

    for name, number in result["counts"].items():
        print(f"{number:5d}  {ClusterType(name).display_name}")
    print(f"{result['unsure']:5d}  unsure")
    print(f"{result['seconds']} s on {result['device']} with the model {result['model']!r}")
    for name in ("labels", "regions", "overlay", "explanation"):
        if name in result:
            print(f"{name}: {result[name]}")


@app.command()
def demo(
    image: Annotated[
        Path | None, typer.Argument(help="A metaphase (default: a synthetic one).")
    ] = None,
    output: Output = Path("demo_output"),
    model: Model = "default",
    device: Device = "auto",
    show: Annotated[bool, typer.Option(help="Open napari where there is a display.")] = True,
) -> None:
    """Classify a metaphase and show the result: the whole way in one command."""
    from PIL import Image as Picture

    from napari_chromocluster.imaging.io import atomic_path
    from napari_chromocluster.imaging.synthetic import synthetic_metaphase

    if image is None:
        image = output / "synthetic_metaphase.png"
        with atomic_path(image) as temporary:
            Picture.fromarray(synthetic_metaphase(seed=0).image).save(temporary)
    result = classify_file(image, output, None, None, (model, device))
    _print_counts(result)
    if show and _has_display():
        _show(image, result)


def _has_display() -> bool:
    import importlib.util
    import os

    if importlib.util.find_spec("napari") is None:
        return False
    if sys.platform.startswith("linux"):
        return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
    return True


def _show(image: Path, result: dict[str, Any]) -> None:
    """Open napari on a result; through its own command line, which knows no layers of ours."""
    import subprocess

    code = (
        "import sys, napari, napari_chromocluster.viewer as v;"
        "viewer = napari.Viewer();"
        "v.open_result(viewer, sys.argv[1], sys.argv[2], sys.argv[3]);"
        "napari.run()"
    )
    subprocess.run(
        [sys.executable, "-c", code, str(image), result["labels"], result["regions"]], check=False
    )


@app.command()
def evaluate(
    annotations: Annotated[Path, typer.Argument(help="Annotation CSV or folder per type.")],
    model: Model = "default",
    device: Device = "auto",
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the figures here.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder for a confusion matrix picture.")
    ] = None,
) -> None:
    """Compare a model with annotations: every figure of the paper and more."""
    from napari_chromocluster.imaging.io import write_text_atomic
    from napari_chromocluster.models.evaluate import evaluate as run_evaluation
    from napari_chromocluster.results.figures import confusion_figure, save_figure

    result = run_evaluation(annotations, model, device=device).to_dict()
    text = json.dumps(result, indent=2)
    if json_file is not None:
        write_text_atomic(json_file, text + "\n")
    if output is not None:
        write_text_atomic(output / "evaluation.json", text + "\n")
        save_figure(output / "confusion_matrix.png", confusion_figure(result["confusion_matrix"]))
    _print_evaluation(result)


def _print_evaluation(result: dict[str, Any]) -> None:
    low, high = result["accuracy_interval"]
    print(f"regions            {result['n']}")
    print(f"accuracy           {result['accuracy']:.4f}  (95 % interval {low:.4f} to {high:.4f})")
    for name in ("macro_sensitivity", "macro_specificity", "micro_specificity", "kappa", "auroc"):
        value = result[name]
        print(f"{name:18s} {'-' if value is None else f'{value:.4f}'}")
    print(f"{'ece':18s} {result['ece']:.4f}")
    print(f"{'selective accuracy':18s} {result['selective_accuracy']:.4f}  (5 % left to a human)")
    print(f"{'':22s}{'n':>6s} {'sens.':>7s} {'spec.':>7s} {'F1':>7s}")
    for name, figures in result["per_type"].items():
        cells = " ".join(
            f"{'-' if figures[key] is None else format(figures[key], '.3f'):>7s}"
            for key in ("sensitivity", "specificity", "f1")
        )
        print(f"{name:22s}{figures['n']:6d} {cells}")
    print("confusion matrix (rows true, columns predicted):")
    for name, row in zip(result["types"], result["confusion_matrix"], strict=True):
        print(f"{name:22s}" + " ".join(f"{value:5d}" for value in row))


@app.command()
def train(
    annotations: Annotated[
        list[Path], typer.Argument(help="Annotation CSVs and folders per type.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Run folder.")],
    preset: Annotated[str, typer.Option(help="default, quick or paper.")] = "default",
    base_model: Annotated[str | None, typer.Option(help="Model to finetune.")] = None,
    backbone_weights: Annotated[
        Path | None, typer.Option(help="Pretrained body weights (a local file).")
    ] = None,
    config: Annotated[Path | None, typer.Option(help="A config.json instead of a preset.")] = None,
    name: Annotated[str, typer.Option(help="Name of the new model.")] = "my model",
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = 0,
    device: Device = "auto",
    devices: Annotated[int, typer.Option(help="GPUs to train on.")] = 1,
    nodes: Annotated[int, typer.Option(help="Machines to train on.")] = 1,
    epochs: Annotated[str | None, typer.Option(help="Epochs of each stage, such as 3,12.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out.")] = False,
) -> None:
    """Finetune a model on annotated regions, coarse to fine."""
    from napari_chromocluster.training.api import train as run_training
    from napari_chromocluster.training.config import TrainingConfig
    from napari_chromocluster.training.config import preset as find_preset
    from napari_chromocluster.training.run import Run
    from napari_chromocluster.training.worker import work

    if resume:
        run = Run.open(out)
        work(run, resume=True)
    else:
        chosen = (
            find_preset(preset)
            if config is None
            else TrainingConfig.from_json(config.read_text(encoding="utf-8"))
        )
        changes: dict[str, Any] = {
            "seed": seed, "device": device, "devices": devices, "nodes": nodes, "model_name": name,
        }  # fmt: skip
        if backbone_weights is not None:
            changes |= {"backbone_weights": str(backbone_weights.resolve()), "base_model": None}
        if epochs is not None:
            changes["stages"] = _with_epochs(chosen.stages, _numbers(epochs) or [])
        run = run_training(annotations, config=chosen, base_model=base_model, out=out, **changes)
    print(
        f"model: {run.model_path}" if run.model_path.exists() else "stopped before any epoch ended"
    )


def _with_epochs(stages: tuple[Any, ...], epochs: list[int]) -> tuple[Any, ...]:
    import dataclasses

    if len(epochs) != len(stages):
        raise ValueError(f"--epochs takes {len(stages)} numbers, one for each stage.")
    return tuple(dataclasses.replace(s, epochs=n) for s, n in zip(stages, epochs, strict=True))


@app.command()
def batch(
    images: Annotated[list[Path], typer.Argument(help="Images and folders of images.")],
    output: Output,
    model: Model = "default",
    device: Device = "auto",
    scheduler: Annotated[
        str | None, typer.Option(help="Address of a dask scheduler, such as tcp://head:8786.")
    ] = None,
    workers: Annotated[int, typer.Option(help="Processes on this machine.")] = 1,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Do finished images again.")
    ] = False,
) -> None:
    """Classify many metaphases and rank them."""
    from napari_chromocluster.batch import run_batch

    result = run_batch(
        images, output, model=model, device=device, scheduler=scheduler, workers=workers,
        overwrite=overwrite, progress=_print_progress,
    )  # fmt: skip
    print(f"\n{len(result.summary)} metaphases in {output / 'summary.csv'}")
    for name, reason in result.failures.items():
        print(f"not done: {name}: {reason}", file=sys.stderr)
    if result.failures:
        raise typer.Exit(1)


def _print_progress(done: int, total: int) -> None:
    print(f"\r{done} of {total}", end="", file=sys.stderr, flush=True)


@app.command()
def models(
    name: Annotated[str | None, typer.Argument(help="Show the card of this model.")] = None,
    download: Annotated[
        str | None, typer.Option(help="Download the weights of a backbone.")
    ] = None,
    accept_licence: Annotated[
        bool, typer.Option("--accept-licence", help="Accept the licence of the weights.")
    ] = False,
    add: Annotated[Path | None, typer.Option(help="Add a model file to the list.")] = None,
    as_json: Json = False,
) -> None:
    """List, show, download and add models."""
    from napari_chromocluster.models import registry

    if download is not None:
        from napari_chromocluster.models.download import download_backbone

        print(download_backbone(download, accept=accept_licence, progress=_print_progress))
    elif add is not None:
        print(f"added as {registry.register_model(add, add.stem).name!r}")
    elif name is not None:
        print(registry.model_card(name).to_json())
    else:
        _list_models(registry.list_models(), as_json)


def _list_models(entries: list[Any], as_json: bool) -> None:
    if as_json:
        rows = [{**vars(one), "path": str(one.path) if one.path else None} for one in entries]
        print(json.dumps(rows, indent=2))
        return
    for one in entries:
        place = "here" if one.path else "to download"
        print(f"{one.name:28s} {one.kind:9s} {one.megabytes:5d} MB  {place:12s} {one.licence}")


if __name__ == "__main__":
    main()
