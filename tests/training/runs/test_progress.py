"""Curves and progress bars from events."""

from napari_chromocluster.training.config import preset
from napari_chromocluster.training.runs.progress import RunProgress


def batch(stage, number, epoch, done, loss, **more):
    place = {"stage": stage, "stage_number": number, "epoch": epoch, "epochs": 3}
    return {"kind": "batch", **place, "batch": done, "batches": 10, "loss": loss, **more}


def epoch(stage, number, which, sensitivity):
    metrics = {"loss": 0.5, "accuracy": 0.8, "macro_sensitivity": sensitivity}
    return {
        "kind": "epoch", "stage": stage, "stage_number": number, "epoch": which, "epochs": 3,
        "train_loss": 0.6, "metrics": metrics,
    }  # fmt: skip


def gathered(*events):
    progress = RunProgress(preset("quick"))
    for event in events:
        progress.take(event)
    return progress


def test_stages_lie_one_behind_the_other():
    progress = gathered(
        {"kind": "start"},
        {"kind": "prepare", "what": "composing clusters", "done": 3, "total": 9},
    )
    assert progress.preparing == ("composing clusters", 3, 9)
    progress.take({"kind": "stage", "stage": "coarse", "epochs": 3})
    assert progress.preparing is None
    progress.take(batch("coarse", 0, 2, 5, 1.0, eta_s=12.0, device="cpu", memory_mb=400.0))
    assert progress.batch_loss.x == [1.5]
    assert (progress.eta_s, progress.device, progress.memory_mb) == (12.0, "cpu", 400.0)
    progress.take(epoch("fine", 1, 1, 0.7))
    assert progress.macro_sensitivity.x == [4.0]
    assert progress.bounds == [0, 3, 6]
    assert 0.6 < progress.done < 0.7


def test_a_resumed_training_draws_over_what_it_repeats():
    progress = gathered(
        {"kind": "start"}, epoch("coarse", 0, 1, 0.4), batch("coarse", 0, 2, 5, 9.0),
        batch("coarse", 0, 2, 9, 8.0), {"kind": "error", "message": "The disk is full."},
    )  # fmt: skip
    assert (progress.ended, progress.message) == ("error", "The disk is full.")
    progress.take({"kind": "start", "resume": True})
    assert progress.ended == ""
    progress.take(batch("coarse", 0, 2, 5, 3.0))
    assert progress.batch_loss.y == [3.0]


def test_report_folds_and_end():
    progress = gathered({"kind": "start"}, epoch("fine", 1, 3, 0.9))
    progress.take({"kind": "fold", "fold": 2, "folds": 5, "stage": "fine", "epoch": 1, "epochs": 3})
    assert (progress.fold, progress.folds) == (2, 5)
    assert progress.macro_sensitivity.y == [0.9]
    progress.take({"kind": "report", "done": False})
    assert progress.reporting
    progress.take({"kind": "report", "done": True, "message": "No old model."})
    progress.take({"kind": "end", "seconds": 3.0})
    assert (progress.ended, progress.done, progress.message) == ("end", 1.0, "No old model.")
    assert not progress.stopped


def test_time_left_holds_from_stage_to_stage_and_counts_all_folds():
    progress = RunProgress(preset("quick").replace(folds=3))
    for event in (
        {"kind": "start"},
        {"kind": "stage", "stage": "coarse", "epochs": 3, "time": 100.0},
        batch("coarse", 0, 1, 1, 1.0, eta_s=None, time=101.0),
    ):
        progress.take(event)
    assert progress.eta_s is None
    progress.take(batch("coarse", 0, 1, 5, 1.0, eta_s=50.0, time=110.0))
    assert progress.eta_s == 50 + 2 * (10 + 50)
    progress.take({**epoch("coarse", 0, 3, 0.4), "eta_s": 30.0, "time": 130.0})
    assert progress.eta_s == 30 + 2 * (30 + 30)
    progress.take({"kind": "stage", "stage": "fine", "epochs": 3, "time": 131.0})
    progress.take(batch("fine", 1, 1, 1, 1.0, eta_s=None, time=132.0))
    assert progress.eta_s == 150, "what a new stage does not know is not forgotten"
    fold = {"kind": "fold", "folds": 3, "stage": "coarse", "epoch": 1, "epochs": 3}
    progress.take({**fold, "fold": 2, "eta_s": None, "time": 170.0})
    progress.take({**fold, "fold": 2, "eta_s": 40.0, "time": 180.0})
    assert progress.eta_s == 40 + (10 + 40)
    progress.take({**fold, "fold": 3, "eta_s": 40.0, "time": 230.0})
    assert progress.eta_s == 40
    progress.take({"kind": "end", "seconds": 3.0})
    assert progress.eta_s is None


def test_a_training_that_was_stopped_is_not_done():
    progress = gathered({"kind": "start"}, epoch("coarse", 0, 3, 0.9))
    progress.take({"kind": "end", "seconds": 3.0, "stopped": True})
    assert (progress.ended, progress.stopped, progress.done) == ("end", True, 0.5)
    progress.take({"kind": "start", "resume": True})
    assert not progress.stopped
