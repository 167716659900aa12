"""The trainings of the embedded model."""

from __future__ import annotations

from make_model import trained
from napari_chromocluster.training.config import StageConfig, TrainingConfig
from napari_chromocluster.training.run import Run


def test_a_training_ends_after_its_last_epoch_and_is_not_repeated(annotated, tmp_path):
    config = TrainingConfig(
        annotations=(str(annotated),),
        stages=(StageConfig("fine", 3, 1e-3, 1e-3, image_size=32),),
        samples_per_epoch=16,
        batch_size=8,
        composed_clusters=4,
        tta=1,
        device="cpu",
    )
    folder = tmp_path / "training"
    model = trained(config, folder, last_epoch=1)
    assert model.is_file()
    kinds = [event["kind"] for event in Run.open(folder).events()]
    assert kinds.count("epoch") == 1
    assert kinds[-1] == "end"
    assert trained(config, folder, last_epoch=1) == model
    assert kinds == [event["kind"] for event in Run.open(folder).events()]
