"""Distributed training: two CPU processes in place of two GPUs."""

import dataclasses
import os
import subprocess
import sys

import pytest

from napari_chromocluster.training.config import ConfigError, StageConfig, preset
from napari_chromocluster.training.runs.run_folder import Run

CONFIG = preset("quick").replace(
    base_model=None,
    stages=(
        StageConfig("coarse", 1, 0.0, 2e-3, freeze_body=True, image_size=32),
        StageConfig("fine", 2, 1e-3, 2e-3, image_size=32),
    ),
    composed_clusters=0, batch_size=16, precision="32", device="cpu", tta=1,
)  # fmt: skip


@pytest.mark.slow
def test_two_processes_train_one_model(annotated, tmp_path):
    (tmp_path / "config.json").write_text(CONFIG.to_json())
    run = Run(tmp_path / "run")
    command = ["train", annotated, "--config", tmp_path / "config.json", "--devices", 2]
    subprocess.run(
        [sys.executable, "-m", "napari_chromocluster", *map(str, command), "-o", str(run.folder)],
        env={**os.environ, "OMP_NUM_THREADS": "1"}, check=True, timeout=280,
    )  # fmt: skip
    events = list(run.events())
    assert run.state() == "finished"
    assert [event["kind"] for event in events].count("end") == 1, "only one process speaks"
    epochs = [event for event in events if event["kind"] == "epoch"]
    assert [(one["stage"], one["epoch"]) for one in epochs] == [
        ("coarse", 1), ("fine", 1), ("fine", 2),
    ]  # fmt: skip
    batch = next(event for event in events if event["kind"] == "batch")
    whole = sum(1 for line in annotated.read_text().splitlines()) - 1
    assert batch["batches"] < whole * 0.75 / CONFIG.batch_size, "each takes its part of an epoch"
    assert run.model_path.exists()


def test_folds_and_several_devices_do_not_go_together():
    with pytest.raises(ConfigError, match="Folds are trained on one device"):
        dataclasses.replace(CONFIG, folds=2, devices=2)
