"""What the number of chromosomes in a cell is worth.

For each annotation file: negative log likelihood, accuracy and macro sensitivity over the types
that occur, of the regions alone, and with each of some numbers of chromosomes.  Metaphases whose
regions are ready-made crops take no part.  The interval (90 %) of the change of the likelihood
comes from drawing metaphases anew.  With ``--spreads``: the mean log likelihood of the sums that
the metaphases of all files give, for each standard deviation of the number::

    python benchmarks/expected_number.py FILE... [--model MODEL] [--expected 40 46 54]
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_chromocluster.cluster_types import TYPES
from napari_chromocluster.models.chromosome_count_prior import (
    apply_chromosome_count_prior,
    count_distribution_per_region,
    distribution_of_sum,
)
from napari_chromocluster.models.classifier import ClusterClassifier, load_model
from napari_chromocluster.models.metaphase_crops import crop_metaphase
from napari_chromocluster.results.annotated_crops import read_metaphase
from napari_chromocluster.results.annotations import read_annotations, with_allowed_types
from napari_chromocluster.results.chromosome_count import chromosome_count_distribution
from napari_chromocluster.results.metrics import evaluate_predictions

#: A number that every metaphase of the shared data has regions enough for.
_HUMAN = 46


@dataclass
class Weighed:
    """What is said of the regions of an annotation file.

    Attributes
    ----------
    kinds : list of str
        Their types.
    places : (N,) int array
        The metaphase of each.
    found : dict of int or None to (N, 5) float array
        Probabilities, alone (None) and with each number.
    sums : list of (S,) float arrays
        How likely each sum of chromosomes is, for each metaphase.
    """

    kinds: list[str]
    places: NDArray[np.intp]
    found: dict[int | None, NDArray[np.float64]]
    sums: list[NDArray[np.float64]]


def sums_of(probabilities: NDArray[np.float64], sizes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how likely it is that all regions together hold 0, 1, 2… chromosomes."""
    total = np.ones(1)
    for row in count_distribution_per_region(probabilities, chromosome_count_distribution(sizes)):
        total = np.convolve(total, row)
    return total


def weighed(classifier: ClusterClassifier, file: Path, numbers: list[int]) -> Weighed:
    """Return what is said of the regions of a file, alone and with each number."""
    table = with_allowed_types(read_annotations(file))
    table = table[table["labels"] != ""]
    kinds: list[str] = []
    places: list[int] = []
    found: dict[int | None, list[NDArray[np.float64]]] = {one: [] for one in (None, *numbers)}
    sums: list[NDArray[np.float64]] = []
    pairs = table.groupby(["image", "labels"], sort=False)
    for place, ((image, labels), rows) in enumerate(pairs):
        one = read_metaphase(str(image), str(labels), rows)
        cut = crop_metaphase(one.image, one.labels, one.annotated, _HUMAN, one.everything)
        alone = classifier.predict_regions(cut.crops).astype(np.float64)
        others = classifier.predict_regions(cut.others)
        kinds += list(rows["cluster_type"])
        places += [place] * len(rows)
        found[None].append(alone)
        if cut.expected is not None:
            sums.append(sums_of(np.concatenate([alone[cut.counted], others]), cut.sizes))
        for number in numbers:
            mine = alone.copy()
            if cut.expected is not None:
                together = np.concatenate([alone[cut.counted], others])
                counted = apply_chromosome_count_prior(together, cut.sizes, number)
                mine[cut.counted] = counted[: int(cut.counted.sum())]
            found[number].append(mine)
    joined = {name: np.concatenate(all_) for name, all_ in found.items()}
    return Weighed(kinds, np.array(places), joined, sums)


def main() -> None:
    """Print a line for each file and number."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--model", default="default")
    parser.add_argument("--expected", nargs="+", type=int, default=[_HUMAN])
    parser.add_argument("--spreads", nargs="*", type=float, default=[])
    options = parser.parse_args()
    classifier = load_model(options.model, "cpu")
    order = [str(kind) for kind in TYPES]
    sums = []
    for file in options.files:
        said = weighed(classifier, file, options.expected)
        sums += said.sums
        true = np.array([order.index(kind) for kind in said.kinds])
        losses = {}
        for number, chances in said.found.items():
            loss = -np.log(np.clip(chances[np.arange(len(true)), true], 1e-6, None))
            losses[number] = loss
            figures = evaluate_predictions(said.kinds, chances, [str(one) for one in said.places])
            away = loss - losses[None]
            each = np.bincount(said.places, weights=away)
            rng = np.random.default_rng(0)
            drawn = [rng.choice(each, len(each)).sum() / len(away) for _ in range(1000)]
            low, high = np.percentile(drawn, [5, 95])
            print(
                f"{file.stem:20s} n {len(true):5d}  expected {number!s:>4s}  likelihood "
                f"{loss.mean():.4f} ({away.mean():+.4f}, {low:+.4f} to {high:+.4f})  accuracy "
                f"{figures.accuracy:.4f}  macro {figures.macro_sensitivity:.4f}",
                flush=True,
            )
    for spread in options.spreads:
        usual = distribution_of_sum(_HUMAN, spread)
        padded = [np.pad(one, (0, len(usual)))[: len(usual)] for one in sums]
        likelihood = np.mean([np.log(one @ usual) for one in padded])
        print(f"spread {spread:g}: log likelihood of {len(sums)} sums {likelihood:.4f}")


if __name__ == "__main__":
    main()
