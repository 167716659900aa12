"""What a model makes of laboratories that took no part in its training.

Trains the compact network from random weights on the clinical G-band metaphases
alone, with crops varied in one of the ways of `RecipeConfig.augmentations`, and
evaluates it on the other two sources, another laboratory and another stain::

    python recipes/default_model/studies/left_out.py ../shared/data WORK [full wide]

WORK is the folder of `make model`, which holds the regions made from boxes and plain outlines.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path

import pandas as pd

from napari_chromocluster.models.classifier import ClusterClassifier
from napari_chromocluster.models.evaluation import evaluate
from napari_chromocluster.models.model_file import load_model_file
from napari_chromocluster.training.config import StageConfig

sys.path.insert(0, str(Path(__file__).parents[1]))
from held_out import annotated
from model_recipe import first_training, tempered_prior
from read_by_eye import write_with_types_read
from recipe_config import RecipeConfig
from recipe_training import trained

#: The sources that take no part.
LEFT_OUT = ("gband_crops", "mfish")


def training(data: Path, work: Path, augment: str) -> RecipeConfig:
    """Return the training on the clinical metaphases alone."""
    clinical = data / "gband_metaphases"
    boxes, plain = (
        write_with_types_read(work / name / "annotations.csv", clinical / "boxes.csv")
        for name in ("boxes", "plain")
    )
    config = first_training(data, boxes, 0)
    files = (clinical / "annotations.csv", boxes, plain)
    groups = {name for file in files for name in pd.read_csv(file, dtype=str)["group"].unique()}
    stages = (("coarse", 2), ("fine", 7))
    return config.replace(
        annotations=tuple(str(file) for file in files),
        validation_groups=tuple(name for name in config.validation_groups if name in groups),
        stages=tuple(StageConfig(name, n, 2e-3, 2e-3, image_size=96) for name, n in stages),
        composed_clusters=8_000,
        near_misses=0.25,
        source_balance=0.75,
        average_decay=0.999,
        grown_share=0.5,
        monitor="likelihood",
        augment=augment,
    )


def main() -> None:
    """Train and evaluate once for each way to vary crops."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("augment", nargs="*", default=["full", "wide"])
    options = parser.parse_args()
    data, work = options.data, options.work
    files = {name: data / name / "annotations.csv" for name in LEFT_OUT}
    files["validation groups of its own"] = annotated(data, work, "validation")["gband"]
    print(
        "| crops | regions | n | accuracy | macro sensitivity | single | touching | overlapping |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for augment in options.augment:
        network, card = load_model_file(
            trained(training(data, work, augment), work / f"left_out_{augment}")
        )
        card = dataclasses.replace(card, deployment_prior=tempered_prior(card.training_prior))
        classifier = ClusterClassifier(network, card, "cpu")
        for name, file in files.items():
            found = evaluate(file, classifier)
            kinds = found.to_dict()["per_type"]
            parts = (kinds[kind]["sensitivity"] for kind in ("single", "touching", "overlapping"))
            print(
                f"| {augment} | {name} | {found.n} | {found.accuracy:.3f} "
                f"| {found.macro_sensitivity:.3f} | "
                + " | ".join(f"{one:.3f}" for one in parts)
                + " |",
                flush=True,
            )


if __name__ == "__main__":
    main()
