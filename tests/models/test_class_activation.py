import copy

import numpy as np
import pytest
import torch
from torch import nn

from napari_chromocluster.cluster_types import TYPES
from napari_chromocluster.imaging.regions import RegionError
from napari_chromocluster.imaging.synthetic_metaphase import synthetic_stack
from napari_chromocluster.models.class_activation import class_activation_maps, explain_regions
from napari_chromocluster.models.classifier import ClusterClassifier
from napari_chromocluster.models.model_card import ModelCard
from napari_chromocluster.models.network import ClusterEnsemble, ClusterNetwork, build_network
from napari_chromocluster.models.predictions import ClassifyError
from napari_chromocluster.progress import Cancelled


class CrossingCounter(nn.Module):
    """A head whose overlapping output depends only on the signal at the darkest place."""

    def forward(self, pooled):
        logits = torch.zeros(len(pooled), 5)
        logits[:, 2] = 10 * pooled[:, 0]
        return logits


def crossing_detector(tta):
    """A classifier that detects a higher signal than that of one chromosome."""
    convolution = nn.Conv2d(3, 1, 1)
    convolution.weight.data = torch.tensor([1.0, 0.0, 0.0]).reshape(1, 3, 1, 1)
    convolution.bias.data = torch.tensor([-0.5])
    body = nn.Sequential(nn.Sequential(convolution, nn.ReLU(), nn.AvgPool2d(4)))
    network = ClusterNetwork("compact", body, 1, 5)
    network.head = nn.Sequential(CrossingCounter())
    return ClusterClassifier(network, ModelCard(name="crossings", input_size=64, tta=tta), "cpu")


@pytest.mark.parametrize("tta", [1, 8])
def test_heat_peaks_where_the_decision_was_made(tta):
    classifier = crossing_detector(tta)
    labels = np.zeros((90, 120), int)
    labels[20:70, 30:40], labels[30:40, 10:80] = 4, 4
    image = np.full(labels.shape, 200.0)
    image[labels == 4] = 120
    image[30:40, 30:40] = 72  # where the bars cross, the absorbances add up
    assert classifier.classify(image, labels)["cluster_type"].item() == "overlapping"
    heat = classifier.explain(image, labels)
    y, x = np.unravel_index(heat.argmax(), heat.shape)
    assert 30 <= y < 40
    assert 30 <= x < 40
    assert heat[30:40, 30:40].sum() > 0.6 * heat.sum()


def test_a_turned_crop_gives_the_turned_heat(classifier):
    crops = np.random.default_rng(0).random((1, 3, 48, 48), np.float32)
    heat = class_activation_maps(classifier, crops, tta=8)[0]
    turned = class_activation_maps(
        classifier, np.ascontiguousarray(np.rot90(crops, 1, (2, 3))), tta=8
    )[0]
    assert np.allclose(np.rot90(heat), turned, atol=1e-3)
    mirrored = class_activation_maps(classifier, np.ascontiguousarray(crops[..., ::-1]), tta=8)[0]
    assert np.allclose(heat[:, ::-1], mirrored, atol=1e-3)


def test_heat_lies_inside_the_selected_regions(classifier, metaphase):
    seen = []
    heat = explain_regions(
        classifier,
        metaphase.image,
        metaphase.labels,
        [2, 5],
        progress=lambda *p: seen.append(p),
    )
    assert heat.shape == metaphase.labels.shape
    assert heat.dtype == np.float32
    assert not heat[~np.isin(metaphase.labels, [2, 5])].any()
    assert heat.min() >= 0
    for label in (2, 5):  # each region is scaled separately, wherever its crop peaks
        assert heat[metaphase.labels == label].max() == 1
    assert seen == [(1, 2), (2, 2)]


def test_heat_of_a_stack_lies_in_its_frame(classifier):
    images, labels = synthetic_stack([1, 2])
    labels = labels.copy()
    labels[1][labels[1] > 0] += 1000
    heat = explain_regions(classifier, images, labels, [2, 1002])
    for frame, label in enumerate((2, 1002)):
        assert set(np.unique(labels[frame][heat[frame] > 0])) == {label}


def test_tiny_regions_borders_and_black_images(classifier):
    labels = np.zeros((60, 60), int)
    labels[0, 0], labels[59, 30:], labels[20:40, 20:30] = 1, 2, 3
    for image in (np.zeros((60, 60), np.uint8), np.random.default_rng(0).random((60, 60))):
        heat = explain_regions(classifier, image, labels)
        assert np.isfinite(heat).all()
        assert not heat[labels == 0].any()


def test_any_type_can_be_explained(classifier):
    crops = np.random.default_rng(0).random((1, 3, 48, 48), np.float32)
    heats = [class_activation_maps(classifier, crops, kind)[0] for kind in TYPES]
    given = int(classifier.predict_crops(crops).argmax())
    assert np.array_equal(class_activation_maps(classifier, crops)[0], heats[given])
    assert not np.allclose(heats[0], heats[1], atol=0.01)


def test_the_type_that_is_explained_is_that_of_the_table(classifier, metaphase):
    tables = {
        number: classifier.classify(metaphase.image, metaphase.labels, expected=number)
        for number in (None, 80)
    }
    types = {number: table.set_index("index")["cluster_type"] for number, table in tables.items()}
    changed = types[80].index[types[80] != types[None]]
    assert len(changed)
    label = int(changed[0])
    for number, kinds in types.items():
        given = classifier.explain(metaphase.image, metaphase.labels, label, expected=number)
        named = classifier.explain(
            metaphase.image, metaphase.labels, label, cluster_type=kinds[label]
        )
        assert np.array_equal(given, named)


def test_what_decided_is_asked_of_every_network_of_a_model(classifier):
    crops = np.random.default_rng(0).random((2, 3, 48, 48), np.float32)
    torch.manual_seed(3)
    other = build_network("compact").eval()
    alone, of_two, of_itself = (
        class_activation_maps(
            ClusterClassifier(network, classifier.card, "cpu"), crops, "touching", tta=8
        )
        for network in (
            classifier.network,
            ClusterEnsemble([classifier.network, other]),
            ClusterEnsemble([classifier.network, copy.deepcopy(classifier.network)]),
        )
    )
    np.testing.assert_allclose(of_itself, alone, atol=1e-3)
    assert not np.allclose(of_two, alone, atol=0.05)


def test_a_torchvision_body(metaphase):
    torch.manual_seed(0)
    card = ModelCard(name="r", backbone="resnext50_32x4d", channels="gray", input_size=64, tta=1)
    classifier = ClusterClassifier(build_network("resnext50_32x4d"), card, "cpu")
    heat = classifier.explain(metaphase.image, metaphase.labels, 4, cluster_type="touching")
    assert set(np.unique(metaphase.labels[heat > 0])) <= {4}
    assert np.isfinite(heat).all()


def test_errors_in_one_sentence(classifier, metaphase):
    with pytest.raises(ClassifyError, match="does not have the type 'circle'"):
        classifier.explain(metaphase.image, metaphase.labels, 1, cluster_type="circle")
    with pytest.raises(ClassifyError, match="differ in shape"):
        classifier.explain(metaphase.image[1:], metaphase.labels)
    with pytest.raises(RegionError, match="No region is selected"):
        classifier.explain(metaphase.image, metaphase.labels, [])
    with pytest.raises(Cancelled):
        classifier.explain(metaphase.image, metaphase.labels, stop=lambda: True)
