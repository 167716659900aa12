"""Start a training run: the function that scripts, the command line and the widget call."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from napari_chromocluster.models.torch_setup import prepare_torch
from napari_chromocluster.training.base_model import set_base_model, validate_base_model
from napari_chromocluster.training.config import TrainingConfig
from napari_chromocluster.training.config import preset as preset_named
from napari_chromocluster.training.data.splits import check_annotations
from napari_chromocluster.training.data.summary import data_warnings
from napari_chromocluster.training.runs.process import start
from napari_chromocluster.training.runs.run_folder import Run, name_for, new_run_folder

_LOG = logging.getLogger(__name__)


def prepare(
    annotations: str | Path | Sequence[str | Path],
    *,
    out: str | Path | None = None,
    **settings: Any,
) -> Run:
    """Create the run folder of a training run without starting it; see `train` for the parameters.

    Invalid names or settings raise before the folder is created.
    """
    return _prepare(annotations, out, settings)[0]


def _prepare(
    annotations: str | Path | Sequence[str | Path],
    out: str | Path | None,
    settings: Mapping[str, Any],
) -> tuple[Run, pd.DataFrame]:
    """Create a run folder, and return the run and its annotations."""
    if out is not None:
        Run(Path(out).expanduser().resolve()).check_free()
    chosen, table = _configure(annotations, **settings)
    if chosen.model_name == TrainingConfig.model_name:  # no name was given
        chosen = chosen.replace(model_name=name_for(int(table["group"].nunique())))
    return Run.create(out or new_run_folder(), chosen), table


def configure(annotations: str | Path | Sequence[str | Path], **settings: Any) -> TrainingConfig:
    """Return the configuration of a training run, with its annotations checked; see `train`."""
    return _configure(annotations, **settings)[0]


def _configure(
    annotations: str | Path | Sequence[str | Path],
    *,
    preset: str = "default",
    base_model: str | Path | None = None,
    backbone_weights: str | Path | None = None,
    config: TrainingConfig | None = None,
    **changes: Any,
) -> tuple[TrainingConfig, pd.DataFrame]:
    """Return a configuration and its checked annotations."""
    paths = [annotations] if isinstance(annotations, (str, Path)) else list(annotations)
    chosen = config or preset_named(preset)
    if base_model is not None:
        chosen = set_base_model(chosen, base_model, backbone_weights)
    elif backbone_weights is not None:
        # A preset that starts from a model cannot take backbone weights.
        start = chosen.base_model or chosen.backbone
        chosen = set_base_model(chosen, start, backbone_weights)
    chosen = validate_base_model(
        chosen.replace(
            annotations=tuple(str(Path(path).expanduser().resolve()) for path in paths), **changes
        )
    )
    return chosen, check_annotations(chosen)


def train(
    annotations: str | Path | Sequence[str | Path],
    *,
    preset: str = "default",
    base_model: str | Path | None = None,
    backbone_weights: str | Path | None = None,
    out: str | Path | None = None,
    config: TrainingConfig | None = None,
    wait: bool = True,
    **changes: Any,
) -> Run:
    """Finetune a model on annotated regions, coarse to fine.

    Parameters
    ----------
    annotations : path or sequence of paths
        Annotation CSVs and folders with one subfolder per type, in any combination.
    preset : {"default", "quick", "paper"}
        The preset that the configuration is based on.
    base_model : str or path, optional
        Listed model, model file or backbone to finetune (default: the preset's).
    backbone_weights : path, optional
        Local file of pretrained weights, if ``base_model`` is a backbone.
    out : path, optional
        Run folder (default: a new one among the user's runs).
    config : TrainingConfig, optional
        A complete configuration instead of a preset.
    wait : bool
        Train in this process and return when it is done; otherwise train in a separate process that
        outlives this one.
    **changes
        Individual values of the configuration, such as ``seed=1``.

    Returns
    -------
    Run
        The run folder; its model is ``run.model_path``.

    Raises
    ------
    AnnotationError
        If an annotation file cannot be used, or nothing is annotated.
    ConfigError
        If the configuration is invalid, or pretrained weights, the device or a second group
        are missing.
    RunError
        If the folder already contains a run or cannot be written to.
    """
    settings = {
        "preset": preset,
        "base_model": base_model,
        "backbone_weights": backbone_weights,
        "config": config,
    }
    run, table = _prepare(annotations, out, settings | changes)
    for text in data_warnings(run.config, table):
        _LOG.warning(text)
    launch(run, wait)
    return run


def launch(run: Run, wait: bool) -> None:
    """Train a run that `prepare` created, in this process or a separate one."""
    if wait:
        prepare_torch()
        from napari_chromocluster.training.runs.worker import run_training

        run_training(run)
    else:
        start(run)
