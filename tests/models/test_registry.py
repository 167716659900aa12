import pytest

from napari_chromocluster.models.model_file import ModelFileError
from napari_chromocluster.models.registry import (
    RegistryError,
    list_models,
    model_card,
    register_model,
    resolve_model,
)


def test_the_embedded_model_comes_first():
    entries = list_models()
    assert (entries[0].name, entries[0].kind) == ("default", "embedded")
    assert entries[0].path.is_file()
    assert entries[0].path.stat().st_size < 30e6
    assert any(one.name == "resnext101_32x8d_wsl" and one.path is None for one in entries)


def test_a_registered_model_appears_and_names_do_not_clash(tiny_model):
    first, second = register_model(tiny_model, "lab"), register_model(tiny_model, "lab")
    assert (first.name, second.name) == ("lab", "lab (2)")
    assert resolve_model("lab") == first.path
    assert model_card("lab").name == "tiny"


def test_only_model_files_are_registered(tmp_path):
    (tmp_path / "x.safetensors").write_text("no")
    with pytest.raises(ModelFileError):
        register_model(tmp_path / "x.safetensors", "x")


def test_unknown_names():
    with pytest.raises(RegistryError, match="There is no model 'nothing'"):
        resolve_model("nothing")
    with pytest.raises(RegistryError, match="backbone without cluster types"):
        resolve_model("resnext101_32x8d_wsl")
