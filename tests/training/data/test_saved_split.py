"""Validation groups are never trained on, even if the annotations change between runs."""

import json

import pytest

from napari_chromocluster.results.annotations import read_annotations, write_annotations
from napari_chromocluster.training.api import prepare
from napari_chromocluster.training.config import ConfigError, StageConfig
from napari_chromocluster.training.data.prepared_data import prepare_data
from napari_chromocluster.training.data.splits import (
    group_place,
    groups_in_saved_split,
    load_or_create_split,
    save_fold_split,
    split_groups,
)
from small_training import small_training

CONFIG = small_training(StageConfig("fine", 1, 1e-3, 2e-3, image_size=32), composed_clusters=0)


def regions(names):
    return list(names), ["single"] * len(names)


def test_groups_that_came_since_are_learnt_from_and_none_changes_its_side(tmp_path):
    more = sorted((f"g{number}" for number in range(30)), key=group_place)
    first = more[:5]
    learnt, checked = load_or_create_split(*regions(first), CONFIG, tmp_path, resume=False)
    # With so many groups, a new split would validate on more.
    assert split_groups(*regions(more), CONFIG)[1] & learnt
    assert load_or_create_split(*regions(more), CONFIG, tmp_path, resume=True) == (
        set(more) - checked, checked,
    )  # fmt: skip
    assert load_or_create_split(*regions(first), CONFIG, tmp_path, resume=False) == (
        learnt,
        checked,
    )


def test_groups_that_are_gone_are_left_out_unless_nothing_is_left(tmp_path):
    names = [f"g{number}" for number in range(10)]
    learnt, checked = load_or_create_split(*regions(names), CONFIG, tmp_path, resume=False)
    assert len(checked) > 1
    gone = sorted(checked)[0]
    kept = [name for name in names if name != gone]
    assert load_or_create_split(*regions(kept), CONFIG, tmp_path, resume=True) == (
        learnt,
        checked - {gone},
    )
    with pytest.raises(ConfigError, match=r"checks on is left .* restore them"):
        load_or_create_split(*regions(sorted(learnt)), CONFIG, tmp_path, resume=True)


def test_other_folds_divide_the_groups_of_the_start(tmp_path):
    config = CONFIG.replace(folds=2)
    names = sorted((f"g{number}" for number in range(4)), key=group_place)
    _, checked = load_or_create_split(*regions(names), config, tmp_path / "whole", resume=False)
    other = config.replace(fold=1)
    save_fold_split(tmp_path / "whole", tmp_path / "other", other)
    _, others = load_or_create_split(
        *regions([*names, "new"]), other, tmp_path / "other", resume=True
    )
    assert others == set(names) - checked


def folds_after(folder, config, names):
    """Return the validation groups of each fold, if the other folds start now."""
    checked = []
    for fold in range(1, config.folds):
        other, own = config.replace(fold=fold), folder.with_name(f"fold{fold}")
        save_fold_split(folder, own, other)
        learnt, found = load_or_create_split(*regions(names), other, own, resume=True)
        assert learnt == set(names) - found
        checked.append(found)
    return checked


def test_every_group_of_the_start_is_checked_once_though_others_came_since(tmp_path):
    config, whole = CONFIG.replace(folds=3), tmp_path / "whole"
    names = [f"m{number}" for number in range(6)]
    _, first = load_or_create_split(*regions(names), config, whole, resume=False)
    for new in ("new1", "new2"):  # each changes the validation groups of a new split
        names.append(new)
        assert load_or_create_split(*regions(names), config, whole, resume=True)[1] == first
    checked = [first, *folds_after(whole, config, names)]
    assert sorted(name for fold in checked for name in fold) == names[:6]
    assert groups_in_saved_split(whole) == set(names)


def test_folds_of_a_division_that_names_none_overlap_as_little(tmp_path):
    config, whole = CONFIG.replace(folds=3), tmp_path / "whole"
    names = [f"m{number}" for number in range(8)]
    whole.mkdir()
    sides = {"learn": names[2:], "check": names[:2]}
    (whole / "division.json").write_text(json.dumps(sides))
    _, first = load_or_create_split(*regions(names), config, whole, resume=True)
    checked = [first, *folds_after(whole, config, names)]
    assert first == set(names[:2])
    assert len(set().union(*checked)) == sum(len(fold) for fold in checked)


def test_a_resumed_training_checks_on_what_it_did(annotated, tmp_path):
    table = read_annotations(annotated)
    changing = annotated.with_name("changing.csv")
    order = sorted(table["group"].unique(), key=group_place)
    # The group that a new split would validate on is added later.
    write_annotations(changing, table[table["group"] != order[0]])
    run = prepare(changing, config=CONFIG, out=tmp_path / "run")
    learnt, checked = prepare_data(run.config, run).groups
    write_annotations(changing, table)
    assert prepare_data(run.config, run, resume=True).groups == (learnt | {order[0]}, checked)
    assert prepare_data(run.config, run).groups[1] != checked
