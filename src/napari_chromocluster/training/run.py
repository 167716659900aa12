"""The run folder: everything one training leaves, and how others follow and stop it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from napari_chromocluster.imaging.io import write_text_atomic
from napari_chromocluster.models.home import home_dir
from napari_chromocluster.training import events
from napari_chromocluster.training.alive import is_alive
from napari_chromocluster.training.config import ConfigError, TrainingConfig
from napari_chromocluster.training.division import forget_division

#: States of a run.
PREPARED, RUNNING, FINISHED, STOPPED, FAILED, KILLED = (
    "prepared",
    "running",
    "finished",
    "stopped",
    "failed",
    "killed",
)

#: Events after which a run is in another state.
_STATES = {"end": FINISHED, "stopped": STOPPED, "error": FAILED, "start": KILLED}
_TURNS = tuple(_STATES)
#: Bytes set aside so that a full disk can still be told of.
_RESERVE = 1 << 16
_DISCARDED = ".discarded"


class RunError(ValueError):
    """A folder that is no run folder, or cannot be used as one."""


@dataclass(frozen=True)
class Run:
    """One training and its folder.

    Attributes
    ----------
    folder : Path
        Holds ``config.json``, ``events.jsonl``, ``checkpoints/``, ``report/``,
        ``model.safetensors`` and, once asked to stop, ``stop``.
    """

    folder: Path

    @classmethod
    def create(cls, folder: str | Path, config: TrainingConfig) -> Run:
        """Make a run folder.

        Raises
        ------
        RunError
            If the folder holds a run already or cannot be written to.
        """
        run = cls(Path(folder).expanduser().resolve())
        run.check_free()
        if config.devices * config.nodes > 1 and run.config_path.exists():
            # Other processes wait for the configuration, and would take the old one.
            raise RunError(f"{run.folder} holds a training already: choose another folder.")
        try:
            # Of a training that failed before it learnt anything the new one tells nothing.
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
        """Open a run folder that exists.

        Raises
        ------
        RunError
            If it is none.
        """
        run = cls(Path(folder).expanduser().resolve())
        if not run.config_path.is_file():
            raise RunError(f"{run.folder} is no run folder: it has no config.json.")
        return run

    def check_free(self) -> None:
        """Make sure that a new training can have the folder.

        One that failed before it learnt anything, as for a label that does not occur, is no
        reason to go elsewhere.

        Raises
        ------
        RunError
            If the folder holds a run already.
        """
        if self.config_path.exists() and not (self.state() == FAILED and self._is_empty()):
            raise RunError(f"{self.folder} holds a training already: choose another folder.")
        if self.model_path.exists() and not self.config_path.exists():
            raise RunError(f"{self.model_path} is there already: choose another folder.")

    def check_resumable(self) -> None:
        """Make sure that there is something left to train.

        Raises
        ------
        RunError
            If it is finished, or running.
        """
        state = self.state()
        if state == RUNNING:
            raise RunError("This training is running already: attach to it instead.")
        if state == FINISHED and not self.can_resume():
            raise RunError(
                f"This training is finished: its model is {self.model_path}; choose another "
                f"folder for a new one."
            )

    @property
    def config_path(self) -> Path:
        """The configuration."""
        return self.folder / "config.json"

    @property
    def events_path(self) -> Path:
        """The events, one JSON object a line."""
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
        """Its existence asks the training to stop."""
        return self.folder / "stop"

    @property
    def pid_path(self) -> Path:
        """Number of the process that trains."""
        return self.folder / "pid"

    @property
    def reserve_path(self) -> Path:
        """Space that is given back on a full disk, for the last event."""
        return self.folder / "reserve"

    @property
    def log_path(self) -> Path:
        """What the process printed."""
        return self.folder / "log.txt"

    @property
    def config(self) -> TrainingConfig:
        """The configuration, read from the folder."""
        try:
            return TrainingConfig.from_json(self.config_path.read_text(encoding="utf-8"))
        except (OSError, ConfigError) as error:
            raise RunError(f"{self.config_path} cannot be read: {error}") from error

    def emit(self, event: dict[str, Any]) -> None:
        """Append one event, with the time."""
        events.append(self.events_path, event)

    def emit_last(self, event: dict[str, Any]) -> None:
        """Append an event that says how it ended, on a full disk from the reserve."""
        try:
            events.mend(self.events_path)
            self.emit(event)
        except OSError:
            with contextlib.suppress(OSError):
                self.reserve_path.unlink(missing_ok=True)
                events.mend(self.events_path)
                self.emit(event)

    def begin(self) -> None:
        """Make ready for work: end a torn line, and set space aside for the last word."""
        events.mend(self.events_path)
        self.reserve_path.write_bytes(bytes(_RESERVE))

    def events(self) -> Iterator[dict[str, Any]]:
        """Yield all events; a line torn by a crash is passed over."""
        if self.events_path.exists():
            yield from events.parse(self.events_path.read_bytes())

    def request_stop(self) -> None:
        """Ask the training to stop and keep the best so far."""
        self.stop_path.touch()

    def should_stop(self) -> bool:
        """Whether someone asked to stop."""
        return self.stop_path.exists()

    def clear_stop(self) -> None:
        """Take the wish to stop back, before the run goes on."""
        self.stop_path.unlink(missing_ok=True)

    def process_alive(self) -> bool:
        """Whether the process that trains is there."""
        return is_alive(self.pid_path, self.events_path)

    def state(self) -> str:
        """Return one of ``prepared, running, finished, stopped, failed, killed``.

        A model that is there after a stop counts as ``finished``.
        """
        if self.process_alive():
            return RUNNING
        last = events.last_of(self.events_path, _TURNS)
        if last is not None:
            return _STATES.get(str(last.get("kind")), KILLED)
        # A process that ended without an event did not even start.
        return FAILED if self.pid_path.exists() else PREPARED

    def message(self) -> str:
        """Say in one sentence what is to be known of the state; empty where all is well."""
        state = self.state()
        if state == KILLED:
            return (
                "The training was ended from outside (killed, out of memory or a shutdown): "
                "resume it to go on from the last finished epoch."
            )
        if state in (FAILED, STOPPED):
            last = events.last_of(self.events_path, _TURNS) or {}
            return str(last.get("message") or self._log_line() or "The training did not start.")
        return ""

    def can_resume(self) -> bool:
        """Whether there is something left to train."""
        state = self.state()
        # Once the checkpoints of a finished training are gone, a wish to stop came too late.
        return state in (PREPARED, STOPPED, FAILED, KILLED) or (
            state == FINISHED and self.should_stop() and self._has_checkpoints()
        )

    def _has_checkpoints(self) -> bool:
        return any(self.checkpoint_folder.glob("*.ckpt"))

    def _is_empty(self) -> bool:
        """Whether the training has left nothing that anybody could want."""
        reported = self.report_folder.is_dir() and any(self.report_folder.iterdir())
        return not (self.model_path.exists() or self._has_checkpoints() or reported)

    def _log_line(self) -> str:
        """Return the last line of what the process printed."""
        try:
            lines = self.log_path.read_text(encoding="utf-8", errors="replace").split("\n")
        except OSError:
            return ""
        return next((line.strip() for line in reversed(lines) if line.strip()), "")


def runs_dir() -> Path:
    """Return the folder where runs go unless another is named."""
    return home_dir() / "runs"


def list_runs(folder: str | Path | None = None) -> list[Run]:
    """Return the runs of a folder, newest first."""
    base = Path(folder) if folder is not None else runs_dir()
    found: list[tuple[float, Run]] = []
    for path in base.glob("[!.]*/config.json"):
        with contextlib.suppress(OSError):  # it may be thrown away at this moment
            found.append((path.stat().st_mtime, Run(path.parent)))
    return [run for _, run in sorted(found, key=lambda pair: (-pair[0], str(pair[1].folder)))]


def new_run_folder() -> Path:
    """Return a folder for a new run, named by the time, that does not exist yet."""
    stem = datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    folder, number = runs_dir() / stem, 2
    while folder.exists():
        folder, number = runs_dir() / f"{stem}_{number}", number + 1
    return folder


def name_for(groups: int) -> str:
    """Return a name for a new training that says when it was begun and on how much."""
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
    """Put a run out of sight, beside the others; `restore` brings it back.

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
    """Bring back a run that `discard` put away, given its folder there."""
    return Run(_move(folder, folder.parent.parent / folder.name))


def _move(source: Path, target: Path) -> Path:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        source.rename(target)
    except OSError as error:
        raise RunError(
            f"{source.name} cannot be moved ({error.strerror}): close programs that use it."
        ) from error
    return target
