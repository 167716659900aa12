"""Whether averaging the weights helps: macro sensitivity on metaphases that were never seen.

Trains the compact body from scratch on 6 synthetic metaphases, with and without an average, from
several seeds, and evaluates on 6 others.

Run with: ``python benchmarks/weight_average.py [--seeds 3] [--decay 0.95]``.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
from pathlib import Path
from statistics import mean

from napari_chromocluster.imaging.synthetic_metaphase import synthetic_annotations
from napari_chromocluster.models.evaluation import evaluate
from napari_chromocluster.training.api import train
from napari_chromocluster.training.config import StageConfig


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--decay", type=float, default=0.95)
    chosen = parser.parse_args()
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    stages = (StageConfig("fine", 6, 2e-3, 2e-3, image_size=64),)
    found: dict[float, list[float]] = {0.0: [], chosen.decay: []}
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        learn = synthetic_annotations(base / "learn", seeds=list(range(200, 206)))
        check = synthetic_annotations(base / "check", seeds=list(range(300, 306)))
        for seed in range(chosen.seeds):
            for decay, values in found.items():
                run = train(
                    learn, preset="quick", base_model="compact", stages=stages, seed=seed,
                    samples_per_epoch=640, composed_clusters=200, batch_size=32, tta=1,
                    average_decay=decay, out=base / f"{seed}-{decay}",
                )  # fmt: skip
                values.append(evaluate(check, run.model_path).macro_sensitivity)
                print(f"seed {seed}, decay {decay}: {values[-1]:.3f}", flush=True)
    for decay, values in found.items():
        print(f"decay {decay}: mean {mean(values):.3f} of {len(values)} seeds")


if __name__ == "__main__":
    main()
