"""Regions belong to the picture in which they were found, whatever its layer is called."""

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_chromocluster.imaging.regions import extract_regions
from napari_chromocluster.imaging.synthetic import synthetic_metaphase
from napari_chromocluster.results.table import build_table
from napari_chromocluster.viewer.layers import content_of, image_of, labels_of, set_table
from napari_chromocluster.viewer.reader import read
from napari_chromocluster.viewer.review.session import ReviewSession
from napari_chromocluster.viewer.scripting import add_regions, classify_layer

MADE, OTHER = (synthetic_metaphase(seed=seed, chromosomes=24) for seed in (6, 7))


def found(viewer, image):
    return add_regions(viewer, image, MADE.labels)


def reviewed(viewer, image):
    labels = viewer.add_labels(MADE.labels.copy(), name="m regions")
    set_table(labels, build_table(extract_regions(MADE.labels)))
    ReviewSession(image, labels).close()
    return labels


def classified(viewer, image, model):
    labels = viewer.add_labels(MADE.labels.copy(), name="m regions")
    classify_layer(viewer, image, labels, [1, 2], model=str(model), overlay=False)
    return labels


@pytest.mark.parametrize("how", [found, reviewed, classified])
def test_another_image_of_the_same_name_and_size_does_not_get_them(how, tiny_model):
    assert MADE.image.shape == OTHER.image.shape
    viewer = ViewerModel()
    first = viewer.add_image(MADE.image, name="m")
    labels = how(viewer, first, tiny_model) if how is classified else how(viewer, first)
    viewer.layers.remove(first)
    second = viewer.add_image(OTHER.image, name="m")
    assert image_of(viewer, labels) is None
    assert labels_of(viewer, second) == []
    # The first one opened again, under another name.
    again = viewer.add_image(MADE.image.copy(), name="renamed")
    assert image_of(viewer, labels) == again
    assert labels_of(viewer, again) == [labels]


def test_annotated_regions_know_their_image(annotated):
    viewer = ViewerModel()
    for data, options, kind in read(str(annotated))[:2]:
        getattr(viewer, f"add_{kind}")(data, **options)
    image, labels = viewer.layers
    assert image_of(viewer, labels) == image
    other = viewer.add_image(image.data[::-1].copy(), name=image.name)
    viewer.layers.remove(image)
    assert labels_of(viewer, other) == []


def test_the_content_of_colour_images_and_stacks_is_looked_at():
    colour = np.full((300, 400, 3), 200, np.uint8)
    changed = colour.copy()
    changed[100:120, 50:80] = 10
    assert content_of(colour) != content_of(changed)
    stack = np.zeros((3, 300, 400), np.uint16)
    last = stack.copy()
    last[2, 10:30, 10:30] = 9
    assert content_of(stack) != content_of(last)
    assert content_of(stack) == content_of(stack.copy())
