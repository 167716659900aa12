"""``chromocluster models --add``: under which name a model comes into the list."""

import pytest

from napari_chromocluster.cli import main
from napari_chromocluster.models.model_file import ModelCard, save_model
from napari_chromocluster.models.network import build_network
from napari_chromocluster.models.registry import list_models


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
