"""Stop, resume, and which weights are kept, in this process and within seconds."""

import json

import pytest
import torch

from napari_chromocluster.models.model_card import ModelCard, read_card
from napari_chromocluster.models.model_file import load_model_file, save_model
from napari_chromocluster.models.network import ClusterNetwork, build_network
from napari_chromocluster.progress import Cancelled
from napari_chromocluster.training.api import train
from napari_chromocluster.training.config import StageConfig
from napari_chromocluster.training.fit.lightning_module import StageModule
from napari_chromocluster.training.fit.trainer import fit
from napari_chromocluster.training.runs.run_folder import Run
from small_training import small_training

STAGES = (
    StageConfig("coarse", 1, 0.0, 2e-3, freeze_body=True, image_size=32),
    StageConfig("fine", 3, 1e-3, 2e-3, image_size=32),
)
CONFIG = small_training(*STAGES, samples_per_epoch=64, composed_clusters=0)


class StoppedAfter:
    """A run that is asked to stop once a stage has processed some batches."""

    def __init__(self, run, stage, batches):
        self._run = run
        self.stage, self.left, self.now = stage, batches, ""

    def __getattr__(self, name):
        return getattr(self._run, name)

    def emit(self, event):
        if event["kind"] == "stage":
            self.now = event["stage"]
        self._run.emit(event)

    def should_stop(self):
        if self.now == self.stage:
            self.left -= 1
        return self.left < 0


def new_run(folder, annotated, **changes):
    return Run.create(folder, CONFIG.replace(annotations=(str(annotated),), **changes))


def epochs(run):
    """Return the metrics of each epoch, the last ones if an epoch was repeated."""
    return {
        (e["stage"], e["epoch"]): {"train": e["train_loss"], **e["metrics"]}
        for e in run.events()
        if e["kind"] == "epoch"
    }


def weights(path):
    return load_model_file(path)[0].state_dict()


def same(one, other):
    assert set(epochs(one)) == set(epochs(other))
    for place, figures in epochs(other).items():
        assert epochs(one)[place] == pytest.approx(figures, abs=1e-6)


def test_stopped_in_an_epoch_and_resumed_gives_what_an_unbroken_run_gives(annotated, tmp_path):
    # With weight averaging, which checkpoints must include as well.
    whole = new_run(tmp_path / "whole", annotated, average_decay=0.9)
    fit(whole.config, whole)
    run = new_run(tmp_path / "run", annotated, average_decay=0.9)
    # Four batches per epoch: this is in the middle of the second.
    fit(run.config, StoppedAfter(run, "fine", 5))
    assert run.model_path.exists(), "the best so far is kept"
    assert set(epochs(run)) == {("coarse", 1), ("fine", 1)}, "half an epoch does not count"
    fit(run.config, run, resume=True)
    same(run, whole)
    for name, values in weights(whole.model_path).items():
        torch.testing.assert_close(weights(run.model_path)[name], values, msg=name)


def test_stopped_in_its_first_epoch_it_keeps_what_it_has_learnt(annotated, tmp_path):
    run = new_run(tmp_path / "run", annotated, stages=STAGES[1:])
    fit(run.config, StoppedAfter(run, "fine", 2))
    assert run.model_path.exists()
    assert set(epochs(run)) == {("fine", 1)}
    whole = new_run(tmp_path / "whole", annotated, stages=STAGES[1:])
    fit(whole.config, whole)
    fit(run.config, run, resume=True)
    same(run, whole)


@pytest.mark.parametrize("moved", [False, True])
def test_the_best_epoch_is_kept_also_where_the_folder_was_moved(
    moved, annotated, tmp_path, monkeypatch
):
    def falls(self):  # so that the first epoch is the best
        self._outputs.clear()
        names = ("loss", "accuracy", "macro_sensitivity")
        self.log_dict({f"validation_{name}": 0.9 - 0.1 * self.current_epoch for name in names})

    monkeypatch.setattr(StageModule, "on_validation_epoch_end", falls)
    run = new_run(tmp_path / "run", annotated, stages=STAGES[1:])
    fit(run.config, StoppedAfter(run, "fine", 9))
    assert len(epochs(run)) == 2
    first = weights(run.model_path)
    if moved:
        run.folder.rename(tmp_path / "elsewhere")
        run = Run.open(tmp_path / "elsewhere")
    fit(run.config, run, resume=True)
    assert len(epochs(run)) == 3
    for name, values in first.items():
        torch.testing.assert_close(weights(run.model_path)[name], values, msg=name)


def test_stopped_before_it_learnt_anything_it_says_so(annotated, tmp_path):
    run = new_run(tmp_path / "run", annotated)
    with pytest.raises(Cancelled, match="while it read the data"):
        fit(run.config, StoppedAfter(run, "", 0))
    assert not run.model_path.exists()


def test_a_stage_that_spoils_it_does_not_count(annotated, tmp_path):
    good = StageConfig("good", 3, 2e-3, 4e-3, image_size=48)
    bad = StageConfig("bad", 1, 3.0, 3.0, image_size=32)
    run = new_run(tmp_path / "run", annotated, stages=(good, bad), samples_per_epoch=320)
    fit(run.config, run)
    scores = {place: figures["macro_sensitivity"] for place, figures in epochs(run).items()}
    assert max(scores, key=scores.get)[0] == "good", "else this tests nothing"
    assert read_card(run.model_path).input_size == 48


def test_a_frozen_body_is_paid_for_twice_at_most(annotated, tmp_path, monkeypatch):
    calls = []
    pooled = ClusterNetwork.pooled
    monkeypatch.setattr(
        ClusterNetwork, "pooled", lambda self, x: calls.append(len(x)) or pooled(self, x)
    )
    stages = (StageConfig("coarse", 5, 0.0, 2e-3, freeze_body=True, image_size=32),)
    run = new_run(tmp_path / "run", annotated, stages=stages)
    fit(run.config, run)
    of_training = [n for n in calls if n == CONFIG.batch_size]
    assert len(of_training) <= 2 * 4 + 2, "two passes of four batches, and the validation"
    assert len(epochs(run)) == 5


def test_terms_go_with_what_grows_from_a_model_and_no_folder_is_named(annotated, tmp_path):
    base = tmp_path / "patient Smith" / "theirs.safetensors"
    base.parent.mkdir()
    card = ModelCard(
        "theirs", input_size=32, weight_licence="CC-BY-NC-4.0", data_licences=("CC-BY-4.0",),
        citations=("Someone 2020",),
    )  # fmt: skip
    save_model(base, build_network("compact"), card)
    run = train(annotated, config=CONFIG, base_model=base, stages=STAGES[:1], out=tmp_path / "run")
    new = read_card(run.model_path)
    assert new.weight_licence == "CC-BY-NC-4.0"
    assert new.data_licences == ("CC-BY-4.0",)
    assert "Someone 2020" in new.citations
    assert "Smith" not in new.to_json()
    assert "metaphase_1" not in new.to_json()
    named = train(
        annotated, config=CONFIG, base_model=base, stages=STAGES[:1], out=tmp_path / "named",
        names_in_card=True,
    )  # fmt: skip
    assert "metaphase_1" in json.dumps(read_card(named.model_path).training)
