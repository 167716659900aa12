"""The run folder of a training run: its files, its state, and how to follow and stop it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from napari_chromocluster.imaging.files import write_text_atomic
from napari_chromocluster.paths import home_dir
from napari_chromocluster.training.config import ConfigError, TrainingConfig
from napari_chromocluster.training.runs import event_log
from napari_chromocluster.training.runs.process_lock import is_alive

#: States of a run.
PREPARED, RUNNING, FINISHED, STOPPED, FAILED, KILLED = (
    "prepared",
    "running",
    "finished",
    "stopped",
    "failed",
    "killed",
)

#: Events that change the state of a run.
_STATES = {"end": FINISHED, "stopped": STOPPED, "error": FAILED, "start": KILLED}
_TURNS = tuple(_STATES)
#: Bytes reserved so that an error can still be recorded on a full disk.
_RESERVE = 1 << 16
_DISCARDED = ".discarded"


class RunError(ValueError):
    """A folder that is not a run folder, or cannot be used as one."""


@dataclass(frozen=True)
class Run:
    """One training and its folder.

    Attributes
    ----------
    folder : Path
        Contains ``config.json``, ``events.jsonl``, ``checkpoints/``, ``report/``,
        ``model.safetensors`` and, after a request to stop, ``stop``.
    """

    folder: Path

    @classmethod
    def create(cls, folder: str | Path, config: TrainingConfig) -> Run:
        """Create a run folder.

        Raises
        ------
        RunError
            If the folder already contains a run or cannot be written to.
        """
        from napari_chromocluster.training.data.splits import forget_division  # loads pandas

        run = cls(Path(folder).expanduser().resolve())
        run.check_free()
        if config.devices * config.nodes > 1 and run.config_path.exists():
            # Other processes wait for the configuration, and would read the old one.
            raise RunError(f"{run.folder} already holds a training: choose another folder.")
        try:
            # Remove the traces of a training run that failed before its first epoch.
            for path in (run.events_path, run.pid_path, run.log_path, run.stop_path):
                path.unlink(missing_ok=True)
            forget_division(run.checkpoint_folder)
            run.checkpoint_folder.mkdir(parents=True, exist_ok=True)
            run.report_folder.mkdir(exist_ok=True)
        except OSError as error:
            raise RunError(
                f"{run.folder} cannot be written to ({error.strerror}): choose another folder."
            ) from error
        write_text_atomic(run.config_path, config.to_json())
        return run

    @classmethod
    def open(cls, folder: str | Path) -> Run:
        """Open an existing run folder.

        Raises
        ------
        RunError
            If it is not a run folder.
        """
        run = cls(Path(folder).expanduser().resolve())
        if not run.config_path.is_file():
            raise RunError(f"{run.folder} is not a run folder: it has no config.json.")
        return run

    def check_free(self) -> None:
        """Check that a new training run can use the folder.

        A training that failed before its first epoch may be overwritten.

        Raises
        ------
        RunError
            If the folder already contains a run.
        """
        if self.config_path.exists() and not (self.state() == FAILED and self._is_empty()):
            raise RunError(f"{self.folder} already holds a training: choose another folder.")
        if self.model_path.exists() and not self.config_path.exists():
            raise RunError(f"{self.model_path} already exists: choose another folder.")

    def check_resumable(self) -> None:
        """Check that the training is neither running nor finished, and that it can go on.

        Raises
        ------
        RunError
            If it is, or its configuration has settings that no longer exist.
        """
        state = self.state()
        if state == RUNNING:
            raise RunError("This training is already running: attach to it instead.")
        if state == FINISHED and not self.can_resume():
            raise RunError(
                f"This training is finished: its model is {self.model_path}; choose another "
                f"folder for a new one."
            )
        self.training_config()

    def training_config(self) -> TrainingConfig:
        """Return the configuration to train with, without settings that no longer exist.

        Raises
        ------
        RunError
            If it has such settings, and they change the training.
        """
        try:
            return TrainingConfig.read(self.config_path)
        except ConfigError as error:
            raise RunError(str(error)) from error

    @property
    def config_path(self) -> Path:
        """The configuration."""
        return self.folder / "config.json"

    @property
    def events_path(self) -> Path:
        """The event log, one JSON object per line."""
        return self.folder / "events.jsonl"

    @property
    def checkpoint_folder(self) -> Path:
        """Where checkpoints go."""
        return self.folder / "checkpoints"

    @property
    def report_folder(self) -> Path:
        """Where the report goes."""
        return self.folder / "report"

    @property
    def model_path(self) -> Path:
        """The trained model."""
        return self.folder / "model.safetensors"

    @property
    def stop_path(self) -> Path:
        """Request to stop the training, if it exists."""
        return self.folder / "stop"

    @property
    def pid_path(self) -> Path:
        """Which process trains (see `process_lock.mark`)."""
        return self.folder / "pid"

    @property
    def reserve_path(self) -> Path:
        """Reserved space, freed on a full disk for the last event."""
        return self.folder / "reserve"

    @property
    def log_path(self) -> Path:
        """Output of the process."""
        return self.folder / "log.txt"

    @property
    def config(self) -> TrainingConfig:
        """The configuration, read from the folder."""
        try:
            text = self.config_path.read_text(encoding="utf-8")
            return TrainingConfig.from_json(text, to_train=False)
        except (OSError, ConfigError) as error:
            raise RunError(f"{self.config_path} cannot be read: {error}") from error

    def emit(self, event: dict[str, Any]) -> None:
        """Append one event, with the time."""
        event_log.append(self.events_path, event)

    def emit_last(self, event: dict[str, Any]) -> None:
        """Append the final event; on a full disk, free the reserved space first."""
        try:
            event_log.repair(self.events_path)
            self.emit(event)
        except OSError:
            with contextlib.suppress(OSError):
                self.reserve_path.unlink(missing_ok=True)
                event_log.repair(self.events_path)
                self.emit(event)

    def begin(self) -> None:
        """Repair the event log after a crash, and reserve space for the final event."""
        event_log.repair(self.events_path)
        self.reserve_path.write_bytes(bytes(_RESERVE))

    def events(self) -> Iterator[dict[str, Any]]:
        """Yield all events; skip a line cut short by a crash."""
        if self.events_path.exists():
            yield from event_log.parse(self.events_path.read_bytes())

    def request_stop(self) -> None:
        """Ask the training to stop and keep the best so far."""
        self.stop_path.touch()

    def should_stop(self) -> bool:
        """Whether the user asked to stop."""
        return self.stop_path.exists()

    def clear_stop(self) -> None:
        """Withdraw the request to stop, before the run is resumed."""
        self.stop_path.unlink(missing_ok=True)

    def process_alive(self) -> bool:
        """Whether the training process is alive."""
        return is_alive(self.pid_path, self.events_path)

    def state(self) -> str:
        """Return one of ``prepared, running, finished, stopped, failed, killed``.

        A stopped run that has a model is ``finished``.
        """
        if self.process_alive():
            return RUNNING
        last = event_log.last_of(self.events_path, _TURNS)
        if last is not None:
            return _STATES.get(str(last.get("kind")), KILLED)
        # A process that ended without an event failed to start.
        return FAILED if self.pid_path.exists() else PREPARED

    def message(self) -> str:
        """Describe a problem of the run in one sentence; empty without a problem."""
        state = self.state()
        if state == KILLED:
            return (
                "The training was interrupted (killed, out of memory or a shutdown): resume it to "
                "continue from the last finished epoch."
            )
        if state in (FAILED, STOPPED):
            last = event_log.last_of(self.events_path, _TURNS) or {}
            return str(last.get("message") or self._log_line() or "The training did not start.")
        return ""

    def can_resume(self) -> bool:
        """Whether the training is unfinished."""
        state = self.state()
        # Without checkpoints, the request to stop came after the training had finished.
        return state in (PREPARED, STOPPED, FAILED, KILLED) or (
            state == FINISHED and self.should_stop() and self._has_checkpoints()
        )

    def _has_checkpoints(self) -> bool:
        return any(self.checkpoint_folder.glob("*.ckpt"))

    def _is_empty(self) -> bool:
        """Whether the training has left no model, checkpoint or report."""
        reported = self.report_folder.is_dir() and any(self.report_folder.iterdir())
        return not (self.model_path.exists() or self._has_checkpoints() or reported)

    def _log_line(self) -> str:
        """Return the last line of the process output."""
        try:
            lines = self.log_path.read_text(encoding="utf-8", errors="replace").split("\n")
        except OSError:
            return ""
        return next((line.strip() for line in reversed(lines) if line.strip()), "")


def fold_runs(run: Run) -> list[Run]:
    """Return the folders of the other folds of a run."""
    config = run.config
    others = [number for number in range(config.folds) if number != config.fold]
    return [Run(run.folder / "folds" / str(number)) for number in others]


def runs_dir() -> Path:
    """Return the default folder of runs."""
    return home_dir() / "runs"


def list_runs(folder: str | Path | None = None) -> list[Run]:
    """Return the runs of a folder, newest first."""
    base = Path(folder) if folder is not None else runs_dir()
    found: list[tuple[float, Run]] = []
    for path in base.glob("[!.]*/config.json"):
        with contextlib.suppress(OSError):  # it may be deleted at this moment
            found.append((path.stat().st_mtime, Run(path.parent)))
    return [run for _, run in sorted(found, key=lambda pair: (-pair[0], str(pair[1].folder)))]


def new_run_folder() -> Path:
    """Return an unused folder for a new run, named by the current time."""
    stem = datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    folder, number = runs_dir() / stem, 2
    while folder.exists():
        folder, number = runs_dir() / f"{stem}_{number}", number + 1
    return folder


def name_for(groups: int) -> str:
    """Return an unused name for a new training run, from its date and number of metaphases."""
    metaphases = "1 metaphase" if groups == 1 else f"{groups} metaphases"
    wanted = f"{datetime.now():%Y-%m-%d}, {metaphases}"
    taken = set()
    for run in list_runs():
        with contextlib.suppress(RunError):
            taken.add(run.config.model_name)
    name, number = wanted, 2
    while name in taken:
        name, number = f"{wanted} ({number})", number + 1
    return name


def discard(run: Run) -> Path:
    """Move a run to a hidden folder; `restore` brings it back.

    Raises
    ------
    RunError
        If it is running or cannot be moved.
    """
    if run.process_alive():
        raise RunError("This training is running: stop it first.")
    target = run.folder.parent / _DISCARDED / run.folder.name
    return _move(run.folder, target)


def restore(folder: Path) -> Run:
    """Bring back a run from the folder that `discard` returned."""
    return Run(_move(folder, folder.parent.parent / folder.name))


def _move(source: Path, target: Path) -> Path:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        source.rename(target)
    except OSError as error:
        raise RunError(
            f"{source.name} cannot be moved ({error.strerror}): close the programs that use it."
        ) from error
    return target
