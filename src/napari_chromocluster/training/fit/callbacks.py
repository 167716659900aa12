"""Lightning callbacks that report to the run folder, obey its stop file and keep checkpoints."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import psutil
import torch
from lightning.pytorch.callbacks import (
    BaseFinetuning,
    Callback,
    ModelCheckpoint,
    WeightAveraging,
)
from lightning.pytorch.plugins.io import TorchCheckpointIO
from torch import Tensor
from torch.optim import Optimizer

from napari_chromocluster.imaging.files import atomic_path
from napari_chromocluster.models.network import ClusterNetwork
from napari_chromocluster.progress import Cancelled
from napari_chromocluster.training.config import StageConfig
from napari_chromocluster.training.run_interface import RunLike


class FreezeBody(BaseFinetuning):
    """Keep the body, including its batch norms, frozen for a whole stage."""

    def freeze_before_training(self, pl_module: pl.LightningModule) -> None:
        """Freeze the body before the optimizer is created."""
        network = pl_module.network
        assert isinstance(network, ClusterNetwork)
        self.freeze(network.body, train_bn=False)

    def finetune_function(
        self, pl_module: pl.LightningModule, epoch: int, optimizer: Optimizer
    ) -> None:
        """Do nothing: the body stays frozen within a stage."""


def memory_megabytes() -> float:
    """Return peak memory in MB, of the GPU if one is in use, else of this process."""
    if torch.cuda.is_available() and torch.cuda.max_memory_allocated():
        return torch.cuda.max_memory_allocated() / 1e6
    if sys.platform == "win32":
        return float(psutil.Process().memory_info().peak_wset) / 1e6
    import resource  # not available on Windows

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
        Its index.
    batches_before, batches_total : int
        Batches of all earlier stages and of the whole training run, to estimate
        the remaining time.
    kept : callable
        Whether a finished epoch exists that can be kept after a stop.
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
        """Clear the losses of the previous epoch."""
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
        """Estimate the remaining time; None until a batch has been timed."""
        if self._began is None or done <= self._began[1]:
            return None
        began, first = self._began
        rate = (time.monotonic() - began) / (done - first)
        return round(rate * max(self.total - done, 0), 1)

    def _obey(self, trainer: pl.Trainer) -> None:
        """Stop if the user asked to; all processes of a training run stop after the same batch."""
        stop = self.run.should_stop()
        if trainer.world_size > 1:
            stop = trainer.strategy.reduce_boolean_decision(stop, all=False)
        if not stop:
            return
        if self.kept():
            raise Cancelled("The training was stopped.")
        # No checkpoint exists yet: end this epoch early, then validate and keep it.
        trainer.should_stop = True

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the validation metrics of the epoch."""
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


class EmaWarmup(WeightAveraging):
    """Exponential moving average of the weights with a warm-up.

    With a constant decay, the first, poor weights would dominate a short training.

    Parameters
    ----------
    decay : float
        Final decay of the average.
    """

    def __init__(self, decay: float) -> None:
        def average(old: Tensor, new: Tensor, number: Tensor | int) -> Tensor:
            kept = min(decay, (1 + int(number)) / (10 + int(number)))
            return old + (new - old) * (1 - kept)

        super().__init__(use_buffers=True, avg_fn=average)


class MovedCheckpoint(ModelCheckpoint):
    """A checkpoint callback that also resumes in a folder that was moved.

    Lightning would forget which epoch was the best, and overwrite it with the next one.
    """

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the state, with its paths moved to the present folder."""

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


class LastCheckpoint(MovedCheckpoint):
    """Keep the last complete epoch; a resumed training run repeats an interrupted one."""

    def __init__(self, folder: Path, name: str) -> None:
        super().__init__(
            dirpath=folder,
            filename=name,
            monitor=None,
            save_on_train_epoch_end=True,
            enable_version_counter=False,
        )

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the checkpoint of a complete epoch."""
        if not trainer.should_stop or trainer.is_last_batch:
            super().on_train_epoch_end(trainer, pl_module)


class BestEpoch(Callback):
    """Stop a stage when the monitored metric no longer improves.

    Unlike Lightning's EarlyStopping, it never ends a stage before half its epochs:
    the learning rate of a one-cycle schedule is still high there.
    """

    def __init__(self, monitor: str, patience: int, delta: float, epochs: int) -> None:
        self.monitor = f"validation_{monitor}"
        self.patience = patience
        self.delta = delta
        self.least = epochs // 2
        self.best = float("-inf")
        self.since = 0

    def state_dict(self) -> dict[str, Any]:
        """Return the state for a checkpoint."""
        return {"best": self.best, "since": self.since}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the state of a checkpoint."""
        self.best, self.since = float(state_dict["best"]), int(state_dict["since"])

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Compare with the best value so far."""
        if trainer.sanity_checking or self.monitor not in trainer.callback_metrics:
            return
        value = float(trainer.callback_metrics[self.monitor])
        if value > self.best + self.delta:
            self.best, self.since = value, 0
        else:
            self.since += 1
        if self.patience and self.since >= self.patience and trainer.current_epoch >= self.least:
            trainer.should_stop = True


class AtomicCheckpoints(TorchCheckpointIO):
    """Write each checkpoint to a temporary name in its own folder, then rename it.

    Lightning uses the system's temporary folder; if that is on another disk, a
    crash during the copy leaves an incomplete file.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None
    ) -> None:
        """Write a checkpoint."""
        with atomic_path(Path(path)) as temporary, temporary.open("wb") as stream:
            torch.save(checkpoint, stream)
            stream.flush()
            os.fsync(stream.fileno())
