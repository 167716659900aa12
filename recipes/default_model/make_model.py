"""Rebuild the embedded default model from the shared real data (``make model``).

Steps: boxes and other outlines to region annotations; train the compact
network from random weights on real regions and composed clusters, then twice on
with regions in other outlines; average the weights; train twice on from there with plain
outlines at a finer resolution; go half way back to that average; train twice on with types
that were read by eye; average; train twice on from there with pixels of other sizes; train a
network that begins anew but for its first layers; let it answer together with the last two
averages; evaluate on groups that took no part; write the model file with its card::

    python recipes/default_model/make_model.py ../shared/data WORK [--seed 0]
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import blurred_annotations
import box_annotations
import outline_annotations
import plain_annotations
import typed_outlines
from held_out import annotated, answers, known_types, typed_by_eye
from model_recipe import (
    BLENDS,
    FINE_TRAININGS,
    PIXEL_EPOCHS,
    PIXEL_TRAININGS,
    SECOND_TRAINING,
    SIZED_TRAININGS,
    TRAININGS,
    begun_anew,
    blend,
    fine_trainings,
    first_training,
    later_trainings,
    pixel_trainings,
    second_training,
    sized_trainings,
    split_by_stain,
    tempered_prior,
)
from napari_chromocluster.imaging.files import atomic_path
from napari_chromocluster.models.calibration import fit_temperature, prior_weights
from napari_chromocluster.models.classifier import ClusterClassifier
from napari_chromocluster.models.evaluation import evaluate
from napari_chromocluster.models.model_card import ModelCard
from napari_chromocluster.models.model_file import load_model_file, save_model
from napari_chromocluster.models.network import ClusterEnsemble, ClusterNetwork
from napari_chromocluster.training.fit.model_export import now
from read_by_eye import write_with_types_read
from recipe_training import trained
from surroundings_odds import surroundings_tables

CITATIONS = (
    "Lin C. et al., Medical Image Analysis 69:101943 (2021): the method",
    "Lin C. et al., IEEE BIBM 2020, 2357-2363: G-band crops",
    "Tseng J.-J. et al., Scientific Data 10:104 (2023): G-band metaphases with boxes",
    "Advanced Digital Imaging Research, M-FISH image set (2000): DAPI metaphases",
)
LICENCES = (
    "G-band crops: ask to be cited",
    "G-band metaphases: cite; images are not redistributed",
    "M-FISH: Copyright (c) 2000 Advanced Digital Imaging Research, permissive",
)


def main() -> None:
    """Make the model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--target", type=Path)
    options = parser.parse_args()
    data, work = options.data, options.work
    regions = prepared(data, work)
    first = first_training(data, regions.boxes, options.seed)
    if not (work / "average.safetensors").exists():
        model = trained(first, work / TRAININGS[0])
        later = later_trainings(first, regions.outlines)
        for name, config in zip(TRAININGS[1:], later, strict=True):
            model = trained(config.replace(base_model=str(model)), work / name)
    average = blended(work, "average")
    fine = fine_trainings(first, regions.outlines, regions.plain)
    for name, config in zip(FINE_TRAININGS, fine, strict=True):
        trained(config.replace(base_model=str(average)), work / name)
    read = first_training(data, regions.boxes_read, options.seed)
    model = blended(work, "half_way")
    sized = sized_trainings(read, regions.dapi, regions.outlines, regions.plain_read)
    for name, config in zip(SIZED_TRAININGS, sized, strict=True):
        model = trained(config.replace(base_model=str(model)), work / name)
    model = blended(work, "sized")
    pixels = pixel_trainings(read, regions.dapi, regions.outlines, regions.plain_read)
    for name, config in zip(PIXEL_TRAININGS, pixels, strict=True):
        trained(config.replace(base_model=str(model)), work / name, PIXEL_EPOCHS)
    blended(work, "pixels")
    more = more_prepared(regions, data, work)
    second = second_training(read, *by_stain(regions, *more))
    begun = begun_file(work, SECOND_TRAINING, second.seed)
    trained(second.replace(base_model=str(begun)), work / SECOND_TRAINING)
    made = work / "default.safetensors"
    finish(*blend(work, BLENDS["default"]), data, work, made)
    if options.target is not None:
        with atomic_path(options.target) as path:
            shutil.copyfile(made, path)


@dataclass(frozen=True)
class Regions:
    """Annotation files of the trainings; *read* are those with the types that were read by eye."""

    dapi: Path
    boxes: Path
    outlines: Path
    plain: Path
    boxes_read: Path
    plain_read: Path


def prepared(data: Path, work: Path) -> Regions:
    """Make the annotation files that are not there yet."""
    clinical = data / "gband_metaphases"
    boxes, outlines, plain = (
        work / name / "annotations.csv" for name in ("boxes", "outlines", "plain")
    )
    if not boxes.exists():
        box_annotations.main(clinical, boxes.parent)
    if not outlines.exists():
        outline_annotations.main(data, outlines.parent)
    if not plain.exists():
        plain_annotations.main(clinical, plain.parent)
    read = [write_with_types_read(file, clinical / "boxes.csv") for file in (boxes, plain)]
    return Regions(data / "mfish" / "annotations.csv", boxes, outlines, plain, read[0], read[1])


def more_prepared(regions: Regions, data: Path, work: Path) -> tuple[Path, Path]:
    """Make those of pictures out of focus and of known clusters in more outlines as well."""
    blurred, typed = (work / name / "annotations.csv" for name in ("blurred", "typed"))
    if not blurred.exists():
        blurred_annotations.main(data, blurred.parent)
    if not typed.exists():
        typed_outlines.main(data, regions.plain.parent, regions.outlines.parent, typed.parent)
    return write_with_types_read(blurred, data / "gband_metaphases" / "boxes.csv"), typed


def by_stain(regions: Regions, blurred: Path, typed: Path) -> tuple[Path, ...]:
    """Return the files in which each stain is a source of its own, without the annotated ones."""
    ours, focus = (split_by_stain(file) for file in (regions.outlines, blurred))
    clinical = (ours["gband"], regions.plain_read, focus["gband"], typed)
    return (*clinical, ours["dapi"], focus["dapi"])


def blended(work: Path, name: str) -> Path:
    """Write the blend of weights of a name, unless it is there, and return its file."""
    file = work / f"{name}.safetensors"
    if not file.exists():
        save_model(file, *blend(work, BLENDS[name]))
    return file


def begun_file(work: Path, training: str, seed: int, kept: int = 3) -> Path:
    """Write what a training begins with that shares only the first layers with ``pixels``."""
    network, card = load_model_file(work / "pixels.safetensors")
    file = work / f"{training}_begun.safetensors"
    save_model(file, begun_anew(network.members[0], seed, kept), card)
    return file


def finish(
    network: ClusterNetwork | ClusterEnsemble,
    card: ModelCard,
    data: Path,
    work: Path,
    target: Path,
) -> None:
    """Evaluate on the held-out groups, put the figures into the card and write the model."""
    # What is evaluated is what will be shipped: weights in half precision.
    save_model(target, network, card, half=True)
    network, _ = load_model_file(target)
    validation = annotated(data, work, "validation")
    card = dataclasses.replace(card, surroundings=surroundings_tables(work))
    found = answers(ClusterClassifier(network, card, "cpu"), validation)
    shifts = np.concatenate([one.shifts for one in found.values()])
    logits = np.concatenate([one.logits for one in found.values()], axis=1)
    true = np.concatenate([one.true for one in found.values()])
    prior = tempered_prior(card.training_prior)
    weights = prior_weights(card.training_prior, prior, card.classes)
    temperature = fit_temperature(logits, true, weights, shifts=shifts)
    card = dataclasses.replace(card, deployment_prior=prior, temperature=temperature)
    # What the card of a member says of other weights does not hold of these.
    metrics: dict[str, Any] = {}
    classifier = ClusterClassifier(network, card, "cpu")
    test = annotated(data, work, "test")
    test["typed by boxes and eye"] = known_types(data, work, "test")
    test["typed by boxes and eye, plainly outlined"] = known_types(data, work, "test", "plain")
    # Clusters only, so these tell of their types, at no prevalence of nature.
    test["read by eye"] = typed_by_eye(data, work, "test")
    test["read by eye, plainly outlined"] = typed_by_eye(data, work, "test", "plain")
    for stain, file in test.items():
        evaluation = evaluate(file, classifier)
        figures = evaluation.to_dict()
        figures.pop("per_group")
        metrics[f"held-out {stain} groups"] = figures
        print(stain, json.dumps(figures, indent=1), file=sys.stderr)
    card = dataclasses.replace(
        card,
        metrics=metrics,
        created=now(),
        citations=CITATIONS,
        data_licences=LICENCES,
        weight_licence="BSD-3-Clause",
    )
    save_model(target, network, card, half=True)


if __name__ == "__main__":
    main()
