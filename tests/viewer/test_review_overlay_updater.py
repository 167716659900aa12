"""The overlay of a review: the fast path must show the same as the slow path."""

from __future__ import annotations

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_chromocluster.cluster_types import TYPES, ClusterType
from napari_chromocluster.imaging.regions import extract_regions
from napari_chromocluster.imaging.synthetic_metaphase import synthetic_metaphase
from napari_chromocluster.results.features_table import build_table
from napari_chromocluster.viewer.layers import current_frame
from napari_chromocluster.viewer.overlay import show_overlay
from napari_chromocluster.viewer.overlay_layers import DASHES, LETTERS, marks_layer
from napari_chromocluster.viewer.review import overlay_updater as rooms
from napari_chromocluster.viewer.review.overlay_updater import Painter
from napari_chromocluster.viewer.review.session import ReviewSession

MADE = synthetic_metaphase(seed=5, chromosomes=24)
COLORS = {str(kind): kind.color for kind in TYPES}


def table_for(labels, chances=None):
    regions = extract_regions(labels)
    chosen = np.random.default_rng(0).dirichlet(np.full(5, 0.4), len(regions))
    return build_table(regions, chosen if chances is None else chances, model="seeded")


def painted(dtype=np.int32, stack=False, fill=False):
    viewer = ViewerModel()
    labels = MADE.labels.astype(dtype)
    image = MADE.image
    if stack:
        labels, image = np.stack([labels, labels]), np.stack([image, image])
    layer = viewer.add_labels(labels, features=table_for(labels))
    session = ReviewSession(viewer.add_image(image), layer, lambda: current_frame(viewer, layer))
    show_overlay(viewer, layer, fill=fill)
    return viewer, session, Painter(viewer, session, COLORS, 0.7)


def rgba(color):
    return np.array([*bytes.fromhex(color[1:]), 255]) / 255


@pytest.mark.parametrize("dtype", [np.int32, np.uint16, np.int64])
@pytest.mark.parametrize("kind", [ClusterType.OTHER, ClusterType.SINGLE])
@pytest.mark.parametrize("fill", [False, True])
def test_one_region_is_recoloured_as_if_all_were(dtype, kind, fill, monkeypatch):
    viewer, session, painter = painted(dtype, fill=fill)
    painter.color_all()
    keys = session.region_keys()[3:5]
    session.set_type(keys, kind)
    monkeypatch.setattr(painter, "color_all", lambda: pytest.fail("all were drawn anew"))
    painter.color(keys)
    layer = session.labels
    for _, label in keys:
        np.testing.assert_allclose(layer.get_color(label), rgba(kind.color), atol=1e-4)
    quick = np.array(layer._slice.image.view)
    layer.refresh()
    np.testing.assert_array_equal(quick, layer._slice.image.view)
    # And the same as with a colormap created for it.
    colors = layer.colormap.map(MADE.labels)
    Painter(viewer, session, COLORS, 0.7).color_all()
    np.testing.assert_allclose(layer.colormap.map(MADE.labels), colors, atol=1e-4)


def touching():
    return next(n for n, kind in MADE.types.items() if kind is ClusterType.TOUCHING)


@pytest.mark.parametrize("dtype", [np.int32, np.uint8, np.uint16, np.int64])
@pytest.mark.parametrize("fill", [False, True])
@pytest.mark.parametrize("stack", [False, True])
def test_a_mended_region_is_shown_as_if_all_were_drawn(dtype, fill, stack, monkeypatch):
    viewer, session, painter = painted(dtype, stack=stack, fill=fill)
    frame = int(stack)
    viewer.dims.set_current_step(0, frame)
    painter.color_all()
    layer, told = session.labels, []
    layer.events.set_data.connect(told.append)
    with monkeypatch.context() as patch:
        patch.setattr(type(layer), "refresh", lambda _: pytest.fail("all was drawn anew"))
        pieces = session.split_watershed((frame, touching()))
        patch.setattr(painter, "color_all", lambda: pytest.fail("all was coloured anew"))
        painter.color(pieces)
        quick = np.array(layer._slice.image.view)
        session.undo()
        back = np.array(layer._slice.image.view)
        session.redo()
        session.merge(pieces)
        session.undo()
    assert told, "who counts regions is told"
    layer.refresh()
    np.testing.assert_array_equal(quick, layer._slice.image.view)
    session.undo()
    layer.refresh()
    np.testing.assert_array_equal(back, layer._slice.image.view)
    assert session.stale() == []


def test_what_cannot_be_shown_quickly_is_drawn_whole():
    viewer, session, _painter = painted(stack=True, fill=True)
    viewer.dims.ndisplay = 3
    session.split_watershed((0, touching()))
    quick = np.array(session.labels._slice.image.view)
    session.labels.refresh()
    np.testing.assert_array_equal(quick, session.labels._slice.image.view)


def test_recolouring_is_no_edit():
    _viewer, session, painter = painted()
    painter.color_all()
    told = []
    session.changed.connect(told.append)
    key = session.region_keys()[2]
    session.set_type([key], ClusterType.OTHER)
    painter.color([key])
    assert told == [[key]]
    assert session.stale() == []
    session.labels.undo()
    assert session.stale() == [], "napari's undo has nothing of it"


def test_colours_of_another_dock_are_adopted():
    _viewer, session, painter = painted()
    before = session.labels.colormap
    painter.adopt_colors()
    assert session.labels.colormap is before
    session.set_type(session.region_keys()[:70], ClusterType.OTHER)
    painter.adopt_colors()
    assert session.labels.colormap is not before


def test_a_layer_coloured_by_somebody_else_is_coloured_anew():
    viewer, session, painter = painted()
    painter.color_all()
    show_overlay(viewer, session.labels)
    key = session.region_keys()[1]
    session.set_type([key], ClusterType.OTHER)
    painter.color([key])
    color = rgba(ClusterType.OTHER.color)
    np.testing.assert_allclose(session.labels.get_color(key[1]), color, atol=1e-4)


def test_stack_repeating_labels_is_coloured_by_the_frame_shown():
    viewer, session, painter = painted(stack=True)
    assert painter.repeats
    viewer.dims.set_current_step(0, 1)
    painter.color_all()
    key = (1, session.region_keys()[0][1])
    session.set_type([key], ClusterType.OTHER)
    painter.color([key])
    color = rgba(ClusterType.OTHER.color)
    np.testing.assert_allclose(session.labels.get_color(key[1]), color, atol=1e-4)
    viewer.dims.set_current_step(0, 0)
    painter.color_all()
    first = session.rows([(0, key[1])])["cluster_type"].iloc[0]
    expected = rgba(ClusterType(first).color)
    np.testing.assert_allclose(session.labels.get_color(key[1]), expected, atol=1e-4)


def dashed(layer):
    """Return the number of dashes; the lines around outlines are black."""
    return int(layer.edge_color[:, :3].any(axis=1).sum())


def test_letters_and_dashes_follow(monkeypatch):
    viewer, session, painter = painted()
    painter.mark()
    letters, dashes = (marks_layer(viewer, session.labels, one) for one in (LETTERS, DASHES))
    doubtful = session.table[(session.table["confidence"] < 0.7)]
    words = list(letters.features["letter"])
    assert sum(word.endswith("?") for word in words) == len(doubtful)
    count = dashed(dashes)
    session.set_type([(0, int(doubtful["index"].iloc[0]))], ClusterType.TOUCHING)
    painter.mark()
    assert sum(w.endswith("?") for w in letters.features["letter"]) == len(doubtful) - 1
    assert len(letters.data) == len(letters.features)
    assert dashed(dashes) < count
    assert marks_layer(viewer, session.labels, LETTERS) is letters, "no new layer"
    monkeypatch.setattr(rooms, "MOST_LETTERS", 4)
    painter.mark()
    assert len(letters.data) == 4
    painter.mark(letters=False)
    assert not len(letters.data)
