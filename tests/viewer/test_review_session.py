"""Decisions, undo, stale marks and label edits of a review, without Qt."""

from __future__ import annotations

import time

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_chromocluster.cluster_types import TYPES, ClusterType
from napari_chromocluster.imaging.label_editing import LabelEditError
from napari_chromocluster.imaging.regions import extract_regions
from napari_chromocluster.imaging.synthetic_metaphase import synthetic_metaphase
from napari_chromocluster.results.features_table import build_table, set_types
from napari_chromocluster.viewer.review.review_queue import entries, next_waiting
from napari_chromocluster.viewer.review.session import ReviewSession


def seeded(labels, seed=0, model="seeded"):
    """A table whose probabilities come from a seed."""
    regions = extract_regions(labels)
    probabilities = np.random.default_rng(seed).dirichlet(np.full(5, 0.4), len(regions))
    return build_table(regions, probabilities, model=model)


@pytest.fixture
def session():
    made = synthetic_metaphase(seed=5, chromosomes=24)
    viewer = ViewerModel()
    image = viewer.add_image(made.image)
    labels = viewer.add_labels(made.labels.copy(), features=seeded(made.labels))
    one = ReviewSession(image, labels)
    one.truth = made.types
    yield one
    one.close()


def kind_of(session, key):
    return str(session.rows([key])["cluster_type"].iloc[0])


def row(session, key):
    return session.rows([key]).iloc[0]


def test_set_type_undo_redo(session):
    key = session.region_keys()[2]
    before = session.table.copy()
    session.set_type([key], ClusterType.OVERLAPPING)
    assert row(session, key)["cluster_type"] == "overlapping"
    assert row(session, key)["source"] == "human"
    assert session.labels.features.equals(session.table)
    session.undo()
    assert session.table.equals(before)
    session.redo()
    assert kind_of(session, key) == "overlapping"


def test_who_is_told_of_a_change_finds_what_can_be_undone(session):
    texts = []
    session.changed.connect(
        lambda _: texts.append((session.history.undo_text, session.history.redo_text))
    )
    first, second = session.region_keys()[2:4]
    session.set_type([first], ClusterType.OVERLAPPING)
    session.accept([second])
    session.delete([second])
    session.replace_table(seeded(session.labels.data, seed=1), "take the file")
    session.undo()
    session.redo()
    overlapping, taken = f"region {first[1]} to overlapping", "take the file"
    accepted, deleted = f"accept region {second[1]}", f"delete region {second[1]}"
    assert texts == [
        (overlapping, ""),
        (accepted, ""),
        (deleted, ""),
        (taken, ""),
        (deleted, taken),
        (taken, ""),
    ]


def test_undo_goes_back_through_many(session):
    keys = session.region_keys()
    before = session.table.copy()
    for kind in TYPES:
        session.set_type(keys[:6], kind)
    session.accept(keys[6:9])
    session.restore_model(keys[:2])
    assert list(session.rows(keys[:2])["source"]) == ["model", "model"]
    while session.undo():
        pass
    assert session.table.equals(before)


def test_model_never_overwrites_human_and_undo_takes_newest_opinion(session):
    first, second = session.region_keys()[:2]
    session.set_type([first, second], ClusterType.OTHER)
    job = session.job([first, second])
    new = seeded(session.labels.data, seed=9, model="newer")
    assert session.take(job, new[new["index"].isin([first[1], second[1]])]) == 2
    assert kind_of(session, first) == "other"
    assert row(session, first)["model"] == "newer"
    session.undo()
    expected = new.set_index("index").loc[first[1]]
    assert kind_of(session, first) == expected["cluster_type"]
    assert row(session, first)["source"] == "model"


def paint(layer, label, y, x, size=3):
    layer.selected_label = label
    layer.brush_size = size
    layer.preserve_labels = False
    layer.paint((y, x), label)


def test_paint_makes_stale_and_napari_undo_makes_fresh(session):
    region = extract_regions(session.labels.data)[4]
    key = (0, region.label)
    area = row(session, key)["area"]
    paint(session.labels, region.label, region.bbox[0] - 1, (region.bbox[1] + region.bbox[3]) // 2)
    assert session.stale() == [key]
    assert row(session, key)["area"] > area
    session.labels.undo()
    assert session.stale() == []
    assert row(session, key)["area"] == area
    session.labels.redo()
    assert session.stale() == [key]


def test_fill_and_erase_follow(session):
    region = extract_regions(session.labels.data)[3]
    y, x = np.argwhere(session.labels.data == region.label)[0]
    count = len(session.table)
    original = row(session, (0, region.label)).to_dict()
    session.labels.fill((int(y), int(x)), 0)
    assert (0, region.label) not in session.region_keys()
    assert len(session.table) == count - 1
    session.labels.undo()
    assert row(session, (0, region.label)).to_dict() == original
    session.labels.fill((int(y), int(x)), 999)
    assert kind_of(session, (0, 999)) == ""
    assert (0, 999) in session.needs_classification()


def test_stale_human_keeps_type_until_confirmed(session):
    region = extract_regions(session.labels.data)[4]
    key = (0, region.label)
    session.set_type([key], ClusterType.TOUCHING)
    paint(session.labels, region.label, region.bbox[0] - 1, region.bbox[1] + 1, 5)
    assert session.stale() == [key]
    job = session.job()
    assert job.keys == (key,)
    fresh = seeded(session.labels.data, seed=3)
    session.take(job, fresh[fresh["index"] == key[1]])
    assert kind_of(session, key) == "touching"
    assert session.stale() == [key]
    assert session.job() is None, "the model has seen the new pixels"
    session.accept([key])
    assert session.stale() == []


def test_result_for_old_pixels_is_left_out(session):
    region = extract_regions(session.labels.data)[4]
    key = (0, region.label)
    job = session.job([key])
    paint(session.labels, region.label, region.bbox[0] - 1, region.bbox[1] + 1, 5)
    fresh = seeded(session.labels.data, seed=3)
    assert session.take(job, fresh[fresh["index"] == key[1]]) == 0
    assert session.stale() == [key]


def test_split_and_undo_restore_pixels_and_rows(session):
    touching = next(n for n, kind in session.truth.items() if kind is ClusterType.TOUCHING)
    key = (0, touching)
    session.set_type([key], ClusterType.TOUCHING)
    pixels, table = session.labels.data.copy(), session.table.copy()
    pieces = session.split_watershed(key)
    assert len(pieces) == 2
    assert sorted(session.needs_classification()) == sorted(pieces)
    assert set(session.rows(pieces)["source"]) == {""}
    session.undo()
    np.testing.assert_array_equal(session.labels.data, pixels)
    assert session.table.equals(table)
    session.redo()
    assert set(pieces) <= set(session.region_keys())


def test_split_by_line_merge_delete(session):
    region = max(extract_regions(session.labels.data), key=lambda r: r.area)
    y0, x0, y1, x1 = region.bbox
    pixels, table = session.labels.data.copy(), session.table.copy()
    middle = (x0 + x1) / 2
    pieces = session.split_line((0, region.label), [(y0 - 3, middle), (y1 + 3, middle)])
    assert len(pieces) >= 2
    merged = session.merge(pieces)
    assert merged == [(0, region.label)]
    np.testing.assert_array_equal(session.labels.data, pixels)
    session.delete(merged)
    assert region.label not in session.labels.data
    for _ in range(3):
        session.undo()
    np.testing.assert_array_equal(session.labels.data, pixels)
    assert session.table.equals(table)


def test_mending_is_refused_with_a_sentence(session):
    with pytest.raises(LabelEditError, match="across"):
        session.split_line((0, session.region_keys()[0][1]), [(0, 0), (0, 1)])
    with pytest.raises(LabelEditError, match="at least two"):
        session.merge(session.region_keys()[:1])


def test_table_set_elsewhere_is_followed(session):
    session.labels.features = seeded(session.labels.data, seed=11, model="other")
    assert set(session.table["model"]) == {"other"}


@pytest.fixture
def painted(session):
    """A region painted during a classification, and the resulting table."""
    region = extract_regions(session.labels.data)[4]
    late = seeded(session.labels.data, seed=11, model="other")
    paint(session.labels, region.label, region.bbox[0] - 1, region.bbox[1] + 2, 5)
    return session, (0, region.label), late


def test_an_answer_for_old_pixels_set_elsewhere_is_not_one_for_today(painted):
    session, key, late = painted
    before = row(session, key)
    assert session.stale() == [key]
    session.labels.features = late
    assert session.stale() == [key]
    assert row(session, key).equals(before)
    assert session.labels.features.equals(session.table)
    assert (session.table["model"] == "other").sum() == len(session.table) - 1
    assert key in session.needs_classification()
    session.labels.undo()
    assert session.stale() == [], "napari's undo brings the pixels that were decided on"


def test_an_answer_for_old_pixels_does_not_replace_a_newer_decision(painted):
    session, key, late = painted
    session.set_type([key], ClusterType.OTHER)
    session.labels.features = late
    assert row(session, key)[["cluster_type", "source", "stale"]].tolist() == [
        "other", "human", False
    ]  # fmt: skip


def test_a_human_s_type_for_old_pixels_is_taken_and_stale(painted):
    session, key, late = painted
    area = row(session, key)["area"]
    session.labels.features = set_types(late, [key[1]], ClusterType.OTHER)
    assert row(session, key)[["cluster_type", "source", "stale", "area"]].tolist() == [
        "other", "human", True, area
    ]  # fmt: skip


def test_what_a_table_cannot_know_of_stays(session):
    touching = next(n for n, kind in session.truth.items() if kind is ClusterType.TOUCHING)
    late = seeded(session.labels.data, seed=11, model="other")
    pieces = session.split_watershed((0, touching))
    session.set_type(pieces[1:], ClusterType.OTHER)
    session.labels.features = late
    assert list(session.rows(pieces)["cluster_type"]) == ["", "other"]
    assert row(session, pieces[1])["source"] == "human"
    before = session.table
    session.labels.features = late.iloc[:0]
    assert session.table.equals(before), "a table without rows takes nothing away"


def test_as_many_pixels_elsewhere_are_other_pixels(session):
    region = extract_regions(session.labels.data)[4]
    key, data = (0, region.label), session.labels.data
    late = seeded(data, seed=11, model="other")
    inside, outside = np.argwhere(data == region.label), np.argwhere(data == 0)
    data[tuple(inside[:30].T)] = 0
    data[tuple(outside[-30:].T)] = region.label
    session.labels.refresh()
    session.labels.features = late
    assert row(session, key)["area"] == region.area
    assert session.stale() == [key]


def test_who_changes_pixels_without_a_word_and_sets_their_table_is_believed(session):
    region = extract_regions(session.labels.data)[4]
    session.labels.data[tuple(np.argwhere(session.labels.data == region.label)[:30].T)] = 0
    session.labels.features = seeded(session.labels.data, seed=11, model="other")
    assert session.stale() == []
    assert set(session.table["model"]) == {"other"}
    assert row(session, (0, region.label))["area"] == region.area - 30
    late = seeded(session.labels.data, seed=12, model="third")
    session.labels.data[session.labels.data == region.label] = 0
    session.labels.features = late.assign(centroid_x=late["centroid_x"] + 1)
    assert (0, region.label) not in session.region_keys()


def test_a_review_begins_with_what_was_painted_since(session):
    region = extract_regions(session.labels.data)[4]
    session.close()
    session.labels.data[tuple(np.argwhere(session.labels.data == region.label)[:30].T)] = 0
    again = ReviewSession(session.image, session.labels)
    assert again.stale() == [(0, region.label)]
    assert row(again, (0, region.label))["area"] == region.area - 30
    again.close()


def test_new_labels_array_is_followed(session):
    data = session.labels.data.copy()
    gone = session.region_keys()[0]
    data[data == gone[1]] = 0
    data[:4, :4] = 500
    session.labels.data = data
    assert gone not in session.region_keys()
    assert kind_of(session, (0, 500)) == ""


def test_stack_is_followed_frame_by_frame():
    made = synthetic_metaphase(seed=5, chromosomes=24)
    stack = np.stack([made.labels, made.labels])
    viewer = ViewerModel()
    image = viewer.add_image(np.stack([made.image, made.image]))
    labels = viewer.add_labels(stack, features=seeded(stack))
    session = ReviewSession(image, labels)
    viewer.dims.set_current_step(0, 1)
    label = session.region_keys()[0][1]
    y, x = np.argwhere(made.labels == label)[0]
    labels.fill((1, int(y), int(x)), 0)
    assert (1, label) not in session.region_keys()
    assert (0, label) in session.region_keys()
    viewer.dims.set_current_step(0, 0)
    session.set_type([(0, label)], ClusterType.OTHER)
    assert kind_of(session, (0, label)) == "other"
    session.close()


def test_order_and_navigation(session):
    shown = entries(session.table, 0.7)
    ranks = [["", *map(str, TYPES)].index(one.kind) for one in shown]
    assert ranks == sorted(ranks)
    singles = [one.confidence for one in shown if one.kind == "single"]
    assert singles == sorted(singles)
    doubtful = [(one.frame, one.label) for one in shown if one.unsure]
    visited, current = [], None
    for _ in doubtful:
        entry = next_waiting(shown, current)
        current = (entry.frame, entry.label)
        visited.append(current)
    assert visited == doubtful
    assert next_waiting(shown, doubtful[1], -1)[:2] == doubtful[0]
    session.accept(doubtful)
    assert next_waiting(entries(session.table, 0.7), None) is None


def review_of(count):
    """A review of so many regions, in an image of constant size."""
    labels = np.zeros((1200, 1600), np.int32)
    for number in range(count):
        y, x = divmod(number, 100)
        labels[y * 24 + 2 : y * 24 + 18, x * 16 + 2 : x * 16 + 10] = number + 1
    viewer = ViewerModel()
    image = viewer.add_image(labels.astype(np.float32))
    layer = viewer.add_labels(labels, features=seeded(labels))
    return ReviewSession(image, layer)


@pytest.fixture
def few_and_many():
    sessions = [review_of(50), review_of(5000)]
    yield sessions
    for session in sessions:
        session.close()


def shortest(actions):
    """Return the CPU time in seconds of the fastest of several actions."""
    times = []
    for action in actions:
        start = time.thread_time()
        action()
        times.append(time.thread_time() - start)
    return min(times)


def test_a_decision_among_many_takes_no_longer_than_among_few(few_and_many):
    def decisions(session):
        for number, kind in enumerate([*TYPES, *TYPES]):
            yield lambda number=number, kind=kind: session.set_type([(0, 1 + 3 * number)], kind)

    few, many = (shortest(decisions(session)) for session in few_and_many)
    # A hundred times as many regions.
    assert many < 4 * few


def test_an_edit_among_many_is_followed_in_no_longer_than_among_few(few_and_many):
    def edits(session):
        labels = session.labels.data
        labels[20:22, 4:8] = 1
        for number in range(5):
            labels[20, 4 + number] = 0
            yield lambda: session.check_pixels(0)

    few, many = (shortest(edits(session)) for session in few_and_many)
    assert many < 10 * few


def test_regions_are_classified_again_with_the_number_that_is_told(session):
    given = []

    class Model:
        def classify(self, image, labels, select, **settings):
            given.append(settings["expected"])
            table = seeded(labels)
            return table[table["index"].isin(select)]

    job = session.job(session.region_keys()[:2])
    job.run(Model())
    job.run(Model(), expected=40)
    assert given == [46, 40]


def test_frames_of_a_long_stack_are_gone_through_when_they_are_looked_at():
    labels = np.zeros((70, 40, 40), np.int32)
    labels[:, 5:15, 5:15], labels[:, 20:30, 20:30] = 1, 2
    labels[60, 30:34, 5:9] = 900
    viewer, shown, seen = ViewerModel(), [3], []
    image = viewer.add_image(np.random.default_rng(0).random((70, 40, 40)))
    session = ReviewSession(image, viewer.add_labels(labels), lambda: shown[0])
    session.recorded.connect(seen.append)
    assert session.region_keys() == [(3, 1), (3, 2)]
    shown[0] = 7
    session.check_pixels(7)
    session.check_pixels(7)
    assert session.region_keys() == [(3, 1), (3, 2), (7, 1), (7, 2)]
    assert not seen  # Viewing is not a change.
    assert session.split_line((7, 2), [(18, 25), (32, 25)])[-1] == (7, 901)
    assert len(seen) == 1


def test_another_picture_in_the_image_layer_is_not_the_one_reviewed():
    viewer = ViewerModel()
    image = viewer.add_image(np.zeros((40, 40)))
    labels = np.zeros((40, 40), np.int32)
    labels[5:15, 5:15] = 1
    session = ReviewSession(image, viewer.add_labels(labels))
    seen = []
    session.replaced.connect(lambda: seen.append("replaced"))
    image.data = image.data.copy()
    assert not seen
    image.data = np.where(labels > 0, 20.0, 200.0)
    assert seen == ["replaced"]
    assert session.image_frame(0).max() == 0
    assert session.job([(0, 1)]).frames[0][1].max() == 0
