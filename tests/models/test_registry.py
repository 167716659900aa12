import pytest

from napari_chromocluster.models.classifier import load_model
from napari_chromocluster.models.model_card import ModelFileError
from napari_chromocluster.models.registry import (
    RegistryError,
    backbone_path,
    cache_dir,
    list_models,
    model_card,
    register_model,
    resolve_model,
    user_models_dir,
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


def test_order_of_the_list(tiny_model):
    register_model(tiny_model, "a lab")
    kinds = [entry.kind for entry in list_models()]
    assert kinds == sorted(kinds, key=["embedded", "user", "backbone"].index)
    assert kinds.count("user") == 1


def test_a_model_goes_by_its_name_in_the_list(tiny_model):
    register_model(tiny_model, "lab")
    register_model(tiny_model, "lab")
    assert load_model("lab (2)").name == "lab (2)"
    assert load_model(tiny_model).name == "tiny"


def test_the_embedded_name_is_not_given_away(tiny_model):
    assert register_model(tiny_model, "default").name == "default (2)"


@pytest.mark.parametrize("name", ["../../escape", "a/b", "  ", "..", "CON:?*"])
def test_names_stay_inside_the_folder(tiny_model, name):
    entry = register_model(tiny_model, name)
    assert entry.path.parent == user_models_dir()
    assert entry in list_models()


def test_everything_lies_in_the_chosen_home(own_home):
    for place in (cache_dir(), user_models_dir(), backbone_path("resnext101_32x8d_wsl")):
        assert place.is_relative_to(own_home)


def test_without_a_chosen_home_the_usual_folders_serve(monkeypatch):
    monkeypatch.delenv("CHROMOCLUSTER_HOME")
    for place in (cache_dir(), user_models_dir()):
        assert "napari-chromocluster" in place.parts


def test_a_damaged_model_is_listed_as_such(tiny_model):
    entry = register_model(tiny_model, "lab")
    entry.path.write_bytes(b"broken")
    assert next(one for one in list_models() if one.name == "lab").licence == "damaged file"
    with pytest.raises(ModelFileError, match="damaged"):
        load_model("lab")


def test_a_local_file_in_the_cache_needs_no_network(own_home):
    path = backbone_path("resnext101_32x48d_wsl")
    path.parent.mkdir(parents=True)
    path.write_bytes(b"")
    assert next(e for e in list_models() if e.name == "resnext101_32x48d_wsl").path == path
