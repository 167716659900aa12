"""Letters, dashes and frames: marks that do not depend on color."""

import itertools

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Layer
from napari.utils.colormaps.standardize_color import transform_color

from napari_chromocluster.cluster_types import TYPES, ClusterType
from napari_chromocluster.imaging.regions import extract_regions
from napari_chromocluster.results.features_table import build_table, set_types
from napari_chromocluster.viewer.explanation_layer import show_explanation
from napari_chromocluster.viewer.hover_text import follow_mouse
from napari_chromocluster.viewer.later import run_waiting
from napari_chromocluster.viewer.layer_tables import set_table
from napari_chromocluster.viewer.layers import labels_of, show_only
from napari_chromocluster.viewer.outline_vectors import dash_vectors
from napari_chromocluster.viewer.overlay import UNCLASSIFIED, hide_overlay, show_marks, show_overlay
from napari_chromocluster.viewer.overlay_layers import (
    DASHES,
    FRAMES,
    LETTERS,
    frame_vectors,
    marks_layer,
    show_selection_boxes,
)
from napari_chromocluster.viewer.scripting import add_regions, segment_layer


@pytest.fixture
def viewer(metaphase):
    viewer = ViewerModel()
    viewer.add_image(metaphase.image, name="m")
    labels = viewer.add_labels(metaphase.labels, name="r", scale=(0.1, 0.1), translate=(5, 7))
    regions = extract_regions(metaphase.labels)
    chances = np.tile([0.95, 0.05, 0, 0, 0], (len(regions), 1))
    chances[0], chances[1] = [0.1, 0.8, 0.1, 0, 0], [0.55, 0.45, 0, 0, 0]
    set_table(labels, build_table(regions, chances, model="m"))
    return viewer


def words(viewer):
    return sorted(marks_layer(viewer, viewer.layers["r"], LETTERS).features["letter"])


def test_clusters_have_letters_and_unsure_ones_a_dash_and_a_question_mark(viewer):
    labels = viewer.layers["r"]
    show_overlay(viewer, labels, threshold=0.7)
    assert words(viewer) == ["S?", "T"]
    dashes = marks_layer(viewer, labels, DASHES)
    colored = dashes.edge_color[:, :3].any(axis=1)
    starts = dashes.data[colored, 0].round().astype(int)
    y0, x0, y1, x1 = extract_regions(labels.data, {2})[0].bbox
    assert (starts.min(axis=0) >= (y0 - 1, x0 - 1)).all()
    assert (starts.max(axis=0) <= (y1 + 1, x1 + 1)).all()
    for layer in (dashes, marks_layer(viewer, labels, LETTERS)):
        assert tuple(layer.scale) == (0.1, 0.1)
        assert tuple(layer.translate) == (5, 7)


def test_every_type_but_sure_singles_has_its_letter(viewer):
    labels = viewer.layers["r"]
    for label, kind in enumerate(TYPES, start=1):
        set_table(labels, set_types(labels.features, [label], kind))
    show_overlay(viewer, labels)
    assert words(viewer) == sorted(kind.letter for kind in TYPES[1:])


def test_marks_are_filled_anew_and_not_made_anew(viewer):
    labels = viewer.layers["r"]
    show_overlay(viewer, labels, threshold=0.7)
    letters = marks_layer(viewer, labels, LETTERS)
    show_marks(viewer, labels, threshold=0.99)
    assert marks_layer(viewer, labels, LETTERS) is letters
    assert len(letters.data) == len(letters.features) == len(labels.features)
    show_marks(viewer, labels, threshold=0.0)
    assert words(viewer) == ["T"]
    # Each outline has a dark line around it, and no dashes if nothing is unsure.
    assert not marks_layer(viewer, labels, DASHES).edge_color[:, :3].any()
    hide_overlay(viewer, labels)
    assert marks_layer(viewer, labels, LETTERS) is None


def test_marks_come_and_go_with_their_labels(viewer):
    labels = viewer.layers["r"]
    show_overlay(viewer, labels, threshold=0.7)
    show_selection_boxes(viewer, labels, [(0, 1, 1, 5, 5)])
    labels.visible = False
    assert not any(layer.visible for layer in viewer.layers if layer.name != "m")
    viewer.layers.remove(labels)
    run_waiting()
    assert [layer.name for layer in viewer.layers] == ["m"]


def test_marks_of_a_duplicate_follow_the_duplicate(viewer):
    labels = viewer.layers["r"]
    show_overlay(viewer, labels, threshold=0.7)
    data, state, kind = labels.as_layer_data_tuple()  # as napari's Duplicate does
    copy = viewer.add_layer(Layer.create(data.copy(), {**state, "name": "copy"}, kind))
    show_overlay(viewer, copy, threshold=0.7)
    copy.visible = False
    assert not marks_layer(viewer, copy, LETTERS).visible
    assert marks_layer(viewer, labels, LETTERS).visible
    viewer.layers.remove(copy)
    run_waiting()
    assert [layer.name for layer in viewer.layers if layer.name.startswith("copy")] == []
    assert marks_layer(viewer, labels, LETTERS) is not None


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
def test_layers_are_removed_in_any_order(viewer, order):
    """As napari removes a selection; each layer is looked up at its old position."""
    labels = viewer.layers["r"]
    show_overlay(viewer, labels, threshold=0.7)
    layers = list(viewer.layers)
    assert len(layers) == 4
    for number in order:
        viewer.layers.remove(layers[number])
    run_waiting()
    assert not viewer.layers


def test_all_layers_are_removed_at_once(viewer):
    show_overlay(viewer, viewer.layers["r"], threshold=0.7)
    viewer.layers.clear()
    run_waiting()
    assert not viewer.layers


def test_regions_that_are_added_again_at_once_have_marks_of_their_own(viewer):
    labels = viewer.layers["r"]
    show_overlay(viewer, labels, threshold=0.7)
    viewer.layers.remove(labels)
    viewer.add_layer(labels)
    show_overlay(viewer, labels, threshold=0.7)
    run_waiting()
    assert len(viewer.layers) == 4
    assert marks_layer(viewer, labels, LETTERS).visible


def test_a_layer_that_left_is_followed_no_more_until_it_is_back(viewer):
    labels, events = viewer.layers["r"], viewer.layers.events
    follow_mouse(viewer)
    listeners = len(events.removed.callbacks)
    show_overlay(viewer, labels, threshold=0.7)
    viewer.layers.remove(labels)
    assert len(events.removed.callbacks) == listeners
    viewer.add_layer(labels)
    show_overlay(viewer, labels, threshold=0.7)
    labels.visible = False
    assert not marks_layer(viewer, labels, LETTERS).visible
    viewer.layers.remove(labels)
    run_waiting()
    assert [layer.name for layer in viewer.layers] == ["m"]


def test_marks_move_with_their_labels(viewer):
    labels = viewer.layers["r"]
    show_overlay(viewer, labels, threshold=0.7)
    labels.scale, labels.translate = (0.5, 0.5), (10, 20)
    letters = marks_layer(viewer, labels, LETTERS)
    place = (3.0, 4.0)
    assert np.allclose(letters.data_to_world(place), labels.data_to_world(place))


def test_an_explanation_goes_with_its_labels(viewer):
    labels = viewer.layers["r"]
    made = show_explanation(viewer, labels, np.ones(labels.data.shape, np.float32))
    labels.visible = False
    assert not made.visible
    labels.visible = True
    assert not made.visible, "it comes back when it is asked for"
    viewer.layers.remove(labels)
    run_waiting()
    assert made not in viewer.layers


def test_an_explanation_of_other_regions_is_hidden(viewer):
    labels = viewer.layers["r"]
    made = show_explanation(viewer, labels, np.ones(labels.data.shape, np.float32))
    show_only(viewer, viewer.layers["m"], labels)
    assert made.visible
    other = viewer.add_image(np.zeros((9, 9)), name="other")
    show_only(viewer, other, None)
    assert not made.visible


def test_marks_keep_the_units_of_the_image(viewer):
    image = viewer.add_image(np.zeros((40, 60)), name="measured", units=("um", "um"))
    labels = add_regions(viewer, image, np.ones((40, 60), np.int32))
    show_selection_boxes(viewer, labels, [(0, 1, 1, 5, 5)])
    units = {str(unit) for layer in (labels, marks_layer(viewer, labels, FRAMES))
             for unit in layer.units}  # fmt: skip
    assert units == {"micrometer"}


def test_frames(viewer):
    labels = viewer.layers["r"]
    assert show_selection_boxes(viewer, labels, [(0, 10, 20, 30, 50)]).data.shape == (4, 2, 2)
    drawn = frame_vectors([(0, 1, 1, 5, 5)], 2)
    assert len(show_selection_boxes(viewer, labels, [(0, 10, 20, 30, 50)], drawn).data) == 8
    sides = frame_vectors([(2, 10, 20, 30, 50)], 3)
    assert set(sides[:, 0, 0]) == {2}
    assert np.allclose(sides[:, 1].sum(axis=0), 0)  # the sides close


def test_empty_layers_of_marks_go_unless_they_are_filled_again(viewer):
    labels = viewer.layers["r"]
    show_selection_boxes(viewer, labels, [(0, 10, 20, 30, 50)])
    show_selection_boxes(viewer, labels, [])
    layer = marks_layer(viewer, labels, FRAMES)
    assert not len(layer.data), "removing a layer takes napari half a second"
    show_selection_boxes(viewer, labels, [(0, 1, 1, 5, 5)])
    run_waiting()
    assert marks_layer(viewer, labels, FRAMES) is layer
    show_selection_boxes(viewer, labels, [])
    run_waiting()
    assert [one.name for one in viewer.layers] == ["m", "r"]


def test_marks_are_named_after_the_image_and_leave_the_selection(viewer):
    labels, emitted = viewer.layers["r"], []
    viewer.layers.selection.active = labels
    viewer.layers.selection.events.connect(lambda event: emitted.append(event.type))
    show_overlay(viewer, labels, threshold=0.7)
    show_selection_boxes(viewer, labels, [(0, 10, 20, 30, 50)])
    show_explanation(viewer, labels, np.ones(labels.data.shape, np.float32))
    names = {layer.name for layer in viewer.layers}
    assert names == {"m", "r", "m · types", "m · outlines", "m · selected", "m · explanation"}
    assert viewer.layers.selection.active is labels
    assert emitted == []


def test_what_is_selected_has_a_colour_of_its_own(viewer):
    labels = viewer.layers["r"]
    frames = show_selection_boxes(viewer, labels, [(0, 10, 20, 30, 50)])
    own = frames.edge_color[0]
    others = [*(kind.color for kind in TYPES), UNCLASSIFIED]
    for color in map(transform_color, others):
        assert np.abs(own[:3] - color[0][:3]).max() > 0.25


def test_dashes_have_the_colour_of_the_type(viewer):
    labels = viewer.layers["r"]
    for colors in (None, {"single": "#123456"}):
        show_overlay(viewer, labels, threshold=0.7, colors=colors)
        dashes = marks_layer(viewer, labels, DASHES)
        own = transform_color((colors or {}).get("single", ClusterType.SINGLE.color))[0]
        dark = np.allclose(dashes.edge_color[0][:3], 0)
        assert dark
        colored = dashes.edge_color[:, :3].any(axis=1)
        assert colored.any()
        assert np.allclose(dashes.edge_color[colored], own, atol=1e-3)
        assert len(dashes.edge_color) == len(dashes.data)


def test_another_threshold_draws_no_lines_anew(viewer):
    """Lines take napari more than 50 ms, colours do not."""
    labels = viewer.layers["r"]
    show_overlay(viewer, labels, threshold=0.99)
    dashes = marks_layer(viewer, labels, DASHES)
    drawn, before = [], dashes.edge_color.copy()
    dashes.events.data.connect(drawn.append)
    show_marks(viewer, labels, threshold=0.0)
    assert not np.array_equal(dashes.edge_color, before)
    assert not drawn


def test_outlines_without_types_have_a_dark_line(viewer):
    labels = viewer.layers["r"]
    viewer.layers.remove(labels)
    found = segment_layer(viewer, "m")
    lines = marks_layer(viewer, found, DASHES)
    dark = lines.edge_color[:, 3] > 0.5
    assert dark.any()
    assert not lines.edge_color[:, :3].any()
    for region in extract_regions(found.data):
        y0, x0, y1, x1 = region.bbox
        starts = lines.data[dark, 0]
        here = ((starts >= (y0 - 1, x0 - 1)) & (starts <= (y1, x1))).all(axis=1)
        assert here.sum() >= 8


def test_letters_are_seen_on_any_image(viewer):
    labels = viewer.layers["r"]
    show_overlay(viewer, labels, threshold=0.7)
    letters = marks_layer(viewer, labels, LETTERS)
    assert (letters.face_color[:, :3] == 0).all()
    assert (letters.face_color[:, 3] > 0.5).all()
    assert np.array_equal(letters.border_color, letters.face_color)
    dark = {str(kind): "#000000" for kind in TYPES}
    show_overlay(viewer, labels, threshold=0.7, colors=dark)
    assert (letters.face_color[:, :3] == 1).all()
    assert np.array_equal(letters.border_color, letters.face_color)
    # The background has a fixed size on the screen, like the letters.
    low, high = letters.canvas_size_limits
    assert low == high


def test_regions_at_the_border_and_of_one_pixel_have_dashes():
    labels = np.zeros((20, 20), np.int32)
    labels[0:5, 0:5], labels[12, 12] = 1, 2
    layer = ViewerModel().add_labels(labels)
    table = build_table(extract_regions(labels))
    assert len(dash_vectors(layer, table[table["index"] == 1])) > 1
    assert len(dash_vectors(layer, table[table["index"] == 2])) == 1
    assert len(dash_vectors(layer, table.iloc[:0])) == 0


def test_labels_belong_to_an_image_by_name_or_place(metaphase):
    viewer = ViewerModel()
    first = viewer.add_image(metaphase.image, name="cell")
    mine = viewer.add_labels(metaphase.labels, name="cell regions")
    second = viewer.add_image(metaphase.image, name="cell 2")
    assert labels_of(viewer, first) == [mine]
    assert labels_of(viewer, second) == []
    unnamed = viewer.add_labels(metaphase.labels, name="Labels")
    assert labels_of(viewer, second) == [unnamed]


@pytest.mark.parametrize("side", [512, 1280, 2048, 4096])
def test_the_dark_line_leaves_the_colored_outline_visible(side):
    """Seen as a whole, a picture shows both, however many pixels it has."""
    viewer = ViewerModel()
    data = np.zeros((side, side), np.uint16)
    data[side // 4 : side // 2, side // 4 : side // 2] = 1
    labels = viewer.add_labels(data)
    set_table(labels, set_types(build_table(extract_regions(data)), [1], "single"))
    show_overlay(viewer, labels)
    dark = marks_layer(viewer, labels, DASHES)
    visible = labels.contour - dark.edge_width / 2
    screen_pixel = side / 700
    assert visible >= 0.5 * screen_pixel
