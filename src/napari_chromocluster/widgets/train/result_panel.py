"""The result of a training run: metrics compared with the old model, confusion matrix, mistakes."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QSize, Qt, QTimer, Signal
from qtpy.QtGui import QBrush, QColor, QIcon, QPainter, QPixmap
from qtpy.QtWidgets import (
    QAbstractItemView,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QLineEdit,
    QListView,
    QListWidget,
    QListWidgetItem,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from napari_chromocluster.cluster_types import TYPES, ClusterType
from napari_chromocluster.training.runs.report_data import Mistake, Report
from napari_chromocluster.training.runs.run_folder import Run
from napari_chromocluster.widgets.train.calibration_plot import CalibrationPlot
from napari_chromocluster.widgets.train.controls import button, form
from napari_chromocluster.widgets.train.runs_panel import open_report

_BETTER, _WORSE = "#009E73", "#D55E00"
_PER_TYPE = (
    ("sensitivity", "Sens.", "Share of the regions of this type that were found."),
    ("specificity", "Spec.", "Share of all other regions that were not taken for this type."),
    ("f1", "F1", "Balance of sensitivity and precision."),
    ("auroc", "AUC", "Area under the ROC curve: how well the type is separated at any threshold."),
)
#: The six metrics of the headline, and whether lower is better.
_OVERALL = (
    ("accuracy", False), ("macro_sensitivity", False), ("macro_specificity", False),
    ("kappa", False), ("auroc", False), ("ece", True),
)  # fmt: skip
_ICON = 64
#: Number of thumbnails that are drawn at once.
_AT_ONCE = 20
_GAP = 10


class ResultPanel(QWidget):
    """The report of a run, and actions for its model."""

    #: A mistake was clicked; carries the `Mistake`.
    mistake_chosen = Signal(object)
    #: Use the model under this name.
    use = Signal(object, str)
    discard = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self.run: Run | None = None
        self.report: Report | None = None
        self._unframed: list[tuple[QListWidgetItem, str, str]] = []
        self._later = QTimer(self)
        self._later.setSingleShot(True)
        self._later.setInterval(5)
        self._later.timeout.connect(self._draw_some)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self.headline = QLabel("")
        self.headline.setWordWrap(True)
        layout.addWidget(self.headline)
        self.note = QLabel("")
        self.note.setWordWrap(True)
        layout.addWidget(self.note)
        self._build_buttons(layout)
        self.types = _table(len(TYPES), 1 + len(_PER_TYPE))
        self.types.horizontalHeader().setSectionResizeMode(
            0, QHeaderView.ResizeMode.ResizeToContents
        )
        self.types.setHorizontalHeaderLabels(["n", *(title for _, title, _ in _PER_TYPE)])
        for column, (_, _, hint) in enumerate(_PER_TYPE, start=1):
            self.types.horizontalHeaderItem(column).setToolTip(hint)
        layout.addWidget(_title("Each type, in %, with the change against the old model"))
        layout.addWidget(self.types)
        layout.addWidget(_title("Confusion matrix: rows true, columns predicted"))
        self.matrix = _table(len(TYPES), len(TYPES))
        self.matrix.setHorizontalHeaderLabels([kind.letter for kind in TYPES])
        layout.addWidget(self.matrix)
        for table in (self.types, self.matrix):
            table.setVerticalHeaderLabels([kind.letter for kind in TYPES])
            for row, kind in enumerate(TYPES):
                table.verticalHeaderItem(row).setToolTip(kind.display_name)
            _fit_height(table)
        self.calibration = CalibrationPlot()
        layout.addWidget(self.calibration)
        self.mistakes_label = QLabel("")
        layout.addWidget(self.mistakes_label)
        self.mistakes = _mistake_list()
        self.mistakes.itemClicked.connect(self._mistake_clicked)
        self.mistakes.itemActivated.connect(self._mistake_clicked)
        layout.addWidget(self.mistakes)

    def _build_buttons(self, layout: QVBoxLayout) -> None:
        rows = form()
        self.name_edit = QLineEdit()
        self.name_edit.setToolTip("Name of the model in the list.")
        rows.addRow("Name", self.name_edit)
        layout.addLayout(rows)
        row = QHBoxLayout()
        self.use_button = button("Use this model", "", self._use)
        self.report_button = button(
            "Report", "Open the whole report in the browser.",
            lambda: open_report(self.run) if self.run is not None else None,
        )  # fmt: skip
        self.discard_button = button(
            "Discard", "Put this training away; Undo next to the list brings it back.",
            lambda: self.discard.emit(self.run),
        )  # fmt: skip
        row.addWidget(self.use_button, 2)
        row.addWidget(self.report_button, 1)
        row.addWidget(self.discard_button, 1)
        layout.addLayout(row)

    def show_report(self, run: Run, report: Report, name: str) -> None:
        """Show the report of a run."""
        self.run, self.report = run, report
        self.headline.setText(headline(report))
        self.note.setText("\n".join(notes(report)))
        self.note.setVisible(bool(self.note.text()))
        self.name_edit.setText(name)
        self._fill_types(report)
        self._fill_matrix(report.new["confusion_matrix"])
        self.calibration.show_report(report)
        self._fill_mistakes(run, report)
        self.set_used("")

    def set_used(self, name: str) -> None:
        """Show the name of the model if it is already in the list."""
        self.use_button.setEnabled(not name)
        self.use_button.setText("In the list" if name else "Use this model")
        self.use_button.setToolTip(
            f"It is in the list of models as {name}."
            if name
            else "Add it to the list of models; it can be chosen at once."
        )
        self.name_edit.setEnabled(not name)

    def _fill_types(self, report: Report) -> None:
        old = (report.old or {}).get("per_type", {})
        for row, kind in enumerate(TYPES):
            new = report.new["per_type"][str(kind)]
            self.types.setItem(row, 0, _cell(str(new["n"])))
            for column, (figure, _, hint) in enumerate(_PER_TYPE, start=1):
                before = old.get(str(kind), {}).get(figure)
                item = _compared(new[figure], before)
                item.setToolTip(f"{hint} {_both(before, new[figure])}")
                self.types.setItem(row, column, item)

    def _fill_matrix(self, matrix: list[list[int]]) -> None:
        for row, numbers in enumerate(matrix):
            total = max(sum(numbers), 1)
            for column, number in enumerate(numbers):
                item = _cell(str(number) if number else "·")
                color = QColor(_BETTER if row == column else _WORSE)
                color.setAlpha(round(200 * number / total))
                item.setBackground(QBrush(color))
                true, predicted = TYPES[row].display_name, TYPES[column].display_name.lower()
                item.setToolTip(
                    f"{number} of {sum(numbers)} {true.lower()} were called {predicted}"
                )
                self.matrix.setItem(row, column, item)

    def _fill_mistakes(self, run: Run, report: Report) -> None:
        self.mistakes.clear()
        self._unframed.clear()
        number = len(report.mistakes)
        self.mistakes_label.setText(
            f"{_many(number, 'mistake')}: click one to see it in place"
            if number
            else "No mistakes."
        )
        self.mistakes.setVisible(number > 0)
        for mistake in report.mistakes:
            if not mistake.thumbnail:
                continue
            true, predicted = ClusterType(mistake.true), ClusterType(mistake.predicted)
            item = QListWidgetItem(f"{true.letter} → {predicted.letter}")
            self._unframed.append((item, mistake.thumbnail, true.color))
            item.setData(Qt.ItemDataRole.UserRole, mistake)
            item.setToolTip(
                f"{true.display_name}, called {predicted.display_name.lower()} "
                f"({mistake.confidence:.0%} sure); {mistake.group}, region {mistake.label}"
            )
            self.mistakes.addItem(item)
        self._draw_some()

    def _draw_some(self) -> None:
        """Draw some thumbnails now and the rest later, so that the window does not freeze."""
        if self.run is None:
            return
        for item, name, color in self._unframed[:_AT_ONCE]:
            item.setIcon(_framed(self.run, name, color))
        del self._unframed[:_AT_ONCE]
        if self._unframed:
            self._later.start()

    def _mistake_clicked(self, item: QListWidgetItem) -> None:
        self.mistake_chosen.emit(item.data(Qt.ItemDataRole.UserRole))

    def _use(self) -> None:
        self.use.emit(self.run, self.name_edit.text().strip())


def headline(report: Report) -> str:
    """Return a sentence or two on the performance of the new model."""
    new = report.new
    where = f"{new['n']} regions of {_many(len(report.groups), 'metaphase')} it never saw"
    text = (
        f"Accuracy {new['accuracy']:.1%}, macro sensitivity {new['macro_sensitivity']:.1%} on "
        f"{where}."
    )
    if report.old is None:
        return text
    known = [(name, less) for name, less in _OVERALL if name != "ece" or report.calibration_known]
    gains = [is_improvement(new[name], report.old[name], less) for name, less in known]
    better = f"{gains.count(True)} of the {len(gains)} figures over all types"
    return f"{text} Better than {report.old_name} on {better}."


def is_improvement(new: float | None, old: float | None, less: bool = False) -> bool:
    """Return whether a metric is better than before."""
    if new is None or old is None:
        return False
    return new < old if less else new > old


def notes(report: Report) -> list[str]:
    """Return caveats about the metrics."""
    found = report.caveats()
    if not report.calibration_known:
        found.append(report.what_calibration_rests_on())
    if report.new["n"] < 50:
        found.append("Few regions to judge by: take the numbers with care.")
    return found


def _many(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def _both(old: float | None, new: float | None) -> str:
    return " ".join(
        f"{name}: {'not defined' if value is None else f'{value:.3f}'}."
        for name, value in (("Old", old), ("New", new))
    )


def _compared(new: float | None, old: float | None) -> QTableWidgetItem:
    if new is None:
        return _cell("–")
    text = f"{100 * new:.0f}"
    if old is None:
        return _cell(text)
    change = round(100 * new) - round(100 * old)
    item = _cell(f"{text} {change:+d}" if change else text)
    if change:
        item.setForeground(QBrush(QColor(_BETTER if change > 0 else _WORSE)))
    return item


def _cell(text: str) -> QTableWidgetItem:
    item = QTableWidgetItem(text)
    item.setTextAlignment(Qt.AlignmentFlag.AlignCenter)
    return item


def _title(text: str) -> QLabel:
    label = QLabel(text)
    label.setWordWrap(True)
    return label


def _table(rows: int, columns: int) -> QTableWidget:
    table = QTableWidget(rows, columns)
    table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
    table.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
    table.setFocusPolicy(Qt.FocusPolicy.NoFocus)
    table.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    table.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    table.horizontalHeader().setMinimumSectionSize(24)
    table.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
    table.verticalHeader().setDefaultSectionSize(24)
    table.setStyleSheet("QTableWidget::item { padding: 0px; }")
    return table


def _fit_height(table: QTableWidget) -> None:
    table.setFixedHeight(table.horizontalHeader().sizeHint().height() + 24 * table.rowCount() + 4)


def _mistake_list() -> QListWidget:
    view = QListWidget()
    view.setViewMode(QListView.ViewMode.IconMode)
    view.setResizeMode(QListView.ResizeMode.Adjust)
    view.setMovement(QListView.Movement.Static)
    view.setIconSize(QSize(_ICON, _ICON))
    view.setGridSize(QSize(_ICON + _GAP, _ICON + 3 * _GAP))
    view.setMinimumHeight(2 * (_ICON + 3 * _GAP) + 6)
    return view


def _framed(run: Run, name: str, color: str) -> QIcon:
    """Return a thumbnail with a frame in the color of its true type."""
    picture = QPixmap(str(run.report_folder / name))
    framed = QPixmap(_ICON, _ICON)
    framed.fill(QColor(color))
    if not picture.isNull():
        painter = QPainter(framed)
        painter.drawPixmap(3, 3, _ICON - 6, _ICON - 6, picture)
        painter.end()
    return QIcon(framed)


def mistake_place(mistake: Mistake, image: Any) -> tuple[float, float]:
    """Return the center of a mistake, or of the whole image if that is the region."""
    if mistake.labels:
        return mistake.y, mistake.x
    height, width = image.data.shape[:2]
    return height / 2, width / 2
