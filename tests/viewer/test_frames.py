"""Frames of a stack next to other stacks: slider steps are not its frames."""

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_chromocluster.imaging.regions import extract_regions
from napari_chromocluster.results.features_table import build_table
from napari_chromocluster.viewer.layer_annotations import show_place
from napari_chromocluster.viewer.layers import current_frame, show_frame
from napari_chromocluster.viewer.region_selection import use_selection
from napari_chromocluster.viewer.review.canvas import ReviewCanvas
from napari_chromocluster.viewer.review.session import ReviewSession

FRAMES = 5
#: Positions of a stack next to another that starts at 0 and has one frame per px.
PLACES = {
    "begins later": {"translate": (5, 0, 0)},
    "begins between": {"translate": (-2.6, 3, 0)},
    "far between": {"scale": (2, 1, 1)},
    "close together": {"scale": (0.25, 0.1, 0.1)},
    "turned": {"affine": [[3, 0, 0, 1], [0, 0, -1, 0], [0, 1, 0, 0], [0, 0, 0, 1]]},
}


@pytest.fixture(params=PLACES.values(), ids=PLACES)
def beside(request):
    """A viewer with an image, its labels (in frame n the label n + 1), and another stack."""
    viewer = ViewerModel()
    viewer.add_image(np.zeros((12, 8, 8)), name="other")
    labels = np.zeros((FRAMES, 8, 8), np.int32)
    labels[:, 1:7, 1:7] = np.arange(1, FRAMES + 1)[:, None, None]
    regions = extract_regions(labels)
    table = build_table(regions, np.full((len(regions), 5), 0.2), model="m")
    image = viewer.add_image(labels * 10.0, **request.param)
    return viewer, image, viewer.add_labels(labels, features=table, **request.param)


def shown(viewer, labels):
    """Return the frame of the labels that napari shows."""
    point = np.array(viewer.dims.point)
    point[1:] = labels.data_to_world((0, 4, 4))[1:]
    value = labels.get_value(point, world=True)
    return None if value is None else value - 1


def test_the_frame_is_the_one_that_napari_shows(beside):
    viewer, _, labels = beside
    seen = set()
    for step in range(viewer.dims.nsteps[0]):
        viewer.dims.set_current_step(0, step)
        frame = shown(viewer, labels)
        if frame is not None:  # the other stack continues where this one ends
            seen.add(frame)
            assert current_frame(viewer, labels) == frame
    assert len(seen) >= 3


def test_a_frame_is_brought_up(beside):
    viewer, image, labels = beside
    for frame in (3, 0, FRAMES - 1):
        show_frame(viewer, labels, frame)
        assert shown(viewer, labels) == frame
    show_place(viewer, image, labels, 2, 1, (4, 4))
    assert shown(viewer, labels) == 1
    assert viewer.scene.camera.center[-2:] == tuple(labels.data_to_world((1, 4, 4))[1:])


def test_a_review_goes_where_its_region_is(beside):
    viewer, image, labels = beside
    session = ReviewSession(image, labels, lambda: current_frame(viewer, labels))
    selected = use_selection(viewer, labels, lambda keys: [])
    canvas = ReviewCanvas(
        viewer, session, selected, lambda key, add: None, lambda line: None, lambda: None
    )
    for frame in (4, 0, 2):
        canvas.go_to((frame, frame + 1))
        assert shown(viewer, labels) == frame
        assert canvas.region_at(labels.data_to_world((frame, 4, 4))) == (frame, frame + 1)
    canvas.next_frame()
    assert shown(viewer, labels) == 3
    session.close()


def test_a_single_image_has_one_frame():
    viewer = ViewerModel()
    viewer.add_image(np.zeros((3, 8, 8)))
    single = viewer.add_image(np.zeros((8, 8)))
    place = viewer.dims.point
    show_frame(viewer, single, 0)
    assert current_frame(viewer, single) == 0
    assert viewer.dims.point == place
