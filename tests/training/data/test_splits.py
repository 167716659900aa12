import dataclasses
import itertools
import random

import pytest

from napari_chromocluster.models.model_card import ModelCard
from napari_chromocluster.models.model_file import save_model
from napari_chromocluster.models.network import build_network
from napari_chromocluster.results.annotations import (
    AnnotationError,
    read_annotations,
    write_annotations,
)
from napari_chromocluster.training.api import prepare
from napari_chromocluster.training.config import ConfigError, preset
from napari_chromocluster.training.data.splits import group_hash, group_place, split_groups

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


def singles(names):
    return list(names), ["single"] * len(names)


def below(names):
    """Return the groups that are validated on by their place alone."""
    return {name for name in names if group_place(name) < CONFIG.validation_share}


def test_no_group_changes_its_side_when_others_are_added():
    checked = 0
    for series in range(300):
        names = [f"{series}_{number}" for number in range(30)]
        counts = (10, 15, 30)
        # Enough groups and not too many, however many are added.
        if not all(1 <= len(below(names[:n])) <= 0.4 * n for n in counts):
            continue
        if len(below(names)) < 3:
            continue
        sides = [split_groups(*singles(names[:n]), CONFIG)[1] for n in counts]
        assert sides == [below(names[:n]) for n in counts]
        checked += 1
    assert checked > 200


def test_what_was_learnt_from_is_hardly_ever_checked_on_when_groups_are_added():
    moved = 0
    for series in range(300):
        names = [f"{series}_{number}" for number in range(15)]
        learnt, _ = split_groups(*singles(names[:10]), CONFIG)
        moved += bool(learnt & split_groups(*singles(names), CONFIG)[1])
    assert moved <= 15, "only where more than twice the share lay below it"


@pytest.mark.parametrize("n", [2, 3, 4, 5, 10, 20, 50])
@pytest.mark.parametrize("share", [0.1, 0.2, 0.5, 0.9])
def test_about_the_share_is_checked_on(n, share):
    for series in range(100):
        names = [f"{series}_{number}" for number in range(n)]
        learnt, checked = split_groups(*singles(names), CONFIG.replace(validation_share=share))
        assert learnt
        assert max(1, int(share * n / 2)) <= len(checked) <= max(1, 2 * share * n)


@pytest.fixture
def known(tmp_path):
    """Return a model with the given training groups, by hash or by name."""

    def make(trained):
        path = tmp_path / "known.safetensors"
        card = ModelCard("known", input_size=32, training={"groups_trained": list(trained)})
        save_model(path, build_network("compact"), card)
        return str(path)

    return make


def test_what_the_start_has_learnt_from_is_not_checked_on(known):
    names = [f"g{number}" for number in range(20)]
    for series in range(20):
        learnt = set(random.Random(series).sample(names, 14))
        shown = map(group_hash, learnt) if series % 2 else learnt
        config = CONFIG.replace(base_model=known(shown))
        training, validation = split_groups(*singles(names), config)
        assert validation
        assert not validation & learnt
        assert training - learnt, "something new is learnt as well"


def test_a_model_trained_further_on_more_is_checked_on_nothing_it_knows(known):
    for series in range(40):
        names = [f"{series}_{number}" for number in range(15)]
        learnt, _ = split_groups(*singles(names[:10]), CONFIG)
        again = CONFIG.replace(base_model=known(learnt))
        assert not split_groups(*singles(names), again)[1] & learnt


def test_types_are_no_reason_to_check_on_what_the_start_knows(known):
    groups, types = regions(10, rare=(0, 1))
    _, validation = split_groups(groups, types, CONFIG.replace(base_model=known(["g0", "g1"])))
    assert not validation & {"g0", "g1"}


def test_where_all_is_known_or_untyped_some_is_checked_on_all_the_same(known):
    names = [f"g{number}" for number in range(6)]
    config = CONFIG.replace(base_model=known(names))
    assert split_groups(*singles(names), config) == split_groups(*singles(names), CONFIG)
    kinds = ["cluster" if name == "g5" else "single" for name in names]
    config = CONFIG.replace(base_model=known(names[:5]))
    assert split_groups(names, kinds, config)[1] - {"g5"}


def test_a_start_that_is_not_there_does_not_matter_here():
    config = CONFIG.replace(base_model="no such model")
    assert split_groups(*regions(10), config) == split_groups(*regions(10), CONFIG)


def test_every_type_that_allows_it_is_on_both_sides():
    for rare in itertools.combinations(range(10), 2):
        groups, types = regions(10, rare)
        training, validation = split_groups(groups, types, CONFIG)
        having = {f"g{n}" for n in rare}
        assert training & having
        assert validation & having


KINDS = ("single", "touching", "overlapping", "touching_overlapping", "other")


def lacking(held, checked):
    """Return the types of two or more groups that are on one side only."""
    having = [{group for group in held if kind in held[group]} for kind in KINDS]
    return [some for some in having if len(some) > 1 and (some <= checked or not some & checked)]


@pytest.mark.parametrize("often", [0.2, 0.4])
def test_all_types_are_on_both_sides_wherever_some_division_has_them_there(often):
    chance = random.Random(0)
    found = 0
    for series in range(300):
        held = {
            f"{series}_{number}": {kind for kind in KINDS if chance.random() < often} or {"other"}
            for number in range(chance.randint(3, 8))
        }
        rows = [(group, kind) for group in held for kind in sorted(held[group])]
        _, checked = split_groups(*zip(*rows, strict=True), CONFIG)
        divisions = (
            set(some)
            for number in range(1, len(held))
            for some in itertools.combinations(held, number)
        )
        least = min(len(lacking(held, some)) for some in divisions)
        assert len(lacking(held, checked)) == least
        found += bool(lacking(held, below(held)))
    assert found > 100, "else this tests nothing"


def test_what_is_checked_on_has_types():
    """If only clusters of unknown type are annotated, no answer is right or wrong."""
    groups = [f"g{number}" for number in range(6) for _ in range(2)]
    for typed in range(6):
        kinds = ["single" if group == f"g{typed}" else "cluster" for group in groups]
        _, validation = split_groups(groups, kinds, CONFIG)
        assert f"g{typed}" in validation
    with pytest.raises(ConfigError, match="no region of one known type"):
        split_groups(groups, ["cluster"] * len(groups), CONFIG)
    named = dataclasses.replace(CONFIG, validation_groups=("g1",))
    with pytest.raises(ConfigError, match=r"\(g1\) have no region"):
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


def test_folds_with_named_groups_would_check_on_these_again_and_again():
    config = CONFIG.replace(validation_groups=("g2",), folds=3)
    with pytest.raises(ConfigError, match="every group is checked once"):
        split_groups(*regions(6), config)


def test_hashes_do_not_name_a_group():
    assert "patient" not in group_hash("patient-7")
    assert group_hash("a") != group_hash("b")


def test_more_folds_than_groups_are_refused_before_there_is_a_folder(annotated, tmp_path):
    with pytest.raises(ConfigError, match="at most 4 folds"):
        prepare(annotated, config=CONFIG, out=tmp_path / "run", folds=5)
    assert not (tmp_path / "run").exists()


def test_one_image_in_two_groups_is_refused(annotated, tmp_path):
    # The same image by another path, as another file would refer to it.
    table = read_annotations(annotated)
    again = table[table["image"] == table["image"][0]].assign(group="another")
    (tmp_path / "sub").mkdir()
    write_annotations(tmp_path / "sub" / "again.csv", again)
    with pytest.raises(
        AnnotationError,
        match=r"^again\.csv, line 2: .* belongs to two groups, .* and 'another', so",
    ):
        prepare([annotated, tmp_path / "sub" / "again.csv"], config=CONFIG, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()
