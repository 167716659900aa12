"""Image files with channels and focal planes in the classify dock."""

import numpy as np
import pytest
import tifffile
from PIL import Image
from scipy import ndimage

from classify_dock import done
from napari_chromocluster.viewer.settings import preferences, remember

NAMES = ["FITC", "DAPI", "TRITC"]


@pytest.fixture
def dock(classifying):
    yield classifying
    remember("channel", "")


def save(path, metaphase, channel=1, slices=1):
    """Write the metaphase as one channel of three, with the sharpest slice last."""
    planes = np.zeros((slices, 3, *metaphase.image.shape), metaphase.image.dtype)
    planes += np.random.default_rng(0).integers(0, 9, planes.shape).astype(planes.dtype)
    for place in range(slices):
        planes[place, channel] = ndimage.gaussian_filter(metaphase.image, 2 * (slices - 1 - place))
    tifffile.imwrite(path, planes, imagej=True, metadata={"axes": "ZCYX", "Labels": NAMES * slices})
    return path


def opened(qtbot, dock, path):
    dock.viewer.open(str(path), plugin="napari")
    qtbot.waitUntil(lambda: dock.reading is None, timeout=20000)


def offered(dock):
    box = dock.input.channel_combo
    return [box.itemText(place) for place in range(box.count())]


def pick(qtbot, dock, name):
    box = dock.input.channel_combo
    box.setCurrentText(name)
    box.activated.emit(box.currentIndex())
    qtbot.waitUntil(lambda: dock.reading is None, timeout=20000)


def test_one_channel_is_the_metaphase_not_each_of_them(dock, viewer, dapi, qtbot, tmp_path):
    opened(qtbot, dock, save(tmp_path / "fish.tif", dapi))
    assert offered(dock) == NAMES
    assert dock.input.channel_combo.currentText() == "DAPI"
    assert dock.input.channel_combo.isVisible()
    assert dock.image.name == "fish · DAPI"
    assert np.array_equal(dock.image.data, dapi.image)
    assert not viewer.layers["fish"].visible
    assert dock.input.image_combo.findText("fish") < 0
    dock.input.find_button.click()
    done(qtbot, dock)
    assert dock.labels.data.shape == dapi.image.shape


def test_another_channel_is_remembered(dock, viewer, dapi, qtbot, tmp_path):
    opened(qtbot, dock, save(tmp_path / "fish.tif", dapi))
    pick(qtbot, dock, "TRITC")
    assert dock.image.name == "fish · TRITC"
    assert not viewer.layers["fish · DAPI"].visible
    assert preferences().channel == "TRITC"
    number = len(viewer.layers)
    pick(qtbot, dock, "DAPI")
    assert dock.image.name == "fish · DAPI"
    assert len(viewer.layers) == number
    pick(qtbot, dock, "TRITC")
    opened(qtbot, dock, save(tmp_path / "next.tif", dapi))
    assert dock.image.name == "next · TRITC"
    # A file without that channel is read as usual.
    remember("channel", "Cy5")
    opened(qtbot, dock, save(tmp_path / "last.tif", dapi))
    assert dock.image.name == "last · DAPI"


def test_the_sharpest_slice_is_taken_and_named(dock, viewer, dapi, qtbot, tmp_path):
    opened(qtbot, dock, save(tmp_path / "fish.tif", dapi, slices=3))
    assert np.array_equal(dock.image.data, dapi.image)
    assert dock.input.channel_note.isVisible()
    assert "the sharpest of 3 slices, 3, was used" in dock.input.channel_note.text()


def test_colours_and_alpha_are_no_frames(dock, viewer, metaphase, qtbot, tmp_path):
    planes = np.stack([metaphase.image] * 3)
    tifffile.imwrite(tmp_path / "m.tif", planes, photometric="rgb", planarconfig="separate")
    opened(qtbot, dock, tmp_path / "m.tif")
    assert dock.image.data.shape[:2] == metaphase.image.shape
    alpha = np.full_like(metaphase.image, 255)
    Image.fromarray(np.dstack([metaphase.image, alpha]), "LA").save(tmp_path / "a.png")
    opened(qtbot, dock, tmp_path / "a.png")
    assert dock.image.data.shape[:2] == metaphase.image.shape
    assert not dock.input.channel_combo.isVisible()


def test_stacks_of_metaphases_stay_what_they_are(dock, viewer, metaphase, qtbot, tmp_path):
    frames = np.stack([metaphase.image, np.flipud(metaphase.image)])
    tifffile.imwrite(tmp_path / "stack.tif", frames, photometric="minisblack")
    opened(qtbot, dock, tmp_path / "stack.tif")
    assert dock.image.name == "stack"
    assert len(viewer.layers) == 1
    assert dock.input.find_button.isEnabled()
    assert not dock.input.channel_combo.isVisible()


def test_a_closed_channel_can_be_opened_again(dock, viewer, dapi, qtbot, tmp_path):
    opened(qtbot, dock, save(tmp_path / "fish.tif", dapi))
    viewer.layers.remove("fish · DAPI")
    qtbot.waitUntil(lambda: "fish · DAPI" in viewer.layers, timeout=20000)
    assert dock.image.name == "fish · DAPI"


def test_a_sample_of_three_channels(dock, viewer, shared_cases, qtbot):
    opened(qtbot, dock, shared_cases / "channels_hyperstack.tif")
    assert offered(dock) == ["channel 1", "channel 2", "channel 3"]
    assert dock.image.data.shape == (560, 640)
    pick(qtbot, dock, "channel 2")
    assert dock.image.name.endswith("channel 2")
