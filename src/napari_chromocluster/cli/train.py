"""``chromocluster train``."""

from __future__ import annotations

import dataclasses
import json
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_chromocluster.cli.options import Json, numbers, print_json

if TYPE_CHECKING:
    from napari_chromocluster.training.config import TrainingConfig
    from napari_chromocluster.training.run import Run

#: Seconds between two looks at what the training wrote.
_EVERY = 0.5


def train(
    out: Annotated[Path, typer.Option("--out", "-o", help="Run folder.")],
    annotations: Annotated[
        list[Path] | None, typer.Argument(help="Annotation CSVs and folders per type.")
    ] = None,
    preset: Annotated[str, typer.Option(help="default, quick or paper.")] = "default",
    base_model: Annotated[
        str | None, typer.Option(help="Model to finetune (default: the preset's).")
    ] = None,
    backbone_weights: Annotated[
        Path | None, typer.Option(help="Start from these pretrained body weights instead.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="The config.json of a run, instead of a preset.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the new model.")] = None,
    epochs: Annotated[str | None, typer.Option(help="Epochs of each stage, such as 3,12.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of everything random.")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda or mps.")] = None,
    devices: Annotated[int | None, typer.Option(min=1, help="GPUs to train on.")] = None,
    nodes: Annotated[int | None, typer.Option(min=1, help="Machines to train on.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out.")] = False,
    as_json: Json = False,
) -> None:
    """Finetune a model on annotated regions, coarse to fine.

    Ctrl+C stops after the batch and keeps the best so far.
    """
    from napari_chromocluster.training.api import train as run_training
    from napari_chromocluster.training.run import Run
    from napari_chromocluster.training.worker import work

    run = Run(out.expanduser().resolve())
    if resume:
        run = Run.open(out)
        with _told(run):
            work(run, resume=True)
    else:
        if not annotations:
            raise ValueError("Name at least one annotation CSV or folder per type to train on.")
        given = {
            "seed": seed, "device": device, "devices": devices, "nodes": nodes, "model_name": name,
        }  # fmt: skip
        changes = {key: value for key, value in given.items() if value is not None}
        chosen = _configuration(preset, config, epochs, changes, backbone_weights)
        with _told(run):
            run_training(annotations, config=chosen, base_model=base_model, out=out)
    if not run.model_path.exists():
        raise ValueError("The training was stopped before there was anything to keep.")
    if as_json:
        print_json({"run": str(run.folder), "model": str(run.model_path), "state": run.state()})
    else:
        print(f"model: {run.model_path}")


def _configuration(
    preset: str,
    config: Path | None,
    epochs: str | None,
    changes: dict[str, Any],
    backbone_weights: Path | None,
) -> TrainingConfig:
    """Return the preset or the given file with what the options change."""
    from napari_chromocluster.training.config import TrainingConfig
    from napari_chromocluster.training.config import preset as find_preset

    if config is None:
        chosen = find_preset(preset)
    else:
        chosen = TrainingConfig.from_json(config.read_text(encoding="utf-8"))
    if backbone_weights is not None:
        if not backbone_weights.is_file():
            raise ValueError(f"{backbone_weights} does not exist: check the name.")
        changes |= {"backbone_weights": str(backbone_weights.resolve()), "base_model": None}
    if epochs is not None:
        wanted = numbers(epochs, "--epochs") or []
        if len(wanted) != len(chosen.stages):
            raise ValueError(f"--epochs takes {len(chosen.stages)} numbers, one for each stage.")
        changes["stages"] = tuple(
            dataclasses.replace(stage, epochs=number)
            for stage, number in zip(chosen.stages, wanted, strict=True)
        )
    return chosen.replace(**changes)


@contextmanager
def _told(run: Run) -> Iterator[None]:
    """Print what the run writes down, and turn Ctrl+C into its stop file."""
    done = threading.Event()
    start = run.events_path.stat().st_size if run.events_path.exists() else 0
    reader = threading.Thread(target=_follow, args=(run.events_path, start, done), daemon=True)
    before = signal.getsignal(signal.SIGINT)

    def stop(number: int, frame: Any) -> None:
        run.request_stop()
        signal.signal(signal.SIGINT, before)  # a second Ctrl+C ends it at once
        print("\nStopping after this batch; Ctrl+C again ends it now.", file=sys.stderr)

    signal.signal(signal.SIGINT, stop)
    reader.start()
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        done.set()
        reader.join()


def _follow(path: Path, start: int, done: threading.Event) -> None:
    """Print the events that are appended to a file until ``done``."""
    last = False
    while not last:
        last = done.wait(_EVERY)
        if not path.exists():
            continue
        with path.open("rb") as stream:
            stream.seek(start)
            for line in stream:
                if line.endswith(b"\n"):
                    start += len(line)
                    _tell(line)


def _tell(line: bytes) -> None:
    try:
        text = event_text(json.loads(line))
    except (ValueError, KeyError, TypeError):
        return
    if text:
        print(text, file=sys.stderr, flush=True)


def event_text(event: dict[str, Any]) -> str:
    """Say an event of a training in one line; "" for those that come many times a second."""
    kind = event.get("kind")
    if kind == "stage":
        return f"{event['stage']} stage: {event['epochs']} epochs"
    if kind == "epoch":
        figures = {"loss": event["train_loss"], **event["metrics"]}
        shown = ", ".join(
            f"{name.replace('_', ' ')} {value:.3f}"
            for name, value in figures.items()
            if value is not None
        )
        return f"  epoch {event['epoch']} of {event['epochs']}: {shown}"
    if kind == "end":
        return f"finished after {event['seconds'] / 60:.1f} minutes"
    return ""
