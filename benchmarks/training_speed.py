"""Time of a training batch beside a plain PyTorch loop over the same batches, in one run.

The plain loop has the same network, crops, augmentation and optimizer, and nothing else: no
averaged weights, no events, no checkpoints, no progress::

    python benchmarks/training_speed.py [--batches 20]
"""

from __future__ import annotations

import argparse
import logging
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from napari_chromocluster.imaging.synthetic_metaphase import synthetic_annotations
from napari_chromocluster.models.network import build_network
from napari_chromocluster.training.config import StageConfig, TrainingConfig, preset
from napari_chromocluster.training.data.prepared_data import prepare_data
from napari_chromocluster.training.data.sampling import DrawPlan, TrainingBatches
from napari_chromocluster.training.fit.trainer import fit
from napari_chromocluster.training.runs.run_folder import Run


def plain_loop(config: TrainingConfig, run: Run) -> float:
    """Return the median seconds of a batch in a plain loop."""
    data = prepare_data(config, run)
    plan = DrawPlan(data.train, data.n_real, config)
    batches = TrainingBatches(data.train, plan, config, config.stages[0], 0, "cpu")
    network = build_network(config.backbone, n_classes=5).train()
    optimizer = torch.optim.AdamW(network.parameters(), 1e-3)
    times = []
    for number in range(len(batches)):
        began = time.perf_counter()
        inputs, targets = batches[number]
        loss = torch.nn.functional.cross_entropy(network(inputs), targets)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        times.append(time.perf_counter() - began)
    return statistics.median(times[2:])


def trainer(config: TrainingConfig, run: Run) -> float:
    """Return the median seconds between batches of a training."""
    fit(config, run)
    times = [one["time"] for one in run.events() if one["kind"] == "batch"]
    return float(np.median(np.diff(times)))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batches", type=int, default=20)
    options = parser.parse_args()
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        config = preset("default").replace(
            annotations=(str(synthetic_annotations(folder / "regions", [100, 101, 102, 103])),),
            base_model=None,
            backbone="compact",
            stages=(StageConfig("fine", 1, 1e-3, 1e-3, image_size=112),),
            batch_size=32,
            samples_per_epoch=32 * options.batches,
            composed_clusters=40,
            stop_after=0,
            way_back=False,
            device="cpu",
            threads=1,
        )
        plain = plain_loop(config, Run.create(folder / "plain", config))
        ours = trainer(config, Run.create(folder / "ours", config))
        again = plain_loop(config, Run.create(folder / "again", config))
    plain = (plain + again) / 2
    print(f"- A batch of 32 crops takes {ours / plain:.2f} times as long as in a plain loop.")
    print(f"- {60 / (ours * options.batches):.1f} epochs of {32 * options.batches} crops a minute.")


if __name__ == "__main__":
    main()
