"""What a million metaphases need, from rates that are measured here.

Measures processor time and bytes of whole metaphases, the summary of a batch that is done (the
work folder of ``scale.py``), and empty jobs at a dask scheduler; prints a table for a number of
metaphases, cores, and a price of a core hour::

    python benchmarks/scale_costs.py ../shared/data WORK_FOLDER [--metaphases 1000000]
        [--cores 64] [--price 0.04]
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import pandas as pd
import psutil
import torch
from distributed import Client, LocalCluster

from napari_chromocluster.batch import classify_to_files
from napari_chromocluster.batch.dask_cluster import ClusterRunner
from napari_chromocluster.batch.jobs import Job, Outcome
from napari_chromocluster.batch.runner import run_batch
from napari_chromocluster.imaging.io import read_image
from napari_chromocluster.models.classifier import load_model
from napari_chromocluster.results.figures import overlay_figure, save_figure


def nothing(job: Job) -> Outcome:
    """Do a job without work."""
    return Outcome((job.name,))


def whole_metaphases(data: Path, number: int) -> tuple[dict[str, float], dict[str, float]]:
    """Return seconds of processor time and kB of a metaphase, by part."""
    files = sorted((data / "gband_metaphases" / "images").glob("*.jpg"))
    files = files[:: len(files) // number][:number]
    classifier = load_model("default", "cpu")
    seconds: dict[str, list[float]] = {}
    sizes: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as place:
        for round_, file in enumerate([files[0], *files]):
            began = time.process_time()
            image = read_image(file)
            done = classify_to_files(image, "m", place, classifier, overlay=False)
            classified = time.process_time()
            figure = overlay_figure(image, done.labels, done.table)
            save_figure(done.files.overlay, figure)
            drawn = time.process_time()
            if round_ == 0:  # what the first one prepares
                continue
            seconds.setdefault("classify", []).append(classified - began)
            seconds.setdefault("overlay", []).append(drawn - classified)
            for name, path in {"image": file, **vars(done.files)}.items():
                sizes.setdefault(name, []).append(path.stat().st_size / 1e3)
    return (
        {name: statistics.fmean(values) for name, values in seconds.items()},
        {name: statistics.fmean(values) for name, values in sizes.items()},
    )


def summary_of(work: Path) -> dict[str, float]:
    """Return what the summary of the finished batch of ``scale.py`` takes."""
    memory = psutil.Process().memory_info
    before, began = memory().rss, time.process_time()
    result = run_batch(
        work / "images", work / "results", model=work / "model.safetensors", device="cpu",
        overlays=False, parquet=True,
    )  # fmt: skip
    number = len(result.summary)
    assert result.skipped == number, "run scale.py first"
    regions = len(pd.read_parquet(work / "results" / "all_regions.parquet"))
    seconds = time.process_time() - began
    merged = {
        f"{name}, kB a region": (work / "results" / name).stat().st_size / 1e3 / regions
        for name in ("all_regions.csv", "all_regions.parquet")
    }
    growth = (memory().rss - before) / 1e6
    return {"metaphases": number, "s": seconds / number, "MB": growth, **merged}


def empty_jobs(number: int) -> float:
    """Return the empty jobs a second of a scheduler with two workers."""
    with (
        tempfile.TemporaryDirectory() as place,
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster,
        Client(cluster) as client,
    ):
        jobs = [Job("", f"m{one}", place, "", "cpu") for one in range(number)]
        list(ClusterRunner(client, nothing).run(jobs[:50]))
        began = time.time()
        list(ClusterRunner(client, nothing).run(jobs))
        return number / (time.time() - began)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--metaphases", type=int, default=1_000_000)
    parser.add_argument("--cores", type=int, default=64)
    parser.add_argument("--price", type=float, default=0.04, help="Of a core hour.")
    options = parser.parse_args()
    torch.set_num_threads(1)
    seconds, sizes = whole_metaphases(options.data, 20)
    summary = summary_of(options.work)
    rate = empty_jobs(3000)
    print("| measured | |\n|---|---|")
    for name, value in seconds.items():
        print(f"| {name}, s of one core a metaphase | {value:.2f} |")
    for name, value in sizes.items():
        print(f"| {name}, kB a metaphase | {value:.1f} |")
    for name, value in summary.items():
        print(f"| summary: {name} | {value:.4g} |")
    print(f"| empty jobs a second | {rate:.0f} |")
    number, hour = options.metaphases, 3600
    print(f"\n| for {number} metaphases | |\n|---|---|")
    for name, each in (
        ("without overlays", seconds["classify"]),
        ("with overlays", sum(seconds.values())),
    ):
        hours = number * each / hour
        print(f"| core hours {name} | {hours:.0f} |")
        print(f"| hours on {options.cores} cores | {hours / options.cores:.1f} |")
        print(f"| cost at {options.price} a core hour | {hours * options.price:.0f} |")
    for name, kilobytes in sizes.items():
        print(f"| {name}, GB | {number * kilobytes / 1e6:.0f} |")
    for name, value in summary.items():
        if name.endswith("kB a region"):
            file = name.partition(",")[0]
            print(f"| {file} at 40 regions a metaphase, GB | {number * 40 * value / 1e6:.0f} |")
    print(f"| summary in one process, hours | {number * summary['s'] / hour:.1f} |")
    print(f"| cores that one scheduler keeps busy | {rate * seconds['classify']:.0f} |")


if __name__ == "__main__":
    main()
