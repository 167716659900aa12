"""Explanations as layers."""

import numpy as np
import pytest
from napari.components import ViewerModel

import napari_chromocluster as cc
from napari_chromocluster.imaging.regions import RegionError
from napari_chromocluster.imaging.synthetic_metaphase import synthetic_stack
from napari_chromocluster.viewer.layers import image_layers


@pytest.fixture
def viewer(metaphase):
    viewer = ViewerModel()
    viewer.add_image(metaphase.image, name="m", scale=(0.1, 0.1), translate=(5, 7))
    viewer.add_labels(metaphase.labels, name="r", scale=(0.1, 0.1), translate=(5, 7))
    return viewer


def test_the_selected_label_is_explained_where_it_lies(viewer, tiny_model):
    labels = viewer.layers["r"]
    labels.selected_label = 6
    heat = cc.viewer.explain_region(viewer, "m", "r", model=tiny_model)
    assert heat.data.dtype == np.float32
    assert heat.data.max() == pytest.approx(1)
    assert set(np.unique(labels.data[heat.data > 0])) == {6}
    assert tuple(heat.scale) == (0.1, 0.1)
    assert tuple(heat.translate) == (5, 7)
    assert [layer.name for layer in viewer.layers] == ["m", "m · explanation", "r"]
    assert image_layers(viewer) == [viewer.layers["m"]]


def test_another_type_and_another_region_use_the_same_layer(viewer, tiny_model):
    first = cc.viewer.explain_region(viewer, "m", "r", 3, model=tiny_model)
    kinds = [
        cc.viewer.explain_region(viewer, "m", "r", [3, 4], cluster_type=kind, model=tiny_model)
        for kind in ("touching", "overlapping")
    ]
    assert kinds[0] is kinds[1] is first


def test_stack_and_a_label_that_is_not_there(tiny_model):
    images, _ = synthetic_stack([1, 2])
    viewer = ViewerModel()
    viewer.add_image(images, name="stack")
    labels = cc.viewer.segment_layer(viewer, "stack")
    label = int(labels.data[1].max())
    heat = cc.viewer.explain_region(viewer, "stack", labels, label, model=tiny_model)
    assert heat.data.shape == labels.data.shape
    assert not heat.data[0].any()
    with pytest.raises(RegionError):
        cc.viewer.explain_region(viewer, "stack", labels, 10**6, model=tiny_model)
