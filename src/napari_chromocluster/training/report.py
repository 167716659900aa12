"""What a training brought: figures on the validation groups, beside the model it began with.

Written once, by the training's own process; widget and command line only read it.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from napari_chromocluster.imaging.crops import RegionCrop
from napari_chromocluster.imaging.io import atomic_path, write_text_atomic
from napari_chromocluster.models.calibration import PRIOR_REGIONS
from napari_chromocluster.models.classifier import load_model
from napari_chromocluster.models.model_file import read_card
from napari_chromocluster.models.registry import RegistryError, listed_name, resolve_model
from napari_chromocluster.results.metrics import evaluate_predictions
from napari_chromocluster.results.sources import cut_annotated
from napari_chromocluster.taxonomy import TYPES
from napari_chromocluster.training.division import divided_groups
from napari_chromocluster.training.folds import fold_runs
from napari_chromocluster.training.run import Run, RunError
from napari_chromocluster.training.seen import seen_groups

#: Files of the report folder.
PREDICTIONS, METRICS, PAGE = "validation.json", "metrics.json", "report.html"
#: Mistakes of which a thumbnail is drawn, the most confident first.
_MOST_MISTAKES = 200
_THUMBNAIL = 96
#: Signal that is drawn black.
_FULL = 1.9


@dataclass(frozen=True)
class Mistake:
    """A validation region that the new model gets wrong.

    Attributes
    ----------
    image, labels : str
        Files; ``labels`` is empty where the image is the region.
    label : int
        Label of the region (0 where the image is the region).
    group : str
        Its metaphase, slide or case.
    true, predicted : str
        Cluster types.
    confidence : float
        How sure the model was.
    y, x : float
        Middle of the region in the image, in px.
    thumbnail : str
        Picture of the region, relative to the report folder; empty past the first ones.
    """

    image: str
    labels: str
    label: int
    group: str
    true: str
    predicted: str
    confidence: float
    y: float
    x: float
    thumbnail: str = ""


@dataclass(frozen=True)
class Report:
    """What is read back from a report folder.

    Attributes
    ----------
    new : dict
        `Evaluation.to_dict` of the trained model on the validation groups.
    old : dict or None
        The same of the model it began with; None where that classifies nothing.
    old_name : str
        Name of that model.
    temperature : float
        Fitted on the validation groups.
    groups : list of str
        Groups validated on.
    seen_by_old : list of str
        Those of them that the old model was trained on: its figures flatter there.
    mistakes : list of Mistake
        The most confident first.
    folds : int
        Into how many parts the groups were split.
    pooled : dict or None
        `Evaluation.to_dict` over all folds: each group once, by a model that never saw it.
    unchecked : int
        Groups of the training that no fold checked.
    reliability : list of (float, float, int)
        Mean confidence, share right and number of regions of each tenth of confidence.
    share_of_start : float
        Share of the model it began with in its weights (see `way_back.go_back`).
    networks : int
        How many networks answer together in it.
    start_temperature : float or None
        Temperature of the model it began with; None in reports of older versions.
    """

    new: dict[str, Any]
    old: dict[str, Any] | None
    old_name: str
    temperature: float
    groups: list[str]
    seen_by_old: list[str]
    mistakes: list[Mistake]
    folds: int = 1
    pooled: dict[str, Any] | None = None
    reliability: list[tuple[float, float, int]] = field(default_factory=list)
    share_of_start: float = 0.0
    networks: int = 1
    unchecked: int = 0
    start_temperature: float | None = None

    @property
    def calibration_known(self) -> bool:
        """Whether there are regions enough to judge the calibration by."""
        return int(self.new["n"]) >= PRIOR_REGIONS

    def what_calibration_rests_on(self) -> str:
        """Return a sentence or two about the temperature and how far it can be trusted."""
        n, groups = self.new["n"], len(self.groups)
        begun = (
            ""
            if self.start_temperature is None
            else f" (at the start {self.start_temperature:.2f})"
        )
        text = (
            f"Temperature {self.temperature:.2f}{begun}, fitted on these {n} regions of {groups} "
            f"{'metaphase or slide' if groups == 1 else 'metaphases or slides'}"
        )
        if self.calibration_known:
            return f"{text}, so the calibration error is a little too good."
        return (
            f"{text}. They are too few to tell how sure the model may be: the temperature stays "
            f"near that of the start, and the calibration error says little."
        )

    def what_was_kept(self) -> str:
        """Return a sentence about what the model keeps of its start; empty where nothing."""
        kept = []
        if self.share_of_start:
            kept.append(f"{self.share_of_start:.0%} of the weights")
        if self.networks > 1:
            others = self.networks - 1
            answers = "network that answers" if others == 1 else "networks that answer"
            kept.append(f"{others} other {answers} beside it")
        return f"Of the old model it keeps {' and '.join(kept)}." if kept else ""

    def what_was_not_checked(self) -> str:
        """Return a sentence about the groups that no fold checked; empty where all were."""
        if not self.unchecked:
            return ""
        some = "1 group was" if self.unchecked == 1 else f"{self.unchecked} groups were"
        return (
            f"{some} checked in no fold: added once the training had begun, or without a region "
            f"of one known type."
        )


def read_report(run: Run) -> Report | None:
    """Read the report of a run; None where there is none yet.

    Raises
    ------
    RunError
        If it is damaged.
    """
    path = run.report_folder / METRICS
    if not path.exists():
        return None
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        values["mistakes"] = [Mistake(**one) for one in values["mistakes"]]
        return Report(**values)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise RunError(f"The report {path} cannot be read: train again to have one.") from error


def write_report(run: Run) -> Report:
    """Compare the trained model with the one it began with, and write the report folder.

    Parameters
    ----------
    run : Run
        A run that has its model.

    Returns
    -------
    Report
        What was written as ``metrics.json`` and ``report.html``, with the thumbnails.

    Raises
    ------
    RunError
        If the run has no predictions.
    """
    rows, probabilities = _predictions(run)
    groups = [str(group) for group in rows["group"]]
    true = [str(name) for name in rows["cluster_type"]]
    crops = cut_annotated(rows).crops
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
        seen_by_old=sorted(seen_groups(name, held_out)),
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
    from napari_chromocluster.training.report_page import write_page

    write_page(run, report, true, probabilities)
    return report


def _predictions(run: Run) -> tuple[pd.DataFrame, NDArray[np.float32]]:
    """Return the validation regions and what the new model says of them."""
    path = run.report_folder / PREDICTIONS
    try:
        lines = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunError(f"{run.folder.name} has no predictions to report on: train it.") from error
    rows = pd.DataFrame(lines)
    rows["labels"] = rows["labels"].fillna("").replace("nan", "")
    return rows, np.array([line["probabilities"] for line in lines], np.float32)


def _reliability(
    true: list[str], probabilities: NDArray[np.float32], bins: int = 10
) -> list[tuple[float, float, int]]:
    """Return mean confidence, share right and number of each bin of confidence that is used."""
    order = [str(kind) for kind in TYPES]
    right = probabilities.argmax(axis=1) == np.array([order.index(name) for name in true])
    confidence = probabilities.max(axis=1)
    place = np.clip((confidence * bins).astype(int), 0, bins - 1)
    return [
        (
            round(float(confidence[place == one].mean()), 4),
            round(float(right[place == one].mean()), 4),
            int((place == one).sum()),
        )
        for one in np.unique(place)
    ]


def _pooled(run: Run) -> dict[str, Any] | None:
    """Evaluate all folds together, once all are there."""
    others = fold_runs(run)
    if not others or not all(one.model_path.exists() for one in others):
        return None
    parts = [_predictions(one) for one in (run, *others)]
    rows = pd.concat([rows for rows, _ in parts], keys=range(len(parts)), names=["fold"])
    # The first fold that checks on a group counts, should two have done so.
    folds = rows.index.get_level_values("fold").to_series(index=rows.index)
    once = (folds == folds.groupby(rows["group"]).transform("min")).to_numpy()
    rows = rows[once]
    chances = np.concatenate([probabilities for _, probabilities in parts])[once]
    true, groups = rows["cluster_type"].astype(str), rows["group"].astype(str)
    return evaluate_predictions(list(true), chances, list(groups)).to_dict()


def _unchecked(run: Run, pooled: Mapping[str, Any]) -> int:
    """Count the groups of a training that no fold checked."""
    return len(divided_groups(run.checkpoint_folder) - set(pooled["per_group"]))


def old_model(run: Run) -> str:
    """Return the model that the new one is compared with.

    A run that began with a backbone, which knows no types, is compared with
    the default model.
    """
    return run.config.base_model or "default"


def _old_probabilities(run: Run, crops: list[RegionCrop]) -> tuple[str, NDArray[np.float32] | None]:
    name = old_model(run)
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
    """Return the middle of each region in its image, reading each label image once."""
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
    """Draw a region dark on white, as it fills the crop the model sees."""
    ink = np.clip(crop.signal / _FULL, 0, 1) * crop.mask
    picture = Image.fromarray(np.rint(255 * (1 - ink)).astype(np.uint8))
    return picture.resize((side, side), Image.Resampling.BILINEAR)
