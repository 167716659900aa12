"""Targets of exports from all docks, and files that they do not replace."""

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers._source import layer_source
from qtpy.QtWidgets import QFileDialog, QWidget

from napari_chromocluster.viewer.layers import LayerError
from napari_chromocluster.widgets.common.exporting import EXPORTS, ask_where


@pytest.fixture
def parent(qtbot):
    made = QWidget()
    qtbot.addWidget(made)
    return made


@pytest.fixture
def image(tmp_path):
    with layer_source(path=str(tmp_path / "m.png")):
        return ViewerModel().add_image(np.zeros((9, 9)), name="m")


@pytest.fixture
def asked(monkeypatch):
    """Records the arguments of the dialog, which returns ``answer``."""

    class Calls(list):
        answer = ("", "")

    def dialog(_parent, title, start, kinds):
        calls.append((title, start, kinds))
        return calls.answer

    calls = Calls()
    monkeypatch.setattr(QFileDialog, "getSaveFileName", dialog)
    return calls


@pytest.mark.parametrize(
    ("typed", "kind", "saved"),
    [
        ("m", "PNG (*.png)", "m.png"),
        ("m", "SVG (*.svg)", "m.svg"),
        ("m.pdf", "PNG (*.png)", "m.pdf"),
    ],
)
def test_a_file_gets_the_end_of_its_kind(parent, asked, tmp_path, typed, kind, saved):
    asked.answer = (str(tmp_path / typed), kind)
    assert ask_where(parent, "overlay", None, "m") == str(tmp_path / saved)


def test_a_file_is_not_replaced_unasked(parent, asked, tmp_path):
    (tmp_path / "m.png").write_text("mine")
    asked.answer = (str(tmp_path / "m"), "PNG (*.png)")
    with pytest.raises(FileExistsError, match="exists already"):
        ask_where(parent, "overlay", None, "m")


def test_who_thinks_better_of_it_saves_nothing(parent, asked):
    assert ask_where(parent, "csv", None, "m") is None


@pytest.mark.parametrize("what", EXPORTS)
def test_a_free_name_beside_the_image_is_suggested(parent, asked, image, tmp_path, what):
    end = EXPORTS[what].end
    ask_where(parent, what, image, "other")
    (tmp_path / f"m{end}").touch()
    ask_where(parent, what, image, "other")
    (tmp_path / f"m_export{end}").touch()
    ask_where(parent, what, image, "other")
    names = [f"m{end}", f"m_export{end}", f"m_export-2{end}"]
    assert [start for _, start, _ in asked] == [str(tmp_path / name) for name in names]


@pytest.mark.parametrize("name", ["m_labels.tif", "m_regions.csv"])
def test_the_files_of_a_review_are_not_replaced(parent, asked, image, tmp_path, name):
    asked.answer = (str(tmp_path / name), "")
    assert ask_where(parent, "csv", image, "m") == str(tmp_path / name)
    (tmp_path / name).touch()
    (tmp_path / "m_review.json").touch()
    with pytest.raises(LayerError, match="belongs to a review"):
        ask_where(parent, "csv", image, "m")
    asked.answer = (str(tmp_path / "m.png"), "")
    with pytest.raises(LayerError, match="is the image itself"):
        ask_where(parent, "csv", image, "m")
