"""The recipe of the embedded model: its trainings, and what becomes of their weights."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from held_out import SETS, part
from napari_chromocluster.models.model_card import NATURAL_PRIOR, ModelCard, read_card
from napari_chromocluster.models.model_file import load_model_file
from napari_chromocluster.models.network import (
    ClusterEnsemble,
    ClusterNetwork,
    build_network,
    interpolate_state_dicts,
)
from napari_chromocluster.training.config import BALANCED, StageConfig
from recipe_config import RecipeConfig

#: Folders of the trainings from random weights, each of which goes on from the one before.
TRAININGS = ("run", "further", "balanced")
#: Folders of those that go on from the average of these, at a finer resolution.
FINE_TRAININGS = ("fine_4", "fine_5")
#: Folders of those that go on from half way between the two: with the types that were read by
#: eye, composed overlapping clusters that are pairs as a rule, and sizes that hang on no specks.
SIZED_TRAININGS = ("sized_12", "sized_13")
#: Folders of those that go on from the average of these: composed clusters that grow from real
#: ones, names for clusters of three chromosomes or more, and pixels of other sizes.
PIXEL_TRAININGS = ("pixels_14", "pixels_15")
#: After so many of the twelve epochs of their schedule they are stopped: the likelihood of the
#: validation groups is best before.
PIXEL_EPOCHS = 8
#: Folder of the training whose network answers beside these and the sized ones: it begins anew
#: but for the first layers, so that it errs elsewhere.
SECOND_TRAINING = "second_23"
#: What becomes of their weights, and the names of the files: see `blend`.
BLENDS = {
    "average": "run+further+balanced",
    "half_way": "fine_4+fine_5+2*average@128",
    "sized": "sized_12+sized_13+average@128",
    "pixels": "pixels_14+pixels_15@128",
    "default": "pixels|sized|second_23",
}
#: How far the deployment prior goes from the training shares (0) to the natural shares (1).
#: Chosen on the validation groups (``choose_prior.py``): clusters are rare, but a missed one
#: costs more than a look.
PRIOR_EXPONENT = 0.5


def first_training(
    data: Path, boxes: Path, seed: int, epochs: tuple[int, int] = (8, 20)
) -> RecipeConfig:
    """Return the training from random weights."""
    parts: dict[str, set[str]] = {"test": set(), "validation": set(), "train": set()}
    files = [data / name / "annotations.csv" for name in SETS]
    for name, file in zip((*SETS, "gband_metaphases"), (*files, boxes), strict=True):
        for group in pd.read_csv(file, dtype=str)["group"].unique():
            parts[part(name, group)].add(group)
    return RecipeConfig(
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


def later_trainings(first: RecipeConfig, outlines: Path) -> Iterator[RecipeConfig]:
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


def fine_trainings(first: RecipeConfig, *files: Path) -> Iterator[RecipeConfig]:
    """Yield the trainings at a finer resolution, alike but for their seeds."""
    for number in (4, 5):
        yield outlined(first, files, StageConfig("fine", 14, 1e-3, 1e-3, image_size=144), number)


def sized_trainings(read: RecipeConfig, dapi: Path, *files: Path) -> Iterator[RecipeConfig]:
    """Yield trainings with the types that were read by eye, the second on from the first.

    DAPI regions count twice in the second: without that singles of a blurred slide get lost.
    """
    for number, epochs, rate, more in ((12, 8, 8e-4, ()), (13, 12, 7e-4, (dapi,))):
        stage = StageConfig("sized", epochs, rate, rate, image_size=128)
        config = outlined(read, (*files, *more), stage, number, composed=12_000)
        yield config.replace(source_balance=0.9)


def pixel_trainings(read: RecipeConfig, dapi: Path, *files: Path) -> Iterator[RecipeConfig]:
    """Yield trainings that go on from the sized ones, alike but for their seeds."""
    for number in (14, 15):
        stage = StageConfig("pixels", 12, 7e-4, 7e-4, image_size=128)
        yield grown(read, (*files, dapi), stage, number)


def begun_anew(network: ClusterNetwork, seed: int, kept: int = 3) -> ClusterNetwork:
    """Return a network that shares the first parts of the body, and is random after them."""
    torch.manual_seed(seed)
    fresh = build_network(network.backbone, network.n_classes)
    for mine, theirs in list(zip(fresh.body, network.body, strict=True))[:kept]:
        mine.load_state_dict(theirs.state_dict())
    return fresh


def second_training(read: RecipeConfig, *files: Path) -> RecipeConfig:
    """Return the training of the network that answers beside the shipped one until then.

    Each stain has its share of every type, and crops look as other laboratories' may.
    """
    stage = StageConfig("second", 16, 1.2e-3, 1.2e-3, image_size=128)
    return grown(read, files, stage, 23, debris_share=0.3, augment="wide")


def split_by_stain(annotations: Path) -> dict[str, Path]:
    """Write the regions of each stain to a file of its own beside ``annotations``."""
    table = pd.read_csv(annotations, dtype=str, keep_default_na=False)
    clinical = table["group"].str.match(r"\d{6}")
    files = {}
    for stain, rows in (("gband", table[clinical]), ("dapi", table[~clinical])):
        files[stain] = annotations.with_name(f"{annotations.stem}_{stain}.csv")
        rows.to_csv(files[stain], index=False)
    return files


def outlined(
    first: RecipeConfig,
    files: Sequence[Path],
    stage: StageConfig,
    number: int,
    composed: int = 15_000,
) -> RecipeConfig:
    """Return a training on regions in all outlines, where no source drowns the others."""
    return first.replace(
        annotations=(*first.annotations, *map(str, files)),
        stages=(stage,),
        seed=first.seed + number,
        composed_clusters=composed,
        near_misses=0.25,
        source_balance=0.75,
        average_decay=0.999,
    )


def grown(
    read: RecipeConfig, files: Sequence[Path], stage: StageConfig, number: int, **more: Any
) -> RecipeConfig:
    """Return such a training whose composed clusters grow from real ones, judged by likelihood."""
    config = outlined(read, files, stage, number, composed=12_000)
    return config.replace(source_balance=0.9, monitor="likelihood", grown_share=0.5, **more)


def averaged(models: Sequence[Path]) -> ClusterNetwork | ClusterEnsemble:
    """Average the weights of networks that grew from one (Wortsman et al., ICML 2022)."""
    networks = [load_model_file(path)[0] for path in models]
    states = [network.state_dict() for network in networks]
    mean = interpolate_state_dicts(states, [1 / len(states)] * len(states))
    networks[0].load_state_dict(mean)
    return networks[0]


def blend(work: Path, formula: str) -> tuple[ClusterNetwork | ClusterEnsemble, ModelCard]:
    """Return a network with averaged weights, or several that answer together, and a card.

    What is trained on drifts from what was known; between trainings and the weights that
    they began with lies a network that keeps most of both (Wortsman et al., CVPR 2022).

    Parameters
    ----------
    work : path
        Folder of the trainings.
    formula : str
        Names of trainings and of files, ``2*`` before one that counts twice, and the side
        of the crops in px: ``fine_4+fine_5+2*average@128``.  Without a side it is that of
        the last training.  ``|`` stands between networks that answer together, each of
        which may be such an average; the side is that of the first.
    """
    parts = [_files(work, part) for part in formula.split("|")]
    trainings, files, size = parts[0]
    # The rest of the card tells of the last training of the first network alone.
    card = read_card((trainings or files)[-1])
    said = {"average_of_weights": formula.partition("@")[0]}
    if len(parts) > 1:
        said = {"networks_that_answer_together": formula}
    card = dataclasses.replace(
        card, training={**card.training, **said}, input_size=size or card.input_size
    )
    networks = [averaged(files) for _, files, _ in parts]
    if len(networks) == 1:
        return networks[0], card
    return ClusterEnsemble([one for network in networks for one in network.members]), card


def _files(work: Path, formula: str) -> tuple[list[Path], list[Path], int | None]:
    """Return the files of trainings, those of all terms, and the side of the crops."""
    terms, _, size = formula.partition("@")
    trainings, files = [], []
    for term in terms.split("+"):
        count, _, name = term.rpartition("*")
        file = work / name / "model.safetensors"
        if file.exists():
            trainings.append(file)
        else:
            file = work / f"{name}.safetensors"
        files += [file] * int(count or 1)
    return trainings, files, int(size) if size else None


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
