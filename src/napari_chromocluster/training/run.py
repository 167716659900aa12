"""The run folder: everything one training leaves, and how others follow and stop it."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_chromocluster.imaging.io import write_text_atomic
from napari_chromocluster.models.registry import home_dir
from napari_chromocluster.training.config import ConfigError, TrainingConfig

#: States of a run.
PREPARED, RUNNING, FINISHED, STOPPED, FAILED, KILLED = (
    "prepared",
    "running",
    "finished",
    "stopped",
    "failed",
    "killed",
)


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
        if run.config_path.exists():
            raise RunError(f"{run.folder} holds a training already: choose another folder.")
        try:
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
        line = json.dumps({"time": round(time.time(), 3), **event}) + "\n"
        with self.events_path.open("a", encoding="utf-8") as stream:
            stream.write(line)

    def events(self) -> Iterator[dict[str, Any]]:
        """Yield all events; a line torn by a crash is passed over."""
        if not self.events_path.exists():
            return
        for line in self.events_path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                yield json.loads(line)
            except json.JSONDecodeError:
                continue

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
        try:
            pid = int(self.pid_path.read_text())
            os.kill(pid, 0)
        except (OSError, ValueError):
            return False
        return not _is_zombie(pid)

    def state(self) -> str:
        """Return the state: prepared, running, finished, stopped, failed or killed."""
        last = ""
        for event in self.events():
            if event.get("kind") in ("start", "end", "stopped", "error"):
                last = str(event["kind"])
        if self.process_alive():
            return RUNNING
        known = {
            "end": FINISHED,
            "stopped": STOPPED,
            "error": FAILED,
            "start": KILLED,
            "": PREPARED,
        }
        return known[last]


def _is_zombie(pid: int) -> bool:
    """Tell a child that ended and was not waited for: on Linux it still has a number."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return status.rpartition(")")[2].split()[:1] == ["Z"]


def runs_dir() -> Path:
    """Return the folder where runs go unless another is named."""
    return home_dir() / "runs"


def list_runs(folder: str | Path | None = None) -> list[Run]:
    """Return the runs of a folder, newest first."""
    base = Path(folder) if folder is not None else runs_dir()
    found = [Run(path.parent) for path in base.glob("*/config.json")]
    return sorted(found, key=lambda run: run.config_path.stat().st_mtime, reverse=True)
