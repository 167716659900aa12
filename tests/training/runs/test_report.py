"""The report of a small real training run, and edge cases."""

import dataclasses
import errno
import json
import shutil

import numpy as np
import pytest

from napari_chromocluster.models.model_card import ModelCard, read_card
from napari_chromocluster.models.model_file import save_model
from napari_chromocluster.models.network import build_network
from napari_chromocluster.training.api import train
from napari_chromocluster.training.config import StageConfig, preset
from napari_chromocluster.training.data.splits import group_hash
from napari_chromocluster.training.fit.lr_finder import suggest
from napari_chromocluster.training.runs import worker
from napari_chromocluster.training.runs.report import write_report
from napari_chromocluster.training.runs.report_data import PREDICTIONS, read_report
from napari_chromocluster.training.runs.run_folder import Run, RunError, fold_runs
from napari_chromocluster.training.runs.worker import find_rates_of

STAGES = (
    StageConfig("coarse", 1, 0.0, 2e-3, freeze_body=True, image_size=48),
    StageConfig("fine", 1, 1e-3, 2e-3, image_size=48),
)
CONFIG = preset("quick").replace(
    stages=STAGES, samples_per_epoch=64, batch_size=16, composed_clusters=20, precision="32",
    threads=1, tta=1, stop_after=0,
)  # fmt: skip


@pytest.fixture(scope="module")
def old(tmp_path_factory):
    """A model trained on all groups, according to its card."""
    path = tmp_path_factory.mktemp("old") / "old.safetensors"
    known = {"groups_trained": [group_hash(f"metaphase_{number}") for number in (11, 12, 13, 14)]}
    save_model(path, build_network("compact"), ModelCard("old", input_size=48, training=known))
    return path


@pytest.fixture(scope="module")
def run(annotated, old, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "small"
    return train(annotated, config=CONFIG, base_model=old, folds=2, out=folder)


def test_new_beside_old_on_groups_neither_side_mixes(run, old):
    report = read_report(run)
    assert report.new["n"] == report.old["n"] > 0
    assert report.old_name == str(old)
    trained = read_card(run.model_path).training["groups_trained"]
    assert not {group_hash(name) for name in report.groups} & set(trained)
    assert report.temperature == read_card(run.model_path).temperature
    assert np.sum(report.new["confusion_matrix"]) == report.new["n"]


def test_old_model_that_had_seen_the_groups_is_told(run):
    report = read_report(run)
    assert set(report.seen_by_old) == set(report.groups)
    assert "unfair to the new model" in (run.report_folder / "report.html").read_text("utf-8")


@pytest.mark.parametrize(
    ("share", "networks", "said"),
    [
        (0.0, 1, ""),
        (0.25, 1, "It keeps 25% of the weights of the old model."),
        (0.0, 2, "It keeps 1 other network of the ensemble of the old model."),
        (0.5, 3, "It keeps 50% of the weights and 2 other networks of the ensemble of the old "
                 "model."),
    ],
)  # fmt: skip
def test_what_a_model_keeps_of_its_start_is_told(run, share, networks, said):
    report = dataclasses.replace(read_report(run), share_of_start=share, networks=networks)
    assert report.provenance_note() == said


def test_on_how_much_the_calibration_rests_is_told(run):
    report = read_report(run)
    assert report.start_temperature == 1.0
    page = (run.report_folder / "report.html").read_text("utf-8")
    few = dataclasses.replace(report, new={**report.new, "n": 28}, groups=["a"])
    assert "28 regions of 1 metaphase or slide. They are too few" in few.what_calibration_rests_on()
    many = dataclasses.replace(report, new={**report.new, "n": 2000})
    assert "2000 regions of" in many.what_calibration_rests_on()
    assert "too few" not in many.what_calibration_rests_on()
    assert report.what_calibration_rests_on() in page


def test_the_page_says_what_was_kept(run):
    report = read_report(run)
    assert report.share_of_start == read_card(run.model_path).training["share_of_start"]
    page = (run.report_folder / "report.html").read_text("utf-8")
    assert report.provenance_note() in page


def test_every_mistake_has_its_place_and_thumbnail(run):
    report = read_report(run)
    wrong = report.new["n"] - np.trace(report.new["confusion_matrix"])
    assert len(report.mistakes) == wrong
    assert [m.confidence for m in report.mistakes] == sorted(
        (m.confidence for m in report.mistakes), reverse=True
    )
    for mistake in report.mistakes:
        assert mistake.true != mistake.predicted
        assert mistake.y > 0
        assert mistake.x > 0
        assert (run.report_folder / mistake.thumbnail).stat().st_size > 100


def test_folds_check_every_group_once(run):
    report = read_report(run)
    assert report.folds == 2
    assert len(report.pooled["per_group"]) == 4
    assert report.pooled["n"] > report.new["n"]
    kinds = [event["kind"] for event in run.events()]
    assert kinds.count("end") == 1
    assert "fold" in kinds


def test_pooled_figures_count_a_group_once_and_name_what_was_not_checked(run, tmp_path):
    copy = Run(shutil.copytree(run.folder, tmp_path / "run"))
    whole, (other,) = read_report(copy), fold_runs(copy)
    assert whole.unchecked == 0
    # As if the second fold had validated on a group of the first instead of one of its own.
    mine, theirs = (json.loads((one.report_folder / PREDICTIONS).read_text())
                    for one in (copy, other))  # fmt: skip
    lost = theirs[0]["group"]
    twice = [row for row in mine if row["group"] == mine[0]["group"]]
    left = [row for row in theirs if row["group"] != lost]
    (other.report_folder / PREDICTIONS).write_text(json.dumps(left + twice))
    report = write_report(copy)
    assert report.pooled["n"] == len(mine) + len(left)
    assert set(report.pooled["per_group"]) == set(whole.pooled["per_group"]) - {lost}
    assert report.unchecked == 1
    assert "1 group was not checked in any fold" in (copy.report_folder / "report.html").read_text()


def test_page_needs_nothing_beside_it(run):
    page = (run.report_folder / "report.html").read_text("utf-8")
    assert 'src="data:image/png;base64,' in page
    assert "http" not in page.replace("http-equiv", "")
    assert "Over 2 folds" in page


def test_checkpoints_are_freed_when_nothing_is_left_to_resume(run):
    assert not list(run.folder.rglob("*.ckpt"))
    assert run.model_path.exists()
    assert not run.reserve_path.exists()


def test_a_damaged_report_is_refused_in_a_sentence(tmp_path):
    made = Run.create(tmp_path / "run", CONFIG)
    assert read_report(made) is None
    (made.report_folder / "metrics.json").write_text('{"new": 1}')
    with pytest.raises(RunError, match="cannot be read"):
        read_report(made)


def test_a_failing_report_costs_no_model(annotated, tmp_path, monkeypatch):
    def broken(run):
        raise ValueError("The old model is gone.")

    monkeypatch.setattr(worker, "write_report", broken)
    stages = (StageConfig("coarse", 1, 0.0, 2e-3, freeze_body=True, image_size=32),)
    run = train(annotated, config=CONFIG, base_model="compact", stages=stages, out=tmp_path / "run")
    assert run.state() == "finished"
    last = [event for event in run.events() if event["kind"] == "report"][-1]
    assert "The old model is gone." in last["message"]


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "disk is full"),
        (RuntimeError("[enforce fail] PytorchStreamWriter failed writing file"), "disk is full"),
        (MemoryError(), "memory is full"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), "memory is full"),
        (SystemExit(143), "interrupted"),
    ],
)
def test_failures_become_one_sentence_and_leave_the_run_resumable(tmp_path, error, words):
    run = Run.create(tmp_path / "run", CONFIG)

    def job():
        run.emit({"kind": "start"})
        raise error

    with pytest.raises(type(error)):
        worker.run_with_status(run, job)
    assert run.state() == "failed"
    assert words in run.message()
    assert run.can_resume()


def test_rate_finder_suggests_a_rate_and_keeps_nothing(annotated, tmp_path):
    config = CONFIG.replace(
        base_model=None, annotations=(str(annotated),), stages=STAGES[1:], batch_size=32
    )
    run = Run.create(tmp_path / "rates", config)
    found = find_rates_of(run)
    assert 1e-6 < found.suggestion < 0.5
    assert list(found.rates) == sorted(found.rates)
    events = [event for event in run.events() if event["kind"] == "rate"]
    assert [event["rate"] for event in events] == list(found.rates)
    assert not run.model_path.exists()


def test_suggestion_lies_on_the_steepest_fall():
    rates = np.geomspace(1e-6, 1, 60)
    losses = 1.6 - 1.2 / (1 + np.exp(-4 * np.log10(rates / 1e-3))) + (rates > 0.1) * rates * 5
    assert suggest(rates, losses) == pytest.approx(1e-3, rel=0.5)
    with pytest.raises(ValueError, match="No learning rate lowered the loss"):
        suggest(rates, np.linspace(1, 2, 60))
    lucky = losses.copy()
    lucky[0] = 0.1 * losses.min()  # from a single batch, before anything is learned
    assert suggest(rates, lucky) == suggest(rates, losses)


def test_predictions_of_the_report_match_its_model(run):
    lines = json.loads((run.report_folder / "validation.json").read_text())
    assert len(lines) == read_report(run).new["n"]
