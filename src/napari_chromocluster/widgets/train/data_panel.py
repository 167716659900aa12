"""The training data: open layers, annotation files and folders, with counts and warnings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from qtpy.QtCore import Qt, QTimer, Signal
from qtpy.QtGui import QBrush, QColor
from qtpy.QtWidgets import (
    QAbstractItemView,
    QCheckBox,
    QFileDialog,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_chromocluster.cluster_types import TYPES
from napari_chromocluster.results.annotation_groups import name_groups
from napari_chromocluster.results.annotations import read_rows
from napari_chromocluster.training.config import TrainingConfig
from napari_chromocluster.training.data.summary import CHECK, FEW, DataSummary, summarize_data
from napari_chromocluster.viewer.layer_annotations import LayerPair, layer_groups, open_pairs
from napari_chromocluster.viewer.layers import labels_layers
from napari_chromocluster.widgets.common.worker import Worker
from napari_chromocluster.widgets.train.controls import button

_KEY = Qt.ItemDataRole.UserRole
#: Maximum number of groups listed per source; the counts include all.
_MOST_GROUPS = 200
#: Maximum height of the table, in px.
_HIGHEST = 190
_AMBER = "#E69F00"
_LAYER = "layer "


@dataclass(frozen=True)
class DataCount:
    """The annotations of each source, and the summary of those that are used."""

    titles: dict[str, str]
    tables: dict[str, pd.DataFrame]
    inventory: DataSummary


def count(
    pairs: Mapping[str, LayerPair],
    files: Mapping[str, pd.DataFrame],
    off: set[str],
    promoted: bool,
    config: TrainingConfig,
) -> DataCount:
    """Count the annotations of layers and files; slow, so run it in a thread.

    Parameters
    ----------
    pairs : mapping of str to LayerPair
        Open layers by the name of their source.
    files : mapping of str to DataFrame
        Annotations that were read (`read_rows`), by their file or folder.
    off : set of str
        Sources that are not used.
    promoted : bool
        Whether to include what only the model decided.
    config : TrainingConfig
        Determines the split.
    """
    files = _with_groups(files, off)
    used = [table for name, table in files.items() if name not in off]
    groups = layer_groups(pairs.values(), pd.concat(used) if used else pd.DataFrame(), promoted)
    tables: dict[str, pd.DataFrame] = {}
    for name, pair in pairs.items():
        table = pair.annotations(promoted)
        if len(table):
            tables[name] = table.assign(group=table["image"].map(groups))
    tables.update(files)
    images = [pairs[name].image for name in tables if name in pairs]
    titles = {
        # The image's name is shorter and sufficient, unless the image has several labels layers.
        name: pairs[name].image if images.count(pairs[name].image) == 1 else pairs[name].labels
        for name in tables
        if name in pairs
    }
    titles.update({name: _short(name) for name in files})
    kept = {name: table for name, table in tables.items() if name not in off}
    return DataCount(titles, tables, summarize_data(kept, config))


def _what_divides(config: TrainingConfig) -> tuple[object, ...]:
    """Return the settings that determine the validation groups and the related texts."""
    return (
        config.folds, config.fold, config.validation_share, config.validation_groups,
        config.base_model,
    )  # fmt: skip


def _with_groups(files: Mapping[str, pd.DataFrame], off: set[str]) -> dict[str, pd.DataFrame]:
    """Name the groups of files as training does, jointly for all files that are used."""
    named = {name: name_groups(table) for name, table in files.items() if name in off}
    used = {name: table for name, table in files.items() if name not in off}
    if used:
        together = name_groups(
            pd.concat([table.assign(source=name) for name, table in used.items()])
        )
        named |= {name: together[together["source"] == name] for name in used}
    return {name: named[name] for name in files}


class DataPanel(QWidget):
    """The table of sources and its warnings.

    Parameters
    ----------
    viewer : napari.Viewer
        The viewer whose annotated layers are listed.
    """

    changed = Signal()
    failed = Signal(str)

    def __init__(self, viewer: Any) -> None:
        super().__init__()
        self.viewer = viewer
        self.config: TrainingConfig | None = None
        self.inventory: DataSummary | None = None
        self._files: dict[str, pd.DataFrame] = {}
        self._off: set[str] = set()
        self._task: Worker | None = None
        self._waiting: list[str] = []
        self._count: Worker | None = None
        self._again = self._released = False
        self._build()
        # Painting and reviewing change the tables often, so they are counted after a pause.
        self._pause = QTimer(self)
        self._pause.setSingleShot(True)
        self._pause.setInterval(300)
        self._pause.timeout.connect(self.refresh)
        self._connected: list[Any] = []
        viewer.layers.events.inserted.connect(self._layers_changed)
        viewer.layers.events.removed.connect(self._layers_changed)
        self._layers_changed()

    def _build(self) -> None:
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self.tree = QTreeWidget()
        self.tree.setColumnCount(1 + len(TYPES))
        self.tree.setHeaderLabels(["Metaphases", *(kind.letter for kind in TYPES)])
        for column, kind in enumerate(TYPES, start=1):
            self.tree.headerItem().setToolTip(column, f"{kind.display_name} regions")
            self.tree.headerItem().setTextAlignment(column, Qt.AlignmentFlag.AlignRight)
        header = self.tree.header()
        header.setStretchLastSection(False)
        header.setMinimumSectionSize(24)
        header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        self.tree.setIndentation(14)
        self.tree.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.tree.itemExpanded.connect(self._fit_height)
        self.tree.itemCollapsed.connect(self._fit_height)
        self.tree.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.tree.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.tree.itemChanged.connect(self._ticked)
        self.tree.itemSelectionChanged.connect(self._selected)
        layout.addWidget(self.tree)
        self.split = QLabel("")
        self.split.setWordWrap(True)
        self.split.setToolTip("A metaphase is used for training or for validation, never for both.")
        layout.addWidget(self.split)
        row = QHBoxLayout()
        self.add_file = button("Add file…", "Add an annotation file (CSV).", self._ask_file)
        self.add_folder = button(
            "Add folder…", "Add a folder with one subfolder per type.", self._ask_folder
        )
        self.remove = button(
            "Remove",
            "Take the selected files out of the list; untick layers instead.",
            self._remove,
        )
        for one in (self.add_file, self.add_folder, self.remove):
            row.addWidget(one)
        layout.addLayout(row)
        self.remove.setEnabled(False)
        self.promoted = QCheckBox("Also what only the model decided")
        self.promoted.setToolTip(
            "Off: only regions whose type was set by hand are used. On: those that a model "
            "classified too, with its mistakes."
        )
        self.promoted.toggled.connect(self.refresh)
        layout.addWidget(self.promoted)
        self.warnings = QLabel("")
        self.warnings.setWordWrap(True)
        self.warnings.setTextFormat(Qt.TextFormat.PlainText)
        layout.addWidget(self.warnings)

    # ---------------------------------------------------------------- sources

    def pairs(self) -> dict[str, LayerPair]:
        """Return snapshots of the open pairs of layers, by the name of their source."""
        return {f"{_LAYER}{pair.labels}": pair for pair in open_pairs(self.viewer)}

    def used_pairs(self) -> list[LayerPair]:
        """Return the checked pairs of layers."""
        return [pair for name, pair in self.pairs().items() if name not in self._off]

    def files(self) -> list[str]:
        """Return the checked annotation files and folders."""
        return [name for name in self._files if name not in self._off]

    def add_sources(self, paths: Sequence[str | Path]) -> None:
        """Read annotation files or folders in the background and list them."""
        self._waiting += [str(Path(path).expanduser().resolve()) for path in paths]
        self._read_next()

    def _read_next(self) -> None:
        if self._task is not None or not self._waiting:
            return
        path = self._waiting.pop(0)
        self._task = Worker(lambda progress, stop: read_rows(path), self)
        self._task.succeeded.connect(lambda table: self._files.update({path: table}))
        self._task.failed.connect(self.failed)
        self._task.ended.connect(self._read)
        self._task.start()

    def _read(self) -> None:
        self._task = None
        self.refresh()
        self._read_next()

    def _ask_file(self) -> None:
        found, _ = QFileDialog.getOpenFileNames(
            self, "Add annotation files", "", "Annotations (*.csv)"
        )
        self.add_sources(found)

    def _ask_folder(self) -> None:
        found = QFileDialog.getExistingDirectory(self, "Add a folder with a subfolder per type")
        if found:
            self.add_sources([found])

    def _chosen_files(self) -> list[str]:
        names = [str(item.data(0, _KEY)) for item in self.tree.selectedItems()]
        return [name for name in names if name in self._files]

    def _selected(self) -> None:
        self.remove.setEnabled(bool(self._chosen_files()))

    def _remove(self) -> None:
        for name in self._chosen_files():
            del self._files[name]
        self.remove.setEnabled(False)
        self.refresh()

    def _layers_changed(self, event: Any = None) -> None:
        for layer in self._connected:
            layer.events.features.disconnect(self._features_changed)
            layer.events.name.disconnect(self._features_changed)
        self._connected = labels_layers(self.viewer)
        for layer in self._connected:
            layer.events.features.connect(self._features_changed)
            layer.events.name.connect(self._features_changed)
        self._features_changed()

    def _features_changed(self, event: Any = None) -> None:
        self._pause.start()

    # ---------------------------------------------------------------- showing

    def set_config(self, config: TrainingConfig) -> None:
        """Apply the split settings of a configuration."""
        had = self.config
        self.config = config
        if had is None or _what_divides(config) != _what_divides(had):
            self._pause.start()

    def refresh(self, event: Any = None) -> None:
        """Count again in the background, and update table and warnings."""
        if self.config is None or self._released:
            return
        if self._count is not None:
            self._again = True
            return
        pairs, files, off = self.pairs(), dict(self._files), set(self._off)
        promoted, config = self.promoted.isChecked(), self.config
        self._count = Worker(
            lambda progress, stop: count(pairs, files, off, promoted, config), self
        )
        self._count.succeeded.connect(self._show)
        self._count.failed.connect(self.failed)
        self._count.ended.connect(self._counted)
        self._count.start()

    def _counted(self) -> None:
        self._count = None
        if self._again:
            self._again = False
            self.refresh()

    @property
    def busy(self) -> bool:
        """Whether something is being read or counted, or is pending."""
        return (
            self._task is not None
            or self._count is not None
            or bool(self._waiting)
            or bool(self._pause.isActive())
        )

    def _show(self, counted: DataCount) -> None:
        inventory = self.inventory = counted.inventory
        self.tree.blockSignals(True)
        opened = {str(item.data(0, _KEY)) for item in _top_items(self.tree) if item.isExpanded()}
        self.tree.clear()
        for name in counted.tables:
            item = QTreeWidgetItem([counted.titles[name]])
            item.setToolTip(0, name)
            item.setData(0, _KEY, name)
            item.setFlags(item.flags() | Qt.ItemFlag.ItemIsUserCheckable)
            on = name not in self._off
            item.setCheckState(0, Qt.CheckState.Checked if on else Qt.CheckState.Unchecked)
            if on:
                _set_counts(item, [inventory.counts[name][kind] for kind in TYPES])
                self._add_groups(item, inventory.groups[inventory.groups["source"] == name])
            self.tree.addTopLevelItem(item)
            item.setExpanded(name in opened)
        self._add_total(inventory)
        self.tree.blockSignals(False)
        self._fit_height()
        lines = [inventory.problem, *inventory.warnings]
        self.warnings.setText("\n".join(f"• {line}" for line in lines if line))
        self.warnings.setVisible(any(lines))
        self.changed.emit()

    def _fit_height(self) -> None:
        """Fit the height to the sources, up to a maximum."""
        row = max(self.tree.sizeHintForRow(0), 14)
        shown = sum(
            1 + (item.childCount() if item.isExpanded() else 0) for item in _top_items(self.tree)
        )
        height = self.tree.header().sizeHint().height() + row * max(shown, 2) + 6
        self.tree.setFixedHeight(min(height, _HIGHEST))

    def _add_groups(self, parent: QTreeWidgetItem, groups: pd.DataFrame) -> None:
        for row in groups.head(_MOST_GROUPS).to_dict("records"):
            child = QTreeWidgetItem([f"{row['group']} ({row['side']})"])
            folds = self.config is not None and self.config.folds > 1
            model = "the model that is kept: " if folds else ""
            child.setToolTip(0, f"{row['group']}: {model}used to {row['side']}")
            _set_counts(child, [int(row[str(kind)]) for kind in TYPES])
            parent.addChild(child)

    def _add_total(self, inventory: DataSummary) -> None:
        sides = inventory.groups.drop_duplicates("group")["side"]
        number, checked = len(sides), int(sides.eq(CHECK).sum())
        self.split.setText(
            _split_text(number, checked, 1 if self.config is None else self.config.folds)
        )
        self.split.setVisible(bool(checked))
        total = QTreeWidgetItem(["Total"])
        total.setFlags(Qt.ItemFlag.ItemIsEnabled)
        _set_counts(total, [inventory.totals[kind] for kind in TYPES])
        font = total.font(0)
        font.setBold(True)
        for column, kind in enumerate(TYPES, start=1):
            total.setFont(column, font)
            if inventory.totals[kind] < FEW and kind.is_cluster and number:
                total.setForeground(column, QBrush(QColor(_AMBER)))
                total.setToolTip(column, "Few to learn from.")
        total.setFont(0, font)
        self.tree.addTopLevelItem(total)

    def _ticked(self, item: QTreeWidgetItem) -> None:
        name = item.data(0, _KEY)
        if name is None:
            return
        if item.checkState(0) == Qt.CheckState.Checked:
            self._off.discard(str(name))
        else:
            self._off.add(str(name))
        self._pause.start()

    def release(self) -> None:
        """Disconnect from the viewer, and stop reading and counting."""
        self._released = True
        self._pause.stop()
        self._waiting.clear()
        for task in (self._task, self._count):
            if task is not None:
                task.cancel()
        self.viewer.layers.events.inserted.disconnect(self._layers_changed)
        self.viewer.layers.events.removed.disconnect(self._layers_changed)
        for layer in self._connected:
            layer.events.features.disconnect(self._features_changed)
            layer.events.name.disconnect(self._features_changed)
        self._connected = []


def _split_text(number: int, checked: int, folds: int) -> str:
    """Return a text on the number of training and validation metaphases."""
    if not checked:
        return ""
    metaphases = _many(number, "metaphase")
    if folds > 1:
        return (
            f"{metaphases} in {folds} folds: each is checked on once. The model that is kept "
            f"learns from {number - checked} and is checked on {checked}"
        )
    return f"{metaphases}: learn from {number - checked}, check on {checked}"


def _short(name: str) -> str:
    path = Path(name)
    return f"{path.parent.name}/{path.name}" if path.suffix else f"{path.name}/"


def _many(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def _set_counts(item: QTreeWidgetItem, numbers: Sequence[int]) -> None:
    for column, number in enumerate(numbers, start=1):
        item.setText(column, str(number) if number else "·")
        item.setTextAlignment(column, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)


def _top_items(tree: QTreeWidget) -> list[QTreeWidgetItem]:
    return [tree.topLevelItem(row) for row in range(tree.topLevelItemCount())]
