"""The training dock: data, recipe, progress, result, and past runs."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from qtpy.QtWidgets import QPushButton, QSizePolicy, QVBoxLayout, QWidget

from napari_chromocluster.imaging.io import read_image, read_labels
from napari_chromocluster.models.registry import ModelEntry, register_model
from napari_chromocluster.training.config import ConfigError, TrainingConfig, preset
from napari_chromocluster.training.runs.process import start, terminate
from napari_chromocluster.training.runs.report_data import Mistake, Report, read_report
from napari_chromocluster.training.runs.run_folder import FINISHED, STOPPED, Run, RunError
from napari_chromocluster.viewer.layer_annotations import find_open, prepare_on_layers, show_place
from napari_chromocluster.viewer.scripting import add_regions
from napari_chromocluster.viewer.settings import models_changed
from napari_chromocluster.widgets.common.dock import Dock
from napari_chromocluster.widgets.common.widgets import (
    CollapsibleGroup,
    MessageBar,
    group,
    scrolling,
)
from napari_chromocluster.widgets.common.worker import Worker, error_message
from napari_chromocluster.widgets.train.base_model_panel import BaseModelPanel
from napari_chromocluster.widgets.train.data_panel import DataPanel
from napari_chromocluster.widgets.train.lr_finder_panel import LearningRatePanel
from napari_chromocluster.widgets.train.progress_panel import ProgressPanel
from napari_chromocluster.widgets.train.recipe_panel import RecipePanel
from napari_chromocluster.widgets.train.result_panel import ResultPanel, mistake_place
from napari_chromocluster.widgets.train.run_monitor import RunFollower
from napari_chromocluster.widgets.train.runs_panel import RunRow, RunsPanel

if TYPE_CHECKING:
    import napari

_PAPER_START = "resnext101_32x8d_wsl"
#: Milliseconds after which a training run that does not stop may be terminated.
_PATIENCE = 15_000
#: Milliseconds until Qt has laid out an expanded group.
_LAID_OUT = 50


class TrainWidget(Dock):
    """Train a model on annotated metaphases, in a process that outlives the viewer.

    Parameters
    ----------
    napari_viewer : napari.Viewer
        The viewer.
    """

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        super().__init__(napari_viewer)
        self.follower: RunFollower | None = None
        #: The run that is shown, running or not.
        self.shown: Run | None = None
        self.task: Worker | None = None
        self.stopping = False
        self._reading: Worker | None = None
        self._looked = False
        self._build()
        self._connect()
        self.ending.callback(self._end)
        self._restart_recipe()
        self.data.refresh()
        self.runs.refresh()

    # ---------------------------------------------------------------- layout

    def _build(self) -> None:
        self.data = DataPanel(self.viewer)
        self.start = BaseModelPanel()
        self.stages = RecipePanel()
        self.rates = LearningRatePanel()
        self.live = ProgressPanel()
        self.result = ResultPanel()
        self.runs = RunsPanel()
        inner = QWidget()
        layout = QVBoxLayout(inner)
        layout.setContentsMargins(4, 4, 4, 4)
        self.groups: dict[str, CollapsibleGroup] = {}
        for title, panels in (
            ("Data", (self.data,)),
            ("Recipe", (self.start, self.stages, self.rates)),
            ("Training", (self.live,)),
            ("Result", (self.result,)),
            ("Runs", (self.runs,)),
        ):
            box, content = group(title)
            for panel in panels:
                content.addWidget(panel)
            layout.addWidget(box)
            self.groups[title] = box
        layout.addStretch(1)
        # At a smaller width the stages' learning rates are unreadable.
        self.area = scrolling(inner, 310)
        self.train_button = QPushButton("Train")
        self.train_button.setMinimumHeight(30)
        self.banner = MessageBar()
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(self.area, 1)
        outer.addWidget(self.banner)
        outer.addWidget(self.train_button)
        self.groups["Training"].hide()
        self.groups["Result"].hide()
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)
        self._patience = self.timer(_PATIENCE, self._update)
        self._scroll = self.timer(_LAID_OUT, self._scroll_now)

    def _connect(self) -> None:
        self.train_button.clicked.connect(self._button_clicked)
        self.data.changed.connect(self._update)
        self.start.changed.connect(self._restart_recipe)
        self.stages.preset_chosen.connect(self._preset_chosen)
        self.stages.changed.connect(self._recipe_changed)
        self.stages.rate_button.clicked.connect(lambda _=False: self.find_rate())
        self.rates.found.connect(self._rate_found)
        self.rates.ended.connect(self._update)
        self.runs.chosen.connect(self.attach)
        self.runs.resumed.connect(self.resume)
        self.runs.listed.connect(self._runs_listed)
        self.live.resume_button.clicked.connect(lambda _=False: self.resume(self.shown))
        self.result.mistake_chosen.connect(self.show_mistake)
        self.result.use.connect(self.use_model)
        self.result.discard.connect(self._discard)
        for panel in (self.data, self.start, self.rates, self.runs):
            panel.failed.connect(self.banner.error)

    # ---------------------------------------------------------------- recipe

    def _preset_chosen(self, name: str) -> None:
        if name == "paper" and not self.start.is_large:
            self.start.choose(_PAPER_START)
        self._restart_recipe()

    def _restart_recipe(self) -> None:
        """Show the selected preset, adapted to the selected starting point."""
        config = preset(self.stages.preset_combo.currentText())
        try:
            config = self.start.applied(config)
        except ValueError as error:
            self.banner.error(error_message(error))
        self.stages.show_config(config)
        self._update()

    def _recipe_changed(self) -> None:
        with suppress(ConfigError):  # the button's tooltip shows the error
            self.data.set_config(self.stages.config())
        self._update()

    def config(self) -> TrainingConfig:
        """Return the displayed configuration.

        Raises
        ------
        ConfigError
            If it is invalid.
        """
        name = self.start.name_edit.text().strip()
        return self.stages.config().replace(model_name=name or TrainingConfig.model_name)

    def find_rate(self) -> None:
        """Search a learning rate for the selected stage."""
        row = self.stages.chosen_row()
        try:
            options = self._options()
        except ConfigError as error:
            self.banner.error(error_message(error))
            return
        self.banner.clear()
        self.rates.search(lambda out: prepare_on_layers(out=out, **options), row)
        self._update()

    def _rate_found(self, row: int, rate: float) -> None:
        if row < self.stages.table.rowCount():
            self.stages.use_rate(row, rate)

    def _options(self) -> dict[str, Any]:
        return {
            "pairs": self.data.used_pairs(),
            "annotations": self.data.files(),
            "promoted": self.data.promoted.isChecked(),
            "config": self.config(),
        }

    # ---------------------------------------------------------------- training

    def _button_clicked(self) -> None:
        if not self.running:
            self.train()
        elif self.stopping:
            self._end_now()
        else:
            self.stop()

    @property
    def running(self) -> bool:
        """Whether the run that is shown is running."""
        return self.follower is not None and self.follower.alive

    def train(self) -> None:
        """Write the data and start the training, in the background."""
        if self.task is not None or self.running:
            return
        try:
            options = self._options()
        except ConfigError as error:
            self.banner.error(error_message(error))
            return
        self.banner.clear()

        def work(progress: Any, stop: Any) -> Run:
            run = prepare_on_layers(**options)
            start(run)
            return run

        self._run_task(work, self._started)

    def resume(self, run: Run | None) -> None:
        """Resume a run from its last checkpoint."""
        if run is None:
            return
        if self.running or self.runs.going:
            self.banner.error("Another training goes on: stop it first, or wait until it ends.")
            return
        self.banner.clear()

        def work(progress: Any, stop: Any) -> Run:
            start(run, resume=True)
            return run

        self._run_task(work, self._started)

    def _started(self, run: Run) -> None:
        self.attach(run)
        self.runs.refresh()

    def attach(self, run: Run) -> None:
        """Show a run, and follow it if it is running."""
        if self.released:  # the run continues, but is no longer followed
            return
        if self.follower is not None:
            if self.follower.run.folder == run.folder and self.follower.alive:
                return
            self.follower.stop()
        try:
            self.follower = RunFollower(run, self)
        except RunError as error:
            self.follower = None
            self.banner.error(error_message(error))
            return
        self.shown, self.stopping = run, run.should_stop()
        self._patience.stop()
        self.live.resume_button.hide()
        self.groups["Training"].show()
        self.groups["Result"].hide()
        self.live.begin(self.follower.progress)
        self.follower.progressed.connect(self.live.show_progress)
        self.follower.ended.connect(self._ended)
        self.follower.start()
        self.runs.select(run)
        self._update()
        self._scroll_to("Training")

    def _scroll_to(self, title: str) -> None:
        """Scroll a group to the top of the dock, once it is laid out."""
        self._target = self.groups[title]
        self._scroll.start()

    def _scroll_now(self) -> None:
        self.area.verticalScrollBar().setValue(self._target.y())

    def stop(self) -> None:
        """Ask the training to stop; the best model so far is kept."""
        if self.follower is None:
            return
        self.follower.run.request_stop()
        self.stopping = True
        self._patience.start()
        self._update()

    def _end_now(self) -> None:
        if self.follower is not None:
            terminate(self.follower.run)

    def _ended(self, state: str) -> None:
        if self.follower is None:
            return
        run, progress = self.follower.run, self.follower.progress
        was_alive, self.follower, self.stopping = self.follower.alive, None, False
        self._patience.stop()
        self.live.resume_button.setVisible(run.can_resume())
        if state == FINISHED:
            self._read_result(run, progress.message)
        else:
            self.live.headline.setText(run.message())
            self.live.eta.setText("–")
            # The user has stopped it, so this is not an error.
            tell = self.banner.info if state == STOPPED else self.banner.error
            tell(run.message())
        if was_alive:
            self.runs.refresh()
        self._update()

    def _read_result(self, run: Run, message: str) -> None:
        """Read the report of a run in the background, then show it."""
        name = run.config.model_name
        self._reading = Worker(lambda progress, stop: read_report(run), self)
        self._reading.succeeded.connect(lambda report: self._show_result(run, report, name))
        self._reading.failed.connect(self.banner.error)
        self._reading.start()
        if message:
            self.banner.error(message)

    def _show_result(self, run: Run, report: Report | None, name: str) -> None:
        # Another run was selected meanwhile, or the dock was closed.
        if self.released or report is None or run != self.shown:
            return
        self.result.show_report(run, report, name)
        self.groups["Result"].show()
        self._scroll_to("Result")

    def _runs_listed(self, lines: list[RunRow]) -> None:
        """Attach to a running training run when napari has been opened again."""
        if self.released:
            return
        if not self._looked and self.runs.going and self.shown is None and self.task is None:
            self.attach(self.runs.going[0])
        self._looked = True
        self.runs.select(self.shown)
        self._update()

    # ---------------------------------------------------------------- result

    def use_model(self, run: Run, name: str) -> None:
        """Add the model of a run to the list of models."""
        wanted = name or run.config.model_name
        self._run_task(
            lambda progress, stop: register_model(run.model_path, wanted), self._registered
        )

    def _registered(self, entry: ModelEntry) -> None:
        self.result.set_used(entry.name)
        self.start.refresh()
        models_changed.emit()
        self.banner.info(f"{entry.name} is in the list of models: choose it in the Classify dock.")

    def _discard(self, run: Run) -> None:
        self.shown = None
        self.groups["Result"].hide()
        self.groups["Training"].hide()
        self.runs.discard(run)

    def show_mistake(self, mistake: Mistake) -> None:
        """Show a misclassified region in its metaphase, which is opened if necessary."""
        found = find_open(self.viewer, mistake.image)
        if found is not None:
            image, labels, frame = found
            place = mistake_place(mistake, image)
            show_place(self.viewer, image, labels, mistake.label, frame, place)
            return

        def work(progress: Any, stop: Any) -> Any:
            labels = read_labels(mistake.labels) if mistake.labels else None
            return read_image(mistake.image), labels

        self._run_task(work, lambda pixels: self._open_mistake(mistake, *pixels))

    def _open_mistake(self, mistake: Mistake, pixels: Any, regions: Any) -> None:
        if self.released:
            return
        image = self.viewer.add_image(pixels, name=mistake.group, rgb=pixels.ndim == 3)
        labels = None if regions is None else add_regions(self.viewer, image, regions)
        show_place(self.viewer, image, labels, mistake.label, 0, mistake_place(mistake, image))

    # ---------------------------------------------------------------- state

    def _run_task(self, work: Any, done: Any) -> None:
        if self.task is not None:
            self.banner.info("Wait for the work that runs, then try again.")
            return
        self.task = Worker(work, self)
        self.task.succeeded.connect(done)
        self.task.failed.connect(self.banner.error)
        self.task.ended.connect(self._task_ended)
        self.task.start()
        self._update()

    def _task_ended(self) -> None:
        self.task = None
        self._update()

    def _update(self) -> None:
        """Update the button to what is possible."""
        reason = self._why_not()
        if self.running:
            waiting = self.stopping and self._patience.isActive()
            text = "Stop" if not self.stopping else "Stopping…" if waiting else "End now"
            hint = {
                "Stop": "Stop after this batch and keep the best so far.",
                "Stopping…": "The best so far is being calibrated and saved.",
                "End now": "End it without waiting; Resume goes on from the last finished epoch.",
            }[text]
            self.train_button.setText(text)
            self.train_button.setEnabled(not waiting)
            self.train_button.setToolTip(hint)
        else:
            self.train_button.setText("Starting…" if self.task is not None else "Train")
            self.train_button.setEnabled(not reason)
            self.train_button.setToolTip(
                reason or "Start the training in a process of its own; napari stays free."
            )
        busy = self.running or self.rates.busy
        self.stages.rate_button.setEnabled(not reason and not busy)

    def _why_not(self) -> str:
        """Return why training is not possible; empty if it is."""
        if self.task is not None:
            return "Wait for the work that runs."
        if self.rates.busy:
            return "Wait for the search for a learning rate, or cancel it."
        if self.runs.going and not self.running:
            return "Another training goes on: choose it in the list of runs to see or stop it."
        if not self.start.ready:
            return "Download the weights first, choose a local file, or start from another model."
        try:
            self.stages.config()
        except ConfigError as error:
            return error_message(error)
        inventory = self.data.inventory
        return "Wait for the data to be counted." if inventory is None else inventory.problem

    def _end(self) -> None:
        """Stop following the viewer and the training, which continues."""
        if self.follower is not None:
            self.follower.stop()
            self.follower = None
        self.rates.release()
        self.runs.release()
        self.start.cancel()
        self.data.release()
