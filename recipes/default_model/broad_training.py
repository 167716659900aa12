r"""Train one network on all laboratories at hand, chromatids apart included.

Starts from the first network of a model file, or from the average of several, and goes on with
real regions of every source, drawn metaphases with chromatids apart (`splayed_annotations`, in
``WORK/splayed_1`` and ``WORK/splayed_2``), and clusters composed from the single chromosomes of
each.  ``--without`` leaves the laboratories of ``other_labs`` out, so that they can be tested on::

    python recipes/default_model/broad_training.py ../shared/data WORK NAME \
        [--without] [--base FILE ...] [--teacher FILE]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd

from held_out import SETS, part
from napari_chromocluster.models.model_file import load_model_file, save_model
from napari_chromocluster.models.network import interpolate_state_dicts
from napari_chromocluster.results.annotations import read_annotations
from napari_chromocluster.training.config import BALANCED, StageConfig
from recipe_config import RecipeConfig
from recipe_training import trained

#: Laboratories of ``other_labs`` whose terms allow training.
MAY_BE_TRAINED_ON = ("ddx11", "oligobanding")
#: Drawn metaphases to validate on: one of so many.
_VALIDATED = 12
#: Share of the plainly outlined regions that is taken: there are three outlines of each.
_PLAIN_SHARE = 0.4


def other_laboratories(data: Path, work: Path) -> Path:
    """Write the annotated regions of other laboratories that may be trained on."""
    table = read_annotations(data / "other_labs" / "annotations.csv")
    mine = table[[Path(str(image)).parent.name in MAY_BE_TRAINED_ON for image in table["image"]]]
    file = work / "other_labs_trained.csv"
    mine.to_csv(file, index=False)
    return file


def plain_outlines(work: Path) -> Path:
    """Write a part of the plainly outlined regions of the training groups."""
    table = read_annotations(work / "plain" / "annotations_read.csv")
    train = table[[part("gband_metaphases", str(group)) == "train" for group in table["group"]]]
    file = work / "plain_trained.csv"
    train.sample(frac=_PLAIN_SHARE, random_state=0).to_csv(file, index=False)
    return file


def sides(files: list[tuple[str, Path]]) -> dict[str, set[str]]:
    """Return the groups of each side, of annotation files and the sources that they belong to."""
    parts: dict[str, set[str]] = {"test": set(), "validation": set(), "train": set()}
    for name, file in files:
        for group in pd.read_csv(file, dtype=str)["group"].unique():
            if name == "splayed":
                side = "train" if int(group.rsplit("_", 1)[1]) % _VALIDATED else "validation"
            else:
                side = "train" if name == "other" else part(name, group)
            parts[side].add(group)
    return parts


def start(models: list[str], file: Path) -> str:
    """Return the model to start from: the one that is given, or the average of several."""
    if len(models) == 1:
        return models[0]
    loaded = [load_model_file(Path(model)) for model in models]
    states = [network.members[0].state_dict() for network, _ in loaded]
    network, card = loaded[0][0].members[0], loaded[0][1]
    network.load_state_dict(interpolate_state_dicts(states, [1 / len(states)] * len(states)))
    save_model(file, network, card)
    return str(file)


def configuration(data: Path, work: Path, options: argparse.Namespace) -> RecipeConfig:
    """Return the training."""
    files = [(name, data / name / "annotations.csv") for name in SETS]
    files.append(("gband_metaphases", work / "boxes" / "annotations_read.csv"))
    files.append(("gband_metaphases", plain_outlines(work)))
    files += [("splayed", work / name / "annotations.csv") for name in ("splayed_1", "splayed_2")]
    if not options.without:
        files.append(("other", other_laboratories(data, work)))
    parts = sides(files)
    return RecipeConfig(
        annotations=tuple(str(file.resolve()) for _, file in files),
        preset="embedded",
        base_model=start(options.base, work / f"{options.name}_start.safetensors"),
        stages=(StageConfig("broad", options.epochs, options.rate, options.rate, image_size=128),),
        batch_size=64,
        samples_per_epoch=options.samples,
        type_shares=BALANCED,
        composed_share=0.4,
        composed_clusters=options.composed,
        near_misses=0.25,
        grown_share=0.3,
        source_balance=0.85,
        average_decay=0.995,
        augment="wide",
        monitor="likelihood",
        validation_groups=tuple(sorted(parts["validation"])),
        excluded_groups=tuple(sorted(parts["test"])),
        seed=options.seed,
        teacher=options.teacher,
        threads=1,
        model_name="default",
    )


def main() -> None:
    """Train."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("name")
    parser.add_argument("--base", nargs="+", default=["default"])
    parser.add_argument("--teacher", help="model whose answers are learnt where they are right")
    parser.add_argument("--without", action="store_true")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--samples", type=int, default=20_000)
    parser.add_argument("--composed", type=int, default=8_000)
    parser.add_argument("--rate", type=float, default=7e-4)
    parser.add_argument("--seed", type=int, default=40)
    options = parser.parse_args()
    trained(configuration(options.data, options.work, options), options.work / options.name)


if __name__ == "__main__":
    main()
