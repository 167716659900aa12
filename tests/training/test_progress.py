"""Curves and bars from events."""

from napari_chromocluster.training.config import preset
from napari_chromocluster.training.progress import RunProgress


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
