r"""Write the embedded model: the average of the last broad trainings, with its card.

Measures how the regions of its training look to the network (`feature_statistics`), evaluates on
all groups and laboratories that took no part, and writes the figures into the card::

    python recipes/default_model/make_broad_model.py ../shared/data WORK TARGET NAME \
        [NAME ...] [--before default]
"""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd

from broad_training import MAY_BE_TRAINED_ON, sides, start
from feature_statistics import measured_statistics, sample
from held_out import SETS, annotated, known_types, typed_by_eye
from napari_chromocluster.models.classifier import ClusterClassifier
from napari_chromocluster.models.evaluation import evaluate
from napari_chromocluster.models.familiarity import FeatureStatistics
from napari_chromocluster.models.model_card import read_card
from napari_chromocluster.models.model_file import load_model_file, save_model
from napari_chromocluster.models.registry import resolve_model
from napari_chromocluster.results.annotations import read_annotations, with_allowed_types
from napari_chromocluster.training.fit.model_export import now

#: Fitted on the validation groups, drawn chromatids apart among them.
TEMPERATURE = 0.7
#: Regions are seen once where the network is at least that sure, else eight times.
VIEW_THRESHOLD = 0.97
#: Regions of each source for the feature statistics.
_SAMPLE = 700
CITATIONS = (
    "ddx11: solid Giemsa metaphases of human cells without DDX11 (MIT)",
    "oligobanding: DAPI metaphase of oligo-FISH banding (MIT)",
)
LICENCES = ("ddx11 and oligobanding: MIT",)


def trained_statistics(classifier: ClusterClassifier, data: Path, work: Path) -> FeatureStatistics:
    """Measure the regions of the training groups, and what validation metaphases give."""
    files = [(name, data / name / "annotations.csv") for name in SETS]
    files.append(("gband_metaphases", work / "boxes" / "annotations.csv"))
    files.append(("splayed", work / "splayed_1" / "annotations.csv"))
    groups = sides(files)["train"]
    other = data / "other_labs" / "annotations.csv"
    lines = read_annotations(other)
    mine = [Path(str(image)).parent.name in MAY_BE_TRAINED_ON for image in lines["image"]]
    groups |= set(lines["group"][mine])
    training = sample([*(file for _, file in files), other], groups, _SAMPLE)
    second = work / "splayed_2" / "annotations.csv"
    drawn = with_allowed_types(read_annotations(second))
    drawn = drawn[drawn["group"].isin(sides([("splayed", second)])["validation"])]
    validation = [
        with_allowed_types(read_annotations(known_types(data, work, "validation"))),
        with_allowed_types(read_annotations(annotated(data, work, "validation")["dapi"])),
        drawn.sample(min(_SAMPLE, len(drawn)), random_state=0),
    ]
    return measured_statistics(classifier, training, pd.concat(validation))


def evaluations(data: Path, work: Path) -> dict[str, Path]:
    """Return the annotations that took no part, by what the card calls them."""
    held_out = {f"held-out {k} groups": v for k, v in annotated(data, work, "test").items()}
    return {
        **held_out,
        "held-out typed by boxes and eye groups": known_types(data, work, "test"),
        "held-out typed by boxes and eye, plainly outlined groups": known_types(
            data, work, "test", "plain"
        ),
        "held-out read by eye groups": typed_by_eye(data, work, "test"),
        "chromatids apart, other laboratories": data / "other_labs" / "annotations_splayed.csv",
        "chromatids together, other laboratories": data / "other_labs" / "annotations_compact.csv",
    }


def main() -> None:
    """Write the model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("names", nargs="+", help="folders of the trainings, the last one first")
    parser.add_argument("--before", default="default", help="model whose tables and terms are kept")
    options = parser.parse_args()
    models = [str(options.work / name / "model.safetensors") for name in options.names]
    with tempfile.TemporaryDirectory() as folder:
        averaged = start(models, Path(folder) / "average.safetensors")
        loaded, card = load_model_file(Path(averaged))
    network, before = loaded.members[0], read_card(resolve_model(options.before))
    training = dict(card.training)
    for side in ("groups_trained", "groups_validated"):
        training[side] = sorted({*training[side], *before.training[side]})
    training["groups_validated"] = sorted(
        set(training["groups_validated"]) - set(training["groups_trained"])
    )
    training["base_model"] = "broad trainings that began with the first of three networks"
    card = dataclasses.replace(
        card,
        name="default",
        tta=8,
        temperature=TEMPERATURE,
        view_threshold=VIEW_THRESHOLD,
        deployment_prior=before.deployment_prior,
        surroundings=before.surroundings,
        unsure_threshold=before.unsure_threshold,
        metrics={},
        created=now(),
        training=training,
        weight_licence="BSD-3-Clause",
        citations=tuple(dict.fromkeys((*before.citations, *CITATIONS))),
        data_licences=tuple(dict.fromkeys((*before.data_licences, *LICENCES))),
    )
    # What is evaluated is what will be shipped: weights in half precision.
    save_model(options.target, network, card, half=True)
    network = load_model_file(options.target)[0].members[0]
    statistics = trained_statistics(
        ClusterClassifier(network, card, "cpu"), options.data, options.work
    )
    card = dataclasses.replace(card, feature_statistics=statistics.to_dict())
    classifier = ClusterClassifier(network, card, "cpu")
    metrics: dict[str, Any] = {}
    for name, file in evaluations(options.data, options.work).items():
        figures = evaluate(file, classifier).to_dict()
        figures.pop("per_group")
        metrics[name] = figures
        print(name, figures["n"], figures["accuracy"], figures["macro_sensitivity"], flush=True)
    save_model(options.target, network, dataclasses.replace(card, metrics=metrics), half=True)


if __name__ == "__main__":
    main()
