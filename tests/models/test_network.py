from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torchvision.models import resnet

from napari_chromocluster.models.backbones import BACKBONES
from napari_chromocluster.models.network import (
    ClusterEnsemble,
    NetworkError,
    build_network,
    layer_groups,
    load_backbone_weights,
    torchvision_network,
)


@pytest.mark.parametrize("backbone", ["compact", "compact_large", "resnext50_32x4d"])
def test_forward_and_groups(backbone):
    network = build_network(backbone).eval()
    with torch.inference_mode():
        assert network(torch.zeros(2, 3, 64, 64)).shape == (2, 5)
    groups = layer_groups(network)
    parameters = [p for group in groups for p in group]
    assert len(parameters) == len(list(network.parameters()))
    assert groups[-1] == list(network.head.parameters())
    assert len(groups) >= 5


def test_the_papers_head():
    head = build_network("resnext50_32x4d", n_classes=4).head
    kinds = [type(layer).__name__ for layer in head]
    assert kinds == ["BatchNorm1d", "Dropout", "Linear", "ReLU", "BatchNorm1d", "Dropout", "Linear"]
    assert head[0].num_features == 4096
    assert (head[1].p, head[2].out_features, head[5].p, head[6].out_features) == (0.25, 512, 0.5, 4)


def test_wsl_family_is_listed_with_hash_and_licence():
    for name, digits in {
        "resnext101_32x8d_wsl": "c38310e5",
        "resnext101_32x16d_wsl": "c6f796b0",
        "resnext101_32x32d_wsl": "e4b90b00",
        "resnext101_32x48d_wsl": "3e41cc8a",
    }.items():
        spec = BACKBONES[name]
        assert spec.hash_prefix == digits
        assert digits in spec.url
        assert spec.licence == "CC-BY-NC-4.0"


def test_backbone_weights_are_taken_and_the_classifier_left_out(tmp_path):
    whole = torchvision_network(BACKBONES["resnext50_32x4d"])
    torch.save(whole.state_dict(), tmp_path / "weights.pth")
    network = build_network("resnext50_32x4d")
    load_backbone_weights(network, tmp_path / "weights.pth")
    assert torch.equal(network.body[0].weight, whole.conv1.weight)


def test_wrong_weights_are_refused(tmp_path):
    network = build_network("resnext50_32x4d")
    (tmp_path / "text.pth").write_text("no weights")
    with pytest.raises(NetworkError, match="cannot be read"):
        load_backbone_weights(network, tmp_path / "text.pth")
    torch.save({"conv1.weight": torch.zeros(3)}, tmp_path / "other.pth")
    with pytest.raises(NetworkError, match="does not fit"):
        load_backbone_weights(network, tmp_path / "other.pth")
    with pytest.raises(NetworkError, match="no backbone 'vgg'"):
        build_network("vgg")


def small_resnext():
    return resnet.ResNet(resnet.Bottleneck, [1, 1, 1, 1], groups=32, width_per_group=1)


@pytest.fixture
def small(monkeypatch):
    """A network with the torchvision layout and one block per stage."""
    spec = replace(BACKBONES["resnext50_32x4d"], layers=(1, 1, 1, 1), width=1)
    monkeypatch.setitem(BACKBONES, "resnext50_32x4d", spec)
    return small_resnext().eval()


@pytest.mark.parametrize("kind", ["zip", "before zip", "safetensors", "wrapped"])
def test_weights_in_every_form_give_the_features_of_the_original(small, tmp_path, kind):
    state = small.state_dict()
    path = tmp_path / ("w.safetensors" if kind == "safetensors" else "w.pth")
    if kind == "safetensors":
        save_file(state, path)
    elif kind == "wrapped":
        torch.save({"state_dict": {f"module.{k}": v for k, v in state.items()}}, path)
    else:
        torch.save(state, path, _use_new_zipfile_serialization=kind == "zip")
    network = build_network("resnext50_32x4d").eval()
    head = {name: value.clone() for name, value in network.head.state_dict().items()}
    load_backbone_weights(network, path)
    x = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        expected = small.avgpool(nn.Sequential(*list(small.children())[:-2])(x)).flatten(1)
        assert torch.allclose(network.pooled(x)[:, 2048:], expected, atol=1e-5)
    assert all(torch.equal(head[name], value) for name, value in network.head.state_dict().items())


def test_code_in_weights_is_not_run(small, tmp_path):
    class Trap:
        def __reduce__(self):
            return (pytest.fail, ("the file was unpickled",))

    torch.save({"conv1.weight": Trap()}, tmp_path / "trap.pth")
    network = build_network("resnext50_32x4d")
    with pytest.raises(NetworkError, match="cannot be read as weights"):
        load_backbone_weights(network, tmp_path / "trap.pth")


def test_no_weights_and_no_state_dict(small, tmp_path):
    network = build_network("resnext50_32x4d")
    with pytest.raises(NetworkError, match="do not exist"):
        load_backbone_weights(network, tmp_path / "none.pth")
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(NetworkError, match="not a state dict"):
        load_backbone_weights(network, tmp_path / "list.pth")


def test_every_backbone_is_built_as_its_specification_says():
    for name, spec in BACKBONES.items():
        with torch.device("meta"):
            network = build_network(name)
            whole = None if spec.is_compact else torchvision_network(spec)
        assert network.features == spec.features == network.head[0].num_features // 2
        if whole is not None:
            size = sum(t.numel() * t.element_size() for t in whole.state_dict().values())
            assert spec.megabytes == pytest.approx(size / 1e6, rel=0.01)
            assert spec.hash_prefix in spec.url


def test_pooling_is_maximum_then_mean(small):
    network = build_network("resnext50_32x4d").eval()
    x = torch.randn(2, 3, 96, 96)
    with torch.inference_mode():
        maps, pooled = network.body(x), network.pooled(x)
    assert torch.equal(pooled[:, :2048], maps.amax(dim=(2, 3)))
    assert torch.allclose(pooled[:, 2048:], maps.mean(dim=(2, 3)))


def test_other_numbers_of_channels():
    for backbone in ("compact", "compact_large", "resnext50_32x4d"):
        with torch.device("meta"):
            network = build_network(backbone, channels=5)
            assert network(torch.zeros(2, 5, 64, 64)).shape == (2, 5)


def test_groups_go_from_the_stem_to_the_head():
    for backbone in ("compact", "compact_large", "resnext50_32x4d"):
        network = build_network(backbone)
        names = {id(p): name for name, p in network.named_parameters()}
        firsts = [names[id(group[0])] for group in layer_groups(network)]
        assert len(firsts) == 6
        assert firsts[0].startswith("body.0")
        assert firsts[-1].startswith("head")
        assert firsts == sorted(firsts)


def test_an_ensemble_says_what_its_members_say_on_average():
    members = []
    for seed in range(3):
        torch.manual_seed(seed)
        members.append(build_network("compact").eval())
    ensemble = ClusterEnsemble(members)
    assert ensemble.members == tuple(members)
    assert members[0].members == (members[0],)
    x = torch.rand(2, 3, 48, 48)
    with torch.inference_mode():
        mean = torch.stack([member(x).softmax(dim=1) for member in members]).mean(dim=0)
        torch.testing.assert_close(ensemble(x).exp(), mean)
