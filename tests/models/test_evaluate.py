import shutil

import numpy as np
import pandas as pd
from PIL import Image

from napari_chromocluster.imaging.regions import extract_regions
from napari_chromocluster.models.classifier import load_model
from napari_chromocluster.models.evaluate import evaluate
from napari_chromocluster.results.annotations import read_annotations


def test_figures_agree_with_the_classifier(tiny_model, annotated):
    classifier = load_model(tiny_model)
    found = evaluate(annotated, classifier)
    table = read_annotations(annotated)
    assert found.n == len(table)
    assert set(found.per_group) == set(table["group"])
    one = table[table["group"] == "metaphase_11"]
    image = np.asarray(Image.open(one["image"].iloc[0]))
    labels = np.asarray(Image.open(one["labels"].iloc[0]))
    said = classifier.classify(image, labels).set_index("index")["cluster_type"]
    right = np.mean([said[label] == kind for label, kind in zip(one["label"], one["cluster_type"], strict=True)])
    assert found.per_group["metaphase_11"]["accuracy"] == right


def test_ready_made_crops(tiny_model, metaphase, tmp_path):
    for region in extract_regions(metaphase.labels)[:10]:
        y0, x0, y1, x1 = region.bbox
        mask = np.pad(metaphase.labels[y0:y1, x0:x1] == region.label, 3)
        crop = np.where(mask, np.pad(metaphase.image[y0:y1, x0:x1], 3), 255).astype(np.uint8)
        folder = tmp_path / "types" / str(metaphase.types[region.label])
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(crop).save(folder / f"case1_{region.label}.png")
    assert evaluate(tmp_path / "types", tiny_model).n == 10


def test_real_annotations_are_read(tiny_model, real_data, tmp_path):
    table = pd.read_csv(real_data / "gband_crops" / "annotations.csv").head(12)
    (tmp_path / "images").mkdir()
    for name in table["image"]:
        shutil.copy(real_data / "gband_crops" / name, tmp_path / name)
    table.to_csv(tmp_path / "annotations.csv", index=False)
    assert evaluate(tmp_path / "annotations.csv", tiny_model).n == 12
