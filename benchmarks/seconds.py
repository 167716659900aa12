"""Seconds a metaphase takes, segmenting and classifying, once the model is loaded.

Beside the seconds on the clock stand those of one processor core, which other
work on the machine lengthens little::

    python benchmarks/seconds.py ../shared/data [--images 8] [--threads 2]
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

import torch

from napari_chromocluster.imaging.io import read_image
from napari_chromocluster.imaging.segmentation import segment_metaphase
from napari_chromocluster.models.classifier import load_model

SETS = {"G-band": "gband_metaphases/images/*.jpg", "DAPI": "mfish/images/*_dapi.png"}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--images", type=int, default=8)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    began = time.perf_counter()
    model = load_model("default", "cpu")
    print(f"model loaded in {time.perf_counter() - began:.2f} s; {options.threads} threads")
    print("medians: images, number, regions, seconds to segment, to classify, of one core for both")
    for name, pattern in SETS.items():
        files = sorted(options.data.glob(pattern))
        rows = []
        for file in files[:: max(1, len(files) // options.images)][: options.images]:
            image = read_image(file)
            start, core = time.perf_counter(), time.process_time()
            labels = segment_metaphase(image)
            middle = time.perf_counter()
            table = model.classify(image, labels)
            end = time.perf_counter()
            rows.append((len(table), middle - start, end - middle, time.process_time() - core))
        regions, segment, classify, both = (
            statistics.median(part) for part in zip(*rows, strict=True)
        )
        print(f"{name:8}{len(rows):4}{regions:9.0f}{segment:9.2f}{classify:10.2f}{both:12.2f}")


if __name__ == "__main__":
    main()
