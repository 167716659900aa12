"""The panels of the review dock around the gallery."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import pandas as pd
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QAbstractItemView,
    QCheckBox,
    QFormLayout,
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QMenu,
    QPushButton,
    QSizePolicy,
    QSpinBox,
    QTableWidget,
    QTableWidgetItem,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_chromocluster.cluster_types import TYPES
from napari_chromocluster.results.summary import MetaphaseSummary, count_warning
from napari_chromocluster.widgets.common.widgets import AMBER, Legend
from napari_chromocluster.widgets.review.shortcuts import key_of

_RIGHT = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter


def button(text: str, tooltip: str, action: Callable[[], object]) -> QPushButton:
    """Return a push button that does not take the focus from the gallery when clicked."""
    made = QPushButton(text)
    made.setToolTip(tooltip)
    made.setFocusPolicy(Qt.FocusPolicy.TabFocus)
    made.setMinimumWidth(10)
    made.clicked.connect(lambda _checked=False: action())
    return made


class PromptBar(QFrame):
    """A question that only the user can answer, with a button for each answer."""

    def __init__(self) -> None:
        super().__init__()
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(8, 6, 8, 6)
        self._label = QLabel()
        self._label.setWordWrap(True)
        self._layout.addWidget(self._label)
        self._buttons: list[QPushButton] = []
        self.setStyleSheet(f"PromptBar {{ border: 2px solid {AMBER}; border-radius: 4px; }}")
        self.hide()

    @property
    def text(self) -> str:
        """The question, or empty."""
        return "" if self.isHidden() else str(self._label.text())

    @property
    def answers(self) -> dict[str, QPushButton]:
        """The buttons by their text."""
        return {str(one.text()): one for one in self._buttons}

    def ask(self, question: str, answers: Mapping[str, Callable[[], object]]) -> None:
        """Ask a question; the bar is hidden when a button is clicked."""
        for old in self._buttons:
            self._layout.removeWidget(old)
            old.deleteLater()
        self._buttons = []
        self._label.setText(question)
        for text, action in answers.items():

            def answer(chosen: Callable[[], object] = action) -> None:
                self.hide()
                chosen()

            made = button(text, "", answer)
            self._buttons.append(made)
            self._layout.addWidget(made)
        self.show()


class TypeBar(QWidget):
    """A button for each type, plus navigation, accept, undo and redo."""

    chosen = Signal(object)

    def __init__(self, colors: Mapping[str, str], target: object) -> None:
        super().__init__()
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setSpacing(4)
        self._kinds = {}
        for place, kind in enumerate(TYPES):
            made = button(
                f"{kind.key}  {kind.letter}",
                f"The selected regions are {kind.display_name} (key {kind.key}).",
                partial(self.chosen.emit, kind),
            )
            made.setAccessibleName(kind.display_name)
            grid.addWidget(made, 0, place)
            self._kinds[kind] = made
        self.set_colors(colors)
        self.previous = self._add(grid, 1, 0, "◀", "go", -1, "Previous region to review", target)
        self.next = self._add(grid, 1, 1, "▶", "go", 1, "Next region to review", target)
        self.accept = self._add(grid, 1, 2, "✓", "accept", None, "Accept the type", target)
        self.undo = self._add(grid, 1, 3, "↶", "undo", None, "Undo", target)
        self.redo = self._add(grid, 1, 4, "↷", "redo", None, "Redo", target)

    def set_colors(self, colors: Mapping[str, str]) -> None:
        """Apply the colors that the user chose."""
        for kind, made in self._kinds.items():
            color = colors.get(str(kind), kind.color)
            # A border on focus, so that keyboard users can see the focused button.
            made.setStyleSheet(
                f"QPushButton {{ background: {color}; color: black; font-weight: bold; }}"
                "QPushButton:focus { border: 2px solid palette(text); }"
            )

    @staticmethod
    def _add(
        grid: QGridLayout,
        row: int,
        column: int,
        text: str,
        action: str,
        argument: object,
        tooltip: str,
        target: object,
    ) -> QPushButton:
        method = getattr(target, action)
        call = method if argument is None else lambda: method(argument)
        made = button(text, f"{tooltip} (key {key_of(action, argument)}).", call)
        made.setAccessibleName(tooltip)
        grid.addWidget(made, row, column)
        return made

    def set_steps(self, undo: str, redo: str) -> None:
        """Show in the tooltips what undo and redo would do."""
        for made, word, text in ((self.undo, "Undo", undo), (self.redo, "Redo", redo)):
            made.setEnabled(bool(text))
            key = key_of(word.lower())
            made.setToolTip(f"{word}: {text} ({key})." if text else f"Nothing to {word.lower()}.")


class EditPanel(QWidget):
    """Split, merge, delete and reclassify regions."""

    line_toggled = Signal(bool)

    def __init__(self, target: object) -> None:
        super().__init__()
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setSpacing(4)
        self.line = QPushButton("Split by a line")
        self.line.setCheckable(True)
        self.line.setMinimumWidth(10)
        self.line.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.line.setToolTip("Then drag across a region in the picture.")
        self.line.toggled.connect(self.line_toggled)

        def call(name: str) -> Callable[[], object]:
            return lambda: getattr(target, name)()

        self.suggest = button("Split at neck", "Cut the selected region where it is narrowest "
                              "and faintest (watershed).", call("split_watershed"))  # fmt: skip
        self.merge = button("Merge", "Join the selected regions to one.", call("merge"))
        self.delete = button("Delete", "Turn the selected regions into background.",
                             call("delete"))  # fmt: skip
        self.classify = button("Classify again", "", call("reclassify"))
        self.automatic = QCheckBox("automatically")
        self.automatic.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.automatic.setToolTip("Classify regions again as soon as their pixels have changed.")
        grid.addWidget(self.line, 0, 0)
        grid.addWidget(self.suggest, 0, 1)
        grid.addWidget(self.merge, 1, 0)
        grid.addWidget(self.delete, 1, 1)
        grid.addWidget(self.classify, 2, 0)
        grid.addWidget(self.automatic, 2, 1)

    def set_state(self, selected: int, waiting: int, busy: bool) -> None:
        """Enable available actions; a disabled button gives the reason in its tooltip."""
        rules = (
            (self.suggest, selected == 1, "Select one region first.",
             "Cut the selected region where it is narrowest and faintest (watershed)."),
            (self.merge, selected > 1, "Select two or more regions first.",
             "Join the selected regions to one."),
            (self.delete, selected > 0, "Select regions first.",
             "Turn the selected regions into background; undo brings them back."),
            (self.classify, waiting > 0 and not busy,
             "Wait for the model." if busy else "No region has changed since it was classified.",
             "Classify regions that are new or whose pixels have changed."),
        )  # fmt: skip
        for made, on, why_not, what in rules:
            made.setEnabled(on)
            made.setToolTip(what if on else why_not)
        self.classify.setText(f"Classify again ({waiting})" if waiting else "Classify again")


class SummaryPanel(QWidget):
    """Counts, number of chromosomes and score of the metaphase; ranking of many."""

    expected_changed = Signal(int)
    chosen = Signal(str)

    def __init__(self, colors: Mapping[str, str], expected: int | None) -> None:
        super().__init__()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self.legend = Legend()
        self.legend.set_colors(colors)
        layout.addWidget(self.legend)
        form = QFormLayout()
        form.setContentsMargins(0, 0, 0, 0)
        self.chromosomes = QLabel("–")
        self.chromosomes.setToolTip("Estimated from the types and the areas of the clusters.")
        self.expected = QSpinBox()
        self.expected.setRange(0, 400)
        self.expected.setSpecialValueText("not known")
        self.expected.setValue(expected or 0)
        self.expected.setButtonSymbols(QSpinBox.ButtonSymbols.NoButtons)
        self.expected.setToolTip(
            "Chromosomes in a cell: for the score, and for regions classified again; "
            "0 if it is not known."
        )
        self.expected.valueChanged.connect(self.expected_changed)
        self.score = QLabel("–")
        self.score.setToolTip(
            "0 to 100: fewer and milder clusters, and a count near the expected one, are better."
        )
        self.advice = QLabel()
        self.advice.setWordWrap(True)
        self.advice.hide()
        form.addRow("Chromosomes", self.chromosomes)
        form.addRow("Expected", self.expected)
        form.addRow("Score", self.score)
        layout.addLayout(form)
        layout.addWidget(self.advice)
        self.table = QTableWidget(0, 4)
        self.table.setHorizontalHeaderLabels(["Metaphase", "Score", "Chrom.", "Clusters"])
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.table.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.table.verticalHeader().hide()
        head = self.table.horizontalHeader()
        head.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        head.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        self.table.setMinimumHeight(140)
        self.table.setToolTip("From best to worst; Enter or a double click goes there.")
        self.table.itemActivated.connect(
            lambda item: self.chosen.emit(self.table.item(item.row(), 0).text())
        )
        self.table.hide()
        layout.addWidget(self.table)

    def show_summary(self, summary: MetaphaseSummary, stale: int) -> None:
        """Show the summary of a metaphase."""
        self.legend.set_counts(summary.counts)
        self.chromosomes.setText(f"about {summary.chromosomes}")
        advice = count_warning(summary.chromosomes, summary.expected)
        self.advice.setText(advice)
        self.advice.setVisible(bool(advice))
        for label in (self.chromosomes, self.advice):
            label.setStyleSheet(f"color: {AMBER};" if advice else "")
        note = f", {stale} not up to date" if stale else ""
        self.score.setText(f"{summary.score:.0f} of 100{note}")

    def show_ranking(self, ranking: pd.DataFrame) -> None:
        """Show metaphases from best to worst."""
        self.table.setRowCount(len(ranking))
        for row, values in enumerate(ranking.itertuples(index=False)):
            texts = (str(values[0]), f"{values[1]:.0f}", str(values[2]), str(values[3]))
            for column, text in enumerate(texts):
                item = QTableWidgetItem(text)
                if column:
                    item.setTextAlignment(_RIGHT)
                self.table.setItem(row, column, item)
        self.table.show()


class SavePanel(QWidget):
    """Where the review is saved, and the export menu."""

    def __init__(self, exports: Sequence[tuple[str, str, Callable[[], object]]]) -> None:
        super().__init__()
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        self.label = QLabel("Nothing to save yet.")
        self.label.setWordWrap(True)
        self.label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.menu_button = QToolButton()
        self.menu_button.setText("Export…")
        self.menu_button.setStyleSheet("QToolButton::menu-indicator { image: none; }")
        self.menu_button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        self.menu_button.setToolTip("Tables, figures and rankings; and where the review is saved.")
        self.menu_button.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self._tooltips: dict[str, str] = {}
        self._entries = {}
        menu = QMenu(self.menu_button)
        menu.setToolTipsVisible(True)
        for text, tooltip, action in exports:
            if not text:
                menu.addSeparator()
                continue
            entry = menu.addAction(text)
            entry.setToolTip(tooltip)
            entry.triggered.connect(lambda _checked=False, one=action: one())
            self._entries[text], self._tooltips[text] = entry, tooltip
        self.menu_button.setMenu(menu)
        row.addWidget(self.label, 1)
        row.addWidget(self.menu_button)

    def enable(self, text: str, why_not: str) -> None:
        """Enable a menu entry, or disable it and give the reason in its tooltip."""
        self._entries[text].setEnabled(not why_not)
        self._entries[text].setToolTip(why_not or self._tooltips[text])
