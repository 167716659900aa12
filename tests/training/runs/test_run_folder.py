"""The run folder: its reported state, and its content after a crash."""

import errno
import json
import os
import subprocess
import sys
from datetime import datetime

import pytest

from napari_chromocluster.training.api import prepare
from napari_chromocluster.training.config import preset
from napari_chromocluster.training.runs import event_log, process_lock
from napari_chromocluster.training.runs.run_folder import (
    Run,
    RunError,
    discard,
    list_runs,
    new_run_folder,
    restore,
)

CONFIG = preset("quick")


@pytest.fixture
def run(tmp_path):
    return Run.create(tmp_path / "run", CONFIG)


def test_states_follow_events_and_process(run):
    assert run.state() == "prepared"
    run.emit({"kind": "start"})
    assert run.state() == "killed"
    assert "resume" in run.message()
    process_lock.mark(run.pid_path)
    assert run.state() == "running"
    assert run.message() == ""
    run.pid_path.unlink()
    run.emit({"kind": "error", "message": "The disk is full."})
    assert (run.state(), run.message()) == ("failed", "The disk is full.")
    run.emit({"kind": "start", "resume": True})
    run.emit({"kind": "end"})
    assert run.state() == "finished"
    assert not run.can_resume()
    run.request_stop()
    assert not run.can_resume(), "the checkpoints are gone: the wish came too late"
    (run.checkpoint_folder / "stage0-best.ckpt").touch()
    assert run.can_resume()


def test_a_training_that_failed_before_it_learnt_anything_gives_its_folder_away(run):
    run.emit({"kind": "start"})
    run.emit({"kind": "error", "message": "Label 9 does not occur."})
    with pytest.raises(RunError, match="already holds a training"):
        Run.create(run.folder, CONFIG.replace(devices=2))  # helper processes would read the old one
    again = Run.create(run.folder, CONFIG.replace(seed=7))
    assert (again.state(), again.config.seed, list(again.events())) == ("prepared", 7, [])


@pytest.mark.parametrize(
    "left", ["model.safetensors", "checkpoints/stage0-best.ckpt", "report/report.html"]
)
def test_what_a_failed_training_has_learnt_is_not_given_away(run, left):
    run.emit({"kind": "error", "message": "The disk is full."})
    (run.folder / left).touch()
    with pytest.raises(RunError, match="already holds a training"):
        Run.create(run.folder, CONFIG)
    assert run.message() == "The disk is full."


def test_the_number_of_another_process_is_not_this_training(run):
    run.emit({"kind": "start"})
    process_lock.mark(run.pid_path)
    values = json.loads(run.pid_path.read_text())
    run.pid_path.write_text(json.dumps({**values, "started": values["started"] - 3600}))
    assert run.state() == "killed"


def test_a_process_that_ended_is_gone_even_if_nobody_waited_for_it(run):
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    process_lock.mark(run.pid_path, child.pid)
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT) if hasattr(os, "waitid") else None
    try:
        assert not run.process_alive()
    finally:
        child.wait()


def test_training_on_another_machine_lives_while_it_writes(run):
    run.emit({"kind": "start"})
    text = json.dumps({"pid": 1, "started": 0.0, "host": "elsewhere"})
    run.pid_path.write_text(text)
    assert run.state() == "running"
    os.utime(run.events_path, (0, 0))
    assert run.state() == "killed"


def test_a_process_that_never_started_shows_what_it_printed(run):
    process_lock.mark(run.pid_path, 2**22 + 12345)
    run.log_path.write_text("Traceback\nModuleNotFoundError: No module named 'torch'\n\n")
    assert run.state() == "failed"
    assert "No module named 'torch'" in run.message()


def test_torn_line_is_passed_over_and_spoils_no_other(run):
    run.emit({"kind": "start"})
    with run.events_path.open("a") as stream:
        stream.write('{"kind": "epo')
    reader = event_log.EventReader(run.events_path)
    assert [event["kind"] for event in reader.read()] == ["start"]
    assert reader.read() == []
    run.begin()
    run.emit({"kind": "end"})
    assert [event["kind"] for event in run.events()] == ["start", "end"]
    assert [event["kind"] for event in reader.read()] == ["end"]


def test_reading_a_long_file_goes_bit_by_bit(run):
    for number in range(300):
        run.emit({"kind": "batch", "number": number})
    reader = event_log.EventReader(run.events_path)
    found, turns = [], 0
    while turns == 0 or reader.behind:
        found += reader.read(limit=2000)
        turns += 1
    assert [event["number"] for event in found] == list(range(300))
    assert turns > 5
    assert reader.read() == []


def test_state_of_a_long_run_is_found_at_its_end(run):
    run.emit({"kind": "start"})
    for _ in range(1200):
        run.emit({"kind": "batch", "note": "x" * 80})
    assert run.state() == "killed"
    run.emit({"kind": "end"})
    assert run.state() == "finished"


def test_a_full_disk_is_told_from_the_reserve(run, monkeypatch):
    run.begin()
    run.emit({"kind": "start"})
    write = os.write

    def full(number, data):
        if run.reserve_path.exists():
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(number, data)

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="No space"):
        run.emit({"kind": "batch"})
    run.emit_last({"kind": "error", "message": "The disk is full."})
    assert run.message() == "The disk is full."


def test_a_damaged_configuration_says_which_file(run):
    run.config_path.write_text('{"stages": [')
    with pytest.raises(RunError, match=r"config\.json"):
        _ = run.config


def test_trainings_without_a_name_are_named_by_day_and_data(annotated, tiny_model):
    runs = [prepare(annotated, base_model=tiny_model) for _ in range(2)]
    name = f"{datetime.now():%Y-%m-%d}, 4 metaphases"
    assert [run.config.model_name for run in runs] == [name, f"{name} (2)"]
    named = prepare(annotated, base_model=tiny_model, model_name="of the lab")
    assert named.config.model_name == "of the lab"


def test_runs_are_listed_newest_first_and_can_be_discarded_and_restored(tmp_path):
    first, second = new_run_folder(), None
    Run.create(first, CONFIG)
    second = new_run_folder()
    assert second != first
    Run.create(second, CONFIG)
    os.utime(first / "config.json", (1, 1))
    assert [run.folder for run in list_runs()] == [second, first]
    away = discard(Run(second))
    assert [run.folder for run in list_runs()] == [first]
    assert restore(away).folder == second
    assert [run.folder for run in list_runs()] == [second, first]
    process_lock.mark(Run(first).pid_path)
    with pytest.raises(RunError, match="stop it first"):
        discard(Run(first))


def test_a_run_with_settings_of_an_older_version_is_shown_but_not_resumed(annotated, tmp_path):
    run = prepare(annotated, config=preset("quick"), base_model="compact", out=tmp_path / "run")
    values = json.loads(run.config_path.read_text())
    run.config_path.write_text(json.dumps({**values, "grown_share": 0.5}))
    assert run.config.stages == preset("quick").stages
    with pytest.raises(RunError, match="no longer trains with grown_share: start a new training"):
        run.check_resumable()
