"""``chromocluster evaluate``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from napari_chromocluster.cli.options import (
    Device,
    Expected,
    Json,
    Model,
    check_model,
    check_there,
    progress_line,
)
from napari_chromocluster.cluster_types import EXPECTED_CHROMOSOMES


def evaluate(
    annotations: Annotated[Path, typer.Argument(help="Annotation CSV or folder per type.")],
    model: Model = "default",
    device: Device = "auto",
    expected: Expected = EXPECTED_CHROMOSOMES,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Folder for the figures and the confusion matrix."),
    ] = None,
    as_json: Json = False,
    json_file: Annotated[Path | None, typer.Option("--json-file", hidden=True)] = None,
) -> None:
    """Compare a model with annotations: every figure of the paper and more."""
    check_there(annotations)
    check_model(model)
    from napari_chromocluster.imaging.files import check_writable, write_text_atomic

    for folder in (json_file and json_file.parent, output):
        if folder is not None:
            check_writable(folder)
    from napari_chromocluster.models.evaluation import evaluate as run_evaluation

    evaluation = run_evaluation(
        annotations, model, device=device, expected=expected or None,
        progress=progress_line("regions"),
    )  # fmt: skip
    result = evaluation.to_dict()
    text = json.dumps(result, indent=2) + "\n"
    if json_file is not None:
        write_text_atomic(json_file, text)
    if output is not None:
        write_text_atomic(output / "evaluation.json", text)
        from napari_chromocluster.results.figures import confusion_figure, save_figure

        save_figure(output / "confusion_matrix.png", confusion_figure(result["confusion_matrix"]))
    print(text, end="") if as_json else print_evaluation(result)


def print_evaluation(result: dict[str, Any]) -> None:
    """Print the metrics of an evaluation as a table."""
    low, high = result["accuracy_interval"]
    print(f"{'regions':22s}{result['n']:6d}")
    print(f"{'accuracy':22s}{result['accuracy']:.4f}  (95 % interval {low:.4f} to {high:.4f})")
    names = ("macro_sensitivity", "macro_specificity", "micro_specificity", "kappa", "auroc", "ece")
    for name in names:
        print(f"{name.replace('_', ' '):22s}{_number(result[name], 4)}")
    selective = result["selective_accuracy"]
    print(f"{'selective accuracy':22s}{_number(selective, 4)}  (5 % left to a human)")
    print(f"\n{'':22s}{'n':>6s} {'sens.':>7s} {'spec.':>7s} {'F1':>7s}")
    for name, figures in result["per_type"].items():
        cells = (figures["sensitivity"], figures["specificity"], figures["f1"])
        print(f"{name:22s}{figures['n']:6d} " + " ".join(f"{_number(c, 3):>7s}" for c in cells))
    print("\nconfusion matrix (rows: annotated, columns: the model, in the order above)")
    for name, row in zip(result["types"], result["confusion_matrix"], strict=True):
        print(f"{name:22s}" + " ".join(f"{value:6d}" for value in row))


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
