"""The training dock, driven as a user does, with training runs of seconds."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import textwrap
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from napari.utils._proxies import PublicOnlyProxy
from PIL import Image
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QComboBox, QLabel, QPushButton

from napari_chromocluster.cluster_types import TYPES
from napari_chromocluster.imaging.io import read_image
from napari_chromocluster.imaging.regions import extract_regions
from napari_chromocluster.imaging.synthetic_metaphase import synthetic_metaphase
from napari_chromocluster.models.model_card import ModelCard
from napari_chromocluster.models.model_file import save_model
from napari_chromocluster.models.network import build_network
from napari_chromocluster.models.registry import list_models, register_model
from napari_chromocluster.results.annotations import read_annotations
from napari_chromocluster.results.features_table import build_table, set_types
from napari_chromocluster.training.api import train
from napari_chromocluster.training.config import PRESETS, StageConfig, preset
from napari_chromocluster.training.fit import callbacks
from napari_chromocluster.training.fit.lightning_module import StageModule
from napari_chromocluster.training.runs import process, process_lock, worker
from napari_chromocluster.training.runs.report_data import read_report
from napari_chromocluster.training.runs.run_folder import Run, list_runs, new_run_folder
from napari_chromocluster.widgets.classify import ClassifyWidget
from napari_chromocluster.widgets.train.recipe_panel import rate_text
from napari_chromocluster.widgets.train.widget import TrainWidget

#: A training process first loads torch and Lightning; other tests may use the cores.
LONG = 240_000
STAGES = (
    StageConfig("coarse", 1, 0.0, 2e-3, freeze_body=True, image_size=32),
    StageConfig("fine", 1, 1e-3, 2e-3, image_size=32),
)
TINY = preset("quick").replace(
    base_model="tiny", stages=STAGES, batch_size=16, samples_per_epoch=64, composed_clusters=0,
    composed_share=0.0, precision="32", threads=1, tta=1, stop_after=0, model_name="of the lab",
)  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def no_training_stays():
    yield
    for child in process._CHILDREN.values():
        child.kill()
        child.wait()
    process._CHILDREN.clear()


@pytest.fixture
def home(own_home, tiny_model):
    register_model(tiny_model, "tiny")
    return own_home


@pytest.fixture
def dock(viewer, home, qtbot):
    widget = opened(viewer, qtbot)
    yield widget
    close(widget)


def opened(viewer, qtbot):
    """Open the dock 320 px wide; napari gives docks of plugins a proxy of the viewer."""
    widget = TrainWidget(PublicOnlyProxy(viewer))
    viewer.window.add_dock_widget(widget, name="Train", area="right").setFixedWidth(320)
    qtbot.waitUntil(lambda: not widget.data.busy and widget._looked, timeout=20_000)
    return widget


def close(widget):
    widget.release()
    for run in list_runs():
        process.terminate(run)


def add_metaphase(viewer, seed, human=True):
    """Add a synthetic metaphase whose regions were all decided by hand."""
    made = synthetic_metaphase(seed, chromosomes=24)
    regions = extract_regions(made.labels)
    chances = np.random.default_rng(seed).dirichlet(np.full(5, 0.4), len(regions))
    table = build_table(regions, chances, model="seeded")
    for kind in TYPES if human else ():
        table = set_types(table, [n for n, one in made.types.items() if one == kind], kind)
    viewer.add_image(made.image, name=f"slide {seed}")
    viewer.add_labels(made.labels, name=f"slide {seed} regions", features=table)
    return made


def counted(dock, qtbot):
    qtbot.waitUntil(lambda: not dock.data.busy, timeout=20_000)
    return dock.data.inventory


def lines(tree):
    items = [tree.topLevelItem(row) for row in range(tree.topLevelItemCount())]
    return {item.text(0): [item.text(n) for n in range(1, 6)] for item in items}


def tick(dock, title, on):
    tree = dock.data.tree
    items = tree.findItems(title, Qt.MatchFlag.MatchExactly)
    items[0].setCheckState(0, Qt.CheckState.Checked if on else Qt.CheckState.Unchecked)


def tiny_recipe(dock, qtbot, epochs):
    """Set up a training run of seconds through the controls."""
    dock.start.choose("tiny")
    dock.stages.preset_combo.setCurrentText("quick")
    for row, number in enumerate(epochs):
        dock.stages.table.item(row, 1).setText(str(number))
        dock.stages.table.item(row, 5).setText("32")
    dock.stages.composed.setValue(0.0)
    dock.stages.batch.setValue(16)
    counted(dock, qtbot)
    assert dock.train_button.isEnabled(), dock.train_button.toolTip()


def put_run(done, home):
    """Put a copy of a finished run into the user's runs."""
    folder = new_run_folder()
    shutil.copytree(done.folder, folder)
    return Run(folder)


@pytest.fixture(scope="module")
def done(annotated, tiny_model, tmp_path_factory):
    """A real, finished training run."""
    folder = tmp_path_factory.mktemp("done") / "2026-01-02_03-04-05"
    return train(annotated, config=TINY, base_model=tiny_model, out=folder)


# ------------------------------------------------------------------------ data


def test_layers_files_and_folders_are_counted_together(dock, viewer, annotated, tmp_path, qtbot):
    assert "nothing to learn from" in dock.data.warnings.text()
    assert not dock.train_button.isEnabled()
    made = add_metaphase(viewer, 41)
    add_metaphase(viewer, 42, human=False)
    crop = read_image(annotated.parent / "metaphase_11.png")[:40, :40]
    for kind, number in (("touching", 3), ("overlapping", 2)):
        (tmp_path / "cut" / kind).mkdir(parents=True)
        for one in range(number):
            Image.fromarray(crop).save(tmp_path / "cut" / kind / f"case{one}.png")
    dock.data.add_sources([annotated, tmp_path / "cut"])
    inventory = counted(dock, qtbot)
    shown = lines(dock.data.tree)
    singles = sum(kind == "single" for kind in made.types.values())
    assert shown["slide 41"][0] == str(singles)
    assert "slide 42" not in shown, "what only a model decided is not learnt from"
    assert shown["cut/"] == ["·", "3", "2", "·", "·"]
    of_file = read_annotations(annotated)["cluster_type"].value_counts()
    total = singles + of_file["single"]
    assert shown["Total"][0] == str(total) == str(inventory.totals[TYPES[0]])
    assert "learn from" in dock.data.split.text()
    dock.data.promoted.setChecked(True)
    counted(dock, qtbot)
    assert "slide 42" in lines(dock.data.tree)
    tick(dock, "cut/", False)
    counted(dock, qtbot)
    assert dock.data.files() == [str(annotated)]


def test_few_of_a_type_is_amber_and_said(dock, viewer, qtbot):
    add_metaphase(viewer, 41)
    assert "at least two groups" in counted(dock, qtbot).problem
    assert "at least two groups" in dock.train_button.toolTip()
    add_metaphase(viewer, 42)
    counted(dock, qtbot)
    assert "too few for training" in dock.data.warnings.text()
    tree = dock.data.tree
    total = tree.topLevelItem(tree.topLevelItemCount() - 1)
    assert total.foreground(4).color().name().upper() == "#E69F00"
    assert dock.train_button.isEnabled()
    assert dock.data.split.text() == "2 metaphases: learn from 1, check on 1"
    dock.stages.folds.setValue(2)
    counted(dock, qtbot)
    assert "2 metaphases in 2 folds: each is checked on once." in dock.data.split.text()


def test_a_start_that_has_learnt_from_all_groups_is_warned_of(dock, annotated, tmp_path, qtbot):
    dock.data.add_sources([annotated])
    inventory = counted(dock, qtbot)
    assert "was trained on" not in dock.data.warnings.text()
    known = {"groups_trained": sorted(set(inventory.groups["group"]))}
    card = ModelCard("known", input_size=48, training=known)
    save_model(tmp_path / "known.safetensors", build_network("compact"), card)
    register_model(tmp_path / "known.safetensors", "known")
    dock.start.choose("known")
    counted(dock, qtbot)
    assert "was trained on all groups that are checked on" in dock.data.warnings.text()


def test_a_metaphase_open_and_in_a_file_stays_on_one_side_and_is_told(
    dock, viewer, annotated, qtbot
):
    viewer.open(str(annotated), plugin="napari-chromocluster")
    counted(dock, qtbot)
    assert len(lines(dock.data.tree)) > 1
    dock.data.add_sources([annotated])
    inventory = counted(dock, qtbot)
    sides = inventory.groups.groupby("group")["side"].nunique()
    assert (sides == 1).all()
    assert "annotated in two sources" in dock.data.warnings.text()


def test_a_file_that_cannot_be_read_is_one_sentence(dock, tmp_path, qtbot):
    (tmp_path / "bad.csv").write_text("a,b\n1,2\n")
    dock.data.add_sources([tmp_path / "bad.csv"])
    counted(dock, qtbot)
    assert "has no column 'image'" in dock.banner.text
    assert "\n" not in dock.banner.text


# ---------------------------------------------------------------------- recipe


def test_presets_fill_the_stages_and_can_be_edited(dock, viewer, qtbot):
    for name in ("quick", "default", "paper"):
        dock.stages.preset_combo.setCurrentText(name)
        assert dock.stages.config().stages == PRESETS[name].stages
    assert dock.start.choice == "resnext101_32x8d_wsl", "the paper begins with the WSL body"
    assert "Download the weights" in dock.train_button.toolTip()
    dock.start.choose("default")
    dock.stages.preset_combo.setCurrentText("default")
    table = dock.stages.table
    table.item(1, 1).setText("7")
    table.item(1, 3).setText("2,5e-4")
    table.item(0, 4).setCheckState(Qt.CheckState.Unchecked)
    dock.stages.add_button.click()
    stages = dock.config().stages
    assert [stage.epochs for stage in stages] == [3, 7, 7]
    assert stages[1].lr_head == 2.5e-4
    assert not stages[0].freeze_body
    table.selectRow(0)
    dock.stages.drop_button.click()
    assert [stage.name for stage in dock.config().stages] == ["fine", "stage 3"]
    dock.stages.average.setValue(0.99)
    dock.stages.folds.setValue(3)
    assert (dock.config().average_decay, dock.config().folds) == (0.99, 3)
    assert dock.config().way_back
    dock.stages.interpolation.setChecked(False)
    assert not dock.config().way_back
    dock.stages.preset_combo.setCurrentText("paper")
    assert not dock.stages.interpolation.isChecked()
    dock.stages.preset_combo.setCurrentText("quick")
    assert dock.stages.interpolation.isChecked()


def test_learning_rates_can_be_read_in_the_narrowest_dock(dock):
    table = dock.stages.table
    dock.resize(dock.minimumSizeHint().width(), dock.height())
    for column in range(table.columnCount()):
        assert table.columnWidth(column) >= table.sizeHintForColumn(column)


def test_what_is_no_number_says_why_nothing_can_be_trained(dock, viewer, qtbot):
    for seed in (41, 42):
        add_metaphase(viewer, seed)
    counted(dock, qtbot)
    dock.stages.table.item(0, 1).setText("many")
    assert not dock.train_button.isEnabled()
    assert "Stage 1 holds something that is not a number" in dock.train_button.toolTip()
    dock.stages.table.item(0, 1).setText("1")
    dock.stages.table.item(0, 3).setText("-1")
    assert "Learning rates" in dock.train_button.toolTip()
    dock.stages.table.item(0, 3).setText("1e-3")
    assert dock.train_button.isEnabled()


@pytest.mark.parametrize(
    ("rate", "text"), [(0, "0"), (1e-4, "1e-4"), (2.5e-5, "2.5e-5"), (1.234e-3, "1.23e-3")]
)
def test_rates_are_short(rate, text):
    assert rate_text(rate) == text


def test_the_rate_finder_fills_the_table_and_leaves_nothing(dock, annotated, home, qtbot):
    dock.data.add_sources([annotated])
    counted(dock, qtbot)
    tiny_recipe(dock, qtbot, [1, 1])
    left = home / "runs" / ".rates" / "1"
    Run.create(left, TINY)  # left by a search whose napari was closed
    dock.stages.table.selectRow(1)
    dock.stages.rate_button.click()
    assert not dock.train_button.isEnabled()
    qtbot.waitUntil(lambda: not dock.rates.busy, timeout=LONG)
    assert not dock.banner.text, dock.banner.text
    assert "falls fastest" in dock.rates.label.text()
    assert 1e-6 < dock.config().stages[1].lr_head < 0.5
    assert dock.config().stages[0].lr_head == PRESETS["quick"].stages[0].lr_head
    assert not left.exists()
    assert list_runs() == []


def test_a_search_of_rates_can_be_cancelled_before_it_runs(dock, annotated, home, qtbot):
    dock.data.add_sources([annotated])
    counted(dock, qtbot)
    tiny_recipe(dock, qtbot, [1, 1])
    dock.stages.table.selectRow(1)
    dock.stages.rate_button.click()
    dock.rates.cancel()
    qtbot.waitUntil(lambda: not dock.rates.busy, timeout=LONG)
    assert dock.rates.isHidden()
    assert not dock.banner.text, dock.banner.text
    searches = list_runs(home / "runs" / ".rates")
    assert not any(one.process_alive() for one in searches)


# -------------------------------------------------------------------- training


def test_train_watch_stop_see_mistakes_and_use_the_model(dock, viewer, qtbot):
    classify = ClassifyWidget(PublicOnlyProxy(viewer))
    viewer.window.add_dock_widget(classify, name="Classify", area="right")
    made = {seed: add_metaphase(viewer, seed) for seed in (41, 42, 43)}
    counted(dock, qtbot)
    tiny_recipe(dock, qtbot, [1, 500])
    dock.start.name_edit.setText("slides of May")
    dock.train_button.click()
    assert not dock.train_button.isEnabled()
    qtbot.waitUntil(lambda: dock.running, timeout=20_000)
    assert dock.train_button.text() == "Stop"
    run = dock.shown
    qtbot.waitUntil(lambda: points(dock.live.sensitivity, "validation") > 3, timeout=LONG)
    assert points(dock.live.loss, "training") > 0
    assert points(dock.live.loss, "validation") > 3
    assert dock.live.headline.text() == "Fine stage (all layers)"
    assert "fine: epoch" in dock.live.epoch_bar.text()
    assert dock.live.where.text().startswith("CPU, ")
    assert [line.value() for line in dock.live.loss._lines] == [0, 1], "where the stages begin"
    qtbot.waitUntil(lambda: dock.live.eta.text() != "–", timeout=LONG)
    assert not dock.groups["Result"].isVisible()
    assert fits(dock)
    dock.train_button.click()
    assert dock.train_button.text() == "Stopping…"
    assert not dock.train_button.isEnabled()
    qtbot.waitUntil(lambda: dock.result.report is not None, timeout=LONG)
    qtbot.waitUntil(lambda: dock.train_button.text() == "Train", timeout=20_000)
    assert not dock.banner.text, dock.banner.text
    assert fits(dock)
    look_at_a_mistake(dock, viewer, made)
    assert "slides of May" not in names(classify)
    dock.result.use_button.click()
    qtbot.waitUntil(lambda: "slides of May" in names(classify), timeout=20_000)
    assert run.model_path.exists()
    assert "slides of May" in dock.banner.text
    assert not dock.result.use_button.isEnabled()
    assert dock.start.start_combo.findText("slides of May") >= 0
    assert dock.live.resume_button.isVisible(), "a stopped training can go on"
    assert dock.live.headline.text() == "Stopped: the best so far is kept."
    qtbot.waitUntil(lambda: dock.runs.line is not None, timeout=20_000)
    assert dock.runs.tree.selectedItems()[0].text(2) == "stopped"
    classify.release()


def points(plot, curve):
    """Return the number of points of a curve that are drawn."""
    x, _ = plot.curves[curve].getData()
    return 0 if x is None else len(x)


def look_at_a_mistake(dock, viewer, made):
    """Click a thumbnail: its region is centered in the canvas."""
    mistakes = dock.result.report.mistakes
    assert dock.result.mistakes.count() == len(mistakes) > 0
    item = dock.result.mistakes.item(0)
    assert not item.icon().isNull()
    viewer.scene.camera.center = (0, 0)
    dock.result.mistakes.itemClicked.emit(item)
    mistake = mistakes[0]
    layer = viewer.layers.selection.active
    assert layer.name == f"{mistake.group} regions"
    assert layer.selected_label == mistake.label
    ys, xs = np.nonzero(layer.data == mistake.label)
    expected = (ys.mean(), xs.mean())
    np.testing.assert_allclose(viewer.scene.camera.center[-2:], expected, atol=1.5)
    assert made[int(mistake.group.split()[1])].types[mistake.label] == mistake.true


def names(classify):
    """Return the choices in the combo boxes of the classify dock."""
    boxes = classify.findChildren(QComboBox)
    return [box.itemText(place) for box in boxes for place in range(box.count())]


def fits(dock):
    """Return whether nothing is wider than the dock, and no button or one-line label is cut off."""
    inner = dock.area.widget()
    assert inner.minimumSizeHint().width() <= dock.area.viewport().width()
    assert dock.area.horizontalScrollBar().maximum() == 0
    for one in dock.findChildren(QPushButton) + dock.findChildren(QLabel):
        if one.isVisible() and one.text() and not (isinstance(one, QLabel) and one.wordWrap()):
            wanted = one.fontMetrics().boundingRect(one.text()).width()
            assert one.width() >= wanted or "<" in one.text(), one.text()
    return True


def test_killed_then_resumed_from_the_dock(dock, viewer, annotated, qtbot):
    dock.data.add_sources([annotated])
    counted(dock, qtbot)
    tiny_recipe(dock, qtbot, [1, 6])
    dock.train_button.click()
    qtbot.waitUntil(lambda: dock.running and dock.follower.progress.stage == "fine", timeout=LONG)
    run = dock.shown
    pid = process_lock.read_mark(run.pid_path)[0]
    os.kill(pid, signal.SIGKILL)
    qtbot.waitUntil(lambda: not dock.running, timeout=20_000)
    assert "was interrupted (killed, out of memory or a shutdown): resume it" in dock.banner.text
    assert dock.train_button.text() == "Train"
    assert not run.model_path.exists()
    qtbot.waitUntil(dock.runs.resume_button.isEnabled, timeout=20_000)
    assert dock.runs.line.state == "killed"
    dock.live.resume_button.click()
    qtbot.waitUntil(lambda: dock.running, timeout=20_000)
    assert not dock.banner.text
    qtbot.waitUntil(lambda: not dock.running, timeout=LONG)
    qtbot.waitUntil(lambda: dock.groups["Result"].isVisible(), timeout=20_000)
    assert dock.live.epoch_bar.value() == 1000
    assert not dock.live.resume_button.isVisible()
    assert read_report(run).old_name == "tiny"


CLOSING = """
    import sys
    import napari
    from qtpy.QtTest import QTest
    from napari_chromocluster.widgets.train.widget import TrainWidget
    viewer = napari.Viewer()
    dock = TrainWidget(viewer)
    viewer.window.add_dock_widget(dock, name="Train")
    dock.data.add_sources([sys.argv[1]])
    dock.start.choose("tiny")
    dock.stages.preset_combo.setCurrentText("quick")
    for row, number in enumerate((1, 900)):
        dock.stages.table.item(row, 1).setText(str(number))
        dock.stages.table.item(row, 5).setText("32")
    dock.stages.composed.setValue(0.0)
    for _ in range(3000):
        QTest.qWait(20)
        if dock.train_button.isEnabled() and not dock.running:
            dock.train_button.click()
        if dock.running and dock.follower.progress.stage:
            break
    print(dock.shown.folder, flush=True)
    viewer.close()
"""


def test_training_goes_on_without_napari_and_is_found_again(
    viewer, home, annotated, done, qtbot, tmp_path
):
    past = put_run(done, home)
    program = tmp_path / "closing.py"
    program.write_text(textwrap.dedent(CLOSING))
    closed = subprocess.run(
        [sys.executable, str(program), str(annotated)],
        env={**os.environ, "NAPARI_CONFIG": "", "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip
    run = Run(Path(closed.stdout.strip().splitlines()[-1]))
    assert run.state() == "running", closed.stderr
    dock = opened(viewer, qtbot)
    assert dock.shown == run, "the dock attaches to what goes on"
    assert dock.train_button.text() == "Stop"
    assert {line.run: line.state for line in dock.runs.lines} == {run: "running", past: "finished"}
    select(dock, past)
    qtbot.waitUntil(lambda: dock.groups["Result"].isVisible(), timeout=20_000)
    assert dock.result.run == past
    assert not dock.train_button.isEnabled()
    assert "Another training goes on" in dock.train_button.toolTip()
    select(dock, run)
    assert not dock.groups["Result"].isVisible()
    told = len(list(run.events()))
    qtbot.waitUntil(lambda: len(list(run.events())) > told + 3, timeout=LONG)
    dock.train_button.click()
    qtbot.waitUntil(lambda: not dock.running, timeout=LONG)
    qtbot.waitUntil(lambda: dock.result.run == run, timeout=20_000)
    close(dock)


def select(dock, run):
    tree = dock.runs.tree
    for row in range(tree.topLevelItemCount()):
        if tree.topLevelItem(row).data(0, Qt.ItemDataRole.UserRole).run == run:
            tree.setCurrentItem(tree.topLevelItem(row))


# ----------------------------------------------------------------- past runs


@pytest.fixture
def past(viewer, home, done, qtbot):
    run = put_run(done, home)
    dock = opened(viewer, qtbot)
    select(dock, run)
    qtbot.waitUntil(lambda: dock.groups["Result"].isVisible(), timeout=20_000)
    yield dock, run
    close(dock)


def test_result_tells_what_the_report_tells(past):
    dock, run = past
    report = read_report(run)
    assert f"{report.new['accuracy']:.1%}" in dock.result.headline.text()
    assert "Better than" in dock.result.headline.text()
    for row in range(5):
        for column in range(5):
            number = report.new["confusion_matrix"][row][column]
            assert dock.result.matrix.item(row, column).text() == (str(number) if number else "·")
    sensitivity = report.new["per_type"]["single"]["sensitivity"]
    assert dock.result.types.item(0, 1).text().split()[0] == f"{100 * sensitivity:.0f}"
    assert f"temperature {report.temperature:.2f}" in dock.result.calibration.label.text()
    assert sum(n for _, _, n in report.reliability) == report.new["n"]
    assert fits(dock)
    assert (run.report_folder / "report.html").stat().st_size > 10_000


def test_discard_and_bring_back(past, qtbot):
    dock, run = past
    models = [entry.name for entry in list_models()]
    dock.result.discard_button.click()
    qtbot.waitUntil(lambda: dock.runs.tree.topLevelItemCount() == 0, timeout=20_000)
    assert not dock.groups["Result"].isVisible()
    assert not run.folder.exists()
    assert [entry.name for entry in list_models()] == models
    dock.runs.undo_button.click()
    qtbot.waitUntil(lambda: dock.groups["Result"].isVisible(), timeout=20_000)
    assert run.model_path.exists()


def test_a_mistake_in_an_image_that_is_not_open_opens_it(past, viewer, qtbot):
    dock, run = past
    mistake = read_report(run).mistakes[0]
    dock.result.mistakes.itemClicked.emit(dock.result.mistakes.item(0))
    qtbot.waitUntil(lambda: len(viewer.layers) == 2 and dock.task is None, timeout=20_000)
    assert viewer.layers.selection.active.selected_label == mistake.label
    place = viewer.scene.camera.center[-2:]
    np.testing.assert_allclose(place, (mistake.y, mistake.x), atol=1)


# --------------------------------------------------------------------- failures


@contextmanager
def full_disk(path):
    """Return a file that cannot be written to instead of the temporary one."""
    yield Path("/dev/full")


def fail_memory(self, *_, **__):
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")


FAILURES = {
    "full disk": (callbacks, "atomic_path", full_disk, "The disk is full: free some space and"),
    "GPU memory": (StageModule, "training_step", fail_memory, "GPU has too little memory: choose"),
    "diverged": (None, "", None, "diverged (the loss is no longer a number): lower the learning"),
}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a full disk is played by /dev/full")
@pytest.mark.parametrize("name", FAILURES)
def test_a_failure_is_one_sentence_and_the_old_model_stays(
    name, viewer, home, annotated, qtbot, monkeypatch
):
    where, what, fail, words = FAILURES[name]
    stages = STAGES
    if where is None:
        stages = (StageConfig("fine", 3, 1e20, 1e20, image_size=32),)
    else:
        monkeypatch.setattr(where, what, fail)
    config = TINY.replace(annotations=(str(annotated),), stages=stages)
    run = Run.create(new_run_folder(), config)
    with pytest.raises((OSError, RuntimeError, FloatingPointError)):
        worker.run_training(run)
    before = [entry.name for entry in list_models()]
    dock = opened(viewer, qtbot)
    select(dock, run)
    qtbot.waitUntil(lambda: bool(dock.banner.text), timeout=20_000)
    assert words in dock.banner.text
    assert "\n" not in dock.banner.text
    assert dock.live.resume_button.isVisible()
    assert not run.model_path.exists()
    assert [entry.name for entry in list_models()] == before
    assert not list(run.folder.glob(".*")), "nothing half written stays"
    close(dock)
