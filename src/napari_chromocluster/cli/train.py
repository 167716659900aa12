"""``chromocluster train``."""

from __future__ import annotations

import dataclasses
import json
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from napari_chromocluster.cli.options import Json, Stopped, check_there, numbers, print_json

if TYPE_CHECKING:
    from napari_chromocluster.training.config import TrainingConfig
    from napari_chromocluster.training.runs.run_folder import Run

#: Seconds between two polls of the training's event log.
_EVERY = 0.5
#: Seconds that one machine of several waits for the run folder created by another.
_PATIENCE = 120.0
#: Parameters that are allowed with ``--resume``.
_NO_SETTINGS = ("out", "resume", "find_rate", "as_json")


def train(
    context: typer.Context,
    out: Annotated[Path, typer.Option("--output", "-o", help="Run folder.")],
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
    resume: Annotated[bool, typer.Option("--resume", help="Resume the run in --out.")] = False,
    as_json: Json = False,
) -> None:
    """Finetune a model on annotated regions, coarse to fine.

    Ctrl+C stops after the batch and keeps the best so far.
    """
    from napari_chromocluster.training.runs.process import is_helper
    from napari_chromocluster.training.runs.run_folder import Run

    if resume:
        _refuse_settings(context)
    check_there(*(annotations or []), config, backbone_weights)
    run = Run(out.expanduser().resolve())
    if is_helper():  # the first process of several creates the run folder
        _wait_for(run.config_path)
    elif resume:
        run = Run.open(out)
        if find_rate is not None:
            _find_rate(run.config, find_rate, as_json)
            return
    elif not annotations:
        raise ValueError("Name at least one annotation CSV or folder per type to train on.")
    else:
        given = {
            "seed": seed, "device": device, "devices": devices, "nodes": nodes, "model_name": name,
            "batch_size": batch_size, "folds": folds, "names_in_card": names or None,
        }  # fmt: skip
        changes = {key: value for key, value in given.items() if value is not None}
        settings: dict[str, Any] = {
            "config": _configuration(preset, config, epochs, changes),
            "base_model": base_model,
            "backbone_weights": backbone_weights,
        }
        if base_model is not None:  # report an invalid name before anything is loaded
            from napari_chromocluster.training.base_model import set_base_model

            set_base_model(settings["config"], base_model, backbone_weights)
        from napari_chromocluster.training.api import configure, prepare

        if find_rate is not None:
            _find_rate(configure(annotations, **settings), find_rate, as_json)
            return
        _print_warnings(prepare(annotations, out=out, **settings).config)
    _work(run, resume)
    if is_helper():
        return
    if not run.model_path.exists():
        raise Stopped(
            f"The training was stopped before it could keep any result: resume it with "
            f"'chromocluster train -o {out} --resume'."
        )
    _print_outcome(run, as_json)


def _print_warnings(config: TrainingConfig) -> None:
    """Print warnings about the annotations, as the Train dock does."""
    from napari_chromocluster.training.data.summary import data_warnings

    for text in data_warnings(config):
        print(f"warning: {text}", file=sys.stderr)


def _print_outcome(run: Run, as_json: bool) -> None:
    """Print the path of the model, and of the report if there is one."""
    from napari_chromocluster.training.runs.report_data import PAGE

    page = run.report_folder / PAGE
    files = {"model": run.model_path, **({"report": page} if page.exists() else {})}
    if as_json:
        places = {name: str(path) for name, path in files.items()}
        print_json({"run": str(run.folder), **places, "state": run.state()})
        return
    for name, path in files.items():
        print(f"{name + ':':8s}{path}")


def _refuse_settings(context: typer.Context) -> None:
    """Raise if options would change a resumed training run: they would be silently ignored."""
    given = [
        "the annotations" if one.name == "annotations" else max(one.opts, key=len)
        for one in context.command.params
        if one.name not in _NO_SETTINGS and _was_given(context, one.name)
    ]
    if given:
        *others, last = given
        listed = f"{', '.join(others)} and {last}" if others else last
        raise ValueError(f"A resumed training keeps its own settings: leave {listed} out.")


def _was_given(context: typer.Context, name: str | None) -> bool:
    source = context.get_parameter_source(name or "")
    return source is not None and source.name == "COMMANDLINE"


def _work(run: Run, resume: bool) -> None:
    """Train; errors that the user can fix become one line without a traceback."""
    from napari_chromocluster.training.runs.process import is_helper
    from napari_chromocluster.training.runs.worker import UNEXPECTED, error_message, run_training

    if is_helper():
        run_training(run, resume=resume)
        return
    try:
        with _followed(run), _stoppable(run):
            run_training(run, resume=resume)
    except Exception as error:
        message = error_message(error)
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


def _find_rate(config: TrainingConfig, stage: int, as_json: bool) -> None:
    """Find a learning rate for a stage and print it; no run folder is kept."""
    from napari_chromocluster.training.runs.run_folder import Run
    from napari_chromocluster.training.runs.worker import find_rates_of

    stages = config.stages
    if stage > len(stages):
        raise ValueError(f"There is no stage {stage}: this training has {len(stages)}.")
    with tempfile.TemporaryDirectory() as folder:
        run = Run.create(Path(folder) / "run", config)
        with _followed(run):
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
    """Return the preset or the given file with the changes made by options."""
    from napari_chromocluster.training.config import TrainingConfig
    from napari_chromocluster.training.config import preset as find_preset

    chosen = find_preset(preset) if config is None else TrainingConfig.read(config)
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
def _followed(run: Run) -> Iterator[None]:
    """Print the events of a run while it is running."""
    done = threading.Event()
    start = run.events_path.stat().st_size if run.events_path.exists() else 0
    reader = threading.Thread(target=_follow, args=(run.events_path, start, done), daemon=True)
    reader.start()
    try:
        yield
    finally:
        done.set()
        reader.join()


@contextmanager
def _stoppable(run: Run) -> Iterator[None]:
    """Turn the first Ctrl+C into the run's stop file; the second one ends it immediately."""
    before = signal.getsignal(signal.SIGINT)
    presses = 0

    def stop(number: int, frame: Any) -> None:
        # Count the signals instead of checking the handler: Lightning restores the old one.
        nonlocal presses
        presses += 1
        if presses > 1:
            raise KeyboardInterrupt
        run.request_stop()
        print("\nStopping after this batch; Ctrl+C again ends it now.", file=sys.stderr)

    signal.signal(signal.SIGINT, stop)
    try:
        yield
    except SystemExit as error:
        if presses > 1:  # Lightning converts KeyboardInterrupt to SystemExit
            raise KeyboardInterrupt from error
        # It also converts a signal of a scheduler, with exit status 0.
        raise Stopped(
            f"The training was interrupted: resume it with 'chromocluster train -o {run.folder} "
            f"--resume'."
        ) from error
    finally:
        signal.signal(signal.SIGINT, before)


def _follow(path: Path, start: int, done: threading.Event) -> None:
    """Print the events that are appended to a file until ``done`` is set."""
    last, said = False, ""
    while not last:
        last = done.wait(_EVERY)
        if not path.exists():
            continue
        with path.open("rb") as stream:
            stream.seek(start)
            for line in stream:
                if line.endswith(b"\n"):
                    start += len(line)
                    text = _words(line)
                    # There are many events per preparation step: print each step once.
                    if text and text != said:
                        said = text
                        print(text, file=sys.stderr, flush=True)


def _words(line: bytes) -> str:
    try:
        return event_text(json.loads(line))
    except (ValueError, KeyError, TypeError):
        return ""


def event_text(event: dict[str, Any]) -> str:
    """Return an event of a training run as one line; "" for events without news."""
    from napari_chromocluster.training.runs.progress import duration

    kind = event.get("kind")
    if kind == "prepare":
        return f"{event['what']}…"
    if kind == "stage":
        return f"{event['stage']} stage: {event['epochs']} epochs"
    if kind == "epoch":
        left = event.get("eta_s")
        rest = f"; {duration(left)} left" if left else ""
        return f"  epoch {event['epoch']} of {event['epochs']}: {_figures(event)}{rest}"
    if kind == "fold":
        return f"fold {event['fold']} of {event['folds']}…"
    if kind == "report":
        return str(event.get("message", "")) if event["done"] else "writing the report…"
    if kind == "end":
        how = "stopped" if event.get("stopped") else "finished"
        return f"{how} after {event['seconds'] / 60:.1f} minutes"
    return ""


def _figures(event: dict[str, Any]) -> str:
    """Return the metrics of an epoch: training first, then validation."""
    measured = {
        name.replace("_", " "): value
        for name, value in event["metrics"].items()
        if value is not None
    }
    order = sorted(measured, key=lambda name: name != "loss")
    validation = ", ".join(f"{name} {measured[name]:.3f}" for name in order)
    parts = [f"validation: {validation}"] if validation else []
    if event["train_loss"] is not None:
        parts.insert(0, f"loss {event['train_loss']:.3f}")
    return ", ".join(parts)
