"""Private attributes of napari are used in one module only, and are as that module expects."""

import ast
from pathlib import Path

import numpy as np
import pytest
from napari.layers import Labels
from napari.utils.colormaps import DirectLabelColormap

import napari_chromocluster
from napari_chromocluster.viewer.compat import recolor, redraw, with_spares

SOURCE = Path(napari_chromocluster.__file__).parent
COMPAT = SOURCE / "viewer" / "compat.py"
#: Private names of the standard library and of public interfaces.
ALLOWED = {"_exit", "_replace", "_asdict", "_fields"}
BOX = (5, 5, 20, 20)


def private(name):
    return name.startswith("_") and not name.startswith("__")


def names_of_ours(tree):
    """Yield the private names that a module defines."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
            yield node.name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif (
            isinstance(node, ast.Attribute)
            and isinstance(node.ctx, ast.Store)
            and isinstance(node.value, ast.Name)
            and node.value.id in ("self", "cls")
        ):
            yield node.attr


def test_no_other_module_uses_private_attributes_of_napari_or_qt():
    trees = {file: ast.parse(file.read_text()) for file in SOURCE.rglob("*.py")}
    ours = {name for file, tree in trees.items() if file != COMPAT for name in names_of_ours(tree)}
    foreign = {
        f"{file.relative_to(SOURCE)}:{node.lineno} {node.attr}"
        for file, tree in trees.items()
        if file != COMPAT
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and private(node.attr)
        if node.attr not in ours | ALLOWED
    }
    assert not foreign
    imported = {
        f"{file.relative_to(SOURCE)}:{node.lineno} {node.module}"
        for file, tree in trees.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(("napari.", "vispy"))
        if any(map(private, [*(node.module or "").split("."), *(one.name for one in node.names)]))
    }
    assert not imported


@pytest.fixture(params=[np.uint8, np.uint16, np.int32, np.int64])
def layer(request):
    labels = np.zeros((60, 80), request.param)
    labels[5:20, 5:20] = 1
    labels[30:50, 30:60] = 2
    made = Labels(labels, opacity=1)
    colors = {None: "transparent", 0: "transparent", 1: "red", 2: "blue"}
    made.colormap = DirectLabelColormap(color_dict=with_spares(colors, {}))
    made.contour = 2
    return made


def displayed(layer):
    """Return the colors of the pixels that are shown."""
    return layer.colormap.map(layer.data)


def test_recolor_shows_what_a_new_colormap_would(layer):
    blue = layer.get_color(2)
    before = layer.colormap
    assert recolor(layer, {1: blue}, {1: BOX}, 0), "napari has changed: see viewer/compat.py"
    assert layer.colormap is before
    assert np.allclose(layer.get_color(1), blue)
    whole = Labels(layer.data.copy())
    whole.colormap = DirectLabelColormap(color_dict=dict(layer.colormap.color_dict))
    assert np.array_equal(displayed(layer), displayed(whole))


def test_recolor_computes_no_color_of_other_labels(layer, monkeypatch):
    """All 65536 possible labels of a uint16 layer take napari a tenth of a second."""
    layer.colormap.map(layer.data)
    asked = []
    compute = DirectLabelColormap._map_without_cache
    monkeypatch.setattr(
        DirectLabelColormap,
        "_map_without_cache",
        lambda self, values: asked.append(values.size) or compute(self, values),
    )
    assert recolor(layer, {1: layer.get_color(2)}, {1: BOX}, 0)
    layer.colormap.map(np.array([1, 2], layer.data.dtype))
    assert not asked


def test_a_color_that_no_label_has_needs_a_new_colormap(layer):
    odd = np.array([0.123, 0.456, 0.789, 1], np.float32)
    assert not recolor(layer, {1: odd}, {1: BOX}, 0)


def test_redraw_shows_what_a_refresh_would(layer):
    seen = []
    layer.events.set_data.connect(lambda event: seen.append(layer._slice.image.view.copy()))
    layer.data[5:20, 5:20] = 2
    assert redraw(layer, [BOX], 0), "napari has changed: see viewer/compat.py"
    layer.refresh()
    assert len(seen) == 2
    assert np.array_equal(*seen)


def test_a_hidden_layer_is_refreshed_when_it_is_shown(layer):
    layer.visible = False
    assert not redraw(layer, [BOX], 0)
