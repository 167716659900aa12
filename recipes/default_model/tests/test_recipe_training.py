"""What the trainings of the recipe do beyond those of the package."""

from dataclasses import fields, replace

import numpy as np
import pytest

from grown_clusters import known_clusters, small_debris
from napari_chromocluster.cluster_types import CLUSTERS, ClusterType
from napari_chromocluster.imaging.crops import RegionCrop
from napari_chromocluster.models.model_card import read_card
from napari_chromocluster.results.annotated_crops import load_annotated_crops, read_sources
from napari_chromocluster.training.config import ConfigError, StageConfig, preset
from napari_chromocluster.training.data.composed_clusters import compose_set
from napari_chromocluster.training.data.region_set import (
    RegionSet,
    allowed_types,
    pack,
    single_chromosomes,
)
from recipe_config import RecipeConfig
from recipe_training import BalancedPlan, GrownStreams, RecipeRun, balance_sources, trained

_QUICK = preset("quick").replace(batch_size=16)
CONFIG = RecipeConfig(**{one.name: getattr(_QUICK, one.name) for one in fields(_QUICK)})
CONFIG = replace(CONFIG, debris_share=1.0)


@pytest.fixture(scope="module")
def cut(annotated):
    """The cropped annotated regions of some synthetic metaphases."""
    return load_annotated_crops(read_sources([annotated]))


@pytest.fixture(scope="module")
def regions(cut):
    return pack(cut.crops, cut.names, cut.groups, 64)


@pytest.mark.slow
def test_a_training_with_every_option_of_the_recipe(annotated, tiny_model, tmp_path):
    stage = StageConfig("fine", 1, 1e-3, 1e-3, image_size=48)
    config = RecipeConfig(
        annotations=(str(annotated), str(annotated)), stages=(stage,), samples_per_epoch=64,
        batch_size=16, composed_clusters=30, near_misses=0.5, grown_share=0.5, debris_share=0.5,
        source_balance=0.8, teacher=str(tiny_model), augment="wide", monitor="likelihood", tta=1,
        device="cpu",
    )  # fmt: skip
    model = trained(config, tmp_path / "run")
    assert read_card(model).training["composed_clusters"] == 30
    run = RecipeRun(tmp_path / "run")
    assert run.config == config
    (figures,) = [event["metrics"] for event in run.events() if event["kind"] == "epoch"]
    assert figures["likelihood"] == pytest.approx(-figures["loss"])


def test_a_share_above_one_is_refused():
    with pytest.raises(ConfigError, match="grown_share must be between 0 and 1"):
        CONFIG.replace(grown_share=1.5)


def test_composed_clusters_begin_with_the_real_ones_of_their_group(cut):
    singles = single_chromosomes(cut.crops, cut.names, cut.groups)
    known = known_clusters(cut.crops, cut.names, cut.groups)
    typed = [name for name in cut.names if name in {str(kind) for kind in CLUSTERS}]
    assert sum(len(some) for some in known.values()) == len(typed) > 0
    assert all(one.piece.group == name for name, some in known.items() for one in some)
    config = replace(CONFIG, grown_share=1.0)
    grown, plain = (
        compose_set(singles, 10, 48, 0, list(CLUSTERS), stream_of=GrownStreams(config, some, {}))
        for some in (known, {})
    )
    assert (grown.allowed == plain.allowed).all()
    assert not np.array_equal(grown.signal, plain.signal)


def test_groups_of_a_small_source_give_more_chromosomes_when_balanced(cut):
    singles = single_chromosomes(cut.crops, cut.names, cut.groups)
    names = sorted(singles)
    sources = {name: int(name == names[0]) for name in names}
    assert set(balance_sources(singles, sources, 0.0).values()) == {1.0}
    weights = balance_sources(singles, sources, 1.0)
    assert weights[names[0]] / weights[names[1]] == pytest.approx(len(names) - 1, rel=0.2)


def test_small_debris_of_a_source_serves_all_its_groups():
    def crop(height, width):
        mask = np.zeros((60, 80), bool)
        mask[5 : 5 + height, 5 : 5 + width] = True
        return RegionCrop(mask.astype(np.float32), mask, 0.0)

    crops = [crop(10, 50), crop(8, 8), crop(50, 60), crop(2, 2), crop(10, 50), crop(10, 50)]
    names = ["single", "other", "other", "other", "single", "single"]
    groups = ["a", "a", "a", "a", "b", "c"]
    found = small_debris(crops, names, groups, {"a": 0, "b": 0, "c": 1})
    assert {group: len(some) for group, some in found.items()} == {"a": 1, "b": 1, "c": 0}
    assert found["b"][0].piece.mask.sum() == 64
    assert found["b"][0].width == pytest.approx(10, abs=1)
    singles = single_chromosomes(crops[-1:] * 6, ["single"] * 6, ["c"] * 6)
    clean, dirty = (
        compose_set(
            singles, 8, 48, 0, [ClusterType.SINGLE], stream_of=GrownStreams(CONFIG, {}, some)
        )
        for some in ({}, {"c": found["a"]})
    )
    assert dirty.allowed.all(axis=0).tolist() == [True, False, False, False, False]
    assert not np.array_equal(clean.mask, dirty.mask)


@pytest.mark.parametrize(("balance", "share"), [(0.0, 0.25), (1.0, 0.5)])
def test_a_small_source_is_drawn_as_often_as_asked(regions, balance, share):
    sources = (np.arange(len(regions)) % 4 == 0).astype(int)
    plan = BalancedPlan(regions, len(regions), CONFIG, sources, balance)
    singles = regions.allowed[:, 0]
    part = plan.weights[singles & (sources == 1)].sum() / plan.weights[singles].sum()
    assert part == pytest.approx(share, abs=0.08)


def regions_of(*names):
    blank = np.zeros((len(names), 8, 8), np.uint8)
    allowed = np.array([allowed_types(name) for name in names])
    size = np.zeros(len(names), np.float32)
    return RegionSet(blank, blank, size, allowed, np.array(["g"] * len(names)))


def test_a_whole_number_balances_sources_as_well():
    some, sources = regions_of("single", "single", "single", "touching"), np.array([0, 0, 1, 1])
    plan = BalancedPlan(some, 4, CONFIG, sources, 1)
    assert plan.weights[:3] / plan.weights[:3].sum() == pytest.approx([0.25, 0.25, 0.5])
