"""Pixel sizes that image files know reach the layers, so that napari's scale bar says µm."""

import numpy as np
import pytest
import tifffile
from napari.utils._proxies import PublicOnlyProxy

from classify_dock import done
from napari_chromocluster.viewer.layer_tables import set_table
from napari_chromocluster.viewer.overlay_layers import DASHES, FRAMES, LETTERS, marks_layer
from napari_chromocluster.viewer.review.exports import micrometres_per_pixel
from napari_chromocluster.widgets.review.widget import ReviewWidget
from review_dock import choose, seeded

SIZE = 0.125


def save_imagej(path, image):
    tifffile.imwrite(
        path, image, imagej=True, resolution=(1 / SIZE, 1 / SIZE), metadata={"unit": "micron"}
    )
    return path


def save_ome(path, image):
    sizes = {"PhysicalSizeX": SIZE, "PhysicalSizeXUnit": "µm"}
    tifffile.imwrite(path, image, ome=True, metadata={"axes": "YX", **sizes})
    return path


def opened(viewer, path):
    return viewer.open(str(path), plugin="napari")[0]


def has_size(layer):
    return np.allclose(layer.scale[-2:], SIZE) and {str(one) for one in layer.units[-2:]} == {
        "micrometer"
    }


@pytest.mark.parametrize(
    ("save", "name"), [(save_imagej, "m.tif"), (save_ome, "m.ome.tif")], ids=["ImageJ", "OME"]
)
def test_the_scale_bar_says_micrometres(
    classifying, viewer, metaphase, qtbot, tmp_path, save, name
):
    image = opened(viewer, save(tmp_path / name, metaphase.image))
    qtbot.waitUntil(lambda: has_size(image), timeout=20000)
    assert {str(unit) for unit in viewer.layers.units} == {"micrometer"}
    assert micrometres_per_pixel(image) == SIZE
    # It is still seen whole.
    assert viewer.scene.camera.zoom * SIZE * max(metaphase.image.shape) < max(viewer.canvas.size)
    assert np.allclose(
        viewer.scene.camera.center[-2:], (np.array(metaphase.image.shape) - 1) / 2 * SIZE
    )
    classifying.input.find_button.click()
    done(qtbot, classifying)
    assert has_size(classifying.labels)


def test_all_that_lies_over_the_image_goes_on_fitting_it(viewer, metaphase, qtbot, tmp_path):
    """Regions with their marks, and what was drawn by hand, before a dock is open."""
    image = opened(viewer, save_imagej(tmp_path / "m.tif", metaphase.image))
    labels = viewer.add_labels(metaphase.labels.copy(), name="m regions")
    set_table(labels, seeded(metaphase.labels))
    drawn = viewer.add_points([[30.0, 40.0]], name="drawn")
    review = ReviewWidget(PublicOnlyProxy(viewer))
    viewer.window.add_dock_widget(review, name="Review", area="right")
    qtbot.waitUntil(lambda: has_size(image), timeout=20000)
    assert has_size(labels)
    assert has_size(drawn)
    for mark in (LETTERS, DASHES):
        assert has_size(marks_layer(viewer, labels, mark)), mark
    choose(review, qtbot, review.gallery.gallery.entries[0][:2])
    qtbot.waitUntil(lambda: marks_layer(viewer, labels, FRAMES) is not None, timeout=5000)
    assert has_size(marks_layer(viewer, labels, FRAMES))
    corners = [layer.data_to_world(metaphase.image.shape) for layer in (image, labels)]
    assert np.allclose(*corners)
    review.release()


def test_a_scale_that_was_set_stays(classifying, viewer, metaphase, qtbot, tmp_path):
    path = save_imagej(tmp_path / "m.tif", metaphase.image)
    own = viewer.add_image(metaphase.image, scale=(2, 2), metadata={"chromocluster_source": path})
    other = opened(viewer, save_imagej(tmp_path / "next.tif", metaphase.image))
    qtbot.waitUntil(lambda: has_size(other), timeout=20000)
    assert tuple(own.scale) == (2, 2)
    assert {str(unit) for unit in own.units} == {"pixel"}
    # What is taken back by hand stays, too.
    other.scale, other.units = (1, 1), ("pixel", "pixel")
    last = opened(viewer, save_imagej(tmp_path / "last.tif", metaphase.image))
    qtbot.waitUntil(lambda: has_size(last), timeout=20000)
    assert tuple(other.scale) == (1, 1)


def test_a_file_that_knows_no_size_stays_in_pixels(classifying, viewer, metaphase, qtbot, tmp_path):
    tifffile.imwrite(tmp_path / "plain.tif", metaphase.image)
    plain = opened(viewer, tmp_path / "plain.tif")
    known = opened(viewer, save_imagej(tmp_path / "m.tif", metaphase.image))
    qtbot.waitUntil(lambda: has_size(known), timeout=20000)
    assert tuple(plain.scale) == (1, 1)


def test_one_channel_has_the_size_of_its_file(classifying, viewer, dapi, qtbot, tmp_path):
    planes = np.stack([dapi.image // 8, dapi.image])
    tifffile.imwrite(
        tmp_path / "fish.tif", planes, imagej=True, resolution=(1 / SIZE, 1 / SIZE),
        metadata={"axes": "CYX", "unit": "um"},
    )  # fmt: skip
    opened(viewer, tmp_path / "fish.tif")
    qtbot.waitUntil(lambda: classifying.reading is None and len(viewer.layers) == 2, timeout=20000)
    qtbot.waitUntil(lambda: all(has_size(layer) for layer in viewer.layers), timeout=20000)
    assert micrometres_per_pixel(classifying.image) == SIZE
