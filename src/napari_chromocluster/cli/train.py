"""``chromocluster train``."""

from __future__ import annotations

import dataclasses
import json
import signal
import sys
import threading
import time
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
#: Seconds that one machine of several waits for the run folder that another makes.
_PATIENCE = 120.0


def train(
    out: Annotated[Path, typer.Option("--out", "-o", help="Run folder.")],
    annotations: Annotated[
        list[Path] | None, typer.Argument(help="Annotation CSVs and folders per type.")
    ] = None,
    preset: Annotated[str, typer.Option(help="default, quick or paper.")] = "default",
    base_model: Annotated[
        str | None, typer.Option(help="Model or backbone to finetune (default: the preset's).")
    ] = None,
    backbone_weights: Annotated[
        Path | None, typer.Option(help="Local file of the pretrained weights of the backbone.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="The config.json of a run, instead of a preset.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the new model.")] = None,
    epochs: Annotated[str | None, typer.Option(help="Epochs of each stage, such as 3,12.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of everything random.")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda or mps.")] = None,
    batch_size: Annotated[
        int | None, typer.Option(min=2, help="Regions in a batch; less needs less memory.")
    ] = None,
    folds: Annotated[
        int | None, typer.Option(min=1, help="k-fold by group: every group is checked once.")
    ] = None,
    names: Annotated[
        bool, typer.Option("--names", help="Name the groups in the model, not only their hashes.")
    ] = False,
    find_rate: Annotated[
        int | None,
        typer.Option(min=1, help="Only seek a learning rate for this stage, counted from 1."),
    ] = None,
    devices: Annotated[int | None, typer.Option(min=1, help="GPUs to train on.")] = None,
    nodes: Annotated[int | None, typer.Option(min=1, help="Machines to train on.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out.")] = False,
    as_json: Json = False,
) -> None:
    """Finetune a model on annotated regions, coarse to fine.

    Ctrl+C stops after the batch and keeps the best so far.
    """
    from napari_chromocluster.training.api import prepare
    from napari_chromocluster.training.run import Run
    from napari_chromocluster.training.worker import is_helper

    run = Run(out.expanduser().resolve())
    if is_helper():  # the first process of several makes the run folder
        _wait_for(run.config_path)
    elif resume:
        run = Run.open(out)
    elif not annotations:
        raise ValueError("Name at least one annotation CSV or folder per type to train on.")
    else:
        given = {
            "seed": seed, "device": device, "devices": devices, "nodes": nodes, "model_name": name,
            "batch_size": batch_size, "folds": folds, "names_in_card": names or None,
        }  # fmt: skip
        changes = {key: value for key, value in given.items() if value is not None}
        chosen = _configuration(preset, config, epochs, changes)
        prepare(
            annotations,
            config=chosen,
            base_model=base_model,
            backbone_weights=backbone_weights,
            out=out,
        )
    if find_rate is not None:
        _find_rate(run, find_rate, as_json)
        return
    _work(run, resume)
    if is_helper():
        return
    if not run.model_path.exists():
        raise ValueError("The training was stopped before there was anything to keep.")
    if as_json:
        print_json({"run": str(run.folder), "model": str(run.model_path), "state": run.state()})
    else:
        print(f"model: {run.model_path}")


def _work(run: Run, resume: bool) -> None:
    """Train; what the user can do something about is one line and no traceback."""
    from napari_chromocluster.training.worker import UNEXPECTED, is_helper, sentence, work

    if is_helper():
        work(run, resume=resume)
        return
    try:
        with _told(run):
            work(run, resume=resume)
    except Exception as error:
        message = sentence(error)
        if message.startswith(UNEXPECTED):
            raise
        raise ValueError(message) from error


def _wait_for(path: Path) -> None:
    """Wait until another process has written a file."""
    until = time.monotonic() + _PATIENCE
    while not path.exists():
        if time.monotonic() > until:
            raise ValueError(f"{path} did not appear: do all machines see the same run folder?")
        time.sleep(0.1)


def _find_rate(run: Run, stage: int, as_json: bool) -> None:
    """Seek a learning rate for a stage and print it."""
    from napari_chromocluster.training.lr_finder import find_rates_of

    stages = run.config.stages
    if stage > len(stages):
        raise ValueError(f"There is no stage {stage}: this training has {len(stages)}.")
    found = find_rates_of(run, stage - 1)
    if found is None:
        raise ValueError("The search was stopped before it found a rate.")
    if as_json:
        print_json({"suggestion": found.suggestion, "rates": found.rates, "losses": found.losses})
    else:
        print(f"learning rate of the head for {stages[stage - 1].name}: {found.suggestion:.1e}")


def _configuration(
    preset: str,
    config: Path | None,
    epochs: str | None,
    changes: dict[str, Any],
) -> TrainingConfig:
    """Return the preset or the given file with what the options change."""
    from napari_chromocluster.training.config import TrainingConfig
    from napari_chromocluster.training.config import preset as find_preset

    if config is None:
        chosen = find_preset(preset)
    else:
        chosen = TrainingConfig.from_json(config.read_text(encoding="utf-8"))
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
