"""Other programs assign `layer.features`, too: no type and no column is lost."""

import numpy as np
import pandas as pd
import pytest
from napari.components import ViewerModel

from napari_chromocluster.imaging.regions import extract_regions
from napari_chromocluster.imaging.synthetic_metaphase import synthetic_metaphase
from napari_chromocluster.results.features_table import COLUMNS, build_table, set_types
from napari_chromocluster.results.table_files import read_table
from napari_chromocluster.viewer.layer_tables import set_table, table_of
from napari_chromocluster.viewer.review import autosave as keeping
from napari_chromocluster.viewer.review.autosave import Autosave, find_saved_review
from napari_chromocluster.viewer.review.session import ReviewSession
from napari_chromocluster.viewer.scripting import classify_layer

MADE = synthetic_metaphase(seed=6, chromosomes=24)
REGIONS = extract_regions(MADE.labels)
LABELS = [one.label for one in REGIONS]


def classified(seed=0):
    chances = np.random.default_rng(seed).dirichlet(np.full(5, 0.4), len(REGIONS))
    return build_table(REGIONS, chances, model="seeded")


def measured(**columns):
    return pd.DataFrame({"label": LABELS, "intensity": np.array(LABELS) * 10.0, **columns})


FOREIGN = {
    "by label": measured(),
    "shuffled": measured().sample(frac=1, random_state=0),
    "fewer rows": measured().iloc[3:9],
    "empty": pd.DataFrame(),
    "columns alone": pd.DataFrame({"label": [], "intensity": []}),
    "with background": pd.DataFrame({"intensity": np.arange(max(LABELS) + 1) * 10.0}),
    "in order": measured().drop(columns="label"),
    "our names": measured(cluster_type="A", confidence=7.0).rename(columns={"label": "index"}),
    "our area": measured(area=0.5),
}


@pytest.fixture(params=["review", "console"])
def layers(request, tmp_path, monkeypatch):
    monkeypatch.setattr(keeping, "own_folder", lambda: tmp_path)
    viewer = ViewerModel()
    image = viewer.add_image(MADE.image)
    labels = viewer.add_labels(MADE.labels.copy())
    set_table(labels, classified())
    if request.param == "console":
        set_table(labels, set_types(table_of(labels), LABELS[:2], "other"))
        yield viewer, image, labels, None
        return
    session = ReviewSession(image, labels)
    keeper = Autosave(session, [tmp_path])
    session.set_type([(0, label) for label in LABELS[:2]], "other")
    yield viewer, image, labels, keeper
    keeper.close()
    session.close()


@pytest.mark.parametrize("name", FOREIGN)
def test_a_table_of_another_program_is_joined_to_ours(layers, name):
    _, _, labels, keeper = layers
    before = table_of(labels)
    labels.features = FOREIGN[name]
    after = table_of(labels)
    pd.testing.assert_frame_equal(after[list(COLUMNS)], before)
    pd.testing.assert_frame_equal(pd.DataFrame(labels.features), after)
    if "intensity" in FOREIGN[name] and len(FOREIGN[name]):
        given = after.set_index("index")["intensity"].dropna()
        assert dict(given) == {label: label * 10.0 for label in given.index}
        assert len(given) == (6 if name == "fewer rows" else len(LABELS))
    if name == "our names":
        assert set(after["cluster_type_other"]) == {"A"}
        assert set(after["confidence_other"]) == {7.0}
    if name == "our area":
        assert set(after["area_other"]) == {0.5}
    if keeper is not None:
        pd.testing.assert_frame_equal(keeper.session.table, after)
        # First in the journal, then in the file.
        saved = find_saved_review(keeper.session.image, None, None).saved
        pd.testing.assert_frame_equal(saved.table, after, check_dtype=False)
        keeper.save_now()
        pd.testing.assert_frame_equal(read_table(keeper.store.table_path), after, check_dtype=False)


def test_our_own_table_that_was_read_before_a_decision_does_not_undo_it(layers):
    _, _, labels, keeper = layers
    read = pd.DataFrame(labels.features)
    decided = LABELS[4]
    if keeper is None:
        set_table(labels, set_types(table_of(labels), [decided], "touching"))
    else:
        keeper.session.set_type([(0, decided)], "touching")
    labels.features = read.assign(brightness=1.0)
    row = table_of(labels).set_index("index").loc[decided]
    assert (row["cluster_type"], row["source"], row["brightness"]) == ("touching", "human", 1.0)
    labels.features = read.iloc[:3]
    assert len(table_of(labels)) == len(LABELS)
    labels.features = read.assign(cluster_type="", source="")
    assert (table_of(labels)["cluster_type"] != "").all()


def test_a_type_typed_into_the_features_is_a_decision(layers):
    _, _, labels, keeper = layers
    table = pd.DataFrame(labels.features)
    place = 5
    other = "single" if table["cluster_type"][place] != "single" else "touching"
    kinds = list(table["cluster_type"])
    kinds[place] = other
    labels.features = table.assign(cluster_type=kinds)
    row = table_of(labels).iloc[place]
    assert (row["cluster_type"], row["source"], row["confidence"]) == (other, "human", 1.0)
    if keeper is not None:
        assert keeper.session.table.iloc[place]["source"] == "human"


def test_a_model_run_keeps_the_columns_of_others(layers, tiny_model):
    viewer, image, labels, _ = layers
    labels.features = measured()
    classify_layer(viewer, image, labels, model=str(tiny_model), overlay=False)
    assert list(table_of(labels)["intensity"]) == [label * 10.0 for label in LABELS]
    assert list(table_of(labels)["cluster_type"][:2]) == ["other", "other"]


def test_a_layer_that_is_not_ours_is_left_alone():
    labels = ViewerModel().add_labels(MADE.labels.copy())
    assert table_of(labels).empty
    labels.features = measured()
    assert list(labels.features.columns) == ["label", "intensity"]
    set_table(labels, classified())
    assert list(table_of(labels)["intensity"]) == [label * 10.0 for label in LABELS]
