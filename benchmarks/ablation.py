"""What the parts of the embedded model's recipe give: short trainings, one thing changed each.

Every variant sees 36 000 regions (a fifteenth of `make model`), so its figures
stand beside each other and below those of the embedded model. Choices were
made on the columns of the validation groups; those of the test groups are
there to check them::

    python benchmarks/ablation.py ../shared/data WORK [VARIANT ...] [--seed 0]

WORK is the folder of `make model`, which holds the regions made from boxes and other outlines.
Results are added to WORK/ablation.jsonl, one line a variant.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import re
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from napari_chromocluster.cluster_types import UNTYPED_CLUSTER, ClusterType
from napari_chromocluster.models.classifier import ClusterClassifier
from napari_chromocluster.models.evaluation import evaluate
from napari_chromocluster.models.model_file import load_model_file
from napari_chromocluster.training.config import StageConfig, TrainingConfig
from napari_chromocluster.training.fit.trainer import fit
from napari_chromocluster.training.runs.run_folder import Run

sys.path.insert(0, str(Path(__file__).parents[1] / "tools"))
from held_out import SETS, annotated
from model_recipe import first_training, tempered_prior

#: The shares that were taken for natural when the first variants ran, so that all rows compare.
NATURAL = {"single": 0.755, "touching": 0.09, "overlapping": 0.045,
           "touching_overlapping": 0.02, "other": 0.09}  # fmt: skip
EPOCHS, SAMPLES, COMPOSED = (2, 4), 6_000, 4_000


def _only(config: TrainingConfig, keep: Callable[[str], bool]) -> TrainingConfig:
    """Leave out whole annotation files, and the groups that go with them."""
    files = tuple(file for file in config.annotations if keep(file))
    groups = {name for file in files for name in pd.read_csv(file, dtype=str)["group"].unique()}
    validation = tuple(name for name in config.validation_groups if name in groups)
    return config.replace(annotations=files, validation_groups=validation)


def _untyped(config: TrainingConfig, work: Path) -> TrainingConfig:
    """Say of regions with several boxes that they are clusters, and nothing more."""
    boxes = Path(config.annotations[-1])
    table = pd.read_csv(boxes, dtype=str)
    plain = table["cluster_type"].isin([str(ClusterType.SINGLE), str(ClusterType.OTHER)])
    table.loc[~plain, "cluster_type"] = UNTYPED_CLUSTER
    target = boxes.with_name("untyped.csv")
    table.to_csv(target, index=False)
    return config.replace(annotations=(*config.annotations[:-1], str(target)))


def _resnext50(config: TrainingConfig) -> TrainingConfig:
    return config.replace(backbone="resnext50_32x4d", channels="gray")


#: What is changed, by name.
VARIANTS: dict[str, Callable[[TrainingConfig, Path], TrainingConfig]] = {
    "the first training": lambda config, work: config,
    "with other outlines": lambda config, work: config.replace(
        annotations=(*config.annotations, str(work / "outlines" / "annotations.csv"))
    ),
    "no composed clusters": lambda config, work: config.replace(
        composed_share=0.0, composed_clusters=0
    ),
    "no regions from boxes": lambda config, work: _only(config, lambda f: "boxes" not in f),
    "boxes say cluster only": _untyped,
    "no mask, no scale": lambda config, work: config.replace(channels="gray"),
    "types as frequent as they are": lambda config, work: config.replace(type_shares={}),
    "crops vary as in the paper": lambda config, work: config.replace(augment="paper"),
    "without gband_crops": lambda config, work: _only(config, lambda f: "gband_crops" not in f),
    "without gband_metaphases": lambda config, work: _only(
        config, lambda f: "gband_metaphases" not in f and "boxes" not in f
    ),
    "without mfish": lambda config, work: _only(config, lambda f: "mfish" not in f),
    "ResNeXt-50 from scratch, gray": lambda config, work: _resnext50(config),
}


def figures(classifier: ClusterClassifier, data: Path, work: Path) -> dict[str, dict[str, float]]:
    """Evaluate on the validation and the test groups of both stains."""
    found = {}
    for side in ("validation", "test"):
        for stain, file in annotated(data, work, side).items():
            result = evaluate(file, classifier)
            found[f"{side} {stain}"] = {
                "n": result.n,
                "accuracy": round(result.accuracy, 4),
                "macro_sensitivity": round(result.macro_sensitivity, 4),
                **{
                    kind: round(values["sensitivity"], 3)
                    for kind, values in result.to_dict()["per_type"].items()
                    if values["sensitivity"] is not None
                },
            }
    return found


def left_out(classifier: ClusterClassifier, data: Path, name: str) -> dict[str, float]:
    """Evaluate on a whole source that took no part in training."""
    result = evaluate(data / name / "annotations.csv", classifier)
    return {
        "n": result.n,
        "accuracy": round(result.accuracy, 4),
        "macro_sensitivity": round(result.macro_sensitivity, 4),
    }


def run_variant(name: str, data: Path, work: Path, seed: int) -> dict[str, object]:
    """Train one variant and evaluate it."""
    config = first_training(data, work / "boxes" / "annotations.csv", seed, EPOCHS)
    stages = tuple(
        StageConfig(one.name, one.epochs, one.lr_body, one.lr_head, image_size=96)
        for one in config.stages
    )
    config = config.replace(stages=stages, samples_per_epoch=SAMPLES, composed_clusters=COMPOSED)
    config = VARIANTS[name](config, work)
    folder = work / "ablation" / re.sub(r"\W+", "_", name)
    shutil.rmtree(folder, ignore_errors=True)
    began = time.monotonic()
    run = Run.create(folder, config)
    fit(config, run)
    minutes = (time.monotonic() - began) / 60
    network, card = load_model_file(run.model_path)
    prior = tempered_prior(card.training_prior, natural=NATURAL)
    card = dataclasses.replace(card, deployment_prior=prior)
    classifier = ClusterClassifier(network, card, "cpu")
    found: dict[str, object] = {"variant": name, "seed": seed, "minutes": round(minutes, 1)}
    found |= figures(classifier, data, work)
    source = name.removeprefix("without ")
    if source in SETS:
        found[f"all of {source}"] = left_out(classifier, data, source)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("variants", nargs="*", default=list(VARIANTS))
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    for name in options.variants:
        line = json.dumps(run_variant(name, options.data, options.work, options.seed))
        print(line, flush=True)
        with (options.work / "ablation.jsonl").open("a") as stream:
            stream.write(line + "\n")


if __name__ == "__main__":
    main()
