r"""What finetuning on a few annotated DAPI metaphases gives, and what it costs on G-band ones.

Finetunes with the preset ``default`` on a few metaphases of the training slides, and evaluates on
the held-out slides, and on the held-out G-band regions, which should not be forgotten.  Begins with
the network that `left_out.py` trained on G-band metaphases alone, for which DAPI is new, or with
another model, such as the embedded one, which knows both::

    python recipes/default_model/studies/left_out.py ../shared/data WORK wide
    python recipes/default_model/studies/few_metaphases.py ../shared/data WORK \
        [--start default] [--side test]

WORK is the folder of `make model`.
"""

from __future__ import annotations

import argparse
import dataclasses
import logging
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from napari_chromocluster.models.evaluation import evaluate
from napari_chromocluster.models.model_card import read_card
from napari_chromocluster.models.model_file import load_model_file, save_model
from napari_chromocluster.models.registry import resolve_model
from napari_chromocluster.results.annotations import read_annotations
from napari_chromocluster.training.api import train

sys.path.insert(0, str(Path(__file__).parents[1]))
from held_out import annotated, known_types, part
from model_recipe import tempered_prior

#: What the preset is compared with, and the changes that make it so.
WAYS: dict[str, dict[str, Any]] = {
    "preset": {},
    "no way back": {"way_back": False},
}


def few(data: Path, count: int, seed: int, folder: Path) -> Path:
    """Write the regions of some metaphases of the training slides, each a group of its own."""
    table = read_annotations(data / "mfish" / "annotations.csv")
    mine = table[[part("mfish", group) == "train" for group in table["group"]]]
    images = random.Random(seed).sample(sorted(mine["image"].unique()), count)
    chosen = mine[mine["image"].isin(images)]
    target = folder / f"few_{count}_{seed}.csv"
    chosen.assign(group=[Path(image).stem for image in chosen["image"]]).to_csv(target, index=False)
    return target


def start(work: Path, folder: Path) -> Path:
    """Write the model to begin with, which expects types as the shipped one does."""
    network, card = load_model_file(work / "left_out_wide" / "model.safetensors")
    card = dataclasses.replace(card, deployment_prior=tempered_prior(card.training_prior))
    target = folder / "start.safetensors"
    save_model(target, network, card)
    return target


def main() -> None:
    """Finetune in each way from each seed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--start", help="a model (default: that of left_out.py)")
    parser.add_argument("--metaphases", type=int, default=12)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--side", choices=("validation", "test"), default="test")
    parser.add_argument("--ways", nargs="*", default=list(WAYS), choices=list(WAYS))
    chosen = parser.parse_args()
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    checks = {
        "DAPI": annotated(chosen.data, chosen.work, chosen.side)["dapi"],
        "G-band": known_types(chosen.data, chosen.work, chosen.side),
    }
    print("| way | seed | " + " | ".join(f"{name}: accuracy, macro" for name in checks) + " | s |")
    print("|---|---|" + "---|" * len(checks) + "---|")

    def show(way: str, seed: str, model: Path, seconds: float = 0.0) -> None:
        found = [evaluate(file, model) for file in checks.values()]
        figures = " | ".join(f"{one.accuracy:.3f}, {one.macro_sensitivity:.3f}" for one in found)
        print(f"| {way} | {seed} | {figures} | {seconds:.0f} |", flush=True)

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        base = resolve_model(chosen.start) if chosen.start else start(chosen.work, folder)
        show("before", "", base)
        for seed in range(chosen.seeds):
            learn = few(chosen.data, chosen.metaphases, seed, folder)
            for way in chosen.ways:
                began = time.monotonic()
                run = train(
                    learn, base_model=base, seed=seed, out=folder / f"{way} {seed}", threads=1,
                    **WAYS[way],
                )  # fmt: skip
                card = read_card(run.model_path)
                kept = f"{way} ({card.training['share_of_start']}, {card.members} networks)"
                show(kept, str(seed), run.model_path, time.monotonic() - began)


if __name__ == "__main__":
    main()
