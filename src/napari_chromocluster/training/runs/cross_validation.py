"""Cross-validation by group: every metaphase is validated once, by a model not trained on it.

The final model is that of the run itself; the other folds only contribute
validation metrics.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from napari_chromocluster.training.data.splits import save_fold_split
from napari_chromocluster.training.fit.trainer import fit
from napari_chromocluster.training.runs.run_folder import Run, fold_runs


class _Fold:
    """A fold with its own files, but the event log and stop file of the whole run."""

    def __init__(self, whole: Run, own: Run, number: int, folds: int) -> None:
        self.whole, self.own, self.number, self.folds = whole, own, number, folds

    @property
    def checkpoint_folder(self) -> Path:
        return self.own.checkpoint_folder

    @property
    def model_path(self) -> Path:
        return self.own.model_path

    def should_stop(self) -> bool:
        return self.whole.should_stop()

    def emit(self, event: dict[str, Any]) -> None:
        """Report the progress of the fold, without losses that would disturb the run's curves."""
        if event["kind"] in ("batch", "epoch"):
            kept = ("stage", "epoch", "epochs", "eta_s", "device", "memory_mb")
            state = {name: event[name] for name in kept if name in event}
            self.whole.emit({"kind": "fold", "fold": self.number, "folds": self.folds, **state})


def train_folds(run: Run) -> bool:
    """Train the unfinished other folds of a run; return False if the user stopped them."""
    config = run.config
    for number, own in enumerate(fold_runs(run), start=2):
        if own.model_path.exists():
            continue
        if run.should_stop():
            return False
        if not own.config_path.exists():
            own_config = config.replace(fold=int(own.folder.name))
            Run.create(own.folder, own_config)
            save_fold_split(run.checkpoint_folder, own.checkpoint_folder, own_config)
        fit(own.config, _Fold(run, own, number, config.folds), resume=True)
        if run.should_stop():
            # The model of a stopped fold is not representative.
            own.model_path.unlink(missing_ok=True)
            return False
        for path in own.checkpoint_folder.glob("*.ckpt"):
            path.unlink(missing_ok=True)
    return True
