import errno
import json
import pickle

import pytest
import torch
from safetensors.torch import load_file, save_file

from napari_chromocluster.imaging.files import ImageError
from napari_chromocluster.models import model_file
from napari_chromocluster.models.model_card import (
    FORMAT_VERSION,
    ModelCard,
    ModelFileError,
    read_card,
)
from napari_chromocluster.models.model_file import load_model_file, save_model
from napari_chromocluster.models.network import ClusterEnsemble, build_network


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(1)
    return build_network("compact").eval()


def test_round_trip(tmp_path, network):
    card = ModelCard(name="mine", temperature=1.3, metrics={"x": 1}, citations=("a", "b"))
    save_model(tmp_path / "m.safetensors", network, card)
    back, read = load_model_file(tmp_path / "m.safetensors")
    assert read == card
    x = torch.randn(2, 3, 48, 48)
    with torch.inference_mode():
        assert torch.equal(back(x), network(x))


def test_half_precision_halves_the_file(tmp_path, network):
    save_model(tmp_path / "full.safetensors", network, ModelCard(name="m"))
    save_model(tmp_path / "half.safetensors", network, ModelCard(name="m"), half=True)
    full, half = ((tmp_path / f"{name}.safetensors").stat().st_size for name in ("full", "half"))
    assert half < 0.6 * full
    back, _ = load_model_file(tmp_path / "half.safetensors")
    assert next(back.parameters()).dtype == torch.float32


def test_damaged_file(tmp_path, network):
    path = tmp_path / "m.safetensors"
    save_model(path, network, ModelCard(name="m"))
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(ModelFileError, match="damaged"):
        load_model_file(path)
    path.write_bytes(b"")
    with pytest.raises(ModelFileError, match="damaged"):
        read_card(path)


def test_several_networks_in_one_file(tmp_path, network):
    torch.manual_seed(2)
    ensemble = ClusterEnsemble([network, build_network("compact").eval()])
    save_model(tmp_path / "m.safetensors", ensemble, ModelCard(name="both"))
    back, card = load_model_file(tmp_path / "m.safetensors")
    assert (card.members, card.format_version) == (2, 2)
    x = torch.randn(2, 3, 48, 48)
    with torch.inference_mode():
        for mine, theirs in zip(back.members, ensemble.members, strict=True):
            assert torch.equal(mine(x), theirs(x))
    save_model(tmp_path / "one.safetensors", back.members[0], card)
    card = read_card(tmp_path / "one.safetensors")
    # Older versions of the program read files with one network, so these keep their version.
    assert (card.members, card.format_version) == (1, 1)


def test_networks_with_different_bodies_in_one_file(tmp_path, network):
    ensemble = ClusterEnsemble([network, build_network("compact_large").eval()])
    save_model(tmp_path / "m.safetensors", ensemble, ModelCard(name="both"))
    back, card = load_model_file(tmp_path / "m.safetensors")
    assert (card.backbone, card.backbones) == ("compact", ("compact", "compact_large"))
    assert card.format_version == 3
    x = torch.randn(2, 3, 48, 48)
    with torch.inference_mode():
        assert torch.equal(back(x), ensemble(x))
    save_model(tmp_path / "one.safetensors", back.members[1], card)
    card = read_card(tmp_path / "one.safetensors")
    assert (card.backbone, card.backbones) == ("compact_large", ())
    assert (card.members, card.format_version) == (1, 1)


def test_fewer_networks_than_the_card_says(tmp_path, network):
    card = ModelCard(name="m", members=2, format_version=2)
    with pytest.raises(ModelFileError, match="do not match its card"):
        load_model_file(written(tmp_path / "m.safetensors", network, card.to_json()))


def test_newer_format(tmp_path, network):
    card = ModelCard(name="m", format_version=FORMAT_VERSION + 1)
    path = written(tmp_path / "m.safetensors", network, card.to_json())
    with pytest.raises(ModelFileError, match="newer than"):
        load_model_file(path)


@pytest.mark.parametrize("name", ["m.pth", "m.safetensors"])
def test_a_pickle_is_never_read(tmp_path, name):
    class Trap:
        def __reduce__(self):
            return (pytest.fail, ("the file was unpickled",))

    (tmp_path / name).write_bytes(pickle.dumps(Trap()))
    with pytest.raises(ModelFileError, match="pickle"):
        load_model_file(tmp_path / name)
    torch.save({"a": torch.zeros(1)}, tmp_path / name)
    with pytest.raises(ModelFileError, match="pickle"):
        load_model_file(tmp_path / name)


def test_foreign_and_missing_files(tmp_path, network):
    save_file({"a": torch.zeros(1)}, tmp_path / "foreign.safetensors")
    with pytest.raises(ModelFileError, match="no model card"):
        load_model_file(tmp_path / "foreign.safetensors")
    with pytest.raises(ModelFileError, match="does not exist"):
        load_model_file(tmp_path / "none.safetensors")


def test_missing_weights(tmp_path, network):
    path = tmp_path / "m.safetensors"
    save_model(path, network, ModelCard(name="m"))
    state = load_file(path)
    state.pop("head.6.bias")
    save_file(state, path, metadata={"chromocluster_card": ModelCard(name="m").to_json()})
    with pytest.raises(ModelFileError, match="do not match its card"):
        load_model_file(path)


def test_half_precision_hardly_changes_the_output(tmp_path, network):
    save_model(tmp_path / "half.safetensors", network, ModelCard(name="m"), half=True)
    back, _ = load_model_file(tmp_path / "half.safetensors")
    x = torch.rand(4, 3, 48, 48)
    with torch.inference_mode():
        assert torch.allclose(back(x), network(x), atol=0.01)


@pytest.mark.parametrize("keep", [8, 100, 0.1, 0.5, 0.999])
def test_truncated_anywhere(tmp_path, network, keep):
    path = tmp_path / "m.safetensors"
    save_model(path, network, ModelCard(name="m"))
    whole = path.read_bytes()
    path.write_bytes(whole[: keep if isinstance(keep, int) else int(keep * len(whole))])
    with pytest.raises(ModelFileError, match=r"m.safetensors is damaged"):
        load_model_file(path)


def test_one_flipped_bit_in_the_weights(tmp_path, network):
    path = tmp_path / "m.safetensors"
    save_model(path, network, ModelCard(name="m"))
    content = bytearray(path.read_bytes())
    content[-1001] ^= 1
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match="damaged"):
        load_model_file(path)


def written(path, network, text):
    save_file(network.state_dict(), path, metadata={"chromocluster_card": text})
    return path


@pytest.mark.parametrize(
    "change",
    [
        {"classes": ["single", "circle"]},
        {"classes": ["single", "single"]},
        {"classes": []},
        {"temperature": 0},
        {"temperature": "warm"},
        {"input_size": 3},
        {"channels": "smell"},
        {"format_version": None},
        {"training_prior": [1, 2]},
        {"members": 0},
        {"members": 1000},
        {"members": "both"},
        {"backbones": ["compact", "compact"]},
        {"backbones": 2},
    ],
)
def test_a_card_that_makes_no_sense(tmp_path, network, change):
    card = {**json.loads(ModelCard(name="m").to_json()), **change}
    with pytest.raises(ModelFileError, match="damaged"):
        read_card(written(tmp_path / "m.safetensors", network, json.dumps(card)))


@pytest.mark.parametrize("text", ["", "[]", "{", "null", "{}"])
def test_a_card_that_is_no_card(tmp_path, network, text):
    with pytest.raises(ModelFileError, match="damaged"):
        load_model_file(written(tmp_path / "m.safetensors", network, text))


def test_unknown_fields_and_an_unknown_backbone(tmp_path, network):
    card = json.loads(ModelCard(name="m").to_json())
    path = written(tmp_path / "a.safetensors", network, json.dumps({**card, "mood": "good"}))
    assert load_model_file(path)[1].name == "m"
    path = written(tmp_path / "b.safetensors", network, json.dumps({**card, "backbone": "vgg"}))
    with pytest.raises(ModelFileError, match="do not match its card"):
        load_model_file(path)


def test_a_failed_write_leaves_the_old_model(tmp_path, network, monkeypatch):
    path = tmp_path / "m.safetensors"
    save_model(path, network, ModelCard(name="old"))

    def full(tensors, name, metadata):
        name.write_bytes(b"half a model")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(model_file, "save_file", full)
    with pytest.raises(ModelFileError, match=r"No space left on device.*free some disk space"):
        save_model(path, network, ModelCard(name="new"))
    assert read_card(path).name == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_cannot_be_made(tmp_path, network):
    (tmp_path / "file").write_text("")
    with pytest.raises(ImageError, match="choose another folder"):
        save_model(tmp_path / "file" / "m.safetensors", network, ModelCard(name="m"))


def test_messages_are_one_line(tmp_path, network):
    (tmp_path / "text.safetensors").write_text("no model\nat all")
    with pytest.raises(ModelFileError) as caught:
        load_model_file(tmp_path / "text.safetensors")
    assert "\n" not in str(caught.value)
