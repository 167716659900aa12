import shutil

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from napari_chromocluster.imaging.regions import extract_regions
from napari_chromocluster.models.classifier import load_model
from napari_chromocluster.models.evaluation import evaluate
from napari_chromocluster.progress import Cancelled
from napari_chromocluster.results.annotations import read_annotations
from napari_chromocluster.results.features_table import PROBABILITIES
from napari_chromocluster.results.metrics import evaluate_predictions


def test_figures_agree_with_the_classifier(lively_model, annotated):
    classifier = load_model(lively_model)
    found = evaluate(annotated, classifier)
    table = read_annotations(annotated)
    assert found.n == len(table)
    assert set(found.per_group) == set(table["group"])
    one = table[table["group"] == "metaphase_11"]
    image = np.asarray(Image.open(one["image"].iloc[0]))
    labels = np.asarray(Image.open(one["labels"].iloc[0]))
    said = classifier.classify(image, labels).set_index("index")["cluster_type"]
    pairs = zip(one["label"], one["cluster_type"], strict=True)
    right = np.mean([said[label] == kind for label, kind in pairs])
    assert found.per_group["metaphase_11"]["accuracy"] == right


def test_ready_made_crops(lively_model, metaphase, tmp_path):
    for region in extract_regions(metaphase.labels)[:10]:
        y0, x0, y1, x1 = region.bbox
        mask = np.pad(metaphase.labels[y0:y1, x0:x1] == region.label, 3)
        crop = np.where(mask, np.pad(metaphase.image[y0:y1, x0:x1], 3), 255).astype(np.uint8)
        folder = tmp_path / "types" / str(metaphase.types[region.label])
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(crop).save(folder / f"case1_{region.label}.png")
    assert evaluate(tmp_path / "types", lively_model).n == 10


def test_real_annotations_are_read(lively_model, real_data, tmp_path):
    table = pd.read_csv(real_data / "gband_crops" / "annotations.csv").head(12)
    (tmp_path / "images").mkdir()
    for name in table["image"]:
        shutil.copy(real_data / "gband_crops" / name, tmp_path / name)
    table.to_csv(tmp_path / "annotations.csv", index=False)
    assert evaluate(tmp_path / "annotations.csv", lively_model).n == 12


def test_both_kinds_of_rows_in_one_file_keep_their_order(lively_model, annotated, tmp_path):
    table = read_annotations(annotated)
    image = Image.fromarray(np.full((40, 40), 255, np.uint8))
    image.paste(60, (12, 8, 20, 32))
    image.save(tmp_path / "crop.png")
    crop = {"image": str(tmp_path / "crop.png"), "cluster_type": "single", "group": "crops"}
    crop = pd.DataFrame([crop | {"labels": "", "label": ""}])
    mixed = pd.concat([table.iloc[:3], crop, table.iloc[3:6]])
    mixed.to_csv(tmp_path / "mixed.csv", index=False)
    seen = []
    found = evaluate(tmp_path / "mixed.csv", lively_model, progress=lambda *p: seen.append(p))
    assert found.n == 7
    assert found.per_group["crops"]["n"] == 1
    assert seen[-1] == (7, 7)


def test_regions_that_are_not_annotated_count_among_the_chromosomes(
    lively_model, annotated, tmp_path
):
    """The types are the same as when a user classifies the whole metaphase."""
    table = read_annotations(annotated)
    one = table[table["group"] == "metaphase_12"]
    few = one.iloc[::3]
    few.to_csv(tmp_path / "few.csv", index=False)
    classifier = load_model(lively_model)
    image = np.asarray(Image.open(one["image"].iloc[0]))
    labels = np.asarray(Image.open(one["labels"].iloc[0]))
    for number in (24, None):
        said = classifier.classify(image, labels, expected=number).set_index("index")
        whole = evaluate_predictions(
            list(few["cluster_type"]),
            said.loc[few["label"], list(PROBABILITIES)].to_numpy(),
            list(few["group"]),
        ).to_dict()
        found = evaluate(tmp_path / "few.csv", classifier, expected=number).to_dict()
        assert found["ece"] == pytest.approx(whole["ece"], abs=1e-5)
        assert found["confusion_matrix"] == whole["confusion_matrix"]
    with_number, without = (
        evaluate(tmp_path / "few.csv", classifier, expected=number).to_dict()["ece"]
        for number in (24, None)
    )
    assert with_number != pytest.approx(without, abs=1e-5)


def test_rows_without_a_single_type_are_left_out(lively_model, annotated, tmp_path):
    table = read_annotations(annotated).head(4)
    table.loc[0, "cluster_type"], table.loc[1, "cluster_type"] = "unresolved", "cluster"
    table.to_csv(tmp_path / "some.csv", index=False)
    assert evaluate(tmp_path / "some.csv", lively_model).n == 2


def test_stopping(lively_model, annotated):
    with pytest.raises(Cancelled):
        evaluate(annotated, lively_model, stop=lambda: True)
