"""Regions belong to the image in which they were found, whatever the name of its layer."""

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_chromocluster.imaging.regions import extract_regions
from napari_chromocluster.imaging.synthetic_metaphase import synthetic_metaphase
from napari_chromocluster.results.features_table import build_table
from napari_chromocluster.viewer.layer_tables import set_table
from napari_chromocluster.viewer.layers import (
    SOURCE,
    content_of,
    hide_other_regions,
    image_of,
    labels_of,
    layer_doubt,
    leave_picture,
    mismatch,
    put_below_regions,
    source_of,
)
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
    # The first one, opened again under another name.
    again = viewer.add_image(MADE.image.copy(), name="renamed")
    assert image_of(viewer, labels) == again
    assert labels_of(viewer, again) == [labels]


@pytest.mark.parametrize("how", [found, reviewed, classified])
def test_another_picture_in_the_same_layer_does_not_get_them(how, tiny_model):
    viewer = ViewerModel()
    image = viewer.add_image(MADE.image, name="m")
    labels = how(viewer, image, tiny_model) if how is classified else how(viewer, image)
    image.data = OTHER.image
    assert image_of(viewer, labels) is None
    leave_picture(viewer, image)
    assert not labels.visible
    image.data = MADE.image.copy()
    assert image_of(viewer, labels) == image


def test_a_layer_that_shows_another_picture_comes_from_no_file(tmp_path):
    viewer = ViewerModel()
    image = viewer.add_image(MADE.image, metadata={SOURCE: str(tmp_path / "m.tif")})
    assert source_of(image).endswith("m.tif")
    image.data = OTHER.image
    leave_picture(viewer, image)
    assert source_of(image) == ""


def test_an_image_that_is_opened_hides_no_regions():
    viewer = ViewerModel()
    labels = found(viewer, viewer.add_image(MADE.image, name="first"))
    own = viewer.add_labels(np.ones((9, 9), int), name="of no image")
    second = viewer.add_image(OTHER.image, name="second")
    put_below_regions(viewer, second)
    assert [one.name for one in viewer.layers][:2] == ["first", "second"]
    assert hide_other_regions(viewer, second) == [labels]
    assert not labels.visible
    assert own.visible


def test_what_is_no_label_image_is_named():
    viewer = ViewerModel()
    image = viewer.add_image(MADE.image, name="m")
    shape, labels = MADE.image.shape, MADE.labels
    for array in (np.ones((*shape, 2), int), np.ones((3, *shape), int)):
        assert "colours or transparency" in mismatch(image, viewer.add_labels(array))
    assert "differ in shape" in mismatch(image, viewer.add_labels(np.ones((9, 9), int)))
    assert mismatch(image, viewer.add_labels(labels)) == ""

    def doubt(array):
        return layer_doubt(array, extract_regions(array))

    grays = (MADE.image // 4).astype(np.uint8)
    for array, word in (
        (labels > 0, "if it is a mask"),
        (255 * (labels > 0), "if it is a mask"),
        (labels + 1, "label 1 surrounds all others"),
        (grays, "looks like a picture"),
        (np.stack([labels, labels + 1]), "label 1 surrounds all others"),
    ):
        assert word in doubt(np.asarray(array, np.int32))
    assert doubt(labels) == doubt(np.stack([labels, labels])) == ""


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
