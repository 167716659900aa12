"""The Lightning module of one stage: loss, learning rates and validation."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_chromocluster.models.network import ClusterNetwork, layer_groups
from napari_chromocluster.training.config import StageConfig, TrainingConfig

#: Key of the monitored validation metric in a checkpoint.
SCORE = "chromocluster_score"


def partial_label_loss(logits: Tensor, allowed: Tensor, smoothing: float) -> Tensor:
    """Cross entropy with partial labels: a region may have one of several types.

    The probabilities of all allowed types are summed, so a cluster of unknown
    type still contributes that it is a cluster.

    Parameters
    ----------
    logits : (N, K) float tensor
        Outputs of the network.
    allowed : (N, K) float tensor
        1 for each type a region may have.
    smoothing : float
        Share of the target that is spread over all types (label smoothing).
    """
    log_p = functional.log_softmax(logits.float(), dim=1)
    chosen = torch.logsumexp(log_p.masked_fill(allowed < 0.5, -1e9), dim=1)
    return ((1 - smoothing) * -chosen - smoothing * log_p.mean(dim=1)).mean()


def macro_sensitivity(predicted: Tensor, true: Tensor) -> float:
    """Mean recall over the types that occur in ``true``."""
    recalls = [
        float((predicted[true == kind] == kind).float().mean()) for kind in torch.unique(true)
    ]
    return sum(recalls) / len(recalls) if recalls else 0.0


class StageModule(pl.LightningModule):
    """Trains a `ClusterNetwork` through one stage.

    Parameters
    ----------
    network : ClusterNetwork
        Body and head.
    config : TrainingConfig
        The training.
    stage : StageConfig
        The stage.
    number : int
        Index of the stage, part of the random seed.
    steps : int
        Optimizer steps of the whole stage, for the one-cycle schedule.
    """

    def __init__(
        self,
        network: ClusterNetwork,
        config: TrainingConfig,
        stage: StageConfig,
        number: int,
        steps: int,
    ) -> None:
        super().__init__()
        self.network = network.to(memory_format=torch.channels_last)
        self.config = config
        self.stage = stage
        self.number = number
        self.steps = max(steps, 2)
        self._outputs: list[tuple[Tensor, Tensor]] = []

    def forward(self, x: Tensor) -> Tensor:
        """Return logits; cached body features (2-D) only pass through the head."""
        if x.dim() == 2:
            return self.network.classify_pooled(x)
        # Grouped convolutions are about twice as fast in channels-last format.
        out: Tensor = self.network(x.contiguous(memory_format=torch.channels_last))
        return out

    def on_train_epoch_start(self) -> None:
        """Set training mode: Lightning keeps the mode, and a loaded network is in eval mode."""
        self.network.train()
        if self.stage.freeze_body:
            self.network.body.eval()

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """Return the loss of one batch."""
        # Seed dropout by epoch and batch only, so that a resumed run repeats it.
        torch.manual_seed(
            self.config.seed * 1_000_003
            + self.number * 100_003
            + self.current_epoch * 10_007
            + batch_idx
        )
        inputs, allowed = batch
        logits = self(inputs)
        loss = self.loss(inputs, logits, allowed, batch_idx)
        if not torch.isfinite(loss):
            raise FloatingPointError(
                "The training diverged (the loss is no longer a number): lower the learning rates."
            )
        return loss

    def loss(self, inputs: Tensor, logits: Tensor, allowed: Tensor, batch_idx: int) -> Tensor:
        """Return the loss of the outputs for a batch."""
        return partial_label_loss(logits, allowed, self.config.label_smoothing)

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        """Collect the outputs of one validation batch."""
        inputs, allowed = batch
        self._outputs.append((self(inputs).float(), allowed))

    def on_validation_epoch_end(self) -> None:
        """Log the metrics of the validation groups."""
        logits = torch.cat([logits for logits, _ in self._outputs])
        allowed = torch.cat([allowed for _, allowed in self._outputs])
        self._outputs.clear()
        if self.trainer.world_size > 1:
            logits, allowed = self._gathered(logits), self._gathered(allowed)
        figures = self.figures(logits, allowed)
        self.log_dict({f"validation_{name}": value for name, value in figures.items()})

    def _gathered(self, mine: Tensor) -> Tensor:
        """Concatenate the rows of all processes."""
        found = self.all_gather(mine)
        assert isinstance(found, Tensor)
        return found.flatten(0, 1)

    def figures(self, logits: Tensor, allowed: Tensor) -> dict[str, float]:
        """Return loss, accuracy and macro sensitivity of all validation regions."""
        predicted, true = logits.argmax(dim=1), allowed.argmax(dim=1)
        return {
            "loss": float(partial_label_loss(logits, allowed, 0.0)),
            "accuracy": float((predicted == true).float().mean()),
            "macro_sensitivity": macro_sensitivity(predicted, true),
        }

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the score to the checkpoint, so that stages can be compared."""
        score = self.trainer.callback_metrics.get(f"validation_{self.config.monitor}")
        checkpoint[SCORE] = float("-inf") if score is None else float(score)

    def configure_optimizers(self) -> Any:
        """Return an optimizer with rates rising from body to head, and a one-cycle schedule."""
        groups = [
            {"params": parameters, "lr": rate}
            for parameters, rate in self._rates()
            if parameters and rate > 0
        ]
        kind = torch.optim.Adam if self.config.optimizer == "adam" else torch.optim.AdamW
        optimizer = kind(groups, weight_decay=self.config.weight_decay)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer,
            max_lr=[rate for parameters, rate in self._rates() if parameters and rate > 0],
            total_steps=self.steps,
            pct_start=0.3,
        )
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }

    def _rates(self) -> list[tuple[list[nn.Parameter], float]]:
        if self.stage.freeze_body:
            return [(list(self.network.head.parameters()), self.stage.lr_head)]
        layers = layer_groups(self.network)
        low = max(self.stage.lr_body, 1e-12)
        ratio = self.stage.lr_head / low
        last = max(len(layers) - 1, 1)
        return [(layer, low * ratio ** (place / last)) for place, layer in enumerate(layers)]
