"""Start a training: the one function that Python, command line and widget call."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from napari_chromocluster.training.config import TrainingConfig, preset
from napari_chromocluster.training.process import start
from napari_chromocluster.training.run import Run, runs_dir


def train(
    annotations: str | Path | Sequence[str | Path],
    *,
    preset_name: str = "default",
    base_model: str | Path | None = None,
    out: str | Path | None = None,
    config: TrainingConfig | None = None,
    wait: bool = True,
    **changes: Any,
) -> Run:
    """Finetune a model on annotated regions, coarse to fine.

    Parameters
    ----------
    annotations : path or sequence of paths
        Annotation CSVs and folders per type, mixed as you like.
    preset_name : {"default", "quick", "paper"}
        Where the configuration starts from.
    base_model : str or path, optional
        Model to finetune (default: the preset's).
    out : path, optional
        Run folder (default: a new one among the user's runs).
    config : TrainingConfig, optional
        A whole configuration instead of a preset.
    wait : bool
        Train in this process and return when it is done; else in a process
        of its own that lives on when this one ends.
    **changes
        Single values of the configuration, such as ``seed=1``.

    Returns
    -------
    Run
        The run folder; its model is ``run.model_path``.
    """
    paths = [annotations] if isinstance(annotations, (str, Path)) else list(annotations)
    chosen = config or preset(preset_name)
    if base_model is not None:
        changes["base_model"] = str(base_model)
    chosen = chosen.replace(
        annotations=tuple(str(Path(path).expanduser().resolve()) for path in paths), **changes
    )
    run = Run.create(out or runs_dir() / datetime.now().strftime("%Y-%m-%d_%H-%M-%S"), chosen)
    if wait:
        from napari_chromocluster.training.worker import work

        work(run)
    else:
        start(run)
    return run
