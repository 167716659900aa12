"""Autosave of a review: journal, files, restoring by content, conflicts."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
import time

import numpy as np
import pandas as pd
import pytest
from napari.components import ViewerModel
from napari.layers._source import layer_source
from PIL import Image

from napari_chromocluster.cluster_types import ClusterType
from napari_chromocluster.imaging.io import read_image, read_labels, write_labels
from napari_chromocluster.imaging.label_editing import LabelEditError
from napari_chromocluster.imaging.regions import extract_regions
from napari_chromocluster.imaging.synthetic_metaphase import synthetic_metaphase
from napari_chromocluster.results.features_table import build_table, set_types
from napari_chromocluster.results.table_files import read_table, write_table
from napari_chromocluster.viewer.review import autosave as rooms
from napari_chromocluster.viewer.review import store as saving
from napari_chromocluster.viewer.review.autosave import (
    Autosave,
    find_saved_review,
    merge_saved_table,
)
from napari_chromocluster.viewer.review.session import ReviewSession

MADE = synthetic_metaphase(seed=6, chromosomes=24)


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(rooms, "own_folder", lambda: tmp_path / "own")


@pytest.fixture
def folder(tmp_path):
    out = tmp_path / "slides"
    out.mkdir()
    Image.fromarray(MADE.image).save(out / "metaphase_017.png")
    return out


def table_for(labels, seed=0):
    regions = extract_regions(labels)
    chances = np.random.default_rng(seed).dirichlet(np.full(5, 0.4), len(regions))
    return build_table(regions, chances, model="seeded")


def opened(path, labels=MADE.labels, table=None):
    viewer = ViewerModel()
    with layer_source(path=str(path)):
        image = viewer.add_image(read_image(path))
    features = table_for(labels) if table is None else table
    return image, viewer.add_labels(labels.copy(), features=features)


def started(path, **options):
    image, labels = opened(path, **options)
    session = ReviewSession(image, labels)
    return session, Autosave(session, rooms.folders_for(image, None))


def test_every_change_is_on_disk_at_once(folder):
    session, keeper = started(folder / "metaphase_017.png")
    keys = session.region_keys()
    for key in keys[:3]:
        session.set_type([key], ClusterType.OVERLAPPING)
    session.delete([keys[5]])
    session.undo()
    session.split_watershed(next((0, n) for n, k in MADE.types.items() if k == "touching"))
    # No close, no save: the process could end now.
    image, _ = opened(folder / "metaphase_017.png")
    found = find_saved_review(image, None, None)
    assert found.kind == "open"
    assert found.saved.recovered > 0
    pd.testing.assert_frame_equal(found.saved.table, session.table, check_dtype=False)
    np.testing.assert_array_equal(found.saved.labels, session.labels.data)
    assert "recovered" in found.message
    assert keeper.dirty


def test_journal_cut_in_the_middle_of_a_line(folder):
    session, keeper = started(folder / "metaphase_017.png")
    keys = session.region_keys()
    session.set_type(keys[:1], ClusterType.OTHER)
    session.set_type(keys[1:2], ClusterType.OTHER)
    session.set_type(keys[2:3], ClusterType.OTHER)
    journal = keeper.store.journal_path()
    text = journal.read_text()
    journal.write_text(text[:-40])
    saved = find_saved_review(session.image, None, None).saved
    assert list(saved.table["cluster_type"][:2]) == ["other", "other"]


def test_found_by_content_not_by_name(folder):
    session, keeper = started(folder / "metaphase_017.png")
    session.set_type(session.region_keys()[:2], ClusterType.OTHER)
    keeper.close()
    (folder / "metaphase_017.png").rename(folder / "renamed.png")
    other = synthetic_metaphase(seed=8, chromosomes=24)
    Image.fromarray(other.image).save(folder / "metaphase_017.png")
    image, _ = opened(folder / "renamed.png")
    assert find_saved_review(image, None, None).saved.table.equals(session.table)
    impostor, _ = opened(folder / "metaphase_017.png")
    assert find_saved_review(impostor, None, None).kind == "none"
    second, second_keeper = started(folder / "metaphase_017.png", labels=other.labels)
    second.set_type(second.region_keys()[:1], ClusterType.OTHER)
    assert second_keeper.store.table_path.name == "metaphase_017-2_regions.csv"


def test_closing_writes_plain_files_and_leaves_no_journal(folder):
    session, keeper = started(folder / "metaphase_017.png")
    session.set_type(session.region_keys()[:2], ClusterType.OTHER)
    session.set_type(session.region_keys()[2:3], ClusterType.SINGLE)
    keeper.close()
    names = sorted(path.name for path in folder.iterdir())
    assert names == [
        "metaphase_017.png",
        "metaphase_017_labels.tif",
        "metaphase_017_regions.csv",
        "metaphase_017_review.json",
    ]
    assert read_table(folder / names[2]).equals(session.table)
    np.testing.assert_array_equal(read_labels(folder / names[1]), session.labels.data)


@pytest.mark.skipif(not hasattr(time, "tzset"), reason="the time zone cannot be set here")
def test_when_it_was_saved_is_told_in_the_time_of_this_place(folder, monkeypatch):
    session, keeper = started(folder / "metaphase_017.png")
    session.set_type(session.region_keys()[:1], ClusterType.OTHER)
    keeper.close()
    meta = folder / "metaphase_017_review.json"
    meta.write_text(
        re.sub(r'"saved": "[^"]*"', '"saved": "2026-01-02T22:30:00+00:00"', meta.read_text())
    )
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        image, labels = opened(folder / "metaphase_017.png")
        assert "the review of 2026-01-03 07:30:" in find_saved_review(image, labels, None).message
    finally:
        monkeypatch.undo()
        time.tzset()


def test_edit_in_a_spreadsheet_and_reload(folder):
    session, keeper = started(folder / "metaphase_017.png")
    session.set_type(session.region_keys()[:1], ClusterType.OTHER)
    keeper.close()
    path = folder / "metaphase_017_regions.csv"
    sheet = pd.read_csv(path)
    model_row = int(np.flatnonzero(sheet["source"] == "model")[0])
    kind = "touching" if sheet["cluster_type"][model_row] != "touching" else "single"
    sheet.loc[model_row, "cluster_type"] = kind
    sheet.to_csv(path, index=False, sep=";")
    found = find_saved_review(session.image, session.labels, None)
    assert found.kind == "same"
    assert "edited outside" in found.message
    row = found.saved.table.iloc[model_row]
    assert (row["cluster_type"], row["source"], row["confidence"]) == (kind, "human", 1.0)


def edited_meanwhile(folder):
    session, keeper = started(folder / "metaphase_017.png")
    session.set_type(session.region_keys()[:1], ClusterType.OTHER)
    path = keeper.store.table_path
    sheet = pd.read_csv(path)
    sheet.loc[3, ["cluster_type", "source", "confidence"]] = ["overlapping", "human", 1.0]
    sheet.to_csv(path, index=False)
    session.set_type(session.region_keys()[3:4], ClusterType.TOUCHING)
    before = path.read_bytes()
    keeper.save_now()
    assert "changed outside" in keeper.conflict
    assert path.read_bytes() == before, "nothing is written over while the user has not chosen"
    return session, keeper, path, before


def test_conflict_keep_mine_keeps_theirs_too(folder):
    session, keeper, path, before = edited_meanwhile(folder)
    keeper.keep_mine()
    assert read_table(path).equals(session.table)
    theirs = list(folder.glob("*_theirs_*.csv"))
    assert len(theirs) == 1
    assert theirs[0].read_bytes() == before
    assert not keeper.conflict


def test_conflict_take_theirs_can_be_undone(folder):
    session, keeper, path, _ = edited_meanwhile(folder)
    mine = session.table.copy()
    keeper.take_theirs()
    assert session.table["cluster_type"][3] == "overlapping"
    session.undo()
    assert session.table.equals(mine)
    keeper.close()
    assert read_table(path).equals(mine)


def test_conflict_survives_a_crash(folder):
    session, keeper, *_ = edited_meanwhile(folder)
    session.set_type(session.region_keys()[4:5], ClusterType.TOUCHING)
    assert keeper.conflict
    saved = find_saved_review(session.image, None, None).saved
    assert list(saved.table["cluster_type"][3:5]) == ["touching", "touching"]


def test_other_regions_are_a_conflict(folder):
    session, keeper = started(folder / "metaphase_017.png")
    session.set_type(session.region_keys()[:1], ClusterType.OTHER)
    keeper.close()
    labels = MADE.labels.copy()
    labels[labels == 3] = 0
    image, layer = opened(folder / "metaphase_017.png", labels=labels)
    found = find_saved_review(image, layer, None)
    assert found.kind == "conflict"
    assert "Which" in found.message


def test_new_model_run_does_not_hide_saved_decisions(folder):
    session, keeper = started(folder / "metaphase_017.png")
    key = session.region_keys()[0]
    session.set_type([key], ClusterType.OTHER)
    keeper.close()
    newer = table_for(MADE.labels, seed=5).assign(model="newer")
    table = merge_saved_table(find_saved_review(session.image, session.labels, None).saved, newer)
    assert table["cluster_type"][0] == "other"
    assert set(table["model"]) == {"newer"}
    assert list(table["cluster_type"][1:]) == list(newer["cluster_type"][1:])


def test_read_only_folder_falls_back_and_damage_is_told(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(rooms, "_writable", lambda path: path != folder)
    session, keeper = started(folder / "metaphase_017.png")
    session.set_type(session.region_keys()[:1], ClusterType.OTHER)
    assert keeper.store.folder == tmp_path / "own"
    (tmp_path / "own" / "metaphase_017_regions.csv").write_text("nonsense\n1\n")
    found = find_saved_review(session.image, None, None)
    assert found.kind == "damaged"
    assert "cannot be restored" in found.message


def test_moving_to_a_chosen_folder(folder, tmp_path):
    session, keeper = started(folder / "metaphase_017.png")
    session.set_type(session.region_keys()[:1], ClusterType.OTHER)
    keeper.move_to(tmp_path / "chosen")
    session.set_type(session.region_keys()[1:2], ClusterType.OTHER)
    shutil.rmtree(folder / "none", ignore_errors=True)
    found = find_saved_review(session.image, None, tmp_path / "chosen")
    assert found.saved.store.folder == tmp_path / "chosen"
    assert list(found.saved.table["cluster_type"][:2]) == ["other", "other"]
    meta = json.loads((tmp_path / "chosen" / "metaphase_017_review.json").read_text())
    assert meta["writing"] is False


def test_pixels_of_the_image_are_not_touched(folder):
    before = read_image(folder / "metaphase_017.png")
    session, keeper = started(folder / "metaphase_017.png")
    session.set_type(session.region_keys()[:1], ClusterType.OTHER)
    keeper.close()
    np.testing.assert_array_equal(read_image(folder / "metaphase_017.png"), before)


def test_undone_decision_stays_undone_after_a_crash(folder):
    session, keeper = started(folder / "metaphase_017.png")
    key = session.region_keys()[0]
    session.set_type([key], ClusterType.OTHER)
    keeper.save_now()
    session.undo()
    # A user who opens the image may first open the CSV next to it, which still has the decision.
    beside = read_table(keeper.store.table_path)
    assert beside["source"][0] == "human"
    image, layer = opened(folder / "metaphase_017.png", table=beside)
    found = find_saved_review(image, layer, None)
    assert found.kind == "same"
    table = merge_saved_table(found.saved, beside)
    pd.testing.assert_frame_equal(table, session.table, check_dtype=False)


def test_decisions_that_came_from_elsewhere_are_asked_about(folder):
    session, keeper = started(folder / "metaphase_017.png")
    session.set_type(session.region_keys()[:1], ClusterType.OTHER)
    keeper.close()
    elsewhere = set_types(session.table, [session.table["index"][4]], ClusterType.TOUCHING)
    image, layer = opened(folder / "metaphase_017.png", table=elsewhere)
    found = find_saved_review(image, layer, None)
    assert found.kind == "conflict"
    assert "1 decision by hand" in found.message


def test_first_correction_needs_no_more_than_moving_files(folder):
    session, keeper = started(folder / "metaphase_017.png")
    before = session.table.copy()
    session.set_type(session.region_keys()[:1], ClusterType.OTHER)
    # The files have the initial state, the journal the correction.
    assert read_table(keeper.store.table_path).equals(before)
    np.testing.assert_array_equal(read_labels(keeper.store.labels_path), MADE.labels)
    assert keeper.store.journal_path().stat().st_size > 0
    saved = find_saved_review(session.image, None, None).saved
    pd.testing.assert_frame_equal(saved.table, session.table, check_dtype=False)


def test_looking_at_a_review_leaves_no_files(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    _, keeper = started(folder / "metaphase_017.png")
    keeper.close()
    assert [path.name for path in folder.iterdir()] == ["metaphase_017.png"]
    assert not list((tmp_path / "temporary").iterdir())


@pytest.mark.parametrize(
    ("step", "twice"),
    [
        ("write_table", False),
        ("write_labels", True),
        ("write_table", True),
        ("_remember", True),
        ("_write_meta", True),
    ],
)
def test_a_save_that_is_cut_off_loses_nothing(folder, monkeypatch, step, twice):
    session, keeper = started(folder / "metaphase_017.png")
    keys = session.region_keys()
    for key in keys[:3]:
        session.set_type([key], ClusterType.OVERLAPPING)
    if twice:
        keeper.save_now()
    session.split_watershed(next((0, n) for n, k in MADE.types.items() if k == "touching"))
    session.set_type([keys[4]], ClusterType.OTHER)
    place = saving if step.startswith("write") else saving.ReviewStore
    # The process ends at this step, or after it in the first round.
    with monkeypatch.context() as cut:
        cut.setattr(place, step, lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            keeper.save_now()
    image, _ = opened(folder / "metaphase_017.png")
    found = find_saved_review(image, None, None)
    pd.testing.assert_frame_equal(found.saved.table, session.table, check_dtype=False)
    np.testing.assert_array_equal(found.saved.labels, session.labels.data)


def test_a_full_disk_is_told_and_tried_again(folder, monkeypatch):
    session, keeper = started(folder / "metaphase_017.png")
    keys = session.region_keys()
    session.set_type([keys[0]], ClusterType.OTHER)
    full = OSError(28, "No space left on device")
    with monkeypatch.context() as small:
        small.setattr(saving, "write_table", lambda *_: (_ for _ in ()).throw(full))
        keeper.save_now()
    assert "No space left on device" in keeper.problem
    assert "free some space" in keeper.problem
    # Changes made in the meantime are still written to the journal.
    session.set_type([keys[1]], ClusterType.OTHER)
    saved = find_saved_review(session.image, None, None).saved
    assert list(saved.table["cluster_type"][:2]) == ["other", "other"]
    keeper.save_now()
    assert not keeper.problem
    assert read_table(keeper.store.table_path).equals(session.table)


def test_a_journal_that_is_full_holds_whole_lines(folder):
    resource, signal = pytest.importorskip("resource"), pytest.importorskip("signal")
    session, keeper = started(folder / "metaphase_017.png")
    keys = session.region_keys()
    session.set_type([keys[0]], ClusterType.OTHER)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    size = keeper.store.journal_path().stat().st_size
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 10, limits[1]))
        session.set_type([keys[1]], ClusterType.OTHER)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    assert keeper.problem
    session.set_type([keys[2]], ClusterType.OTHER)
    saved = find_saved_review(session.image, None, None).saved
    assert list(saved.table["cluster_type"][[0, 2]]) == ["other", "other"]


def test_taking_the_files_takes_their_regions_too(folder):
    session, keeper = started(folder / "metaphase_017.png")
    keys = session.region_keys()
    session.set_type(keys[:1], ClusterType.OTHER)
    keeper.save_now()
    theirs = MADE.labels.copy()
    theirs[theirs == 3] = 0
    theirs[:4, :4] = 900
    write_labels(keeper.store.labels_path, theirs)
    session.set_type(keys[1:2], ClusterType.OTHER)
    mine, pixels = session.table.copy(), session.labels.data.copy()
    keeper.save_now()
    assert "was changed outside" in keeper.conflict
    keeper.take_theirs()
    np.testing.assert_array_equal(session.labels.data, theirs)
    assert (0, 3) not in session.region_keys()
    assert (0, 900) in session.needs_classification()
    assert session.rows(keys[:1])["cluster_type"].item() == "other"
    keeper.save_now()
    assert not keeper.conflict
    np.testing.assert_array_equal(read_labels(keeper.store.labels_path), theirs)
    session.undo()
    np.testing.assert_array_equal(session.labels.data, pixels)
    pd.testing.assert_frame_equal(session.table, mine)


def test_files_of_another_size_are_not_taken(folder):
    session, keeper = started(folder / "metaphase_017.png")
    session.set_type(session.region_keys()[:1], ClusterType.OTHER)
    keeper.save_now()
    write_labels(keeper.store.labels_path, MADE.labels[:-9])
    session.set_type(session.region_keys()[1:2], ClusterType.OTHER)
    keeper.save_now()
    with pytest.raises(LabelEditError, match="another size"):
        keeper.take_theirs()
    assert keeper.conflict
    assert read_labels(keeper.store.labels_path).shape == MADE.labels[:-9].shape


def test_pixels_below_nothing_are_no_region(folder):
    labels = MADE.labels.astype(np.int32)
    labels[:5, :5] = -1
    session, keeper = started(folder / "metaphase_017.png", labels=labels)
    assert (0, -1) not in session.region_keys()
    session.delete(session.region_keys()[:1])
    assert (session.labels.data[:5, :5] == -1).all()
    keeper.close()


def with_results(folder, table, suffix="_labels.tif"):
    """Results of a batch next to the image, opened as the Classify dock does."""
    write_labels(folder / f"metaphase_017{suffix}", MADE.labels)
    write_table(folder / "metaphase_017_regions.csv", table)
    return started(folder / "metaphase_017.png", table=table)


@pytest.mark.parametrize("suffix", ["_labels.tif", "_labels.png"])
def test_results_beside_the_image_are_reviewed_where_they_are(folder, suffix):
    session, keeper = with_results(folder, table_for(MADE.labels), suffix)
    before = (folder / f"metaphase_017{suffix}").read_bytes()
    session.set_type(session.region_keys()[:1], ClusterType.OTHER)
    keeper.close()
    assert not list(folder.glob("*-2*"))
    assert read_table(folder / "metaphase_017_regions.csv").equals(session.table)
    np.testing.assert_array_equal(read_labels(folder / "metaphase_017_labels.tif"), MADE.labels)
    # Unchanged, including their provenance tag.
    assert (folder / f"metaphase_017{suffix}").read_bytes() == before


def test_results_are_reviewed_in_place_after_another_run_and_a_split(folder):
    session, keeper = with_results(folder, table_for(MADE.labels))
    session.labels.features = table_for(MADE.labels, seed=9)
    touching = next(n for n, kind in MADE.types.items() if kind == "touching")
    session.split_watershed((0, touching))
    keeper.close()
    assert not list(folder.glob("*-2*"))
    saved = find_saved_review(session.image, None, None).saved
    np.testing.assert_array_equal(saved.labels, session.labels.data)
    np.testing.assert_array_equal(
        read_labels(folder / "metaphase_017_labels.tif"), session.labels.data
    )


@pytest.mark.parametrize("what", ["other regions", "a decision", "a type"])
def test_results_that_say_more_stay_as_they_are(folder, what):
    table = table_for(MADE.labels)
    there = set_types(table, [3], ClusterType.OTHER) if what == "a decision" else table
    labels = MADE.labels.copy()
    if what == "other regions":
        labels[labels == 3] = 0
    write_labels(folder / "metaphase_017_labels.tif", labels)
    write_table(folder / "metaphase_017_regions.csv", there)
    mine = build_table(extract_regions(MADE.labels)) if what == "a type" else table
    session, keeper = started(folder / "metaphase_017.png", table=mine)
    session.set_type(session.region_keys()[:1], ClusterType.OTHER)
    keeper.close()
    assert keeper.store.table_path.name == "metaphase_017-2_regions.csv"
    assert read_table(folder / "metaphase_017_regions.csv").equals(there)
