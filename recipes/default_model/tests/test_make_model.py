"""The training runs of the embedded model."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import make_model
from held_out import SETS, part
from make_model import trained
from napari_chromocluster.models.classifier import load_model
from napari_chromocluster.training.config import StageConfig
from napari_chromocluster.training.runs.run_folder import Run
from recipe_config import RecipeConfig

#: Number of metaphases on each side for a rehearsal.
FEW = {"train": 3, "validation": 1, "test": 1}


def test_a_training_ends_after_its_last_epoch_and_is_not_repeated(annotated, tmp_path):
    config = RecipeConfig(
        annotations=(str(annotated),),
        stages=(StageConfig("fine", 3, 1e-3, 1e-3, image_size=32),),
        samples_per_epoch=16,
        batch_size=8,
        composed_clusters=4,
        tta=1,
        device="cpu",
    )
    folder = tmp_path / "training"
    model = trained(config, folder, last_epoch=1)
    assert model.is_file()
    kinds = [event["kind"] for event in Run.open(folder).events()]
    assert kinds.count("epoch") == 1
    assert kinds[-1] == "end"
    assert trained(config, folder, last_epoch=1) == model
    assert kinds == [event["kind"] for event in Run.open(folder).events()]


def few_metaphases(data: Path, target: Path) -> Path:
    """Create a folder like the shared data with a few metaphases on each side."""
    for name in SETS:
        folder = target / name
        folder.mkdir(parents=True)
        (folder / "images").symlink_to(data / name / "images")
        table = pd.read_csv(data / name / "annotations.csv", dtype=str, keep_default_na=False)
        # The metaphases with most types; for ready-made crops, cases are used instead.
        kinds = table.groupby("group" if name == "gband_crops" else "image").agg(
            group=("group", "first"), types=("cluster_type", "nunique")
        )
        kinds["side"] = [part(name, group) for group in kinds["group"]]
        kinds = kinds.sort_values("types", ascending=False, kind="stable")
        chosen = {one for side, few in FEW.items() for one in kinds.index[kinds.side == side][:few]}
        column = "group" if name == "gband_crops" else "image"
        table[table[column].isin(chosen)].to_csv(folder / "annotations.csv", index=False)
        if name == "gband_metaphases":
            boxes = pd.read_csv(data / name / "boxes.csv", dtype=str)
            boxes[boxes["image"].isin(chosen)].to_csv(folder / "boxes.csv", index=False)
    return target


@pytest.mark.slow
def test_the_whole_recipe_on_a_few_metaphases(real_data, tmp_path, monkeypatch):
    """Every step of ``make model`` with training runs on a few regions; not accurate."""
    seen = []

    def shortened(config: RecipeConfig, folder: Path, last_epoch: int = 0) -> Path:
        seen.append(folder.name)
        stages = [dataclasses.replace(one, epochs=1, image_size=32) for one in config.stages]
        short = config.replace(
            stages=tuple(stages), samples_per_epoch=64, batch_size=32, composed_clusters=8, tta=1
        )
        return trained(short, folder, last_epoch)

    data = few_metaphases(real_data, tmp_path / "data")
    target = tmp_path / "made.safetensors"
    monkeypatch.setattr(make_model, "trained", shortened)
    command = ["make_model.py", str(data), str(tmp_path / "work"), "--target", str(target)]
    monkeypatch.setattr(sys, "argv", command)
    make_model.main()
    assert len(seen) == len(set(seen)) == 10
    model = load_model(target, "cpu")
    assert len(model.network.members) == model.card.members == 3
    assert {"held-out gband groups", "held-out dapi groups"} < set(model.card.metrics)
    assert all(np.isfinite(one["accuracy"]) for one in model.card.metrics.values() if "n" in one)
    assert model.card.citations
    # The content of the card matches the file.
    found = make_model.evaluate(tmp_path / "work" / "test_gband.csv", model)
    assert found.accuracy == model.card.metrics["held-out gband groups"]["accuracy"]
