"""The embedded model on synthetic chromosomes: fails if a new model is worse.

The minimum metrics are slightly below those of the shipped model, so that other versions of torch
pass; raise them when shipping a better model.
"""

import json

import numpy as np
import pytest
from scipy import ndimage

from napari_chromocluster.cluster_types import CHROMOSOME_TYPES, TYPES
from napari_chromocluster.imaging.cluster_synthesis import SynthesisParameters, compose_clusters
from napari_chromocluster.imaging.crops import render_crop, square_crop
from napari_chromocluster.imaging.io import read_image
from napari_chromocluster.imaging.normalization import to_grayscale
from napari_chromocluster.imaging.segmentation import segment_metaphase
from napari_chromocluster.imaging.synthetic_metaphase import (
    procedural_chromosome,
    synthetic_metaphase,
)
from napari_chromocluster.models.classifier import load_model
from napari_chromocluster.models.registry import resolve_model
from napari_chromocluster.results.metrics import evaluate_predictions

LEAST_ACCURACY, LEAST_MACRO_SENSITIVITY = 0.75, 0.75
#: Rounding differs between processors and changes the composed clusters: with 160 of them the
#: metric of one model was 0.775 on one machine and 0.825 on another.
COMPOSED = 480
LEAST_SINGLES = 0.9
LEAST_ALIKE = 0.9


@pytest.fixture(scope="module")
def model():
    return load_model("default", "cpu")


def evaluated(model, look=None):
    """Return the metrics of the model on clusters composed of synthetic chromosomes."""
    rng = np.random.default_rng(7)
    singles = [procedural_chromosome(rng) for _ in range(46)]
    made = compose_clusters(singles, COMPOSED, seed=3, types=CHROMOSOME_TYPES, look=look)
    usual = float(np.sqrt(np.median([one.mask.sum() for one in singles])))
    crops = [
        render_crop(square_crop(one.signal, one.mask, reference=usual), model.card.crop_spec)
        for one in made
    ]
    names = [str(one.cluster_type) for one in made]
    return evaluate_predictions(names, model.predict_crops(np.stack(crops)))


@pytest.fixture(scope="module")
def composed(model):
    return evaluated(model)


def test_composed_clusters_are_told_apart(composed):
    assert composed.accuracy >= LEAST_ACCURACY
    assert composed.macro_sensitivity >= LEAST_MACRO_SENSITIVITY


def test_single_chromosomes_are_no_clusters(composed):
    assert composed.per_type["single"].sensitivity >= LEAST_SINGLES


def test_neighbours_side_by_side_are_told_apart(model):
    found = evaluated(model, SynthesisParameters(end_to_end=0.0, sharp_bend=0.0))
    assert found.accuracy >= 0.75
    assert found.per_type["touching"].sensitivity >= 0.64


@pytest.mark.parametrize("stain", ["giemsa", "dapi"])
def test_synthetic_metaphases(model, stain):
    said, true = [], []
    for seed in range(100, 103):
        made = synthetic_metaphase(seed=seed, stain=stain)
        table = model.classify(made.image, made.labels)
        said.append(table[[kind.probability_column for kind in TYPES]].to_numpy())
        true += [str(made.types[label]) for label in table["index"]]
    found = evaluate_predictions(true, np.concatenate(said))
    # These clusters include neighbors placed end to end and pressed into each other.
    assert found.accuracy >= 0.85
    assert found.per_type["single"].sensitivity >= 0.95
    assert found.per_type["touching"].sensitivity >= 0.5


@pytest.mark.parametrize("stain", ["giemsa", "dapi"])
@pytest.mark.parametrize("factor", [0.6, 2.0])
def test_the_size_of_the_pixels_matters_little(model, stain, factor):
    alike = []
    for seed in range(100, 103):
        made = synthetic_metaphase(seed=seed, stain=stain)
        before = model.classify(made.image, made.labels)
        scale = (factor, factor, 1)
        image = ndimage.zoom(made.image, scale[: made.image.ndim], order=1)
        after = model.classify(image, ndimage.zoom(made.labels, factor, order=0))
        alike += list(before["cluster_type"] == after["cluster_type"])
    # Weights trained on one camera per stain changed 2 of 10 types at 0.6.
    assert np.mean(alike) >= LEAST_ALIKE


def test_small_pixels_make_no_nuclei_of_short_chromosomes(model, real_data):
    """A slightly defocused DAPI image, enlarged; formerly, 6 of its 38 regions were other."""
    image = to_grayscale(read_image(real_data / "mfish" / "images" / "A030413_dapi.png"))
    large = np.rint(ndimage.zoom(image, 2, order=1)).astype(np.uint8)
    table = model.classify(large, segment_metaphase(large))
    assert len(table) > 30
    assert (table["cluster_type"] == "other").sum() <= 2


def test_from_picture_to_types(model):
    made = synthetic_metaphase(seed=0)
    table = model.classify(made.image, segment_metaphase(made.image))
    singles = sum(kind == "single" for kind in made.types.values())
    assert abs(int((table["cluster_type"] == "single").sum()) - singles) <= 4


def test_file_and_card():
    path = resolve_model("default")
    assert path.stat().st_size <= 30_000_000
    card = load_model("default").card
    assert card.citations
    assert card.data_licences
    assert card.weight_licence == "BSD-3-Clause"
    held_out = [figures for name, figures in card.metrics.items() if "held-out" in name]
    assert len(held_out) >= 4
    assert all(figures["n"] > 250 for figures in held_out)
    shared = set(card.training["groups_trained"]) & set(card.training["groups_validated"])
    assert not shared
    assert "case" not in json.dumps(card.training["groups_trained"]), "names stay with the lab"
