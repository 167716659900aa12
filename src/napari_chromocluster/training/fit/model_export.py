"""The result of a training run: a calibrated model file and its validation metrics."""

from __future__ import annotations

import dataclasses
import json
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from napari_chromocluster.cluster_types import TYPES
from napari_chromocluster.imaging.crops import CropSpec, render_crop
from napari_chromocluster.imaging.files import write_text_atomic
from napari_chromocluster.models.backbones import BACKBONES
from napari_chromocluster.models.calibration import (
    calibrate,
    expand_to_all_types,
    fit_temperature,
    prior_weights,
)
from napari_chromocluster.models.classifier import ClusterClassifier
from napari_chromocluster.models.model_card import ModelCard, read_card
from napari_chromocluster.models.model_file import save_model
from napari_chromocluster.models.network import ClusterEnsemble, ClusterNetwork
from napari_chromocluster.models.registry import resolve_model
from napari_chromocluster.results.metrics import evaluate_predictions
from napari_chromocluster.training.config import TrainingConfig
from napari_chromocluster.training.data.prepared_data import PreparedData
from napari_chromocluster.training.data.sampling import DrawPlan
from napari_chromocluster.training.data.splits import group_hash
from napari_chromocluster.training.run_interface import RunLike

_PACKAGES = ("napari-chromocluster", "torch", "torchvision", "lightning", "numpy", "scikit-image")

PAPER = (
    "Lin C. et al., A novel chromosome cluster types identification method using ResNeXt WSL "
    "model, Medical Image Analysis 69:101943 (2021)"
)
#: Models with more parameters than this are saved in half precision.
_HALF_ABOVE = 7_000_000


def save_outcome(
    config: TrainingConfig,
    run: RunLike,
    data: PreparedData,
    plan: DrawPlan,
    network: ClusterNetwork | ClusterEnsemble,
    size: int,
    facts: Mapping[str, object],
) -> Path:
    """Calibrate and evaluate on the validation groups, and write the model file.

    Parameters
    ----------
    config : TrainingConfig
        The training.
    run : RunLike
        The run folder.
    data : PreparedData
        Training and validation data.
    plan : DrawPlan
        How often each type was drawn.
    network : ClusterNetwork or ClusterEnsemble
        The trained network.
    size : int
        Side of the crops that it was trained on, in px.
    facts : mapping
        Further entries for the ``training`` section of the card.

    Returns
    -------
    Path
        The model file.
    """
    network.cpu().eval()
    origin = starting_card(config)
    card = ModelCard(
        name=config.model_name,
        backbone=network.members[0].backbone,
        input_size=size,
        channels=config.channels,
        tta=config.tta,
        training_prior=plan.prior(data.train),
        # The deployment prior and the surroundings prior are inherited from the base model.
        deployment_prior=origin.deployment_prior,
        surroundings=origin.surroundings,
        training={
            **_training_facts(config, data),
            "start_temperature": origin.temperature,
            **facts,
        },
        data_licences=origin.data_licences,
        weight_licence=origin.weight_licence,
        citations=tuple(dict.fromkeys((PAPER, *origin.citations))),
        created=now(),
    )
    classifier = ClusterClassifier(network, card, "cpu")
    crops = validation_crops(data, card.crop_spec)
    true = data.validation.allowed.argmax(axis=1)
    logits = classifier.logits(crops)
    weights = prior_weights(card.training_prior, card.deployment_prior, card.classes)
    shifts = classifier.shifts(data.validation_crops)
    temperature = fit_temperature(logits, true, weights, shifts=shifts, start=origin.temperature)
    card = dataclasses.replace(card, temperature=temperature)
    # Reuse the logits: running the network again would take as long as an epoch or two.
    probabilities = expand_to_all_types(
        calibrate(logits, temperature, weights, shifts), card.classes
    )
    names = [str(TYPES[column]) for column in true]
    evaluation = evaluate_predictions(names, probabilities, list(data.validation.group))
    figures = evaluation.to_dict()
    if not config.names_in_card:
        figures["per_group"] = {
            group_hash(name): values for name, values in figures["per_group"].items()
        }
    card = dataclasses.replace(card, metrics={"validation groups of this training": figures})
    save_model(run.model_path, network, card, half=_parameters(network) > _HALF_ABOVE)
    _write_predictions(run, data, probabilities)
    return run.model_path


def starting_card(config: TrainingConfig) -> ModelCard:
    """Return the card of the base model or backbone; its licenses carry over to the result."""
    if config.base_model:
        return read_card(resolve_model(config.base_model))
    licence = BACKBONES[config.backbone].licence if config.backbone_weights else ""
    return ModelCard(config.backbone, weight_licence=licence)


def validation_crops(data: PreparedData, spec: CropSpec) -> NDArray[np.float32]:
    """Render the validation regions for a model (N, 3, S, S)."""
    crops = [render_crop(crop, spec) for crop in data.validation_crops]
    return np.stack(crops) if crops else np.zeros((0, 3, spec.size, spec.size), np.float32)


def _write_predictions(
    run: RunLike, data: PreparedData, probabilities: NDArray[np.float32]
) -> None:
    """Save the predictions of the validation regions for the report."""
    lines = [
        {
            "image": str(row.image),
            "labels": str(row.labels),
            "label": int(str(row.label)),
            "group": str(row.group),
            "cluster_type": str(row.cluster_type),
            "probabilities": [round(float(p), 6) for p in chances],
        }
        for row, chances in zip(data.validation_table.itertuples(), probabilities, strict=True)
    ]
    folder = run.checkpoint_folder.parent / "report"
    write_text_atomic(folder / "validation.json", json.dumps(lines, indent=1))


def _training_facts(config: TrainingConfig, data: PreparedData) -> dict[str, object]:
    trained, validated = (sorted(groups) for groups in data.groups)
    shown = (lambda name: name) if config.names_in_card else group_hash
    real = data.train.allowed[: data.n_real]
    typed = real[real.sum(axis=1) == 1]
    return {
        "preset": config.preset,
        "seed": config.seed,
        # Only the file name: a folder may name a patient.
        "base_model": Path(config.base_model).name if config.base_model else config.backbone,
        "stages": [
            f"{one.name}: {one.epochs} epochs, {one.image_size} px" for one in config.stages
        ],
        "regions": {str(kind): int(typed[:, column].sum()) for column, kind in enumerate(TYPES)},
        "untyped_clusters": int((real.sum(axis=1) > 1).sum()),
        "composed_clusters": len(data.train) - data.n_real,
        "groups_trained": [shown(name) for name in trained],
        "groups_validated": [shown(name) for name in validated],
        "threads": torch.get_num_threads(),
        "versions": versions(),
    }


def _parameters(network: ClusterNetwork | ClusterEnsemble) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that affect a training run."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def now() -> str:
    """Return the current UTC time in ISO 8601 format."""
    return datetime.now(UTC).isoformat(timespec="seconds")
