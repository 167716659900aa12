"""The trainings that were tried beside those of the embedded model, and not kept.

What each gave stands in ``docs/model_trials.md``.  They go on from the weights that
`make_model` leaves in its work folder::

    python tools/tried_trainings.py ../shared/data WORK [--seed 0]
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import torch

from make_model import begun_file, by_stain, more_prepared, prepared, trained
from model_recipe import SECOND_TRAINING, blend, first_training, grown, outlined
from napari_chromocluster.models.model_file import save_model
from napari_chromocluster.training.config import StageConfig, TrainingConfig

#: Folders of those that were tried on from half way before; it was as good without them.
LONG_TRAININGS = ("long_6", "long_7")
#: The same with the types that were read by eye.
EYE_TRAININGS = ("eye_8", "eye_9")
#: The same from the average on, with composed overlapping clusters that are pairs as a rule.
PAIR_TRAININGS = ("pairs_10", "pairs_11")
#: After so many of the epochs of their schedule they are stopped.
PAIR_EPOCHS = 4
#: Folder of one that was tried on from the shipped weights, with more composed clusters.
STEADY_TRAINING = "steady_16"
#: Folders of those that go on from the shipped weights before: clusters of known type in more
#: outlines and pictures out of focus; then outlines without the steps of their pixels.
TYPED_TRAININGS = ("typed_18", "smooth_19")
#: After so many of the epochs of their schedules they are stopped.
TYPED_EPOCHS = (7, 6)
#: Folder of one that goes on from the shipped weights before, on the same regions, with crops
#: that look as those of other laboratories may.
WIDE_TRAINING = "wide_20"
#: Folder of one that goes on from the shipped weights, with the regions of each stain as
#: sources of their own.
STAIN_TRAINING = "stains_21"
#: After so many of the sixteen epochs of its schedule it is stopped.
STAIN_EPOCHS = 6
#: Folder of one that goes on from half way between the two, with debris at composed chromosomes.
DEBRIS_TRAINING = "debris_22"
#: Folder of one like the second network's, with fewer layers kept and without our outlines of
#: G-band metaphases.
THIRD_TRAINING = "third_24"
#: After so many of the twelve epochs of its schedule it is stopped.
THIRD_EPOCHS = 10
#: Folder of one with which the second network goes on, taught by the shipped three.
TAUGHT_TRAINING = "taught_25"
#: After so many of the twenty epochs of its schedule it is stopped.
TAUGHT_EPOCHS = 16
#: Folders of long ones from random weights, carried out where there is a GPU.
LONG_ON_GPU = ("long_31", "long_32", "long_33", "long_34")


def main() -> None:
    """Carry out the trainings, or what is left of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    data, work = options.data, options.work
    regions = prepared(data, work)
    more = more_prepared(regions, data, work)
    first, read = (
        first_training(data, boxes, options.seed) for boxes in (regions.boxes, regions.boxes_read)
    )
    average, half_way, made = (
        work / f"{name}.safetensors" for name in ("average", "half_way", "pixels")
    )
    dapi, outlines, plain_read = regions.dapi, regions.outlines, regions.plain_read
    tried = [
        *zip(LONG_TRAININGS, long_trainings(first, outlines, regions.plain), strict=True),
        *zip(EYE_TRAININGS, eye_trainings(read, outlines, plain_read), strict=True),
    ]
    for name, config in tried:
        trained(config.replace(base_model=str(half_way)), work / name)
    pairs = pair_trainings(read, outlines, plain_read)
    for name, config in zip(PAIR_TRAININGS, pairs, strict=True):
        trained(config.replace(base_model=str(average)), work / name, PAIR_EPOCHS)
    steady = steady_training(read, dapi, outlines, plain_read)
    trained(steady.replace(base_model=str(made)), work / STEADY_TRAINING)
    model = made
    files = (outlines, plain_read, *more)
    for name, last, config in zip(
        TYPED_TRAININGS, TYPED_EPOCHS, typed_trainings(read, dapi, *files), strict=True
    ):
        model = trained(config.replace(base_model=str(model)), work / name, last)
    wide = wide_training(read, dapi, *files)
    trained(wide.replace(base_model=str(made)), work / WIDE_TRAINING)
    apart = by_stain(regions, *more)
    stains = stain_training(read, dapi, *apart)
    trained(stains.replace(base_model=str(made)), work / STAIN_TRAINING, STAIN_EPOCHS)
    begun = work / "half_stains.safetensors"
    save_model(begun, *blend(work, f"{STAIN_TRAINING}+pixels"))
    debris = debris_training(read, *apart)
    trained(debris.replace(base_model=str(begun)), work / DEBRIS_TRAINING)
    third = third_training(read, plain_read, more[1], *apart[-2:])
    begun = begun_file(work, THIRD_TRAINING, third.seed, kept=2)
    trained(third.replace(base_model=str(begun)), work / THIRD_TRAINING, THIRD_EPOCHS)
    taught = taught_training(read, work / "default.safetensors", *apart)
    second = work / SECOND_TRAINING / "model.safetensors"
    trained(taught.replace(base_model=str(second)), work / TAUGHT_TRAINING, TAUGHT_EPOCHS)
    if torch.cuda.is_available():
        long = gpu_trainings(read, work / "default.safetensors", *apart)
        for name, config in zip(LONG_ON_GPU, long, strict=True):
            trained(config, work / name)


def steady_training(read: TrainingConfig, dapi: Path, *files: Path) -> TrainingConfig:
    """Return a training with more composed clusters and more weight decay."""
    stage = StageConfig("steady", 10, 6e-4, 6e-4, image_size=128)
    more = {"composed_clusters": 30_000, "weight_decay": 0.1}
    return grown(read, (*files, dapi), stage, 16, **more)


def typed_trainings(read: TrainingConfig, dapi: Path, *files: Path) -> Iterator[TrainingConfig]:
    """Yield trainings with clusters of known type in many outlines, the second on from the first.

    The files also hold pictures out of focus (`blurred_annotations`).
    """
    for number, name, epochs, rate in ((18, "typed", 10, 6e-4), (19, "smooth", 6, 5e-4)):
        stage = StageConfig(name, epochs, rate, rate, image_size=128)
        yield grown(read, (*files[:2], dapi, *files[2:]), stage, number)


def wide_training(read: TrainingConfig, dapi: Path, *files: Path) -> TrainingConfig:
    """Return a training on the same regions with more varied crops."""
    stage = StageConfig("wide", 12, 8e-4, 8e-4, image_size=128)
    return grown(read, (*files[:2], dapi, *files[2:]), stage, 20, augment="wide")


def stain_training(read: TrainingConfig, dapi: Path, *files: Path) -> TrainingConfig:
    """Return a training in which each stain has its share of every type, *other* among them.

    As long as nuclei and debris came from G-band pictures nearly alone, large pixels and *other*
    excluded each other.
    """
    stage = StageConfig("stains", 16, 8e-4, 8e-4, image_size=128)
    return grown(read, (*files[:2], dapi, *files[2:]), stage, 21, augment="wide")


def debris_training(read: TrainingConfig, *files: Path) -> TrainingConfig:
    """Return a training on the same regions with debris at composed chromosomes."""
    stage = StageConfig("debris", 7, 4e-4, 4e-4, image_size=128)
    return grown(read, files, stage, 22, debris_share=0.6, augment="wide")


def third_training(read: TrainingConfig, *files: Path) -> TrainingConfig:
    """Return a training like that of the second network, on fewer files."""
    stage = StageConfig("third", 12, 1.2e-3, 1.2e-3, image_size=128)
    return grown(read, files, stage, 24, augment="wide")


def taught_training(read: TrainingConfig, teacher: Path, *files: Path) -> TrainingConfig:
    """Return a training that learns what a model says of each crop beside the label.

    In DAPI images the label may be wrong, and of many clusters it leaves several types.
    """
    stage = StageConfig("taught", 20, 1e-3, 1e-3, image_size=128)
    config = grown(read, files, stage, 25, debris_share=0.3, augment="wide")
    return config.replace(teacher=str(teacher), teacher_share=0.5)


def gpu_trainings(read: TrainingConfig, teacher: Path, *files: Path) -> Iterator[TrainingConfig]:
    """Yield long trainings from random weights: two bodies, each without a teacher and with one.

    They see four times as many crops as the others, and twenty times as many composed clusters.
    """
    numbers = (31, 32, 33, 34)
    kinds = [(body, taught) for body in ("compact", "compact_large") for taught in (False, True)]
    for number, (body, taught) in zip(numbers, kinds, strict=True):
        stage = StageConfig("long", 66, 2e-3, 2e-3, image_size=128)
        config = grown(read, files, stage, number, debris_share=0.3, augment="wide").replace(
            backbone=body,
            batch_size=256,
            weight_decay=0.05,
            composed_clusters=250_000,
            composed_share=0.7 if taught else 0.6,
            label_smoothing=0.02 if taught else 0.05,
            threads=0,
        )
        yield config.replace(teacher=str(teacher), teacher_share=0.5) if taught else config


def long_trainings(first: TrainingConfig, *files: Path) -> Iterator[TrainingConfig]:
    """Yield trainings that go on from half way at its own size, alike but for their seeds."""
    for number in (6, 7):
        stage = StageConfig("long", 23, 1e-3, 1e-3, image_size=128)
        yield outlined(first, files, stage, number, composed=20_000)


def eye_trainings(read: TrainingConfig, *files: Path) -> Iterator[TrainingConfig]:
    """Yield short trainings with the types that were read by eye, alike but for their seeds."""
    for number in (8, 9):
        stage = StageConfig("eye", 3, 4e-4, 4e-4, image_size=128)
        config = outlined(read, files, stage, number, composed=3_000)
        yield config.replace(samples_per_epoch=14_000)


def pair_trainings(read: TrainingConfig, *files: Path) -> Iterator[TrainingConfig]:
    """Yield trainings with the types that were read by eye, alike but for their seeds."""
    for number in (10, 11):
        stage = StageConfig("fine", 11, 1e-3, 1e-3, image_size=128)
        yield outlined(read, files, stage, number, composed=12_000)


if __name__ == "__main__":
    main()
