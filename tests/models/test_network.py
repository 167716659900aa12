import pytest
import torch

from napari_chromocluster.models.network import (
    BACKBONES,
    NetworkError,
    build_network,
    layer_groups,
    load_backbone_weights,
)


@pytest.mark.parametrize("backbone", ["compact", "resnext50_32x4d"])
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
    whole = BACKBONES["resnext50_32x4d"].build()
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
