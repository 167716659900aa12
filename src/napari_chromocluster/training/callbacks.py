"""What the training loop tells its run folder, and how the run folder stops it."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import lightning.pytorch as pl
import psutil
import torch
from lightning.pytorch.callbacks import (
    BaseFinetuning,
    Callback,
    ModelCheckpoint,
    WeightAveraging,
)
from torch import Tensor
from torch.optim import Optimizer

from napari_chromocluster.training.config import StageConfig


class Stopped(Exception):
    """The user stopped the training."""


class RunLike(Protocol):
    """What the loop needs of a run folder (see `training.run.Run`)."""

    @property
    def checkpoint_folder(self) -> Path:
        """Where checkpoints go."""
        ...

    @property
    def model_path(self) -> Path:
        """Where the trained model goes."""
        ...

    def emit(self, event: dict[str, Any]) -> None:
        """Append one event."""
        ...

    def should_stop(self) -> bool:
        """Whether the user asked to stop."""
        ...


class FreezeBody(BaseFinetuning):
    """Keep the body frozen through a stage, its batch norms included."""

    def freeze_before_training(self, pl_module: pl.LightningModule) -> None:
        """Freeze the body before the optimizer is made."""
        self.freeze(pl_module.network.body, train_bn=False)

    def finetune_function(
        self, pl_module: pl.LightningModule, epoch: int, optimizer: Optimizer
    ) -> None:
        """Nothing thaws within a stage."""


def memory_megabytes() -> float:
    """Peak memory: on the GPU where there is one, else of this process, in MB."""
    if torch.cuda.is_available() and torch.cuda.max_memory_allocated():
        return torch.cuda.max_memory_allocated() / 1e6
    if sys.platform == "win32":
        return float(psutil.Process().memory_info().peak_wset) / 1e6
    import resource  # not there on Windows

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6


class RunEvents(Callback):
    """Write progress to the run folder and obey its stop file.

    Parameters
    ----------
    run : RunLike
        The run folder.
    stage : StageConfig
        The stage.
    number : int
        Its place.
    batches_before, batches_total : int
        Batches of all stages before this one and of the whole training, for
        the estimate of the time left.
    kept : callable
        Whether there is a finished epoch that a stop can go back to.
    """

    def __init__(
        self,
        run: RunLike,
        stage: StageConfig,
        number: int,
        batches_before: int,
        batches_total: int,
        kept: Callable[[], bool],
    ) -> None:
        self.run = run
        self.kept = kept
        self.stage = stage
        self.number = number
        self.before = batches_before
        self.total = batches_total
        self._last = 0.0
        self._began: tuple[float, int] | None = None
        self._loss = 0.0
        self._epoch_losses: list[float] = []

    def _place(self, trainer: pl.Trainer) -> dict[str, Any]:
        return {
            "stage": self.stage.name,
            "stage_number": self.number,
            "epoch": trainer.current_epoch + 1,
            "epochs": self.stage.epochs,
        }

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Tell the dataset its epoch; forget the losses of the last one."""
        self._epoch_losses.clear()

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Write a batch event twice a second at most."""
        self._loss = float(outputs["loss"])
        self._epoch_losses.append(self._loss)
        done = self.before + trainer.global_step
        now = time.monotonic()
        if self._began is None:
            self._began = (now, done)
        self._obey(trainer)
        if now - self._last < 0.5 or not trainer.is_global_zero:
            return
        self._last = now
        self.run.emit(
            {
                "kind": "batch",
                **self._place(trainer),
                "batch": batch_idx + 1,
                "batches": trainer.num_training_batches,
                "loss": self._loss,
                "eta_s": self._seconds_left(done),
                "device": str(pl_module.device),
                "memory_mb": round(memory_megabytes(), 1),
            }
        )

    def _seconds_left(self, done: int) -> float | None:
        """Estimate how long the training still takes; None before there is anything to go by."""
        if self._began is None or done <= self._began[1]:
            return None
        began, first = self._began
        rate = (time.monotonic() - began) / (done - first)
        return round(rate * max(self.total - done, 0), 1)

    def _obey(self, trainer: pl.Trainer) -> None:
        """Stop where the user asked to; all processes of a training stop after the same batch."""
        stop = self.run.should_stop()
        if trainer.world_size > 1:
            stop = trainer.strategy.reduce_boolean_decision(stop, all=False)
        if not stop:
            return
        if self.kept():
            raise Stopped("The training was stopped.")
        # Nothing is kept yet: what this epoch has learnt so far is validated and kept.
        trainer.should_stop = True

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write what the validation groups gave."""
        if trainer.sanity_checking or not trainer.is_global_zero:
            return
        metrics = {
            name.removeprefix("validation_"): float(value)
            for name, value in trainer.callback_metrics.items()
            if name.startswith("validation_")
        }
        losses = self._epoch_losses
        self.run.emit(
            {
                "kind": "epoch",
                **self._place(trainer),
                "train_loss": sum(losses) / len(losses) if losses else None,
                "metrics": metrics,
                "eta_s": self._seconds_left(self.before + trainer.global_step),
                "device": str(pl_module.device),
                "memory_mb": round(memory_megabytes(), 1),
            }
        )


class WarmAverage(WeightAveraging):
    """Exponential average of the weights that follows closely at first.

    A constant decay would carry the first, worthless weights through a short
    training.

    Parameters
    ----------
    decay : float
        Share of the old average that is kept, once the training is long enough.
    """

    def __init__(self, decay: float) -> None:
        def average(old: Tensor, new: Tensor, number: Tensor | int) -> Tensor:
            kept = min(decay, (1 + int(number)) / (10 + int(number)))
            return old + (new - old) * (1 - kept)

        super().__init__(use_buffers=True, avg_fn=average)


class MovedCheckpoint(ModelCheckpoint):
    """Goes on in a folder that was moved, or is reached by another path.

    Lightning forgets there which epoch was the best, and writes the next one over it.
    """

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the state of a checkpoint, as if it had been written where the folder is now."""

        def moved(path: str) -> str:
            return str(Path(str(self.dirpath)) / Path(path).name) if path else path

        paths = ("best_model_path", "kth_best_model_path", "last_model_path")
        super().load_state_dict(
            {
                **state_dict,
                "dirpath": self.dirpath,
                **{name: moved(state_dict[name]) for name in paths},
                "best_k_models": {
                    moved(path): score for path, score in state_dict["best_k_models"].items()
                },
            }
        )


class LastEpoch(MovedCheckpoint):
    """Keeps the last whole epoch: one that was broken off is repeated by a resumed training."""

    def __init__(self, folder: Path, name: str) -> None:
        super().__init__(
            dirpath=folder,
            filename=name,
            monitor=None,
            save_on_train_epoch_end=True,
            enable_version_counter=False,
        )

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the checkpoint of an epoch that is whole."""
        if not trainer.should_stop or trainer.is_last_batch:
            super().on_train_epoch_end(trainer, pl_module)


class BestEpoch(Callback):
    """Stop a stage when the monitored metric no longer gains.

    Lightning's EarlyStopping asks for a gain over the best so far in every
    check; this does the same but never ends a stage before half its epochs,
    where a one-cycle schedule has not come down yet.
    """

    def __init__(self, monitor: str, patience: int, delta: float, epochs: int) -> None:
        self.monitor = f"validation_{monitor}"
        self.patience = patience
        self.delta = delta
        self.least = epochs // 2
        self.best = float("-inf")
        self.since = 0

    def state_dict(self) -> dict[str, Any]:
        """State for a checkpoint."""
        return {"best": self.best, "since": self.since}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the state of a checkpoint."""
        self.best, self.since = float(state_dict["best"]), int(state_dict["since"])

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Compare with the best so far."""
        if trainer.sanity_checking or self.monitor not in trainer.callback_metrics:
            return
        value = float(trainer.callback_metrics[self.monitor])
        if value > self.best + self.delta:
            self.best, self.since = value, 0
        else:
            self.since += 1
        if self.patience and self.since >= self.patience and trainer.current_epoch >= self.least:
            trainer.should_stop = True
