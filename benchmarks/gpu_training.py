"""What a training takes on a GPU: its batches, its epochs and its memory, in one run.

Crops are varied on the CPU, then on the GPU; then the paper's ResNeXt-101 32x8d (random
weights, which do not change the time) and the compact network train on synthetic metaphases, in
the precision that is chosen by itself and in 32 bits::

    python benchmarks/gpu_training.py [--device cuda] [--metaphases 20] [--samples 2000]
"""

from __future__ import annotations

import argparse
import dataclasses
import logging
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from napari_chromocluster.imaging.synthetic_metaphase import (
    synthetic_annotations,
    synthetic_metaphase,
)
from napari_chromocluster.models.classifier import load_model
from napari_chromocluster.training.config import StageConfig, TrainingConfig, preset
from napari_chromocluster.training.data.prepared_data import prepare_data
from napari_chromocluster.training.data.sampling import DrawPlan, TrainingBatches
from napari_chromocluster.training.fit.trainer import fit
from napari_chromocluster.training.runs.run_folder import Run

_COMPACT = preset("default").replace(
    base_model=None,
    backbone="compact",
    stages=(StageConfig("fine", 3, 1e-3, 1e-3, image_size=128),),
    augment="full",
    composed_clusters=100,
    stop_after=0,
    way_back=False,
)


def paper(backbone: str) -> TrainingConfig:
    """Return the paper's training with few epochs, from random weights."""
    stages = (
        dataclasses.replace(stage, epochs=epochs)
        for stage, epochs in zip(preset("paper").stages, (1, 3), strict=True)
    )
    return preset("paper").replace(backbone=backbone, stages=tuple(stages), stop_after=0)


def agreement(device: str) -> None:
    """Tell how far the embedded model answers alike on the CPU and on the device."""
    made = synthetic_metaphase(seed=3)
    there, here = (
        load_model("default", one).classify(made.image, made.labels) for one in (device, "cpu")
    )
    same = float((there["cluster_type"] == here["cluster_type"]).mean())
    most = float((there["p_single"] - here["p_single"]).abs().max())
    print(f"embedded model on {device}: same type {same:.3f}, p_single within {most:.4f}")


def batch_times(config: TrainingConfig, run: Run, device: str, rounds: int = 20) -> None:
    """Tell how long a batch takes to make on the CPU and on the device."""
    data = prepare_data(config, run)
    plan = DrawPlan(data.train, data.n_real, config)
    for where in ("cpu", device):
        batches = TrainingBatches(data.train, plan, config, config.stages[0], 0, where)
        times = []
        for number in range(rounds):
            began = time.perf_counter()
            inputs, _ = batches[number % len(batches)]
            float(inputs.mean())  # waits for the device
            times.append(time.perf_counter() - began)
        took = statistics.median(times[3:]) / config.batch_size
        print(f"crops varied on {where}: {1e3 * took:.3f} ms a crop", flush=True)


def epochs(name: str, config: TrainingConfig, folder: Path) -> None:
    """Train, and tell how long the last epochs of the last stage took, validation included."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    run = Run.create(folder / name.replace(" ", "_"), config)
    fit(config, run)
    times = [one["time"] for one in run.events() if one["kind"] == "epoch"]
    took = float(np.diff(times)[-2:].mean())
    memory = torch.cuda.max_memory_allocated() / 1e9 if torch.cuda.is_available() else 0.0
    samples = config.samples_per_epoch or 0
    print(
        f"{name:40s} {took:7.2f} s an epoch of {samples}  {samples / took:8.0f} crops/s  "
        f"{60 / took:6.1f} epochs/min  {memory:6.2f} GB",
        flush=True,
    )


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--metaphases", type=int, default=20)
    parser.add_argument("--samples", type=int, default=2000)
    parser.add_argument("--backbone", default="resnext101_32x8d")
    chosen = parser.parse_args()
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    name = torch.cuda.get_device_name() if chosen.device == "cuda" else chosen.device
    print(f"{name}, torch {torch.__version__}, {torch.get_num_threads()} threads")
    agreement(chosen.device)
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        seeds = list(range(100, 100 + chosen.metaphases))
        file = str(synthetic_annotations(folder / "regions", seeds))
        common = {"annotations": (file,), "device": chosen.device}
        compact = _COMPACT.replace(**common, samples_per_epoch=4 * chosen.samples)
        batch_times(compact, Run.create(folder / "batches", compact), chosen.device)
        epochs("compact, batches of 64", compact, folder)
        epochs("compact, batches of 256", compact.replace(batch_size=256), folder)
        large = paper(chosen.backbone).replace(**common, samples_per_epoch=chosen.samples)
        epochs("paper", large, folder)
        epochs("paper, 32 bits", large.replace(precision="32"), folder)
        epochs("paper, batches of 64", large.replace(batch_size=64), folder)


if __name__ == "__main__":
    main()
