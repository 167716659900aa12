"""How often a model says that it does not know a metaphase, of kinds that it knows and does not.

Feature statistics are measured on the training groups, the level on the validation groups; then
metaphases of the test groups, drawn ones with chromatids apart, and those of other laboratories
are judged.  For a model that was trained without chromatids apart::

    python recipes/default_model/splayed_annotations.py WORK/splayed_a --count 120 --seed 1000
    python recipes/default_model/studies/familiarity.py ../shared/data WORK MODEL

With ``--card`` nothing is measured: the statistics are those of the model's card.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from napari_chromocluster.models.classifier import ClusterClassifier, load_model
from napari_chromocluster.models.familiarity import FeatureStatistics, familiarity
from napari_chromocluster.results.annotations import read_annotations, with_allowed_types

sys.path.insert(0, str(Path(__file__).parents[1]))
from feature_statistics import measured_statistics, region_features, sample
from held_out import SETS, annotated, known_types, part


def statistics_of_known(classifier: ClusterClassifier, data: Path, work: Path) -> FeatureStatistics:
    """Measure the training groups of the three sources, the level on their validation groups."""
    files = {name: data / name / "annotations.csv" for name in SETS}
    files["boxes"] = work / "boxes" / "annotations.csv"
    groups = set()
    for name, file in files.items():
        source = "gband_metaphases" if name == "boxes" else name
        every = read_annotations(file)["group"].unique()
        groups |= {group for group in every if part(source, str(group)) == "train"}
    training = sample(files.values(), groups, 1000)
    validation = pd.concat(
        [
            with_allowed_types(read_annotations(known_types(data, work, "validation"))),
            with_allowed_types(read_annotations(annotated(data, work, "validation")["dapi"])),
        ]
    )
    return measured_statistics(classifier, training, validation)


def main() -> None:
    """Print the share of unfamiliar metaphases of each kind."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("model", nargs="?", default="default")
    parser.add_argument("--card", action="store_true")
    options = parser.parse_args()
    data, work = options.data, options.work
    classifier = load_model(options.model, "cpu")
    if options.card:
        statistics = FeatureStatistics.from_dict(classifier.card.feature_statistics)
    else:
        statistics = statistics_of_known(classifier, data, work)
    if statistics is None:
        parser.error("the card of this model has no feature statistics: leave --card out")
    print(f"median distance up to which a metaphase is familiar: {statistics.usual:.2f}")
    kinds = {
        "G-band, test patients": known_types(data, work, "test"),
        "DAPI, test slides": annotated(data, work, "test")["dapi"],
        "drawn, chromatids apart": work / "splayed_a" / "annotations.csv",
        "other laboratories, apart": data / "other_labs" / "annotations_splayed.csv",
        "other laboratories, together": data / "other_labs" / "annotations_compact.csv",
    }
    print("| metaphases | n | unfamiliar | familiarity, median | lowest |\n|---|---|---|---|---|")
    for name, file in kinds.items():
        table = with_allowed_types(read_annotations(file))
        medians = region_features(classifier, table).medians(statistics)
        values = [familiarity(np.full(8, one), statistics.usual) or 0.0 for one in medians]
        below = sum(value < 1 for value in values)
        middle = float(pd.Series(values).median())
        print(f"| {name} | {len(values)} | {below} | {middle:.2f} | {min(values):.2f} |")


if __name__ == "__main__":
    main()
