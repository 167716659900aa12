"""``chromocluster models --add``: the name of an added model in the list."""

import pytest

from napari_chromocluster.cli import main
from napari_chromocluster.models.model_card import ModelCard
from napari_chromocluster.models.model_file import save_model
from napari_chromocluster.models.network import build_network
from napari_chromocluster.models.registry import list_models, resolve_model


@pytest.mark.parametrize(
    ("name", "listed"),
    [("our lab", "our lab"), ("my model", "first run"), ("", "first run"), ("Model", "first run")],
)
def test_a_model_is_added_by_the_name_that_it_has(name, listed, tmp_path, capsys):
    path = tmp_path / "first run.safetensors"
    save_model(path, build_network("compact"), ModelCard(name))
    assert main(["models", "--add", str(path)]) == 0
    assert capsys.readouterr().out == f"added as {listed!r}\n"
    assert listed in [entry.name for entry in list_models()]


@pytest.mark.parametrize("name", ["a/b", "lab: new*", "v1.2/x.y"])
def test_a_name_that_no_file_can_have_is_found_as_it_was_given_and_as_it_is_listed(
    name, tmp_path, capsys
):
    path = tmp_path / "model.safetensors"
    save_model(path, build_network("compact"), ModelCard(name))
    assert main(["models", "--add", str(path)]) == 0
    listed = capsys.readouterr().out.split("'")[1]
    assert listed in [entry.name for entry in list_models()]
    for one in (name, listed):
        assert resolve_model(one).stem == listed
        assert main(["models", one]) == 0
        assert capsys.readouterr().out.splitlines()[0] == f"model    {listed}"


def test_a_file_is_added_once(tiny_model, capsys):
    for words in ("added as 'tiny'", "is in the list already, as 'tiny'"):
        assert main(["models", "--add", str(tiny_model)]) == 0
        assert capsys.readouterr().out.strip() == words
    assert [entry.name for entry in list_models()].count("tiny") == 1
