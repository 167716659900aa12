r"""Compare weights, and deployment priors, on the validation groups of the embedded model.

Prints, for each of some blends of weights (`model_recipe.blend`; else the one that is
shipped) and each way from the training shares (0) to the natural shares (1): the temperature
that fits both stains, and the figures of the annotated regions of each, of all regions of
clinical metaphases whose type boxes or a reader tell, in our outlines (*own*) and in plain
ones, of the clusters among them that were read by eye (no single is among them), and of
regions of which boxes leave several types (there the accuracy is how often the network names
one that is possible)::

    python recipes/default_model/choose_prior.py ../shared/data WORK \
        [long_6+long_7@128 ...] [--ways 0.5 0.65]

``--side test`` prints those of the test groups, for weights and a prior that were chosen by then;
the temperature stays that of the validation groups.  With ``--save FOLDER`` each blend is
written there, ready to classify with, by the last way.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from held_out import Answers, annotated, answers, known_types, named_in_part, typed_by_eye
from model_recipe import BLENDS, blend, tempered_prior
from napari_chromocluster.models.calibration import (
    calibrate,
    expand_to_all_types,
    fit_temperature,
    prior_weights,
)
from napari_chromocluster.models.classifier import ClusterClassifier
from napari_chromocluster.models.model_file import save_model
from napari_chromocluster.results.metrics import evaluate_predictions
from surroundings_odds import surroundings_tables

WAYS = (0.0, 0.2, 0.35, 0.5, 0.65, 0.8, 1.0)
#: Annotated by people; the temperature is fitted on these.
BY_HAND = ("gband", "dapi")


def main() -> None:
    """Print a table for each blend."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("blends", nargs="*", default=[BLENDS["default"]])
    parser.add_argument("--ways", nargs="*", type=float, default=WAYS)
    parser.add_argument("--side", choices=("validation", "test"), default="validation")
    parser.add_argument(
        "--look-alone", action="store_true", help="leave out what surroundings say of a region"
    )
    parser.add_argument("--save", type=Path, help="folder for the blends")
    options = parser.parse_args()
    data, work, side = options.data, options.work, options.side
    by_hand = annotated(data, work, "validation")
    files = by_hand if side == "validation" else annotated(data, work, side)
    files["own"] = known_types(data, work, side)
    files["plain"] = known_types(data, work, side, "plain")
    files["eye"] = typed_by_eye(data, work, side)
    files["eye, plain"] = typed_by_eye(data, work, side, "plain")
    if side == "validation":
        files |= named_in_part(work, side)
    for formula in options.blends:
        network, card = blend(work, formula)
        tables = {} if options.look_alone else surroundings_tables(work)
        card = dataclasses.replace(card, surroundings=tables)
        classifier = ClusterClassifier(network, card, "cpu")
        found = answers(classifier, files)
        fitted = found if side == "validation" else answers(classifier, by_hand)
        table = compared(classifier, found, fitted, options.ways)
        print(formula, table.round(4).to_string(index=False), sep="\n", flush=True)
        if options.save is not None:
            last = table.iloc[-1]
            card = dataclasses.replace(
                classifier.card,
                deployment_prior=tempered_prior(classifier.card.training_prior, last["way"]),
                temperature=float(last["temperature"]),
            )
            options.save.mkdir(parents=True, exist_ok=True)
            save_model(options.save / f"{formula}.safetensors", classifier.network, card)


def compared(
    classifier: ClusterClassifier,
    found: dict[str, Answers],
    fitted: dict[str, Answers],
    ways: Iterable[float],
) -> pd.DataFrame:
    """Return the figures of each file, one row each and way to nature.

    The temperature is fitted on the regions of ``fitted`` that people annotated.
    """
    card = classifier.card
    logits = np.concatenate([fitted[name].logits for name in BY_HAND], axis=1)
    true = np.concatenate([fitted[name].true for name in BY_HAND])
    shifts = np.concatenate([fitted[name].shifts for name in BY_HAND])
    rows = []
    for way in ways:
        prior = tempered_prior(card.training_prior, way)
        weights = prior_weights(card.training_prior, prior, card.classes)
        temperature = fit_temperature(logits, true, weights, shifts=shifts)
        for name, mine in found.items():
            said = calibrate(mine.logits, temperature, weights, mine.shifts)
            chances = expand_to_all_types(said, card.classes)
            row = {"way": way, "temperature": round(temperature, 3), "regions": name}
            rows.append(row | figures(mine, chances))
    return pd.DataFrame(rows)


def figures(mine: Answers, chances: NDArray[np.float32]) -> dict[str, float]:
    """Return the figures of the regions of one file."""
    possible = mine.possible
    hit = possible[np.arange(len(chances)), chances.argmax(axis=1)]
    row = {
        "n": len(hit),
        "accuracy": float(hit.mean()),
        "nll": float(-np.log((chances * possible).sum(axis=1).clip(1e-6)).mean()),
    }
    if possible.sum() == len(possible):
        scores = evaluate_predictions(mine.names, chances)
        return row | {
            "macro": scores.macro_sensitivity,
            "ece": scores.ece,
            "selective": scores.selective_accuracy,
        }
    names = np.array(mine.names)
    return row | {"macro": float(np.mean([hit[names == name].mean() for name in set(names)]))}


if __name__ == "__main__":
    main()
