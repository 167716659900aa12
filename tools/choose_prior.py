"""Choose the deployment prior of the embedded model on its validation groups.

Prints, for each way from the training shares (0) to the natural shares (1), the
temperature that fits both stains and the figures of each, and of the regions of
plain outlines that boxes name, for the average of the trainings named, or for the
network that is shipped::

    python tools/choose_prior.py ../shared/data WORK [run further balanced] [--shares 2 --size 128]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from make_model import (
    SIZE,
    annotated,
    averaged,
    half_way,
    outputs,
    plainly_outlined,
    tempered_prior,
)
from napari_chromocluster.models.calibration import (
    calibrate,
    fit_temperature,
    prior_weights,
    to_five,
)
from napari_chromocluster.models.classifier import ClusterClassifier
from napari_chromocluster.models.model_file import read_card
from napari_chromocluster.results.metrics import evaluate_predictions
from napari_chromocluster.taxonomy import TYPES

EXPONENTS = (0.0, 0.2, 0.35, 0.5, 0.65, 0.8, 1.0)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("trainings", nargs="*")
    parser.add_argument("--shares", type=int, default=2, help="of the first average; see half_way")
    parser.add_argument("--size", type=int, default=SIZE)
    options = parser.parse_args()
    models = [options.work / name / "model.safetensors" for name in options.trainings]
    network, card = (
        (averaged(models), read_card(models[-1]))
        if models
        else half_way(options.work, options.shares, options.size)
    )
    classifier = ClusterClassifier(network, card, "cpu")
    files = annotated(options.data, options.work, "validation")
    files["plain"] = plainly_outlined(options.work, "validation")
    logits, true, stains = outputs(classifier, files)
    names, stain_of = [str(TYPES[column]) for column in true], np.array(stains)
    by_hand = stain_of != "plain"
    rows = []
    for exponent in EXPONENTS:
        prior = tempered_prior(card.training_prior, exponent)
        weights = prior_weights(card.training_prior, prior, card.classes)
        temperature = fit_temperature(logits[:, by_hand], true[by_hand], weights)
        chances = to_five(calibrate(logits, temperature, weights), card.classes)
        for stain in dict.fromkeys(stains):
            mine = stain_of == stain
            likely = chances[mine, true[mine]]
            found = evaluate_predictions([n for n, m in zip(names, mine, strict=True) if m],
                                         chances[mine])  # fmt: skip
            rows.append(
                {
                    "exponent": exponent,
                    "temperature": round(temperature, 3),
                    "stain": stain,
                    "n": found.n,
                    "accuracy": found.accuracy,
                    "macro": found.macro_sensitivity,
                    "ece": found.ece,
                    "selective": found.selective_accuracy,
                    "nll": -np.log(likely).mean(),
                }
            )
    print(pd.DataFrame(rows).round(4).to_string(index=False))


if __name__ == "__main__":
    main()
