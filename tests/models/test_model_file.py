import pickle

import pytest
import torch
from safetensors.torch import load_file, save_file

from napari_chromocluster.models.model_file import (
    FORMAT_VERSION,
    ModelCard,
    ModelFileError,
    load_model_file,
    read_card,
    save_model,
)
from napari_chromocluster.models.network import build_network


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
    full, half = (
        (tmp_path / f"{name}.safetensors").stat().st_size for name in ("full", "half")
    )
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


def test_newer_format(tmp_path, network):
    path = tmp_path / "m.safetensors"
    save_model(path, network, ModelCard(name="m", format_version=FORMAT_VERSION + 1))
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
    with pytest.raises(ModelFileError, match="does not hold the weights"):
        load_model_file(path)
