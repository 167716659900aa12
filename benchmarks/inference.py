"""Time per region: the compact network beside the paper's ResNeXt-101 32x8d, in one run.

Both classify the same regions of a synthetic metaphase as they are used: the
compact networks of the embedded model at 128 px, which share out eight turned copies,
and ResNeXt-101 at 224 px with one.  Their rounds alternate, so that other work on the machine
hits both; the median round counts.  Weights are random: they do not change
the time::

    python benchmarks/inference.py [--rounds 5] [--device cpu] [--threads 1]
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import platform
import statistics
import time

import torch

from napari_chromocluster.imaging.crops import RegionCrop, cut_region
from napari_chromocluster.imaging.normalization import normalize_stain
from napari_chromocluster.imaging.regions import extract_regions, reference_size
from napari_chromocluster.imaging.synthetic_metaphase import synthetic_metaphase
from napari_chromocluster.models.classifier import ClusterClassifier
from napari_chromocluster.models.model_card import ModelCard, read_card
from napari_chromocluster.models.network import ClusterEnsemble, build_network
from napari_chromocluster.models.registry import resolve_model

SHIPPED = read_card(resolve_model("default"))
#: Contenders: card, and how many regions a round takes.
CONTENDERS = {
    "as embedded": (SHIPPED, 46),
    "one network, 8 copies": (dataclasses.replace(SHIPPED, members=1), 46),
    "one network, 1 copy": (dataclasses.replace(SHIPPED, members=1, tta=1), 46),
    "resnext50_32x4d, 224 px": (
        ModelCard("r50", "resnext50_32x4d", input_size=224, channels="gray", tta=1), 16,
    ),
    "resnext101_32x8d, 224 px": (
        ModelCard("r101", "resnext101_32x8d", input_size=224, channels="gray", tta=1), 8,
    ),
}  # fmt: skip
REFERENCE = "resnext101_32x8d, 224 px"


def regions() -> list[RegionCrop]:
    made = synthetic_metaphase(seed=0)
    signal = normalize_stain(made.image, made.labels).values
    found = extract_regions(made.labels)
    size = reference_size(found)
    cut = [cut_region(signal, made.labels, region, size) for region in found]
    return (cut * 2)[:46]


def random_classifier(card: ModelCard, device: str) -> ClusterClassifier:
    """Build a classifier with random weights."""
    networks = [build_network(card.backbone) for _ in range(card.members)]
    return ClusterClassifier(ClusterEnsemble(networks), card, device)


def milliseconds(classifier: ClusterClassifier, crops: list[RegionCrop]) -> float:
    """Time of one region, from the cut region to its probabilities, in ms."""
    began = time.perf_counter()
    classifier.predict_regions(crops)  # the result is on the CPU: nothing is left under way
    return (time.perf_counter() - began) / len(crops) * 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    crops = regions()
    classifiers = {
        name: random_classifier(card, chosen.device) for name, (card, _) in CONTENDERS.items()
    }
    times: dict[str, list[float]] = {name: [] for name in CONTENDERS}
    for number in range(chosen.rounds + 1):
        for name, classifier in classifiers.items():
            took = milliseconds(classifier, crops[: CONTENDERS[name][1]])
            if number:  # the first round warms up
                times[name].append(took)
    middle = {name: statistics.median(values) for name, values in times.items()}
    for name, took in middle.items():
        print(
            f"{name:28s} {took:8.2f} ms a region  {1e3 / took:8.1f} regions/s  "
            f"{took / middle[REFERENCE]:7.4f} of {REFERENCE}"
        )
    facts = {"torch": torch.__version__, "threads": chosen.threads, "machine": platform.machine()}
    print(json.dumps({**facts, "device": chosen.device, "milliseconds": middle}))


if __name__ == "__main__":
    main()
