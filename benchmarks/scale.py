"""A large batch on a dask cluster of two workers, one of which is killed halfway.

Makes variations (flips, brightness, shift) of the middle ninth of the shared metaphases, and
classifies all with ``chromocluster batch`` and a scheduler, by the default model with one view, so
that the many files take little time. At half of the files a worker that is at a file is killed.
Checks that each file has one result, and that only the file in progress was begun twice; measures
memory by number of files, and the rate compared with two plain processes::

    python benchmarks/scale.py ../shared/data WORK_FOLDER [--files 2000] [--seed 0]

Writes ``scale.json`` into the work folder and prints it as a table.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections import Counter
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil
from distributed import Client, WorkerPlugin
from PIL import Image

from napari_chromocluster.imaging.files import write_text_atomic
from napari_chromocluster.models.model_file import load_model_file, save_model
from napari_chromocluster.models.registry import resolve_model

#: One thread in each process, so that two of them share two cores.
THREADS = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
MERGED = (
    "batch.jsonl", "all_regions.csv", "all_regions.parquet", "summary.csv", "summary.parquet",
)  # fmt: skip
#: Seconds between two measurements of memory.
EVERY = 2.0
#: A plain process: when it has done its first file, it waits for the other one.
PLAIN = """
import sys, time
from pathlib import Path
from napari_chromocluster.batch.executors import Job, classify_job
out, model, *images = sys.argv[1:]
for image in images:
    classify_job(Job(image, Path(image).stem, out, model, "cpu", overlay=False))
    if image == images[0]:
        print("ready", flush=True)
        while not Path(out, "go").exists():
            time.sleep(0.01)
    print(time.time(), flush=True)
"""


class Begun(WorkerPlugin):  # type: ignore[misc]
    """Writes a line for each task that a worker begins."""

    name = "begun"

    def __init__(self, path: str) -> None:
        self.path = path

    def setup(self, worker: Any) -> None:
        """Remember the worker."""
        self.worker = worker

    def transition(self, key: str, start: str, finish: str, **_: Any) -> None:
        """Record the process and the key of a task that begins."""
        if finish == "executing":
            with open(self.path, "a") as stream:
                stream.write(f"{key} {os.getpid()} {time.time()}\n")


def make_files(data: Path, folder: Path, number: int, seed: int) -> list[Path]:
    """Write variations of the middle ninth of the metaphases as JPEG files."""
    folder.mkdir(parents=True, exist_ok=True)
    sources = sorted((data / "gband_metaphases" / "images").glob("*.jpg"))
    rng = np.random.default_rng(seed)
    files = []
    for one in range(number):
        pixels = np.asarray(Image.open(sources[one % len(sources)]).convert("RGB"))
        pixels = np.rot90(pixels, int(rng.integers(4)))[:: rng.choice([1, -1])]
        third = np.array(pixels.shape[:2]) // 3
        top, left = third + rng.integers(-24, 24, 2)
        pixels = pixels[top : top + third[0], left : left + third[1]]
        bright = np.clip(pixels * rng.uniform(0.9, 1.1), 0, 255).astype(np.uint8)
        path = folder / f"m{one:06d}.jpg"
        if not path.exists():
            Image.fromarray(bright).save(path, quality=92)
        files.append(path)
    return files


def start(log: Path, *command: str) -> subprocess.Popen[str]:
    with log.open("w") as stream:
        return subprocess.Popen(
            (sys.executable, *command), env={**os.environ, **THREADS}, stdout=stream,
            stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip


def start_batch(log: Path, images: list[str], out: Path, address: str) -> subprocess.Popen[str]:
    command = ("-m", "napari_chromocluster", "batch", *images, "-o", str(out))
    model = str(log.with_name("model.safetensors"))
    return start(
        log, *command, "--scheduler", address, "--model", model, "--no-overlays", "--parquet"
    )


def records(out: Path) -> list[dict[str, Any]]:
    path = out / "batch.jsonl"
    return [json.loads(line) for line in path.open()] if path.exists() else []


def memory(process: int) -> float:
    """Return the resident memory of a process in MB, without its children."""
    return float(psutil.Process(process).memory_info().rss / 1e6)


def run_and_kill(client: Client, scheduler: int, files: list[Path], out: Path) -> dict[str, Any]:
    """Run the batch, kill a worker at half of the files, and return what was observed."""
    begun, log = out.with_name("begun.txt"), out.with_name("batch.log")
    batch = start_batch(log, [str(files[0].parent)], out, client.scheduler.address)
    samples: list[tuple[float, str, int, float]] = []
    killed: dict[str, Any] = {}
    began = time.time()
    while batch.poll() is None:
        time.sleep(EVERY)
        done = len(records(out))
        try:
            processes = {f"worker {pid}": pid for pid in client.run(os.getpid).values()}
            processes |= {"batch": batch.pid, "scheduler": scheduler}
            samples += [(time.time(), name, done, memory(p)) for name, p in processes.items()]
        except Exception:  # a process that ends just now
            continue
        if not killed and done >= len(files) // 2:
            task, pid, _ = begun.read_text().splitlines()[-1].split()
            psutil.Process(int(pid)).kill()
            killed = {"pid": pid, "task": task, "after": done}
    lines = [line.split() for line in begun.read_text().splitlines()]
    times = Counter(key for key, *_ in lines)
    twice = [key for key, count in times.items() if count > 1]
    in_progress = [key for key, pid, _ in lines if pid == killed["pid"]][-1]
    return {
        "exit_status": batch.returncode,
        "last_line": log.read_text().splitlines()[-1],
        "files_done_when_a_worker_was_killed": killed["after"],
        "begun": len(lines),
        "begun_twice": len(twice),
        "only_the_file_in_progress_was_begun_twice": twice == [in_progress],
        "processes_of_workers": len({pid for _, pid, _ in lines}),
        "seconds": round(time.time() - began),
        "memory": memory_slopes(samples),
        "samples": samples,
    }


def memory_slopes(samples: list[tuple[float, str, int, float]]) -> dict[str, dict[str, float]]:
    """Fit the memory of each process to the number of files done, after its first fifth."""
    out = {}
    for name in dict.fromkeys(one[1] for one in samples):
        mine = np.array([(done, size) for _, who, done, size in samples if who == name])
        peak = float(mine[:, 1].max())
        mine = mine[len(mine) // 5 :]
        tenth = max(1, len(mine) // 10)
        slope = np.polyfit(mine[:, 0], mine[:, 1], 1)[0] if np.ptp(mine[:, 0]) else 0.0
        out[name] = {
            "files": float(np.ptp(mine[:, 0])),
            "early_mb": round(float(np.median(mine[:tenth, 1]))),
            "late_mb": round(float(np.median(mine[-tenth:, 1]))),
            "peak_mb": round(peak),
            "mb_per_1000_files": round(float(slope) * 1000, 1),
        }
    return out


def check(files: list[Path], out: Path) -> dict[str, Any]:
    """Count missing and repeated results."""
    lines = records(out)
    names, images = Counter(r["name"] for r in lines), Counter(r["image"] for r in lines)
    summary = pd.read_csv(out / "summary.csv")
    regions = pd.read_csv(out / "all_regions.csv")
    ends = ("_labels.tif", "_regions.csv")
    sizes = {end: sum(p.stat().st_size for p in out.glob(f"*{end}")) for end in ends}
    return {
        "files": len(files),
        "records": len(lines),
        "recorded_twice": sum(count > 1 for count in (names | images).values()),
        "without_record": len({str(one) for one in files} - set(images)),
        "in_summary": len(summary),
        "twice_in_summary": int(summary["image"].duplicated().sum()),
        "without_a_result_file": sum(
            not (out / f"{one.stem}{end}").exists() for one in files for end in ends
        ),
        "regions": len(regions),
        "metaphases_in_all_regions": int(regions["metaphase"].nunique()),
        "left_over": [one.name for one in out.glob(".*")],
        "bytes_per_file": {
            "image": round(sum(p.stat().st_size for p in files) / len(files)),
            **{end: round(size / len(files)) for end, size in sizes.items()},
            **{name: round((out / name).stat().st_size / len(files)) for name in MERGED},
        },
        "megapixels": round(
            float(np.mean([np.prod(Image.open(p).size) for p in files[:200]])) / 1e6, 2
        ),
    }


def rate(times: list[list[float]]) -> float:
    """Return files a second while all processes work, without the first file of each."""
    begin, end = max(one[0] for one in times), min(one[-1] for one in times)
    inside = sum(begin < when <= end for one in times for when in one)
    return inside / (end - begin)


def compare(
    client: Client, files: list[Path], work: Path, size: int, rounds: int
) -> dict[str, Any]:
    """Return files a second of two dask workers and of two plain processes, in alternation."""
    rates: dict[str, list[float]] = {"dask": [], "plain": []}
    begun = work / "begun.txt"
    for number in range(rounds):
        some = [str(one) for one in files[number * size : (number + 1) * size]]
        before = len(begun.read_text().splitlines())
        out = work / f"round{number}"
        start_batch(work / "round.log", some, out, client.scheduler.address).wait()
        each: dict[str, list[float]] = {}
        for line in begun.read_text().splitlines()[before:]:
            _, pid, when = line.split()
            each.setdefault(pid, []).append(float(when))
        rates["dask"].append(rate(list(each.values())))
        out = work / f"plain{number}"
        logs = [work / "plain_a.log", work / "plain_b.log"]
        both = [
            start(log, "-c", PLAIN, str(out), str(work / "model.safetensors"), *half)
            for log, half in zip(logs, (some[::2], some[1::2]), strict=True)
        ]
        while not all("ready" in log.read_text() for log in logs):
            time.sleep(0.1)
        (out / "go").touch()
        for process in both:
            process.wait()
        rates["plain"].append(rate([[*map(float, log.read_text().split()[1:])] for log in logs]))
    ratios = [a / b for a, b in zip(rates["dask"], rates["plain"], strict=True)]
    rounded = {name: [round(one, 3) for one in values] for name, values in rates.items()}
    return {"files_a_second": rounded, "dask_to_plain": round(statistics.median(ratios), 3)}


def main() -> None:
    """Run, check, measure, write and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--files", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--round", type=int, default=16, help="Files in each round.")
    parser.add_argument("--rounds", type=int, default=4, help="Rounds of the comparison.")
    options = parser.parse_args()
    work = options.work.resolve()
    out = work / "results"
    work.mkdir(parents=True)
    files = make_files(options.data, work / "images", options.files, options.seed)
    network, card = load_model_file(resolve_model("default"))
    card = dataclasses.replace(card, name="one view", tta=1)
    save_model(work / "model.safetensors", network, card)
    at = work / "scheduler.json"
    scheduler = start(
        work / "scheduler.log", "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1",
        "--port", "0", "--dashboard-address", ":0", "--scheduler-file", str(at),
    )  # fmt: skip
    nannies: list[subprocess.Popen[str]] = []
    try:
        while not at.exists():
            time.sleep(0.1)
        address = json.loads(at.read_text())["address"]
        nannies = [
            start(
                work / f"worker{number}.log", "-m", "distributed.cli.dask_worker", address,
                "--nthreads", "1", "--local-directory", str(work),
            )
            for number in range(2)
        ]  # fmt: skip
        with Client(address, set_as_default=False) as client:
            client.wait_for_workers(2)
            client.register_plugin(Begun(str(work / "begun.txt")))
            started = time.strftime("%Y-%m-%d %H:%M")
            found: dict[str, Any] = {
                "date": started,
                "command": " ".join(sys.argv),
                "seed": options.seed,
            }
            packages = ("napari-chromocluster", "dask", "distributed", "torch", "numpy")
            found["versions"] = {"python": platform.python_version()} | {
                name: version(name) for name in packages
            }
            found |= run_and_kill(client, scheduler.pid, files, out)
            write_text_atomic(work / "scale.json", json.dumps(found))
            found |= check(files, out)
            found |= compare(client, files, work, options.round, options.rounds)
    finally:
        for process in [*nannies, scheduler]:
            process.terminate()
            process.wait()
    write_text_atomic(work / "scale.json", json.dumps(found))
    print("| | |\n|---|---|")
    for name, value in found.items():
        if name != "samples":
            print(f"| {name.replace('_', ' ')} | {value} |")


if __name__ == "__main__":
    main()
