r"""Log loss and accuracy with the temperature on the logits alone, and on logits, prior and shifts.

The temperature of the embedded model was chosen by this on validation groups::

    python recipes/default_model/studies/temperature.py scratch/model/validation_*.csv \
        [--temperatures 0.65 0.7 0.75]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from napari_chromocluster.cluster_types import TYPES
from napari_chromocluster.models.calibration import calibrate, prior_weights, softmax
from napari_chromocluster.models.classifier import load_model
from napari_chromocluster.results.annotated_crops import load_annotated_crops
from napari_chromocluster.results.annotations import read_annotations, with_allowed_types

_BATCH = 64


def logits_alone(
    logits: NDArray[np.float32],
    temperature: float,
    weights: NDArray[np.float64],
    shifts: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return probabilities as they were computed before."""
    mean = np.log(np.clip(softmax(logits).mean(axis=0), 1e-12, None))
    return softmax(mean / temperature + np.log(weights) + shifts)


def main() -> None:
    """Measure and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--temperatures", type=float, nargs="+", default=[0.65, 0.7, 0.75, 0.8])
    options = parser.parse_args()
    torch.set_num_threads(1)
    model = load_model("default", "cpu")
    card = model.card
    weights = prior_weights(card.training_prior, card.deployment_prior, card.classes)
    order = [str(kind) for kind in TYPES]
    print("| regions | temperature | log loss, logits alone | all | accuracy, logits alone | all |")
    print("|---|---|---|---|---|---|")
    for file in options.files:
        cut = load_annotated_crops(with_allowed_types(read_annotations(file)), half=True)
        true = np.array([order.index(name) for name in cut.names])
        logits = np.concatenate(
            [
                model.logits(model.render(cut.crops[start : start + _BATCH]), tta=8)
                for start in range(0, len(true), _BATCH)
            ],
            axis=1,
        )
        shifts = model.shifts(cut.crops)
        for temperature in options.temperatures:
            row = [f"{file.stem} ({len(true)})", f"{temperature:g}"]
            found = [one(logits, temperature, weights, shifts) for one in (logits_alone, calibrate)]
            losses = [-np.log(p[np.arange(len(true)), true]).mean() for p in found]
            row += [f"{loss:.4f}" for loss in losses]
            row += [f"{(p.argmax(axis=1) == true).mean():.2%}" for p in found]
            print("| " + " | ".join(row) + " |", flush=True)


if __name__ == "__main__":
    main()
