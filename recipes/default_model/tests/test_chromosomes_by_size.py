import numpy as np
import pandas as pd
import pytest
from PIL import Image

import plain_annotations
from chromosomes_by_size import main, sizes
from held_out import part


@pytest.fixture
def folders(tmp_path):
    """Label images of 30 regions: 29 of one size, and one three times as large with three boxes."""
    data, work = tmp_path / "data", tmp_path / "work"
    labels = np.zeros((40, 600), np.uint16)
    for label in range(1, 31):
        labels[5 : 35 if label == 30 else 15, 20 * label - 15 : 20 * label - 5] = label
    train = next(name for name in map(str, range(100000, 101000))
                 if part("gband_metaphases", name) == "train")  # fmt: skip
    plain = f"{train}_plain{plain_annotations.ANNOTATED}.png"
    for folder, source, group, name in (
        (data / "mfish", "mfish", "T01", "T01_labels.png"),
        (data / "mfish", "mfish", "A05", "A05_labels.png"),  # of the test groups
        (work / "boxes", "gband_metaphases", train, f"{train}_labels.png"),
        (work / "plain", "gband_metaphases", train, plain),
    ):
        folder.mkdir(parents=True, exist_ok=True)
        image = data / source / f"{group}.png"
        image.parent.mkdir(parents=True, exist_ok=True)
        for path in (image, folder / name):
            Image.fromarray(labels).save(path)
        rows = pd.DataFrame(
            {
                "image": str(image), "labels": name, "label": np.arange(1, 31),
                "cluster_type": ["single"] * 29 + ["touching"], "group": group,
                "chromosomes": [1] * 29 + [3],
            }
        )  # fmt: skip
        file = folder / "annotations.csv"
        before = [pd.read_csv(file)] if file.exists() else []
        pd.concat([*before, rows]).to_csv(file, index=False)
    return data, work


def test_sizes_of_the_training_groups(folders, capsys):
    found = sizes(*folders)
    assert found["chromosomes"].value_counts().to_dict() == {1: 3 * 29, 3: 3}
    assert (found.loc[found["chromosomes"] == 3, "size"] == 3.0).all()
    main(*folders)
    printed = capsys.readouterr().out
    assert printed.startswith("87 singles, 3 clusters")
    assert "1: n    87" in printed
