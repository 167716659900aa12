"""The starting point of a training run: a listed model, pretrained weights, or a file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QFileDialog,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QProgressBar,
    QVBoxLayout,
    QWidget,
)

from napari_chromocluster.models.backbones import BACKBONES, BackboneSpec
from napari_chromocluster.models.download import download_backbone, licence_accepted
from napari_chromocluster.models.registry import ModelEntry, backbone_path, list_models
from napari_chromocluster.training.base_model import set_base_model, shaped_for
from napari_chromocluster.training.config import TrainingConfig
from napari_chromocluster.widgets.common.worker import Worker
from napari_chromocluster.widgets.train.controls import button, combo, form

_SCRATCH = "compact"
#: Function that downloads the weights of a backbone.
Download = Callable[..., Path]


class BaseModelPanel(QWidget):
    """Selects the starting point; downloads weights once their license is accepted."""

    changed = Signal()
    failed = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.download: Download = download_backbone
        self._local: dict[str, str] = {}
        self._task: Worker | None = None
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        rows = form()
        self.start_combo = combo(
            "The model or the pretrained weights that the training begins with."
        )
        self.about = QLabel("")
        self.about.setWordWrap(True)
        self.name_edit = QLineEdit()
        self.name_edit.setPlaceholderText("the day and the number of metaphases")
        self.name_edit.setToolTip(
            "Name of the new model in the list; empty: the day and the number of metaphases."
        )
        rows.addRow("Start from", self.start_combo)
        rows.addRow(self.about)
        rows.addRow("New name", self.name_edit)
        layout.addLayout(rows)
        self.licence_box = QCheckBox("")
        layout.addWidget(self.licence_box)
        row = QHBoxLayout()
        self.download_button = button("Download", "", self.start_download)
        self.local_button = button(
            "Local file…", "Use a file of these weights that is on this machine.", self._ask_local
        )
        self.cancel_button = button(
            "Cancel", "Stop; what has come is kept for the next time.", self.cancel
        )
        self.bar = QProgressBar()
        row.addWidget(self.download_button)
        row.addWidget(self.local_button)
        row.addWidget(self.bar, 1)
        row.addWidget(self.cancel_button)
        layout.addLayout(row)
        self.refresh()
        self.start_combo.currentIndexChanged.connect(self._chosen)
        self.licence_box.toggled.connect(self._update)
        self._update()

    # ---------------------------------------------------------------- choice

    def refresh(self) -> None:
        """List the models and backbones currently available."""
        chosen = self.choice
        self.start_combo.blockSignals(True)
        self.start_combo.clear()
        for entry in list_models():
            self.start_combo.addItem(_title(entry), entry.name)
        self.start_combo.addItem("From scratch (compact body)", _SCRATCH)
        place = self.start_combo.findData(chosen)
        self.start_combo.setCurrentIndex(max(place, 0))
        self.start_combo.blockSignals(False)
        names = self.start_combo.view()
        names.setMinimumWidth(
            names.sizeHintForColumn(0) + names.verticalScrollBar().sizeHint().width()
        )
        self._update()

    @property
    def choice(self) -> str:
        """Name of the selected model or backbone."""
        return str(self.start_combo.currentData() or "default")

    def choose(self, name: str) -> None:
        """Select a model or backbone by name."""
        place = self.start_combo.findData(name)
        if place < 0:
            self.start_combo.addItem(Path(name).stem, name)
            place = self.start_combo.count() - 1
        self.start_combo.setCurrentIndex(place)

    @property
    def is_large(self) -> bool:
        """Whether a pretrained backbone is selected, which has not learned the types yet."""
        spec = BACKBONES.get(self.choice)
        return spec is not None and not spec.is_compact

    @property
    def ready(self) -> bool:
        """Whether the selected weights are on this machine."""
        return not self.is_large or self._weights() is not None

    def _weights(self) -> str | None:
        path = backbone_path(self.choice)
        return self._local.get(self.choice) or (str(path) if path.is_file() else None)

    def applied(self, config: TrainingConfig) -> TrainingConfig:
        """Return a configuration that starts from the selected weights, once they are available.

        Raises
        ------
        ConfigError
            If it is not a valid starting point.
        """
        if not self.ready:
            return shaped_for(config, self.choice)
        return set_base_model(config, self.choice, self._local.get(self.choice))

    def _chosen(self) -> None:
        self._update()
        self.changed.emit()

    # ---------------------------------------------------------------- weights

    def start_download(self) -> None:
        """Download the selected weights in the background."""
        if self._task is not None:
            return
        name, fetch = self.choice, self.download
        self._task = Worker(
            lambda progress, stop: fetch(name, accept=True, progress=progress, stop=stop), self
        )
        self._task.progressed.connect(self._arrived)
        self._task.failed.connect(self.failed)
        self._task.ended.connect(self._download_ended)
        self._task.start()
        self.bar.setRange(0, 0)
        self._update()

    def cancel(self) -> None:
        """Stop the download; it can be resumed later."""
        if self._task is not None:
            self._task.cancel()

    @property
    def task(self) -> Worker | None:
        """The current download."""
        return self._task

    def _arrived(self, done: int, total: int) -> None:
        self.bar.setRange(0, 1000)
        self.bar.setValue(round(1000 * done / max(total, 1)))
        self.bar.setFormat(f"{done / 1e6:.0f} of {total / 1e6:.0f} MB")

    def _download_ended(self) -> None:
        self._task = None
        self.refresh()
        self.changed.emit()

    def _ask_local(self) -> None:
        found, _ = QFileDialog.getOpenFileName(
            self, "Weights of this backbone", "", "Weights (*.pth *.pt *.safetensors)"
        )
        if found:
            self.use_local(found)

    def use_local(self, path: str | Path) -> None:
        """Use a local file as the weights of the selected backbone."""
        self._local[self.choice] = str(path)
        self._chosen()

    def _update(self, *_: object) -> None:
        """Show what is needed before the selected weights can be used."""
        spec = BACKBONES.get(self.choice)
        missing = self.is_large and not self.ready
        busy = self._task is not None
        accepted = not missing or licence_accepted(self.choice)
        self.licence_box.setVisible(missing and not accepted and not busy)
        self.local_button.setVisible(missing and not busy)
        self.download_button.setVisible(missing and not busy)
        self.bar.setVisible(busy)
        self.cancel_button.setVisible(busy)
        terms = "" if spec is None else _terms(spec)
        known = spec is not None and not spec.is_compact
        self.about.setVisible(known)
        if spec is not None:
            where = "" if missing else ", on this machine"
            self.about.setText(f"{spec.megabytes} MB, {terms}{where}")
        if spec is None or not missing:
            return
        self.licence_box.setText(f"I accept {terms}")
        self.licence_box.setToolTip(f"Trained on {spec.source}. Asked once.")
        self.download_button.setText(f"Download {spec.megabytes} MB")
        ready = accepted or self.licence_box.isChecked()
        self.download_button.setEnabled(ready)
        self.download_button.setToolTip(
            "Fetch the weights; a broken download goes on where it ended."
            if ready
            else "Accept the licence first."
        )


def _terms(spec: BackboneSpec) -> str:
    return spec.licence + (" (non-commercial)" if "NC" in spec.licence else "")


def _title(entry: ModelEntry) -> str:
    if entry.kind != "backbone":
        return entry.name
    name = entry.name.replace("_wsl", " WSL").replace("resnext", "ResNeXt-").replace("_", " ")
    licence = entry.licence.removesuffix("-4.0")
    return f"{name} ({entry.megabytes} MB, {licence})" + ("" if entry.path else " ⭳")
