"""The recipe: preset, editable stages, and other settings."""

from __future__ import annotations

import dataclasses
from typing import Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QHBoxLayout,
    QHeaderView,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_chromocluster.training.config import (
    PRESETS,
    ConfigError,
    StageConfig,
    TrainingConfig,
    preset,
)
from napari_chromocluster.widgets.common.widgets import CollapsibleGroup
from napari_chromocluster.widgets.train.controls import button, combo, form, share, spin

_COLUMNS = (
    ("Stage", "Name of the stage."),
    ("Epochs", "How often the stage goes through the data."),
    ("Body", "Peak learning rate of the first layers."),
    ("Head", "Peak learning rate of the head; layers between lie between the two."),
    ("Frozen", "Ticked: only the head learns, which is quick and cannot spoil the body."),
    ("px", "Side of the crops, in px."),
)
_PRESET_HINTS = {
    "default": "Best for finetuning the default model; under an hour on a laptop CPU.",
    "quick": "A few minutes on a laptop CPU, to see whether it is worth it.",
    "paper": "Exactly as in Lin et al. (2021); needs a GPU.",
}


class RecipePanel(QWidget):
    """Preset, stages and settings of a `TrainingConfig`."""

    changed = Signal()
    #: Another preset was selected; the owner adapts it to the selected starting point.
    preset_chosen = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self._base = preset("default")
        self._filling = False
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        rows = form()
        self.preset_combo = combo("")
        for name in ("default", "quick", "paper"):
            self.preset_combo.addItem(name)
        for name in PRESETS:
            if self.preset_combo.findText(name) < 0:
                self.preset_combo.addItem(name)
        rows.addRow("Preset", self.preset_combo)
        layout.addLayout(rows)
        layout.addWidget(self._build_table())
        row = QHBoxLayout()
        self.add_button = button("Add", "Add a stage like the last one.", self._add)
        self.drop_button = button("Remove", "Remove the selected stage.", self._drop)
        self.rate_button = button(
            "Find rate",
            "Try rising learning rates on your data for a minute and suggest one for the selected "
            "stage (else the last).",
        )
        for one in (self.add_button, self.drop_button, self.rate_button):
            row.addWidget(one)
        layout.addLayout(row)
        layout.addWidget(self._build_more())
        self.preset_combo.currentTextChanged.connect(self._preset_chosen)
        self._preset_chosen("default")

    def _build_table(self) -> QTableWidget:
        self.table = QTableWidget(0, len(_COLUMNS))
        self.table.setHorizontalHeaderLabels([title for title, _ in _COLUMNS])
        for column, (_, hint) in enumerate(_COLUMNS):
            self.table.horizontalHeaderItem(column).setToolTip(hint)
        header = self.table.horizontalHeader()
        header.setMinimumSectionSize(24)
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        for column in (2, 3):
            header.setSectionResizeMode(column, QHeaderView.ResizeMode.Stretch)
        self.table.setStyleSheet("QTableWidget::item { padding: 0px 2px; }")
        self.table.verticalHeader().hide()
        self.table.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.table.setSelectionBehavior(QTableWidget.SelectionBehavior.SelectRows)
        self.table.itemChanged.connect(self._edited)
        return self.table

    def _build_more(self) -> CollapsibleGroup:
        box = CollapsibleGroup("More settings")
        rows = form()
        self.batch = spin(2, 1024, "Regions in a batch; less needs less memory.")
        self.seed = spin(0, 2**31 - 1, "The same seed gives the same training.")
        self.share = share(0.05, 0.5, "Share of the metaphases that is kept to check on.")
        self.folds = spin(
            1, 20, "1: one split. More: every metaphase is checked once, which takes as many times "
            "as long; the first split's model is kept."
        )  # fmt: skip
        self.composed = share(0.0, 1.0, "Share of composed clusters among the training clusters.")
        self.average = share(
            0.0, 0.9999, "Decay of the running average of the weights; 0 keeps the weights as they "
            "are. For long trainings, such as 0.999."
        )  # fmt: skip
        self.average.setDecimals(4)
        self.patience = spin(
            0, 100, "Epochs without a gain after which a stage ends early; 0 never ends it early."
        )
        self.device = combo("Where to train; auto takes a GPU if there is one.")
        self.device.addItems(["auto", "cpu", "cuda", "mps"])
        self.interpolation = QCheckBox("Keep what it knew")
        self.interpolation.setToolTip(
            "On: the new model keeps as much of the one it starts from as the metaphases to check "
            "on allow, so that a few metaphases do not make it forget others."
        )
        self.names = QCheckBox("Name the metaphases in it")
        self.names.setToolTip("Off: the model file names the groups only by hash.")
        for title, widget in (
            ("Batch size", self.batch), ("Seed", self.seed), ("To check on", self.share),
            ("Folds", self.folds), ("Composed", self.composed), ("Stop early", self.patience),
            ("Averaging", self.average), ("Device", self.device),
        ):  # fmt: skip
            rows.addRow(title, widget)
        box.layout_.addLayout(rows)
        box.layout_.addWidget(self.interpolation)
        box.layout_.addWidget(self.names)
        box.header.setChecked(False)
        for box_ in (
            self.batch, self.seed, self.share, self.folds, self.composed, self.patience,
            self.average,
        ):  # fmt: skip
            box_.valueChanged.connect(self._changed)
        self.device.currentTextChanged.connect(self._changed)
        self.interpolation.toggled.connect(self._changed)
        self.names.toggled.connect(self._changed)
        return box

    # ---------------------------------------------------------------- values

    def config(self) -> TrainingConfig:
        """Return the displayed configuration.

        Raises
        ------
        ConfigError
            If a cell is not a number or the configuration is invalid.
        """
        return self._base.replace(
            stages=tuple(self._stage(row) for row in range(self.table.rowCount())),
            batch_size=self.batch.value(),
            seed=self.seed.value(),
            validation_share=self.share.value(),
            folds=self.folds.value(),
            composed_share=self.composed.value(),
            composed_clusters=(
                (self._base.composed_clusters or 400) if self.composed.value() > 0 else 0
            ),
            stop_after=self.patience.value(),
            average_decay=self.average.value(),
            device=self.device.currentText(),
            way_back=self.interpolation.isChecked(),
            names_in_card=self.names.isChecked(),
        )

    def _stage(self, row: int) -> StageConfig:
        def text(column: int) -> str:
            return str(self.table.item(row, column).text()).strip()

        try:
            return StageConfig(
                name=text(0) or f"stage {row + 1}",
                epochs=int(text(1)),
                lr_body=float(text(2).replace(",", ".")),
                lr_head=float(text(3).replace(",", ".")),
                freeze_body=self.table.item(row, 4).checkState() == Qt.CheckState.Checked,
                image_size=int(text(5)),
            )
        except ValueError:
            raise ConfigError(
                f"Stage {row + 1} holds something that is not a number: correct the stages table."
            ) from None

    def show_config(self, config: TrainingConfig) -> None:
        """Show a configuration, such as that of a backbone or of a past run."""
        self._base = config
        self._filling = True
        self.table.setRowCount(0)
        for stage in config.stages:
            self._append(stage)
        self.batch.setValue(config.batch_size)
        self.seed.setValue(config.seed)
        self.share.setValue(config.validation_share)
        self.folds.setValue(config.folds)
        self.composed.setValue(config.composed_share)
        self.patience.setValue(config.stop_after)
        self.average.setValue(config.average_decay)
        self.device.setCurrentText(config.device)
        self.interpolation.setChecked(config.way_back)
        self.names.setChecked(config.names_in_card)
        self._filling = False
        self._fit_height()
        self.changed.emit()

    def use_rate(self, row: int, rate: float) -> None:
        """Set the head's rate to the one found, and scale the body's rate by the same factor."""
        stage = self._stage(row)
        ratio = stage.lr_body / stage.lr_head if stage.lr_head else 0.0
        self.table.item(row, 3).setText(rate_text(rate))
        self.table.item(row, 2).setText(rate_text(rate * ratio))

    def chosen_row(self) -> int:
        """Return the selected stage, else the last."""
        rows = {index.row() for index in self.table.selectedIndexes()}
        return int(max(rows)) if rows else int(self.table.rowCount()) - 1

    def _append(self, stage: StageConfig) -> None:
        row = self.table.rowCount()
        self.table.insertRow(row)
        values = (
            stage.name, str(stage.epochs), rate_text(stage.lr_body), rate_text(stage.lr_head), "",
            str(stage.image_size),
        )  # fmt: skip
        for column, value in enumerate(values):
            item = QTableWidgetItem(value)
            item.setToolTip(_COLUMNS[column][1])
            if column == 4:
                item.setFlags(
                    (item.flags() | Qt.ItemFlag.ItemIsUserCheckable) & ~Qt.ItemFlag.ItemIsEditable
                )
                state = Qt.CheckState.Checked if stage.freeze_body else Qt.CheckState.Unchecked
                item.setCheckState(state)
            elif column:
                item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
            self.table.setItem(row, column, item)

    def _fit_height(self) -> None:
        rows = sum(self.table.rowHeight(row) for row in range(self.table.rowCount()))
        self.table.setFixedHeight(self.table.horizontalHeader().sizeHint().height() + rows + 6)

    def _preset_chosen(self, name: str) -> None:
        self.preset_combo.setToolTip(_PRESET_HINTS.get(name, ""))
        self.show_config(preset(name))
        self.preset_chosen.emit(name)

    def _add(self) -> None:
        last = self._stage(self.table.rowCount() - 1)
        self._filling = True
        self._append(dataclasses.replace(last, name=f"stage {self.table.rowCount() + 1}"))
        self._filling = False
        self._fit_height()
        self._changed()

    def _drop(self) -> None:
        if self.table.rowCount() > 1:
            self.table.removeRow(self.chosen_row())
            self._fit_height()
            self._changed()

    def _edited(self, item: Any) -> None:
        self._changed()

    def _changed(self, *_: Any) -> None:
        if not self._filling:
            self.drop_button.setEnabled(self.table.rowCount() > 1)
            self.changed.emit()


def rate_text(rate: float) -> str:
    """Return a learning rate in its shortest form: ``1e-4``, ``2.5e-5``, ``0``."""
    if rate == 0:
        return "0"
    digits, _, power = f"{rate:.2e}".partition("e")
    return f"{digits.rstrip('0').rstrip('.')}e{int(power)}"
