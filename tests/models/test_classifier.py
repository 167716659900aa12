import dask.array as da
import numpy as np
import pytest
import torch

from napari_chromocluster.imaging.regions import RegionError
from napari_chromocluster.imaging.synthetic import synthetic_stack
from napari_chromocluster.models.classifier import (
    Cancelled,
    ClassifyError,
    choose_device,
    load_model,
)
from napari_chromocluster.results.table import COLUMNS, PROBABILITIES


@pytest.fixture(scope="module")
def classifier(tiny_model):
    return load_model(tiny_model)


def test_table_of_a_metaphase(classifier, metaphase):
    seen = []
    table = classifier.classify(
        metaphase.image, metaphase.labels, progress=lambda *p: seen.append(p)
    )
    assert tuple(table.columns) == COLUMNS
    assert list(table["index"]) == sorted(metaphase.types)
    assert np.allclose(table[list(PROBABILITIES)].sum(axis=1), 1, atol=1e-5)
    assert set(table["model"]) == {"tiny"}
    assert seen[-1] == (len(table), len(table))


def test_selection_gives_the_same_rows(classifier, metaphase):
    whole = classifier.classify(metaphase.image, metaphase.labels).set_index("index")
    some = classifier.classify(metaphase.image, metaphase.labels, select=[3, 7])
    one = classifier.classify(metaphase.image, metaphase.labels, select=7)
    assert list(some["index"]) == [3, 7]
    assert np.allclose(some["p_single"], whole.loc[[3, 7], "p_single"], atol=1e-5)
    assert list(one["index"]) == [7]


def test_stack_and_dask(classifier):
    images, labels = synthetic_stack([1, 2])
    table = classifier.classify(images, labels)
    assert set(table["frame"]) == {0, 1}
    lazy = classifier.classify(
        da.from_array(images, chunks=(1, -1, -1)), da.from_array(labels, chunks=(1, -1, -1))
    )
    assert np.allclose(lazy["p_single"], table["p_single"], atol=1e-5)


def test_colour_and_dtype_do_not_matter(classifier, metaphase):
    plain = classifier.classify(metaphase.image, metaphase.labels)
    color = np.stack([metaphase.image] * 3, axis=-1).astype(np.uint16) * 250
    assert np.allclose(
        classifier.classify(color, metaphase.labels)["p_single"], plain["p_single"], atol=0.02
    )


def test_cancel(classifier, metaphase):
    with pytest.raises(Cancelled):
        classifier.classify(metaphase.image, metaphase.labels, stop=lambda: True)


def test_bad_input_in_one_sentence(classifier, metaphase):
    with pytest.raises(ClassifyError, match="differ in shape"):
        classifier.classify(metaphase.image[:-5], metaphase.labels)
    with pytest.raises(RegionError, match="hold no region"):
        classifier.classify(metaphase.image, np.zeros_like(metaphase.labels))
    with pytest.raises(RegionError, match="No region is selected"):
        classifier.classify(metaphase.image, metaphase.labels, select=[])


def test_tiny_regions_borders_and_black_images(classifier):
    labels = np.zeros((60, 60), int)
    labels[0, 0], labels[59, 30:], labels[20:40, 20:30] = 1, 2, 3
    for image in (np.zeros((60, 60), np.uint8), np.random.default_rng(0).random((60, 60))):
        table = classifier.classify(image, labels)
        assert np.isfinite(table["confidence"]).all()


def test_prior_moves_the_probabilities(classifier, metaphase):
    card = classifier.card.__class__(
        **{**vars(classifier.card), "training_prior": dict.fromkeys(classifier.card.classes, 0.2)}
    )
    balanced = load_model.__globals__["ClusterClassifier"](classifier.network, card)
    rare = balanced.classify(metaphase.image, metaphase.labels, prior={"single": 0.99})
    usual = balanced.classify(metaphase.image, metaphase.labels, prior={"single": 0.2})
    assert rare["p_single"].mean() > usual["p_single"].mean()


def test_out_of_memory_halves_the_batch(classifier, metaphase, monkeypatch):
    sizes = []
    forward = type(classifier)._forward

    def forgetful(self, part, copies):
        sizes.append(len(part))
        if len(part) > 4:
            raise torch.cuda.OutOfMemoryError
        return forward(self, part, copies)

    monkeypatch.setattr(type(classifier), "_forward", forgetful)
    table = classifier.classify(metaphase.image, metaphase.labels)
    assert table["confidence"].notna().all()
    assert sizes[:3] == [16, 8, 4]


def test_devices():
    assert choose_device("cpu").type == "cpu"
    with pytest.raises(ClassifyError, match="no device 'quantum'"):
        choose_device("quantum")
