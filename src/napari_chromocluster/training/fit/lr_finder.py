"""Learning rate finder: raise the rate batch by batch and find where the loss falls fastest.

The range test of Smith, "Cyclical learning rates for training neural networks", WACV 2017.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from napari_chromocluster.progress import Cancelled
from napari_chromocluster.training.config import ConfigError, TrainingConfig
from napari_chromocluster.training.data.prepared_data import prepare_data
from napari_chromocluster.training.data.sampling import DrawPlan, TrainingBatches
from napari_chromocluster.training.fit.lightning_module import StageModule, partial_label_loss
from napari_chromocluster.training.fit.trainer import start_network
from napari_chromocluster.training.run_interface import RunLike

_LOWEST, _HIGHEST = 1e-7, 1.0
#: Decay of the moving average of the loss.
_SMOOTHING = 0.85
#: The test ends when the loss exceeds this multiple of the lowest loss: it diverges.
_DIVERGED = 3.0
#: Number of rates at the start that are never suggested.
_SKIPPED = 10
#: Number of neighboring slopes that are averaged.
_EVEN = 5
#: Clusters composed for the test, which needs only a sample of the data.
_COMPOSED = 200


@dataclass(frozen=True)
class RateFinding:
    """Result of a range test.

    Attributes
    ----------
    rates : tuple of float
        Tested learning rates of the head, ascending.
    losses : tuple of float
        Smoothed loss after each.
    suggestion : float
        Rate at which the loss falls fastest.
    """

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    suggestion: float


def suggest(rates: NDArray[np.floating], losses: NDArray[np.floating]) -> float:
    """Return the rate at which the loss falls fastest, before its lowest point.

    Raises
    ------
    ConfigError
        If the loss never falls.
    """
    # The first rates are too low to change the loss: differences are noise, and the first loss is
    # that of a single batch.
    first = min(_SKIPPED, len(losses) // 4)
    lowest = first + int(np.argmin(losses[first:]))
    if lowest < first + 3:
        raise ConfigError(
            "No learning rate lowered the loss: check the annotations or keep the preset's rates."
        )
    slopes = np.gradient(losses[: lowest + 1], np.log(rates[: lowest + 1]))
    even = np.convolve(np.pad(slopes, _EVEN // 2, mode="edge"), np.ones(_EVEN) / _EVEN, "valid")
    return float(rates[first + int(np.argmin(even[first:]))])


def find_rates(
    config: TrainingConfig,
    run: RunLike,
    stage_number: int = -1,
    points: int = 60,
    on_point: Callable[[float, float], None] | None = None,
) -> RateFinding:
    """Run a range test of one stage and discard the trained network.

    Parameters
    ----------
    config : TrainingConfig
        The training.
    run : RunLike
        Receives the progress of the preparation; can stop it.
    stage_number : int
        Index of the stage (default: the last).
    points : int
        Maximum number of batches.
    on_point : callable, optional
        Called with each rate and its smoothed loss.

    Returns
    -------
    RateFinding

    Raises
    ------
    Cancelled
        If the user stopped it.
    ConfigError
        If the loss never falls.
    """
    if config.threads:
        torch.set_num_threads(config.threads)
    stage = config.stages[stage_number]
    config = config.replace(composed_clusters=min(config.composed_clusters, _COMPOSED))
    data = prepare_data(config, run)
    plan = DrawPlan(data.train, data.n_real, config)
    batches = TrainingBatches(data.train, plan, config, stage, 0)
    module = StageModule(start_network(config), config, stage, 0, points)
    module.network.train()
    if stage.freeze_body:
        module.network.body.eval().requires_grad_(False)
    optimizer = module.configure_optimizers()["optimizer"]
    shares = [group["max_lr"] / stage.lr_head for group in optimizer.param_groups]
    rates: list[float] = []
    losses: list[float] = []
    smooth = 0.0
    for number, rate in enumerate(np.geomspace(_LOWEST, _HIGHEST, points)):
        if run.should_stop():
            raise Cancelled("The search for a learning rate was stopped.")
        for group, share in zip(optimizer.param_groups, shares, strict=True):
            group["lr"] = float(rate) * share
        loss = _step(module, optimizer, batches, number)
        smooth = _SMOOTHING * smooth + (1 - _SMOOTHING) * loss
        value = smooth / (1 - _SMOOTHING ** (number + 1))
        if not math.isfinite(value) or (losses and value > _DIVERGED * min(losses)):
            break
        rates.append(float(rate))
        losses.append(value)
        if on_point is not None:
            on_point(float(rate), value)
    found = suggest(np.array(rates), np.array(losses))
    return RateFinding(tuple(rates), tuple(losses), found)


def _step(module: StageModule, optimizer: Any, batches: TrainingBatches, number: int) -> float:
    batches.epoch, index = divmod(number, len(batches))
    inputs, allowed = batches[index]
    torch.manual_seed(module.config.seed + number)
    loss = partial_label_loss(module(inputs), allowed, module.config.label_smoothing)
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    return float(loss.detach())
