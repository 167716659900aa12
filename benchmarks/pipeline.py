"""Finding and classifying beside the paper's pipeline, in processor time, in one run.

On held-out metaphases of ``gband_metaphases``.  The paper's pipeline is ResNeXt-101 32x8d at
224 px, crop by crop (weights are random: they do not change the time); some crops of each
metaphase are timed, and count for all of its regions.  One thread; the parts alternate, metaphase
by metaphase, so that other work on the machine hits all of them.  Ratios are those of medians.
The last line is the same network in our classifier, all crops of a metaphase in one batch::

    python benchmarks/pipeline.py ../shared/data [--images 5] [--crops 3]
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from napari_chromocluster.imaging.crops import cut_regions
from napari_chromocluster.imaging.io import read_image
from napari_chromocluster.imaging.regions import extract_regions
from napari_chromocluster.imaging.segmentation import find_regions
from napari_chromocluster.models.classifier import ClusterClassifier, load_model
from napari_chromocluster.models.model_card import ModelCard
from napari_chromocluster.models.network import build_network

sys.path.insert(0, str(Path(__file__).parents[1] / "recipes" / "default_model"))
from held_out import part

NAME = "gband_metaphases"


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """Return what work gives, and its processor time in seconds."""
    began = time.process_time()
    return work(), time.process_time() - began


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--images", type=int, default=5)
    parser.add_argument("--crops", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    ours = load_model("default", "cpu")
    card = ModelCard("paper", "resnext101_32x8d", input_size=224, channels="gray", tta=1)
    card = dataclasses.replace(card, classes=card.classes[:4])
    paper = ClusterClassifier(build_network(card.backbone, 4), card, "cpu")
    table = pd.read_csv(options.data / NAME / "annotations.csv", dtype=str)
    test = [group for group in table["group"].unique() if part(NAME, group) == "test"]
    files = sorted(table.loc[table["group"].isin(test), "image"].unique())
    files = files[:: max(1, len(files) // options.images)][: options.images]
    find, classify, theirs, both, numbers, batched = [], [], [], [], [], []
    for round_, file in enumerate([files[0], *files]):
        image = read_image(options.data / NAME / file)
        found, find_s = timed(partial(find_regions, image))
        regions = extract_regions(found.labels)
        _, classify_s = timed(partial(ours.classify, image, found.labels))
        some = regions[:: max(1, len(regions) // options.crops)][: options.crops]
        crops = list(cut_regions(image, found.labels, some, regions))

        def one_by_one(crops: Any = crops) -> None:
            for crop in crops:
                paper.predict_regions([crop])

        _, paper_s = timed(one_by_one)
        _, batched_s = timed(partial(paper.predict_regions, crops))
        if round_ == 0:
            continue  # what the first call prepares is no matter of the pipeline
        numbers.append(len(regions))
        find.append(find_s)
        classify.append(classify_s)
        both.append(find_s + classify_s)
        batched.append(paper_s / batched_s)
        theirs.append(paper_s / len(crops) * len(regions))
    middle = statistics.median
    print(f"Medians of {len(files)} metaphases with {middle(numbers):.0f} regions; one thread.\n")
    print("| | processor time, s | the paper's pipeline takes |")
    print("|---|---|---|")
    print(f"| the paper's pipeline, crop by crop | {middle(theirs):.2f} | 1 |")
    for name, values in (("find", find), ("classify", classify), ("find and classify", both)):
        ratio = middle(theirs) / middle(values)
        print(f"| {name} | {middle(values):.2f} | {ratio:.1f} times as long |")
    print(f"| the paper's network in our classifier | | {middle(batched):.2f} times as long |")


if __name__ == "__main__":
    main()
