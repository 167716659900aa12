"""The scripting functions on a viewer model, without Qt or a window."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
from napari.components import ViewerModel

import napari_chromocluster as cc
from napari_chromocluster.cluster_types import ClusterType
from napari_chromocluster.imaging.regions import RegionError
from napari_chromocluster.imaging.synthetic_metaphase import synthetic_stack
from napari_chromocluster.results.features_table import set_types
from napari_chromocluster.viewer.layer_tables import set_table, table_of
from napari_chromocluster.viewer.layers import (
    SOURCE,
    LayerError,
    current_frame,
    labels_in_box,
    layer_type,
    matching_labels,
    spatial_metadata,
)
from napari_chromocluster.viewer.overlay import hide_overlay, letters_layer, show_overlay


@pytest.fixture
def viewer(metaphase):
    viewer = ViewerModel()
    viewer.add_image(metaphase.image, name="metaphase", scale=(0.1, 0.1), translate=(5, 7))
    return viewer


def test_regions_that_are_found_again_hide_the_former(metaphase):
    viewer = ViewerModel()
    viewer.add_image(metaphase.image, name="metaphase")
    first = cc.viewer.segment_layer(viewer, "metaphase")
    second = cc.viewer.segment_layer(viewer, "metaphase", threshold=1.2)
    assert (first.visible, second.visible) == (False, True)


def test_segment_then_classify_then_look(viewer, tiny_model):
    labels = cc.viewer.segment_layer(viewer, "metaphase")
    assert tuple(labels.scale) == (0.1, 0.1)
    assert tuple(labels.translate) == (5, 7)
    table = cc.viewer.classify_layer(viewer, "metaphase", labels, model=tiny_model)
    assert isinstance(table, pd.DataFrame)
    assert len(table) == labels.data.max()
    pd.testing.assert_frame_equal(table_of(labels), table)
    kinds = dict(zip(table["index"], table["cluster_type"], strict=True))
    for label in (1, 2, 3):
        color = labels.colormap.map(np.array([label]))[0]
        expected = bytes.fromhex(ClusterType(kinds[label]).color[1:])
        assert np.allclose(color[:3] * 255, list(expected), atol=1)


def test_only_selected_regions(viewer, tiny_model):
    labels = cc.viewer.segment_layer(viewer, "metaphase")
    cc.viewer.classify_layer(viewer, "metaphase", labels, model=tiny_model)
    before = table_of(labels)
    set_table(labels, before.assign(model="older"))
    some = cc.viewer.classify_layer(viewer, "metaphase", labels, select=[2, 4], model=tiny_model)
    assert list(some["index"]) == [2, 4]
    after = table_of(labels).set_index("index")
    assert after.loc[2, "model"] == "tiny"
    assert after.loc[1, "model"] == "older"


def test_a_slip_in_the_table_costs_one_row(viewer, tiny_model):
    labels = cc.viewer.segment_layer(viewer, "metaphase")
    table = cc.viewer.classify_layer(viewer, "metaphase", labels, model=tiny_model)
    decided = list(table["index"][:5])
    features = set_types(table, decided, "other")
    # As napari's features table edits it.
    features.iloc[4, features.columns.get_loc("cluster_type")] = "singel"
    with pytest.warns(UserWarning, match="'singel' is no cluster type"):
        labels.features = features
    cc.viewer.classify_layer(viewer, "metaphase", labels, model=tiny_model)
    after = table_of(labels).set_index("index")
    assert list(after.loc[decided[:4], "cluster_type"]) == ["other"] * 4
    assert list(after.loc[decided[:4], "source"]) == ["human"] * 4
    assert after.loc[decided[4], "source"] == "model"


def test_unsure_regions_are_told_by_a_sign(viewer, tiny_model):
    labels = cc.viewer.segment_layer(viewer, "metaphase")
    cc.viewer.classify_layer(viewer, "metaphase", labels, model=tiny_model, threshold=1.0)
    letters = letters_layer(viewer, labels)
    assert len(letters.data) == labels.data.max()
    assert all(word.endswith("?") for word in letters.features["letter"])
    show_overlay(viewer, labels, threshold=0.0, text=False)
    assert not len(letters.data)
    hide_overlay(viewer, labels)
    assert letters_layer(viewer, labels) is None
    assert labels.contour == 0


def test_stack_of_metaphases(tiny_model):
    images, _ = synthetic_stack([1, 2])
    viewer = ViewerModel()
    viewer.add_image(images, name="stack")
    labels = cc.viewer.segment_layer(viewer, "stack")
    first, second = np.unique(labels.data[0])[1:], np.unique(labels.data[1])[1:]
    assert not set(first) & set(second)
    table = cc.viewer.classify_layer(viewer, "stack", labels, model=tiny_model)
    assert set(table["frame"]) == {0, 1}
    viewer.dims.set_current_step(0, 1)
    assert current_frame(viewer, labels) == 1


@pytest.mark.parametrize(
    "convert",
    [
        lambda a: np.stack([a] * 3, axis=-1),
        lambda a: a.astype(np.uint16) * 100,
        lambda a: np.where(np.arange(a.shape[1]) < 3, np.nan, a.astype(float)),
    ],
)
def test_kinds_of_images(metaphase, tiny_model, convert):
    viewer = ViewerModel()
    viewer.add_image(convert(metaphase.image), name="m")
    labels = viewer.add_labels(metaphase.labels, name="r")
    assert len(cc.viewer.classify_layer(viewer, "m", labels, model=tiny_model)) == len(
        metaphase.types
    )


def test_dask_and_multiscale_layers(metaphase, tiny_model):
    import dask.array as da

    viewer = ViewerModel()
    viewer.add_image(da.from_array(metaphase.image, chunks=200), name="lazy")
    pyramid = [metaphase.image, metaphase.image[::2, ::2]]
    viewer.add_image(pyramid, name="pyramid", multiscale=True)
    viewer.add_labels(metaphase.labels, name="r")
    first = cc.viewer.classify_layer(viewer, "lazy", "r", model=tiny_model)
    second = cc.viewer.classify_layer(viewer, "pyramid", "r", model=tiny_model)
    assert np.allclose(first["p_single"], second["p_single"], atol=1e-5)


def test_errors_are_one_sentence(viewer, metaphase, tiny_model):
    with pytest.raises(LayerError, match="no layer 'nothing'"):
        cc.viewer.segment_layer(viewer, "nothing")
    viewer.add_labels(metaphase.labels[:-3], name="small")
    with pytest.raises(LayerError, match="differ in shape"):
        cc.viewer.classify_layer(viewer, "metaphase", "small", model=tiny_model)
    with pytest.raises(LayerError, match="is not a labels layer"):
        cc.viewer.classify_layer(viewer, "metaphase", "metaphase", model=tiny_model)
    viewer.add_labels(np.zeros_like(metaphase.labels), name="empty")
    with pytest.raises(RegionError, match="hold no region"):
        cc.viewer.classify_layer(viewer, "metaphase", "empty", model=tiny_model)


def test_labels_in_a_box(viewer, metaphase):
    labels = viewer.add_labels(metaphase.labels, scale=(0.1, 0.1), translate=(5, 7))
    everything = [[5, 7], [5, 71], [61, 71], [61, 7]]
    assert labels_in_box(labels, everything) == set(metaphase.types)
    assert matching_labels(viewer, viewer.layers["metaphase"]) == [labels]


@pytest.fixture
def one_thread():
    """Several torch threads wait for each other if the machine is busy."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_the_example_of_the_docs_runs_as_it_stands(metaphase, one_thread):
    page = Path(__file__).parents[2] / "docs" / "napari.md"
    code = page.read_text("utf-8").partition("```python\n")[2].partition("```")[0]
    viewer = ViewerModel()
    viewer.add_image(metaphase.image, name="metaphase")
    names = {"viewer": viewer}
    exec(code, names)  # the embedded model, as for users
    assert len(names["table"]) == names["labels"].data.max()
    assert list(names["some"]["index"]) == [3, 7]
    assert names["labels"].contour == 0
    assert names["heat"] in viewer.layers


def test_train_on_layers(metaphase, tmp_path, tiny_model):
    from napari_chromocluster.imaging.regions import extract_regions
    from napari_chromocluster.results.features_table import build_table, set_types
    from napari_chromocluster.training.config import StageConfig, preset

    viewer = ViewerModel()
    pairs = []
    for number in range(2):
        image = viewer.add_image(metaphase.image, name=f"m{number}")
        labels = viewer.add_labels(metaphase.labels, name=f"r{number}")
        table = build_table(extract_regions(metaphase.labels))
        for label, kind in metaphase.types.items():
            table = set_types(table, [label], kind)
        set_table(labels, table)
        pairs.append((image, labels))
    config = preset("quick").replace(
        stages=(StageConfig("coarse", 1, 0.0, 1e-3, freeze_body=True, image_size=48),),
        samples_per_epoch=64, batch_size=16, composed_clusters=10, precision="32", tta=1,
    )  # fmt: skip
    run = cc.viewer.train_on_layers(
        viewer, pairs, config=config, base_model=tiny_model, out=tmp_path / "run", wait=True
    )
    assert run.model_path.exists()
    assert (tmp_path / "run" / "data" / "annotations.csv").exists()


def test_regions_and_marks_lie_over_a_turned_image(metaphase, tiny_model):
    viewer = ViewerModel()
    image = viewer.add_image(
        metaphase.image, name="turned", rotate=30, scale=(2, 1), shear=[0.2], translate=(3, 4)
    )
    labels = cc.viewer.segment_layer(viewer, image)
    cc.viewer.classify_layer(viewer, image, labels, model=tiny_model)
    place = (37.0, 52.0)
    for layer in viewer.layers:
        np.testing.assert_allclose(
            layer.data_to_world(place), image.data_to_world(place), err_msg=layer.name
        )
    assert len(viewer.layers) > 2


def test_what_lies_over_a_frame_of_a_turned_stack():
    viewer = ViewerModel()
    stack = viewer.add_image(np.zeros((3, 40, 50)), scale=(5, 2, 1), translate=(0, 3, 4))
    stack.rotate = [[1, 0, 0], [0, 0.8, -0.6], [0, 0.6, 0.8]]
    frame = viewer.add_shapes(None, ndim=2, **spatial_metadata(stack, 2))
    for place in ((0, 0), (7, 0), (0, 9), (20, 30)):
        np.testing.assert_allclose(
            frame.data_to_world(place), stack.data_to_world((0, *place))[-2:], atol=1e-9
        )


def test_channels_are_no_frames_in_the_console(dapi, tiny_model, tmp_path):
    """As in the Classify dock, which was never opened here."""
    dim = dapi.image // 8
    path, planes = tmp_path / "fish.tif", np.stack([dim, dapi.image, dim])
    names = {"axes": "CYX", "Labels": ["FITC", "DAPI", "TRITC"]}
    tifffile.imwrite(path, planes, imagej=True, metadata=names)
    viewer = ViewerModel()
    viewer.add_image(planes, name="fish", metadata={SOURCE: str(path)})
    labels = cc.viewer.segment_layer(viewer, "fish")
    assert labels.data.shape == dapi.image.shape
    assert labels.name == "fish · DAPI regions"
    assert not viewer.layers["fish"].visible
    assert np.array_equal(viewer.layers["fish · DAPI"].data, dapi.image)
    table = cc.viewer.classify_layer(viewer, "fish", labels, model=tiny_model)
    assert len(table) == labels.data.max()
    cc.viewer.segment_layer(viewer, "fish")
    assert len([one for one in viewer.layers if layer_type(one) == "image"]) == 2
