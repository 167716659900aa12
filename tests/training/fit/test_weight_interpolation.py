"""Average the finetuned weights with those of the base model."""

import pytest
import torch
from torch.utils.data import TensorDataset

from leaning import leaning
from napari_chromocluster.models.model_card import ModelCard, read_card
from napari_chromocluster.models.model_file import load_model_file, save_model
from napari_chromocluster.models.network import ClusterEnsemble, build_network
from napari_chromocluster.training.api import train
from napari_chromocluster.training.config import PRESETS, StageConfig, preset
from napari_chromocluster.training.fit.weight_interpolation import SHARES, interpolate_weights

EVEN = torch.ones(5).numpy()


def regions(*types):
    return TensorDataset(torch.rand(len(types), 3, 48, 48), torch.eye(5)[list(types)])


def test_the_end_is_kept_where_it_is_likelier_than_all_before():
    start, end = leaning([9.0, 0, 0, 0, 0]), leaning([0, 9.0, 0, 0, 0])
    before = {name: value.clone() for name, value in end.state_dict().items()}
    assert interpolate_weights(end, start, regions(1, 1, 1), EVEN).share_of_start == 0.0
    for name, value in end.state_dict().items():
        assert torch.equal(before[name], value)


def test_half_way_is_kept_where_both_know_a_half():
    start, end = leaning([9.0, 0, 0, 0, 0]), leaning([0, 9.0, 0, 0, 0])
    kept = interpolate_weights(end, start, regions(0, 1, 0, 1), EVEN)
    assert (kept.model, kept.share_of_start) == (end, 0.5)
    assert end.head[-1].bias.tolist() == pytest.approx([4.5, 4.5, 0, 0, 0])
    assert start.head[-1].bias.tolist() == pytest.approx([9, 0, 0, 0, 0])


def test_what_was_spoilt_goes_half_of_the_way_back():
    start, end = leaning([9.0, 0, 0, 0, 0]), leaning([0, 9.0, 0, 0, 0])
    assert interpolate_weights(end, start, regions(0, 0, 0), EVEN).share_of_start == max(SHARES)


@pytest.mark.parametrize(("truth", "together"), [((0, 2), True), ((0, 0), False)])
def test_the_other_networks_of_the_start_answer_on_where_they_help(truth, together):
    first, second, end = (leaning([9.0 * (kind == n) for n in range(5)]) for kind in (0, 2, 0))
    kept = interpolate_weights(end, ClusterEnsemble([first, second]), regions(*truth), EVEN)
    assert kept.model.members == ((end, second) if together else (end,))


@pytest.mark.parametrize(("times", "share"), [(1, 0.5), (40, 0.25)])
def test_few_regions_keep_more_of_the_start_than_many(times, share):
    """Three of four regions favor the end: possibly chance with 4 regions, hardly with 160."""
    start, end = leaning([9.0, 0, -99, -99, -99]), leaning([0, 9.0, -99, -99, -99])
    assert (
        interpolate_weights(end, start, regions(*[0, 1, 1, 1] * times), EVEN).share_of_start
        == share
    )


def test_a_training_keeps_part_of_its_start(annotated, tmp_path):
    """The first layers hardly change in an epoch; the result is between start and end."""
    torch.manual_seed(0)
    start = build_network("compact")
    base = tmp_path / "base.safetensors"
    save_model(base, start, ModelCard(name="base", input_size=48, tta=1))
    config = preset("quick").replace(
        stages=(StageConfig("fine", 1, 2e-3, 2e-3, image_size=48),), samples_per_epoch=96,
        batch_size=16, composed_clusters=0, precision="32", threads=1, tta=1,
    )  # fmt: skip
    found = {}
    for way_back in (True, False):
        run = train(
            annotated, config=config, base_model=base, way_back=way_back,
            out=tmp_path / str(way_back),
        )  # fmt: skip
        card = read_card(run.model_path)
        found[way_back] = (card, load_model_file(run.model_path)[0].state_dict())
    assert found[False][0].training["share_of_start"] == 0
    share = found[True][0].training["share_of_start"]
    assert share in SHARES
    for name, value in start.state_dict().items():
        if value.is_floating_point():
            wanted = share * value + (1 - share) * found[False][1][name]
            torch.testing.assert_close(found[True][1][name], wanted)


def test_the_papers_preset_does_without():
    assert not PRESETS["paper"].way_back
