"""Report of a training run: validation metrics of the new model compared with the old one.

The training process writes it once; widget and command line only read it.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from napari_chromocluster.cluster_types import TYPES
from napari_chromocluster.imaging.crops import RegionCrop
from napari_chromocluster.imaging.files import atomic_path, write_text_atomic
from napari_chromocluster.models.classifier import load_model
from napari_chromocluster.models.model_card import read_card
from napari_chromocluster.models.registry import RegistryError, listed_name, resolve_model
from napari_chromocluster.results.annotated_crops import load_annotated_crops
from napari_chromocluster.results.metrics import evaluate_predictions, reliability_bins
from napari_chromocluster.training.data.splits import groups_in_saved_split, groups_in_training_set
from napari_chromocluster.training.runs.report_data import (
    METRICS,
    PREDICTIONS,
    Mistake,
    Report,
)
from napari_chromocluster.training.runs.report_html import write_page
from napari_chromocluster.training.runs.run_folder import Run, RunError, fold_runs

#: Maximum number of mistakes with a thumbnail.
_MOST_MISTAKES = 200
_THUMBNAIL = 96
#: Signal drawn as black.
_FULL = 1.9


def write_report(run: Run) -> Report:
    """Compare the trained model with the old one, and write the report folder.

    Raises
    ------
    RunError
        If the run has no predictions.
    """
    rows, probabilities = _predictions(run)
    groups = [str(group) for group in rows["group"]]
    true = [str(name) for name in rows["cluster_type"]]
    crops = load_annotated_crops(rows).crops
    name, old = _old_probabilities(run, crops)
    held_out = sorted(set(groups))
    card = read_card(run.model_path)
    pooled = _pooled(run)
    report = Report(
        new=evaluate_predictions(true, probabilities, groups).to_dict(),
        old=None if old is None else evaluate_predictions(true, old, groups).to_dict(),
        old_name=name,
        temperature=card.temperature,
        groups=held_out,
        seen_by_old=sorted(groups_in_training_set(name, held_out)),
        mistakes=_mistakes(run, rows, probabilities, crops),
        folds=run.config.folds,
        pooled=pooled,
        reliability=_reliability(true, probabilities),
        share_of_start=float(card.training.get("share_of_start", 0.0)),
        networks=card.members,
        unchecked=0 if pooled is None else _unchecked(run, pooled),
        start_temperature=card.training.get("start_temperature"),
    )
    write_text_atomic(run.report_folder / METRICS, json.dumps(dataclasses.asdict(report), indent=1))
    write_page(run, report, true, probabilities)
    return report


def _predictions(run: Run) -> tuple[pd.DataFrame, NDArray[np.float32]]:
    """Return the validation regions and the new model's probabilities."""
    path = run.report_folder / PREDICTIONS
    try:
        lines = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunError(f"{run.folder.name} has no predictions to report on: train it.") from error
    rows = pd.DataFrame(lines)
    rows["labels"] = rows["labels"].fillna("").replace("nan", "")
    return rows, np.array([line["probabilities"] for line in lines], np.float32)


def _reliability(
    true: list[str], probabilities: NDArray[np.float32]
) -> list[tuple[float, float, int]]:
    """Return mean confidence, accuracy and count of each non-empty bin of confidence, rounded."""
    order = [str(kind) for kind in TYPES]
    right = probabilities.argmax(axis=1) == np.array([order.index(name) for name in true])
    found = reliability_bins(probabilities.max(axis=1), right)
    return [(round(sure, 4), round(share, 4), n) for sure, share, n in found]


def _pooled(run: Run) -> dict[str, Any] | None:
    """Evaluate all folds together; None until all are done."""
    others = fold_runs(run)
    if not others or not all(one.model_path.exists() for one in others):
        return None
    parts = [_predictions(one) for one in (run, *others)]
    rows = pd.concat([rows for rows, _ in parts], keys=range(len(parts)), names=["fold"])
    # If two folds validated on a group, the first one counts.
    folds = rows.index.get_level_values("fold").to_series(index=rows.index)
    once = (folds == folds.groupby(rows["group"]).transform("min")).to_numpy()
    rows = rows[once]
    chances = np.concatenate([probabilities for _, probabilities in parts])[once]
    true, groups = rows["cluster_type"].astype(str), rows["group"].astype(str)
    return evaluate_predictions(list(true), chances, list(groups)).to_dict()


def _unchecked(run: Run, pooled: Mapping[str, Any]) -> int:
    """Count the groups that were not validated on in any fold."""
    return len(groups_in_saved_split(run.checkpoint_folder) - set(pooled["per_group"]))


def baseline_model(run: Run) -> str:
    """Return the model to compare with: the base model, or the default model for a backbone."""
    return run.config.base_model or "default"


def _old_probabilities(run: Run, crops: list[RegionCrop]) -> tuple[str, NDArray[np.float32] | None]:
    name = baseline_model(run)
    try:
        path = resolve_model(name)
        if not path.is_file():
            return name, None
        classifier = load_model(path, "cpu")
    except (RegistryError, ValueError):
        return name, None
    return listed_name(path) or name, classifier.predict_regions(crops)


def _mistakes(
    run: Run, rows: pd.DataFrame, probabilities: NDArray[np.float32], crops: list[RegionCrop]
) -> list[Mistake]:
    folder = run.report_folder / "thumbnails"
    predicted = [str(TYPES[column]) for column in probabilities.argmax(axis=1)]
    confidence = probabilities.max(axis=1)
    wrong = np.nonzero(np.array(predicted) != rows["cluster_type"].to_numpy())[0]
    wrong = wrong[np.argsort(-confidence[wrong], kind="stable")]
    places = _places(rows.iloc[wrong])
    found = []
    for number, row in enumerate(wrong):
        one = rows.iloc[int(row)]
        thumbnail = ""
        if number < _MOST_MISTAKES:
            thumbnail = f"thumbnails/{number:03d}.png"
            with atomic_path(folder / f"{number:03d}.png") as temporary:
                draw_thumbnail(crops[int(row)]).save(temporary)
        y, x = places[number]
        found.append(
            Mistake(
                str(one["image"]), str(one["labels"]), int(one["label"]), str(one["group"]),
                str(one["cluster_type"]), predicted[row], round(float(confidence[row]), 4),
                y, x, thumbnail,
            )
        )  # fmt: skip
    return found


def _places(rows: pd.DataFrame) -> list[tuple[float, float]]:
    """Return the centroid of each region in its image, reading each label image once."""
    from napari_chromocluster.imaging.io import read_labels
    from napari_chromocluster.imaging.regions import extract_regions

    centres: dict[tuple[str, int], tuple[float, float]] = {}
    for name in sorted(set(rows["labels"]) - {""}):
        for region in extract_regions(read_labels(Path(name))):
            centres[name, region.label] = (float(region.centroid[0]), float(region.centroid[1]))
    return [
        centres.get((str(labels), int(label)), (0.0, 0.0))
        for labels, label in zip(rows["labels"], rows["label"], strict=True)
    ]


def draw_thumbnail(crop: RegionCrop, side: int = _THUMBNAIL) -> Image.Image:
    """Draw a region dark on white, framed as in the model's crop."""
    ink = np.clip(crop.signal / _FULL, 0, 1) * crop.mask
    picture = Image.fromarray(np.rint(255 * (1 - ink)).astype(np.uint8))
    return picture.resize((side, side), Image.Resampling.BILINEAR)
