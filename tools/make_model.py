"""Rebuild the embedded default model from the shared real data (``make model``).

Steps: boxes and other outlines to region annotations; train the compact
network from random weights on real regions and composed clusters, then twice on
with regions in other outlines; average the weights; train twice on from there with plain
outlines at a finer resolution; go half way back to that average; evaluate on groups that
took no part; write the model file with its card::

    python tools/make_model.py ../shared/data WORK [--seed 0]
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

import box_annotations
import outline_annotations
import plain_annotations
from napari_chromocluster.imaging.crops import render_crop
from napari_chromocluster.models.calibration import (
    NATURAL_PRIOR,
    fit_temperature,
    prior_weights,
)
from napari_chromocluster.models.classifier import ClusterClassifier
from napari_chromocluster.models.evaluate import evaluate
from napari_chromocluster.models.model_file import ModelCard, load_model_file, read_card, save_model
from napari_chromocluster.models.network import ClusterNetwork
from napari_chromocluster.results.annotations import read_annotations, resolved
from napari_chromocluster.results.sources import cut_annotated
from napari_chromocluster.taxonomy import TYPES, ClusterType
from napari_chromocluster.training.config import BALANCED, StageConfig, TrainingConfig
from napari_chromocluster.training.loop import fit
from napari_chromocluster.training.run import Run

SETS = ("gband_crops", "gband_metaphases", "mfish")
#: Cases and slides that take no part in training, nor in any choice made during it.
TEST_GROUPS = {"gband_crops": ("case4", "case8"), "mfish": ("A05", "P08", "V18")}
VALIDATION_GROUPS = {"gband_crops": ("case2", "case7"), "mfish": ("A03", "P11")}
#: Of a hundred G-band patients (first six digits of the metaphase's number).
TEST_SHARE, VALIDATION_SHARE = 25, 12
#: Folders of the trainings, each of which goes on from the one before.
TRAININGS = ("run", "further", "balanced")
#: The average of these.
MIDDLE = "average.safetensors"
#: Folders of those that go on from the average of the first, at a finer resolution.
FINE_TRAININGS = ("fine_4", "fine_5")
#: Side of the crops of the model, in px: between those of the trainings that it is made of.
SIZE = 128
#: How far the deployment prior goes from the training shares (0) to the natural shares (1).
#: Chosen on the validation groups (``choose_prior.py``): clusters are rare, but a missed one
#: costs more than a look.
PRIOR_EXPONENT = 0.65
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


def part(source: str, group: str) -> str:
    """Return ``test``, ``validation`` or ``train`` for a group of a source."""
    if source == "gband_metaphases":
        # All metaphases of a patient lie on one side.
        place = int(hashlib.sha256(group[:6].encode()).hexdigest(), 16) % 100
        if place < TEST_SHARE:
            return "test"
        return "validation" if place < TEST_SHARE + VALIDATION_SHARE else "train"
    if group in TEST_GROUPS[source]:
        return "test"
    return "validation" if group in VALIDATION_GROUPS[source] else "train"


def first_training(
    data: Path, boxes: Path, seed: int, epochs: tuple[int, int] = (8, 20)
) -> TrainingConfig:
    """Return the training from random weights."""
    parts: dict[str, set[str]] = {"test": set(), "validation": set(), "train": set()}
    files = [data / name / "annotations.csv" for name in SETS]
    for name, file in zip((*SETS, "gband_metaphases"), (*files, boxes), strict=True):
        for group in pd.read_csv(file, dtype=str)["group"].unique():
            parts[part(name, group)].add(group)
    return TrainingConfig(
        annotations=tuple(str(file) for file in (*files, boxes)),
        preset="embedded",
        backbone="compact",
        stages=(
            StageConfig("coarse", epochs[0], 2e-3, 2e-3, image_size=96),
            StageConfig("fine", epochs[1], 1.2e-3, 1.2e-3, image_size=112),
        ),
        batch_size=64,
        samples_per_epoch=20_000,
        type_shares=BALANCED,
        composed_share=0.5,
        composed_clusters=30_000,
        validation_groups=tuple(sorted(parts["validation"])),
        excluded_groups=tuple(sorted(parts["test"])),
        seed=seed,
        threads=1,
        names_in_card=False,
        model_name="default",
    )


def annotated(data: Path, work: Path, side: str) -> dict[str, Path]:
    """Write one annotation file of the regions of one side for each stain."""
    found: dict[str, list[pd.DataFrame]] = {"gband": [], "dapi": []}
    for name in SETS:
        table = read_annotations(data / name / "annotations.csv")
        mine = table[[part(name, group) == side for group in table["group"]]]
        found["dapi" if name == "mfish" else "gband"].append(mine)
    files = {}
    for stain, tables in found.items():
        files[stain] = work / f"{side}_{stain}.csv"
        pd.concat(tables).to_csv(files[stain], index=False)
    return files


def plainly_outlined(work: Path, side: str) -> Path:
    """Write the regions of plain outlines of one side whose boxes leave one type.

    The outline is that of the annotated label images; overlapping clusters are not among them.
    """
    table = read_annotations(work / "plain" / "annotations.csv")
    outlined = table["labels"].str.endswith(f"_plain{plain_annotations.ANNOTATED}.png")
    here = table["group"].map(lambda group: part("gband_metaphases", group) == side)
    file = work / f"{side}_plain.csv"
    resolved(table[outlined & here]).to_csv(file, index=False)
    return file


def main() -> None:
    """Make the model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--target", type=Path)
    options = parser.parse_args()
    work: Path = options.work
    boxes, outlines, plain = (
        work / name / "annotations.csv" for name in ("boxes", "outlines", "plain")
    )
    if not boxes.exists():
        box_annotations.main(options.data / "gband_metaphases", boxes.parent)
    if not outlines.exists():
        outline_annotations.main(options.data, outlines.parent)
    if not plain.exists():
        plain_annotations.main(options.data / "gband_metaphases", plain.parent)
    first = first_training(options.data, boxes, options.seed)
    middle = work / MIDDLE
    if not middle.exists():
        models = [trained(first, work / TRAININGS[0])]
        for name, config in zip(TRAININGS[1:], later_trainings(first, outlines), strict=True):
            models.append(trained(config.replace(base_model=str(models[-1])), work / name))
        save_model(middle, averaged(models), read_card(models[-1]))
    fine = fine_trainings(first, outlines, plain)
    for name, config in zip(FINE_TRAININGS, fine, strict=True):
        trained(config.replace(base_model=str(middle)), work / name)
    finish(*half_way(work), options.data, work, options.target)


def trained(config: TrainingConfig, folder: Path) -> Path:
    """Carry out a training, or what is left of it, and return its model."""
    resume = (folder / "config.json").exists()
    run = Run.open(folder) if resume else Run.create(folder, config)
    if not run.model_path.exists():
        fit(run.config, run, resume=resume)
    return run.model_path


def later_trainings(first: TrainingConfig, outlines: Path) -> Iterator[TrainingConfig]:
    """Yield the trainings that go on from the one before, with regions in other outlines."""
    common = first.replace(annotations=(*first.annotations, str(outlines)), near_misses=0.25)
    long, short = (
        StageConfig("outlines", epochs, rate, rate, image_size=112)
        for epochs, rate in ((42, 1e-3), (9, 5e-4))
    )
    yield common.replace(stages=(long,), seed=first.seed + 1)
    yield common.replace(
        stages=(short,),
        seed=first.seed + 3,
        composed_clusters=15_000,
        source_balance=0.75,
        average_decay=0.999,
    )


def fine_trainings(first: TrainingConfig, *files: Path) -> Iterator[TrainingConfig]:
    """Yield the trainings at a finer resolution, alike but for their seeds."""
    for number in (4, 5):
        yield first.replace(
            annotations=(*first.annotations, *map(str, files)),
            stages=(StageConfig("fine", 14, 1e-3, 1e-3, image_size=144),),
            seed=first.seed + number,
            composed_clusters=15_000,
            near_misses=0.25,
            source_balance=0.75,
            average_decay=0.999,
        )


def averaged(models: Sequence[Path]) -> ClusterNetwork:
    """Average the weights of networks that grew from one (Wortsman et al., ICML 2022)."""
    networks = [load_model_file(path)[0] for path in models]
    states = [network.state_dict() for network in networks]
    mean = {
        name: torch.stack([state[name] for state in states]).mean(dim=0)
        if value.is_floating_point()
        else value
        for name, value in states[0].items()
    }
    networks[0].load_state_dict(mean)
    return networks[0]


def half_way(
    work: Path, shares: int = len(FINE_TRAININGS), size: int = SIZE
) -> tuple[ClusterNetwork, ModelCard]:
    """Return the network half way between the first trainings and the fine ones, and a card.

    What is trained on drifts from what was known; between the two lies a network that keeps
    most of both (Wortsman et al., CVPR 2022).  The average of the first counts as often as
    ``shares`` says, each fine training once.
    """
    fine = [work / name / "model.safetensors" for name in FINE_TRAININGS]
    network = averaged([*fine, *[work / MIDDLE] * shares])
    return network, dataclasses.replace(read_card(fine[-1]), input_size=size)


def tempered_prior(
    training: dict[str, float],
    exponent: float = PRIOR_EXPONENT,
    natural: dict[str, float] = NATURAL_PRIOR,
) -> dict[str, float]:
    """Return shares between those drawn in training (0) and those found in nature (1)."""
    mixed = {
        name: share**exponent * training[name] ** (1 - exponent) for name, share in natural.items()
    }
    total = sum(mixed.values())
    return {name: share / total for name, share in mixed.items()}


def outputs(
    classifier: ClusterClassifier, files: dict[str, Path]
) -> tuple[NDArray[np.float32], NDArray[np.intp], list[str]]:
    """Return logits, columns of the true types and stains of the regions of files by stain."""
    logits, names, stains = [], [], []
    for stain, file in files.items():
        cut = cut_annotated(resolved(read_annotations(file)))
        crops = np.stack([render_crop(crop, classifier.card.crop_spec) for crop in cut.crops])
        logits.append(classifier.logits(crops))
        names += cut.names
        stains += [stain] * len(cut.names)
    true = np.array([TYPES.index(ClusterType(name)) for name in names], np.intp)
    return np.concatenate(logits, axis=1), true, stains


def finish(
    network: ClusterNetwork, card: ModelCard, data: Path, work: Path, target: Path | None
) -> None:
    """Evaluate on the held-out groups, put the figures into the card and write the model."""
    validation = annotated(data, work, "validation")
    logits, true, _ = outputs(ClusterClassifier(network, card, "cpu"), validation)
    prior = tempered_prior(card.training_prior)
    weights = prior_weights(card.training_prior, prior, card.classes)
    card = dataclasses.replace(
        card, deployment_prior=prior, temperature=fit_temperature(logits, true, weights)
    )
    metrics = dict(card.metrics)
    classifier = ClusterClassifier(network, card, "cpu")
    test = annotated(data, work, "test") | {"plainly outlined": plainly_outlined(work, "test")}
    for stain, file in test.items():
        evaluation = evaluate(file, classifier)
        figures = evaluation.to_dict()
        figures.pop("per_group")
        metrics[f"held-out {stain} groups"] = figures
        print(stain, json.dumps(figures, indent=1), file=sys.stderr)
    card = dataclasses.replace(
        card,
        metrics=metrics,
        citations=CITATIONS,
        data_licences=LICENCES,
        weight_licence="BSD-3-Clause",
    )
    save_model(target or work / "default.safetensors", network, card)


if __name__ == "__main__":
    main()
