import pandas as pd
import torch

import broad_training
from napari_chromocluster.models.model_card import ModelCard
from napari_chromocluster.models.model_file import load_model_file, save_model
from napari_chromocluster.models.network import build_network


def test_a_training_starts_from_the_average_of_several_models(tmp_path):
    files = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        files.append(tmp_path / f"{seed}.safetensors")
        save_model(files[-1], build_network(), ModelCard(name=str(seed), input_size=64))
    first, second, averaged = (
        load_model_file(file)[0].members[0].state_dict()
        for file in (*files, broad_training.start([str(one) for one in files], tmp_path / "a"))
    )
    name = "head.6.weight"
    assert torch.allclose(averaged[name], (first[name] + second[name]) / 2)
    assert broad_training.start(["default"], tmp_path / "unused") == "default"


def test_one_of_twelve_drawn_metaphases_validates(tmp_path):
    file = tmp_path / "annotations.csv"
    groups = [f"splayed_{seed}" for seed in range(3000, 3024)]
    pd.DataFrame({"group": groups}).to_csv(file, index=False)
    parts = broad_training.sides([("splayed", file)])
    assert parts["validation"] == {"splayed_3000", "splayed_3012"}
    assert len(parts["train"]) == 22
    assert not parts["test"]
