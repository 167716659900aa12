"""Training in a separate process, with a stand-in that does everything but train."""

import os
import signal
import subprocess
import sys
import textwrap
import time

import psutil
import pytest

from napari_chromocluster.training.config import preset
from napari_chromocluster.training.runs import process
from napari_chromocluster.training.runs.process import python_executable, start, stop, terminate
from napari_chromocluster.training.runs.run_folder import Run, RunError
from napari_chromocluster.training.runs.worker import run_training

STAND_IN = """
    import json, pathlib, sys, time
    folder = pathlib.Path(sys.argv[1])
    def emit(**event):
        with (folder / "events.jsonl").open("a") as stream:
            stream.write(json.dumps(event) + "\\n")
    emit(kind="start", resume="--resume" in sys.argv)
    for epoch in range(600):
        emit(kind="epoch", epoch=epoch)
        time.sleep(0.05)
        if (folder / "stop").exists() and not (folder / "stubborn").exists():
            break
    emit(kind="end")
"""


@pytest.fixture
def run(tmp_path, monkeypatch):
    (tmp_path / "stand_in.py").write_text(textwrap.dedent(STAND_IN))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    made = Run.create(tmp_path / "run", preset("quick"))
    yield made
    terminate(made)
    for child in process._CHILDREN.values():
        child.kill()
        child.wait()
    process._CHILDREN.clear()


def wait_for(condition, seconds=20):
    until = time.monotonic() + seconds
    while not condition() and time.monotonic() < until:
        time.sleep(0.02)
    assert condition()


def kinds(run):
    return [event["kind"] for event in run.events()]


def test_starts_refuses_twice_and_stops(run):
    start(run, module="stand_in")
    wait_for(lambda: "epoch" in kinds(run))
    assert run.state() == "running"
    with pytest.raises(RunError, match="already running"):
        start(run, module="stand_in")
    stop(run, grace=20)
    wait_for(lambda: run.state() == "finished")
    assert kinds(run)[-1] == "end"


def test_what_does_not_stop_by_itself_is_ended(run):
    (run.folder / "stubborn").touch()
    start(run, module="stand_in")
    wait_for(lambda: "epoch" in kinds(run))
    began = time.monotonic()
    stop(run, grace=0.3)
    wait_for(lambda: run.state() == "killed")
    assert time.monotonic() - began < 10


def test_killed_is_told_and_can_be_resumed(run):
    pid = start(run, module="stand_in")
    wait_for(lambda: "epoch" in kinds(run))
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: run.state() == "killed")
    assert "killed, out of memory or a shutdown" in run.message()
    start(run, resume=True, module="stand_in")
    wait_for(lambda: any(event.get("resume") for event in run.events()))
    stop(run)
    wait_for(lambda: run.state() == "finished")


@pytest.mark.skipif(sys.platform == "win32", reason="sessions are a matter of POSIX")
def test_training_outlives_the_program_that_started_it(run, tmp_path):
    code = (
        "import sys; from napari_chromocluster.training.runs.process import start;"
        "from napari_chromocluster.training.runs.run_folder import Run;"
        f"print(start(Run.open({str(run.folder)!r}), module='stand_in'), flush=True);"
        "import os, signal; os.killpg(os.getpgid(0), signal.SIGKILL)"
    )
    starter = subprocess.run(
        [sys.executable, "-c", code], start_new_session=True, capture_output=True, text=True
    )
    assert starter.returncode == -signal.SIGKILL
    wait_for(lambda: "epoch" in kinds(run))
    assert run.state() == "running"
    assert psutil.Process(int(starter.stdout)).is_running()


@pytest.mark.parametrize("go_on", [start, run_training])
def test_a_finished_run_is_not_resumed_and_stays_as_it_is(run, go_on):
    run.emit({"kind": "start"})
    run.emit({"kind": "end"})
    stop(run)  # too late: there is no checkpoint to resume from
    with pytest.raises(RunError, match=r"is finished: its model is .*model\.safetensors"):
        go_on(run, resume=True)
    assert run.state() == "finished"
    assert kinds(run) == ["start", "end"]


def test_a_module_that_fails_at_once_leaves_its_words(run):
    start(run, module="no_such_module")
    wait_for(lambda: run.state() == "failed")
    assert "no_such_module" in run.message()


def test_python_is_found_inside_an_app(monkeypatch):
    real = python_executable()
    assert os.path.basename(real).startswith("python")
    monkeypatch.setattr(sys, "executable", "/Applications/napari.app/Contents/MacOS/napari")
    assert os.path.basename(python_executable()).startswith("python")
    monkeypatch.setattr(sys, "_base_executable", "")
    monkeypatch.setattr(sys, "exec_prefix", "/nowhere")
    with pytest.raises(RunError, match="No Python was found"):
        python_executable()
