"""``chromocluster train``: invalid input, output, and Ctrl+C."""

import json
import signal
import tempfile

import pandas as pd
import pytest
import torch

from napari_chromocluster.cli import main
from napari_chromocluster.cli.train import event_text
from napari_chromocluster.training.api import prepare
from napari_chromocluster.training.config import StageConfig
from napari_chromocluster.training.fit import trainer
from napari_chromocluster.training.fit.callbacks import RunEvents
from napari_chromocluster.training.runs.run_folder import Run
from small_training import small_training

STAGES = (
    StageConfig("coarse", 1, 0.0, 2e-3, freeze_body=True, image_size=32),
    StageConfig("fine", 2, 1e-3, 2e-3, image_size=32),
)
CONFIG = small_training(*STAGES, samples_per_epoch=64, composed_clusters=8)


@pytest.fixture
def arguments(annotated, tmp_path):
    """Arguments of a training run of a few seconds in the folder ``run``."""
    file = tmp_path / "tiny.json"
    file.write_text(CONFIG.to_json())
    return ["train", str(annotated), "--config", str(file), "-o", str(tmp_path / "run")]


@pytest.fixture(scope="module")
def finished(annotated, tmp_path_factory):
    """The folder of a finished training run."""
    folder = tmp_path_factory.mktemp("finished")
    file = folder / "tiny.json"
    file.write_text(CONFIG.replace(stages=STAGES[:1]).to_json())
    out = folder / "run"
    assert main(["train", str(annotated), "--config", str(file), "-o", str(out)]) == 0
    return out


def refusal(arguments, capfd):
    """Return the one-line error of a command."""
    capfd.readouterr()
    assert main([str(one) for one in arguments]) == 2
    printed = capfd.readouterr()
    assert printed.out == ""
    (line,) = printed.err.splitlines()
    return line


def test_a_finished_training_is_not_resumed_and_stays_as_it_is(finished, capfd):
    run = Run.open(finished)
    before = {path: path.read_bytes() for path in finished.rglob("*") if path.is_file()}
    said = refusal(["train", "-o", finished, "--resume"], capfd)
    assert f"This training is finished: its model is {run.model_path}; choose another" in said
    assert run.state() == "finished"
    assert {path: path.read_bytes() for path in finished.rglob("*") if path.is_file()} == before


# ----------------------------------------------------- typos fail early


def missing(table, path):
    return "does not exist"


def no_types(table, path):
    table.drop(columns="cluster_type").to_csv(path, index=False)
    return "no column 'cluster_type'"


def one_group(table, path):
    table.assign(group="one").to_csv(path, index=False)
    return "at least two groups"


def wrong_label(table, path):
    table.loc[0, "label"] = 9999
    table.to_csv(path, index=False)
    return "does not occur"


@pytest.mark.parametrize("spoil", [missing, no_types, one_group, wrong_label])
def test_after_a_failed_start_the_corrected_command_has_the_folder(
    spoil, arguments, annotated, tmp_path, capfd
):
    path = annotated.with_name(f"{spoil.__name__}.csv")
    words = spoil(pd.read_csv(annotated), path)
    wrong = [str(path) if one == str(annotated) else one for one in arguments]
    capfd.readouterr()
    assert main(wrong) == 2
    assert words in capfd.readouterr().err
    run = prepare(annotated, config=CONFIG, out=tmp_path / "run")
    assert run.state() == "prepared"
    assert run.config.annotations == (str(annotated),)


def test_a_search_for_a_rate_leaves_no_run(arguments, tmp_path, capfd, monkeypatch):
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    assert main([*arguments, "--find-rate", "2", "--json"]) == 0
    printed = capfd.readouterr()
    assert 1e-7 < json.loads(printed.out)["suggestion"] < 1
    assert "composing clusters…" in printed.err
    assert not (tmp_path / "run").exists()
    assert not list((tmp_path / "temporary").iterdir())


def test_a_search_for_a_rate_changes_no_training(finished, capfd):
    before = (finished / "events.jsonl").read_bytes()
    assert main(["train", "-o", str(finished), "--resume", "--find-rate", "1"]) == 0
    assert "learning rate of the head for coarse" in capfd.readouterr().out
    assert (finished / "events.jsonl").read_bytes() == before


@pytest.mark.parametrize("device", ["cuda", "gpu"])
def test_a_device_that_is_not_here_is_told_at_once(device, arguments, tmp_path, capfd):
    if device == "cuda" and torch.cuda.is_available():
        pytest.skip("there is a GPU")
    said = refusal([*arguments, "--device", device], capfd)
    assert f"There is no device '{device}' on this machine: choose 'auto' or 'cpu'." in said
    assert not (tmp_path / "run").exists()


def test_no_epochs_are_refused_at_once(arguments, tmp_path, capfd):
    assert "No stage has any epochs" in refusal([*arguments, "--epochs", "0,0"], capfd)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--epochs", "1,2", "--name", "ours"], "leave --name and --epochs out."),
        (["--preset", "default"], "leave --preset out."),
        (["a.csv", "--names", "--seed", "1"], "leave the annotations, --seed and --names out."),
    ],
)
def test_resumed_it_takes_no_other_settings(options, words, annotated, tmp_path, capfd):
    run = prepare(annotated, config=CONFIG, out=tmp_path / "run")
    said = refusal(["train", "-o", run.folder, "--resume", *options], capfd)
    assert f"A resumed training keeps its own settings: {words}" in said
    assert run.state() == "prepared"


# ------------------------------------------------------------ output


def test_it_says_what_it_prepares_once_and_where_all_is(arguments, tmp_path, capfd):
    assert main(arguments) == 0
    printed = capfd.readouterr()
    said = printed.err.splitlines()
    assert said.count("reading annotated regions…") == 1
    assert said.count("composing clusters…") == 1
    assert said.index("composing clusters…") < said.index("coarse stage: 1 epochs")
    assert said.index("writing the report…") == len(said) - 2
    assert said[-1].startswith("finished after ")
    run = tmp_path / "run"
    assert printed.out.splitlines() == [
        f"model:  {run / 'model.safetensors'}",
        f"report: {run / 'report' / 'report.html'}",
    ]


def test_an_epoch_tells_what_is_learnt_from_from_what_is_checked_on():
    event = {"kind": "epoch", "epoch": 1, "epochs": 3, "train_loss": 0.506,
             "metrics": {"accuracy": 0.9, "loss": 0.069}}  # fmt: skip
    assert event_text(event) == (
        "  epoch 1 of 3: loss 0.506, validation: loss 0.069, accuracy 0.900"
    )


# --------------------------------------------------------------------- Ctrl+C


def press(*_, **__):
    signal.raise_signal(signal.SIGINT)


def pressing(monkeypatch, place, name, times=1):
    """Press Ctrl+C a number of times when a function is called, then call it."""
    real = getattr(place, name)
    left = [times]

    def pressed(*arguments, **options):
        while left[0]:
            left[0] -= 1
            press()
        return real(*arguments, **options)

    monkeypatch.setattr(place, name, pressed)


def test_stopped_it_says_so(arguments, tmp_path, capfd, monkeypatch):
    pressing(monkeypatch, RunEvents, "_obey")
    assert main(arguments) == 0
    said = capfd.readouterr().err
    assert said.count("Stopping after this batch") == 1
    assert "stopped after " in said
    assert "finished after " not in said
    assert Run.open(tmp_path / "run").can_resume()


@pytest.mark.parametrize("place", ["in the same epoch", "after the stage", "while it reads"])
def test_the_second_time_it_is_ended_wherever_that_comes(
    place, arguments, tmp_path, capfd, monkeypatch
):
    before = signal.getsignal(signal.SIGINT)
    if place == "in the same epoch":
        pressing(monkeypatch, RunEvents, "_obey", 2)
    elif place == "after the stage":  # Lightning has restored the earlier handler
        pressing(monkeypatch, RunEvents, "_obey")
        pressing(monkeypatch, trainer, "save_outcome")
    else:
        pressing(monkeypatch, trainer, "prepare_data", 2)
    assert main(arguments) == 130
    assert capfd.readouterr().err.count("Stopping after this batch") == 1
    assert signal.getsignal(signal.SIGINT) is before
    run = Run.open(tmp_path / "run")
    assert run.state() == "failed"
    assert "resume it" in run.message()


def test_stopped_before_it_learnt_anything_it_can_go_on(arguments, tmp_path, capfd, monkeypatch):
    pressing(monkeypatch, trainer, "prepare_data")
    assert main(arguments) == 130
    said = capfd.readouterr().err.splitlines()[-1]
    assert f"resume it with 'chromocluster train -o {tmp_path / 'run'} --resume'" in said
    assert main(["train", "-o", str(tmp_path / "run"), "--resume"]) == 0
    assert Run.open(tmp_path / "run").state() == "finished"


def test_ended_by_a_scheduler_it_is_no_success(arguments, tmp_path, capfd, monkeypatch):
    real, left = RunEvents._obey, [True]

    def ended(*arguments, **options):
        if left and left.pop():
            signal.raise_signal(signal.SIGTERM)
        return real(*arguments, **options)

    monkeypatch.setattr(RunEvents, "_obey", ended)
    assert main(arguments) == 130
    assert "was interrupted" in capfd.readouterr().err.splitlines()[-1]
    assert Run.open(tmp_path / "run").can_resume()


def test_a_model_that_lies_in_the_folder_is_not_replaced(arguments, tmp_path, capfd):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "model.safetensors").write_bytes(b"precious")
    assert main(arguments) == 2
    assert "model.safetensors already exists" in capfd.readouterr().err
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == b"precious"
