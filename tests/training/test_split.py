import dataclasses

import pytest

from napari_chromocluster.results.annotations import (
    AnnotationError,
    read_annotations,
    write_annotations,
)
from napari_chromocluster.training.api import prepare
from napari_chromocluster.training.config import ConfigError, preset
from napari_chromocluster.training.split import group_hash, split_groups

CONFIG = preset("quick")


def regions(n_groups, rare=()):
    groups, types = [], []
    for number in range(n_groups):
        groups += [f"g{number}"] * 3
        types += ["single", "single", "overlapping" if number in rare else "touching"]
    return groups, types


def test_no_group_on_both_sides_and_none_lost():
    groups, types = regions(12)
    training, validation = split_groups(groups, types, CONFIG)
    assert not training & validation
    assert training | validation == set(groups)
    assert validation


def test_stable_when_groups_are_added():
    small = split_groups(*regions(10), CONFIG)
    large = split_groups(*regions(20), CONFIG)
    shared = {f"g{n}" for n in range(10)}
    moved = {g for g in shared if (g in small[1]) != (g in large[1])}
    assert len(moved) <= 3
    assert split_groups(*regions(10), CONFIG) == small


def test_every_type_that_allows_it_is_on_both_sides():
    for rare in ((0, 1), (3, 7), (8, 9)):
        groups, types = regions(10, rare)
        training, validation = split_groups(groups, types, CONFIG)
        having = {f"g{n}" for n in rare}
        assert training & having
        assert validation & having


def test_what_is_checked_on_has_types():
    """Where only some cluster is known, no answer is right or wrong."""
    groups = [f"g{number}" for number in range(6) for _ in range(2)]
    for typed in range(6):
        kinds = ["single" if group == f"g{typed}" else "cluster" for group in groups]
        _, validation = split_groups(groups, kinds, CONFIG)
        assert f"g{typed}" in validation
    with pytest.raises(ConfigError, match="no region of one known type"):
        split_groups(groups, ["cluster"] * len(groups), CONFIG)
    named = dataclasses.replace(CONFIG, validation_groups=("g1",))
    with pytest.raises(ConfigError, match=r"\(g1\) hold no region"):
        split_groups(groups, ["single"] * 2 + ["cluster"] * 10, named)


def test_two_groups_are_enough_one_is_not():
    training, validation = split_groups(*regions(2), CONFIG)
    assert len(training) == len(validation) == 1
    with pytest.raises(ConfigError, match="at least two groups"):
        split_groups(*regions(1), CONFIG)


def test_folds_cover_every_group_once():
    groups, types = regions(10)
    seen = []
    for fold in range(5):
        seen += sorted(split_groups(groups, types, CONFIG.replace(folds=5, fold=fold))[1])
    assert sorted(seen) == sorted(set(groups))


def test_named_and_excluded_groups():
    groups, types = regions(6)
    config = CONFIG.replace(validation_groups=("g2",), excluded_groups=("g5",))
    training, validation = split_groups(groups, types, config)
    assert validation == {"g2"}
    assert training == {"g0", "g1", "g3", "g4"}
    with pytest.raises(ConfigError, match="not in the data"):
        split_groups(groups, types, CONFIG.replace(validation_groups=("nope",)))


def test_hashes_do_not_name_a_group():
    assert "patient" not in group_hash("patient-7")
    assert group_hash("a") != group_hash("b")


def test_more_folds_than_groups_are_refused_before_there_is_a_folder(annotated, tmp_path):
    with pytest.raises(ConfigError, match="at most 4 folds"):
        prepare(annotated, config=CONFIG, out=tmp_path / "run", folds=5)
    assert not (tmp_path / "run").exists()


def test_one_image_in_two_groups_is_refused(annotated, tmp_path):
    # The same image by another way, as another file would name it.
    table = read_annotations(annotated)
    again = table[table["image"] == table["image"][0]].assign(group="another")
    (tmp_path / "sub").mkdir()
    write_annotations(tmp_path / "sub" / "again.csv", again)
    with pytest.raises(AnnotationError, match=r"belongs to two groups, .* and 'another', so"):
        prepare([annotated, tmp_path / "sub" / "again.csv"], config=CONFIG, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
