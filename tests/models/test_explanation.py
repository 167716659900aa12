import numpy as np

from napari_chromocluster.models.classifier import load_model
from napari_chromocluster.models.explanation import explain_regions


def test_heat_lies_inside_the_regions(tiny_model, metaphase):
    heat = explain_regions(load_model(tiny_model), metaphase.image, metaphase.labels, [2, 5])
    assert heat.shape == metaphase.labels.shape
    assert not heat[~np.isin(metaphase.labels, [2, 5])].any()
    assert heat.max() <= 1
    assert heat[metaphase.labels == 5].any() or heat[metaphase.labels == 2].any()
