"""The Lightning module of one stage: loss, learning rates, validation."""

from __future__ import annotations

from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor, nn
from torch.nn import functional

from napari_chromocluster.models.network import ClusterNetwork, layer_groups
from napari_chromocluster.training.config import StageConfig, TrainingConfig
from napari_chromocluster.training.teacher import Teacher, taught_loss

#: Where a checkpoint holds what the validation groups gave.
import os
DENSE = float(os.environ.get("DENSE", "1.0"))
SCORE = "chromocluster_score"


def partial_label_loss(logits: Tensor, allowed: Tensor, smoothing: float) -> Tensor:
    """Cross entropy where a region may have one of several types.

    The probabilities of all allowed types are summed, so a cluster whose type
    nobody has said still teaches that it is a cluster.

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
        Place of the stage, for its random numbers.
    steps : int
        Optimizer steps of the whole stage, for the one-cycle schedule.
    teacher : Teacher, optional
        Its answers are learnt beside the labels.
    """

    def __init__(
        self,
        network: ClusterNetwork,
        config: TrainingConfig,
        stage: StageConfig,
        number: int,
        steps: int,
        teacher: Teacher | None = None,
    ) -> None:
        super().__init__()
        self.network = network.to(memory_format=torch.channels_last)
        self.config = config
        self.stage = stage
        self.number = number
        self.steps = max(steps, 2)
        self._teacher = teacher
        self._outputs: list[tuple[Tensor, Tensor]] = []
        body = list(network.body)
        kept = self._kept = {}
        body[2].register_forward_hook(lambda m, i, o: kept.__setitem__(2, o))
        body[3].register_forward_hook(lambda m, i, o: kept.__setitem__(3, o))
        wide = [b[-1].branch[-1].num_features for b in body[2:4]]
        self.dense = nn.ModuleList([nn.Conv2d(w, 2, 1) for w in wide])
        for one in self.dense:
            nn.init.zeros_(one.weight)
            nn.init.constant_(one.bias, -1.5)
        self.told = []

    def forward(self, x: Tensor) -> Tensor:
        """Return logits; cached body features (2-D) go to the head alone."""
        if x.dim() == 2:
            return self.network.classify_pooled(x)
        # Grouped convolutions run about twice as fast with the channels last.
        out: Tensor = self.network(x.contiguous(memory_format=torch.channels_last))
        return out

    def on_train_epoch_start(self) -> None:
        """Set the mode: Lightning keeps the one a network comes in, and a loaded one classifies."""
        self.network.train()
        if self.stage.freeze_body:
            self.network.body.eval()

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """Return the loss of one batch."""
        # Dropout hangs on epoch and batch alone, so that a resumed run repeats it.
        torch.manual_seed(
            self.config.seed * 1_000_003
            + self.number * 100_003
            + self.current_epoch * 10_007
            + batch_idx
        )
        inputs, allowed, target, made = batch
        logits = self(inputs)
        layout = self._layout_loss(inputs, allowed, target, made)
        loss = partial_label_loss(logits, allowed, self.config.label_smoothing)
        if self._teacher is not None:
            share = self.config.teacher_share
            answers = self._teacher.answers(inputs, batch_idx)
            loss = (1 - share) * loss + share * taught_loss(logits, answers)
        loss = loss + DENSE * layout
        if not torch.isfinite(loss):
            raise FloatingPointError(
                "The training diverged (the loss is no longer a number): lower the learning rates."
            )
        return loss

    def _layout_loss(self, inputs, allowed, target, made):
        maps = self.dense[0](self._kept[2]) + functional.interpolate(
            self.dense[1](self._kept[3]), scale_factor=2, mode="bilinear", align_corners=False
        )
        maps = maps.float()
        inside = functional.adaptive_max_pool2d(inputs[:, 1:2], maps.shape[-1]) > 0.3
        truth, unknown = target[:, :2].clamp(0, 1), target[:, 2:] > 0.3
        # real regions: single 0, touching 1, overlapping 2, both 3, other 4
        n_types = allowed.sum(1)
        can_touch = (allowed[:, 1] + allowed[:, 3]) > 0
        can_cross = (allowed[:, 2] + allowed[:, 3]) > 0
        possible = torch.stack([can_cross, can_touch], 1)
        known = torch.where(made[:, None, None, None], (~unknown) | (truth > 0.5), ~possible[:, :, None, None])
        weight = (known & inside).float() * (1 + 3 * truth)
        loss = functional.binary_cross_entropy_with_logits(maps, truth, reduction="none")
        dense = (loss * weight).sum() / weight.sum().clamp_min(1)
        sure = torch.stack(
            [(allowed[:, 2] + allowed[:, 3] == n_types), (allowed[:, 1] + allowed[:, 3] == n_types)], 1
        ) & (~made)[:, None] & (n_types > 0)[:, None]
        top = maps.masked_fill(~inside, -20).flatten(2).topk(2, dim=2).values.mean(2)
        some = functional.binary_cross_entropy_with_logits(top, torch.ones_like(top), reduction="none")
        bag = (some * sure).sum() / sure.sum().clamp_min(1)
        self.told.append((float(dense), float(bag)))
        if len(self.told) == 100:
            print("dense %.3f bag %.3f" % tuple(sum(x) / 100 for x in zip(*self.told)), flush=True)
            self.told.clear()
        return dense + 0.3 * bag

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        """Collect the outputs of one validation batch."""
        inputs, allowed = batch
        self._outputs.append((self(inputs).float(), allowed))

    def on_validation_epoch_end(self) -> None:
        """Log loss, likelihood, accuracy and macro sensitivity of the validation groups."""
        logits = torch.cat([logits for logits, _ in self._outputs])
        allowed = torch.cat([allowed for _, allowed in self._outputs])
        self._outputs.clear()
        if self.trainer.world_size > 1:
            logits, allowed = (
                self.all_gather(logits).flatten(0, 1),
                self.all_gather(allowed).flatten(0, 1),
            )
        predicted, true = logits.argmax(dim=1), allowed.argmax(dim=1)
        loss = float(partial_label_loss(logits, allowed, 0.0))
        figures = {
            "loss": loss,
            "likelihood": -loss,
            "accuracy": float((predicted == true).float().mean()),
            "macro_sensitivity": macro_sensitivity(predicted, true),
        }
        self.log_dict({f"validation_{name}": value for name, value in figures.items()})

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Write the score beside the weights, so that stages can be compared."""
        score = self.trainer.callback_metrics.get(f"validation_{self.config.monitor}")
        checkpoint[SCORE] = float("-inf") if score is None else float(score)

    def configure_optimizers(self) -> Any:
        """Learning rates rise with depth from body to head; one cycle over the stage."""
        groups = [
            {"params": parameters, "lr": rate}
            for parameters, rate in self._rates()
            if parameters and rate > 0
        ]
        kind = torch.optim.Adam if self.config.optimizer == "adam" else torch.optim.AdamW
        groups.append({"params": list(self.dense.parameters()), "lr": self.stage.lr_head})
        optimizer = kind(groups, weight_decay=self.config.weight_decay)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer,
            max_lr=[rate for parameters, rate in self._rates() if parameters and rate > 0] + [self.stage.lr_head],
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
