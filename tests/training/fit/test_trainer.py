"""Real training runs, small enough to take seconds."""

import json
import os
import signal
import time

import numpy as np
import pytest
import torch

from napari_chromocluster.imaging.synthetic_metaphase import synthetic_annotations
from napari_chromocluster.models.evaluation import evaluate
from napari_chromocluster.models.model_card import ModelCard, read_card
from napari_chromocluster.models.model_file import load_model_file, save_model
from napari_chromocluster.models.network import ClusterEnsemble, build_network
from napari_chromocluster.training.api import train
from napari_chromocluster.training.config import StageConfig
from napari_chromocluster.training.fit.trainer import start_network
from napari_chromocluster.training.runs import process
from napari_chromocluster.training.runs.process import start, stop
from napari_chromocluster.training.runs.run_folder import Run, RunError, list_runs
from small_training import small_training

STAGES = (
    StageConfig("coarse", 2, 0.0, 2e-3, freeze_body=True, image_size=48),
    StageConfig("fine", 2, 1e-3, 2e-3, image_size=48),
)
CONFIG = small_training(*STAGES, samples_per_epoch=96, composed_clusters=30)


@pytest.fixture(scope="module", autouse=True)
def wait_for_children():
    yield
    for child in process._CHILDREN.values():
        child.kill()
        child.wait()
    process._CHILDREN.clear()


def epochs(run):
    return [
        (e["stage"], e["epoch"], e["metrics"]) for e in run.events() if e.get("kind") == "epoch"
    ]


@pytest.fixture(scope="module")
def finished(annotated, tmp_path_factory):
    return train(annotated, config=CONFIG, out=tmp_path_factory.mktemp("runs") / "whole")


def test_run_folder_is_complete(finished):
    assert finished.state() == "finished"
    assert finished.model_path.exists()
    kinds = [event["kind"] for event in finished.events()]
    assert kinds[0] == "start"
    assert kinds[-1] == "end"
    assert kinds.count("stage") == 2
    assert [(s, e) for s, e, _ in epochs(finished)] == [
        ("coarse", 1), ("coarse", 2), ("fine", 1), ("fine", 2),
    ]  # fmt: skip
    assert {"loss", "accuracy", "macro_sensitivity"} <= set(epochs(finished)[0][2])
    assert finished in list_runs(finished.folder.parent)


def test_card_says_what_was_done_and_names_nobody(finished, annotated):
    card = read_card(finished.model_path)
    text = card.to_json()
    assert "metaphase_11" not in text
    assert card.training["composed_clusters"] == 30
    assert len(card.training["groups_trained"] + card.training["groups_validated"]) == 4
    assert sum(card.training_prior.values()) == pytest.approx(1)
    figures = card.metrics["validation groups of this training"]
    assert figures["n"] > 0
    assert evaluate(annotated, finished.model_path).n > 0


def test_same_seed_same_metrics(finished, annotated, tmp_path):
    again = train(annotated, config=CONFIG, out=tmp_path / "again")
    for (_, _, first), (_, _, second) in zip(epochs(finished), epochs(again), strict=True):
        assert first == pytest.approx(second, abs=1e-6)


def test_killed_and_resumed_gives_what_an_unbroken_run_gives(finished, annotated, tmp_path):
    config = CONFIG.replace(annotations=finished.config.annotations)
    run = Run.create(tmp_path / "broken", config)
    pid = start(run)
    until = time.monotonic() + 120
    while not any(s == "fine" for s, _, _ in epochs(run)) and time.monotonic() < until:
        time.sleep(0.02)
    os.kill(pid, signal.SIGKILL)
    while run.process_alive():
        time.sleep(0.05)
    assert run.state() == "killed"
    assert not run.model_path.exists()
    start(run, resume=True)
    until = time.monotonic() + 120
    while run.state() == "running" and time.monotonic() < until:
        time.sleep(0.1)
    assert run.state() == "finished", run.log_path.read_text()
    # If an epoch was repeated, its last metrics are used.
    found = {(stage, number): figures for stage, number, figures in epochs(run)}
    for stage, number, figures in epochs(finished):
        assert found[stage, number] == pytest.approx(figures, abs=1e-6)
    (first, _), (second, _) = load_model_file(finished.model_path), load_model_file(run.model_path)
    for name, values in first.state_dict().items():
        torch.testing.assert_close(second.state_dict()[name], values, msg=name)


def test_stop_keeps_the_best_so_far(annotated, tmp_path):
    stages = (StageConfig("fine", 500, 1e-3, 1e-3, image_size=32),)
    run = train(annotated, config=CONFIG, stages=stages, out=tmp_path / "long", wait=False)
    until = time.monotonic() + 120
    while not epochs(run) and time.monotonic() < until:
        time.sleep(0.05)
    with pytest.raises(RunError, match="already running"):
        start(run)
    stop(run, grace=60)
    while run.process_alive():
        time.sleep(0.05)
    assert run.model_path.exists(), run.log_path.read_text()
    assert len(epochs(run)) < 500


def test_a_failure_becomes_one_sentence(tmp_path, annotated):
    rows = annotated.read_text().splitlines()
    broken = annotated.with_name("broken.csv")
    rows[5] = rows[5].replace("metaphase_11.png", "gone.png")
    broken.write_text("\n".join(rows))
    with pytest.raises(ValueError, match="is missing"):
        train(broken, config=CONFIG, out=tmp_path / "run")
    assert not (tmp_path / "run").exists(), "what can be told at once costs no folder"
    broken.with_name("gone.png").write_text("no image")
    with pytest.raises(ValueError, match="not an image"):
        train(broken, config=CONFIG, out=tmp_path / "run")
    run = Run.open(tmp_path / "run")
    assert run.state() == "failed"
    last = list(run.events())[-1]
    assert "gone.png" in last["message"]
    assert "\n" not in last["message"]


def test_training_learns(tmp_path):
    """Trained on 6 synthetic metaphases, it beats the untrained head on 2 others."""
    learn = synthetic_annotations(tmp_path / "learn", seeds=[21, 22, 23, 24, 25, 26])
    check = synthetic_annotations(tmp_path / "check", seeds=[31, 32])
    base = tmp_path / "base.safetensors"
    torch.manual_seed(0)
    network = build_network("compact")
    save_model(base, network, ModelCard(name="untrained", input_size=64, tta=1))
    stages = (StageConfig("fine", 6, 2e-3, 2e-3, image_size=64),)
    run = train(
        learn, config=CONFIG, base_model=base, stages=stages, out=tmp_path / "run",
        samples_per_epoch=640, composed_clusters=200, batch_size=32,
    )  # fmt: skip
    before, after = evaluate(check, base), evaluate(check, run.model_path)
    assert after.macro_sensitivity > before.macro_sensitivity + 0.15


def test_a_model_of_several_networks_goes_on_with_its_first(tmp_path):
    base = tmp_path / "base.safetensors"
    members = []
    for seed in range(2):
        torch.manual_seed(seed)
        members.append(build_network("compact"))
    save_model(base, ClusterEnsemble(members), ModelCard(name="two", input_size=48))
    state = start_network(CONFIG.replace(base_model=str(base))).state_dict()
    assert state.keys() == members[0].state_dict().keys()
    for name, value in members[0].state_dict().items():
        assert torch.equal(state[name], value)


def test_the_shares_of_the_types_expected_stay_those_of_the_start(annotated, tmp_path):
    """A deployment prior chosen for the base model also applies to the finetuned model."""
    base = tmp_path / "base.safetensors"
    shares = {"single": 0.5, "touching": 0.2, "overlapping": 0.1, "touching_overlapping": 0.1,
              "other": 0.1}  # fmt: skip
    card = ModelCard(name="wary", input_size=48, tta=1, deployment_prior=shares)
    save_model(base, build_network("compact"), card)
    run = train(annotated, config=CONFIG, base_model=base, stages=STAGES[:1], out=tmp_path / "run")
    assert read_card(run.model_path).deployment_prior == shares


def test_torn_last_line_of_events(finished, tmp_path):
    run = Run.create(tmp_path / "torn", CONFIG.replace(annotations=("a",)))
    run.emit({"kind": "start"})
    with run.events_path.open("a") as stream:
        stream.write('{"kind": "epo')
    assert [event["kind"] for event in run.events()] == ["start"]
    with pytest.raises(RunError, match="already holds a training"):
        Run.create(tmp_path / "torn", CONFIG)
    with pytest.raises(RunError, match="not a run folder"):
        Run.open(tmp_path / "nothing")


def test_predictions_are_kept_for_the_report(finished):
    lines = json.loads((finished.report_folder / "validation.json").read_text())
    assert np.allclose([sum(line["probabilities"]) for line in lines], 1, atol=1e-3)
    assert {"image", "label", "cluster_type", "group"} <= set(lines[0])
