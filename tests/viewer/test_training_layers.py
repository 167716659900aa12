"""Annotated layers as training data, and finding them again."""

import numpy as np
import pytest
import tifffile
from napari.components import ViewerModel

from napari_chromocluster.imaging.io import read_image, read_labels, write_labels
from napari_chromocluster.imaging.regions import extract_regions
from napari_chromocluster.results.annotated_crops import read_sources
from napari_chromocluster.results.annotations import AnnotationError, read_annotations
from napari_chromocluster.results.features_table import build_table, mark_stale, set_types
from napari_chromocluster.training.config import preset
from napari_chromocluster.training.data.summary import summarize_data
from napari_chromocluster.viewer.layer_annotations import (
    find_open,
    layer_groups,
    open_pairs,
    prepare_on_layers,
    show_place,
    snapshot_pair,
    write_layers,
)
from napari_chromocluster.viewer.layer_tables import set_table
from napari_chromocluster.viewer.layers import GROUP, image_of
from napari_chromocluster.viewer.reader import get_reader
from napari_chromocluster.viewer.review.exports import ExportError, save_annotations
from napari_chromocluster.viewer.review.session import ReviewSession
from napari_chromocluster.viewer.scripting import add_regions


def labels_of(frames=None):
    """Three square regions, in each frame of a stack if there is one."""
    plane = np.zeros((60, 80), np.int32)
    for number, (y, x) in enumerate(((5, 5), (5, 40), (35, 20)), start=1):
        plane[y : y + 15, x : x + 15] = number
    return plane if frames is None else np.stack([plane] * frames)


def decided(labels, **types):
    """Return a table with human decisions for the given regions, such as ``r2="touching"``."""
    planes = labels if labels.ndim == 3 else labels[None]
    regions = [one for frame, plane in enumerate(planes) for one in extract_regions(plane)]
    table = build_table(regions, np.full((len(regions), 5), 0.2), model="-")
    if labels.ndim == 3:
        table["frame"] = np.repeat(np.arange(len(planes)), len(regions) // len(planes))
    for name, kind in types.items():
        table = set_types(table, [int(name[1:])], kind)
    return table


@pytest.fixture
def viewer():
    return ViewerModel()


def test_only_what_a_human_decided_is_written_unless_promoted(viewer, tmp_path):
    labels = labels_of()
    viewer.add_image(labels * 10.0, name="slide")
    viewer.add_labels(labels, name="slide regions", features=decided(labels, r2="touching"))
    (pair,) = open_pairs(viewer)
    table = read_annotations(write_layers(tmp_path / "human", [pair]))
    assert list(zip(table["label"], table["cluster_type"], table["group"], strict=True)) == [
        (2, "touching", "slide")
    ]
    assert len(read_annotations(write_layers(tmp_path / "all", [pair], promoted=True))) == 3
    np.testing.assert_array_equal(read_labels(table["labels"][0]), labels)
    np.testing.assert_array_equal(read_image(table["image"][0]), labels * 10.0)


def test_a_region_that_was_painted_away_is_left_out(viewer, tmp_path):
    labels = labels_of()
    viewer.add_image(labels * 10.0, name="slide")
    layer = viewer.add_labels(
        labels, name="slide regions", features=decided(labels, r1="single", r2="touching")
    )
    layer.data[layer.data == 2] = 0
    table = read_annotations(write_layers(tmp_path, open_pairs(viewer)))
    assert list(table["label"]) == [1]


def test_each_frame_of_a_stack_is_a_metaphase(viewer, tmp_path):
    labels = labels_of(frames=2)
    viewer.add_image(labels * 10.0, name="stack")
    viewer.add_labels(labels, name="stack regions", features=decided(labels, r3="overlapping"))
    table = read_annotations(write_layers(tmp_path, open_pairs(viewer)))
    assert sorted(table["group"]) == ["stack#0", "stack#1"]
    image, found, frame = find_open(viewer, table["image"][1])
    assert (image.name, found.name, frame) == ("stack", "stack regions", 1)
    show_place(viewer, image, found, 3, frame, (42.0, 27.0))
    assert viewer.dims.current_step[0] == 1
    assert viewer.scene.camera.center[-2:] == (42.0, 27.0)
    assert found.selected_label == 3


def test_labels_belong_to_the_image_they_are_named_after(viewer):
    labels = labels_of()
    for name in ("a", "b"):
        viewer.add_image(labels * 10.0, name=name)
    viewer.add_image(np.zeros((5, 5)), name="small")
    for name in ("b regions", "a regions", "others"):
        viewer.add_labels(labels, name=name)
    assert [(one.image, one.labels) for one in open_pairs(viewer)] == [
        ("b", "b regions"), ("a", "a regions"), ("b", "others"),
    ]  # fmt: skip


def test_regions_know_their_image_whatever_it_is_called(viewer):
    """Names of metaphases from one camera start alike; a closed one leaves its regions."""
    first = viewer.add_image(labels_of() * 10.0, name="met_1")
    tenth = viewer.add_image(labels_of() * 20.0, name="met_10")
    found = add_regions(viewer, tenth, labels_of())
    loaded = viewer.add_labels(labels_of(), name="met_10 regions [2]")
    assert image_of(viewer, found) == image_of(viewer, loaded) == tenth
    viewer.layers.remove(tenth)
    assert image_of(viewer, found) is None
    found.name = "met_1 regions"
    assert image_of(viewer, found) is None, "a name makes them no regions of another picture"
    loaded.name = "met_1 regions"
    assert image_of(viewer, loaded) == first


def test_two_metaphases_of_one_name_keep_their_regions(viewer):
    pairs = []
    for _ in range(2):
        image = viewer.add_image(labels_of() * 10.0, name="m")
        pairs.append((image, viewer.add_labels(labels_of(), name="m regions")))
    assert pairs[1][1].name == "m regions [1]"
    assert [image_of(viewer, regions) for _, regions in pairs] == [image for image, _ in pairs]


def test_a_decision_on_other_pixels_is_not_trained_on(viewer):
    table = mark_stale(decided(labels_of(), r1="single", r2="touching"), [2])
    viewer.add_image(labels_of() * 10.0, name="slide")
    viewer.add_labels(labels_of(), name="slide regions", features=table)
    (pair,) = open_pairs(viewer)
    assert list(pair.rows()["index"]) == [1]


def test_nothing_decided_says_what_to_do(viewer, tmp_path):
    labels = labels_of()
    image = viewer.add_image(labels * 10.0, name="slide")
    layer = viewer.add_labels(labels, name="r", features=decided(labels))
    with pytest.raises(AnnotationError, match="annotate some in the review dock"):
        write_layers(tmp_path, [snapshot_pair(image, layer)])


def test_metaphases_of_one_annotation_file_keep_their_files_and_groups(viewer, tmp_path):
    labels = labels_of()
    rows = ["image,labels,label,cluster_type,group"]
    for number, group in enumerate(("patient 1", "patient 1", "patient 2")):
        tifffile.imwrite(tmp_path / f"m{number}.tif", (labels * 10).astype(np.uint8))
        write_labels(tmp_path / f"m{number}_labels.tif", labels)
        rows += [
            f"m{number}.tif,m{number}_labels.tif,{label},single,{group}" for label in (1, 2, 3)
        ]
    file = tmp_path / "annotations.csv"
    file.write_text("\n".join(rows))
    for data, options, kind in get_reader(str(file))(str(file)):
        layer = getattr(viewer, f"add_{kind}")(data, **options)
        # As napari does with layers from a reader.
        layer._source = layer.source.model_copy(update={"path": str(file)})
    pairs = open_pairs(viewer)
    assert [pair.path for pair in pairs] == [str(tmp_path / f"m{n}.tif") for n in range(3)]
    assert [pair.group() for pair in pairs] == ["patient 1", "patient 1", "patient 2"]
    table = read_annotations(write_layers(tmp_path / "training", pairs))
    assert set(table["group"]) == {"patient 1", "patient 2"}
    image, labels_layer, _ = find_open(viewer, str(tmp_path / "m1.tif"))
    assert (image.name, labels_layer.name) == ("m1", "m1 regions")


def test_layers_that_cannot_be_trained_on_leave_no_folder(viewer, tmp_path):
    labels = labels_of()
    viewer.add_image(labels * 10.0, name="slide")
    viewer.add_labels(labels, name="slide regions", features=decided(labels, r2="touching"))
    with pytest.raises(ValueError, match="at least two groups"):
        prepare_on_layers(open_pairs(viewer), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def add_file(viewer, path, name, **types):
    """Add an image as napari opens it from a file, with decided regions over it."""
    labels = labels_of()
    path.parent.mkdir(exist_ok=True)
    tifffile.imwrite(path, (labels * 10).astype(np.uint8))
    layer = viewer.add_image(labels * 10.0, name=name)
    layer._source = layer.source.model_copy(update={"path": str(path)})
    viewer.add_labels(labels, name=f"{name} regions", features=decided(labels, **types))


def test_open_images_of_one_file_name_are_groups_of_their_own(viewer, tmp_path):
    for day in ("day1", "day2"):
        add_file(viewer, tmp_path / day / "m.tif", day, r1="single")
    pairs = open_pairs(viewer)
    assert set(layer_groups(pairs, read_sources([])).values()) == {"day1/m.tif", "day2/m.tif"}
    run = prepare_on_layers(pairs, out=tmp_path / "run", preset="quick")
    assert set(read_sources(run.config.annotations)["group"]) == {"day1/m.tif", "day2/m.tif"}


def test_frames_of_a_stack_are_no_image_in_two_groups(viewer):
    labels = labels_of(frames=2)
    viewer.add_image(labels * 10.0, name="stack")
    viewer.add_labels(labels, name="stack regions", features=decided(labels, r3="overlapping"))
    (pair,) = open_pairs(viewer)
    table = pair.annotations()
    table = table.assign(group=table["image"].map(layer_groups([pair], read_sources([]))))
    assert sorted(table["group"]) == ["stack#0", "stack#1"]
    said = " ".join(summarize_data({"stack": table}, preset("quick")).warnings)
    assert "two groups" not in said
    assert "two sources" not in said


def test_why_there_are_no_annotations_is_told_right(viewer, tmp_path):
    add_file(viewer, tmp_path / "m.tif", "m", r1="single")
    image, labels = viewer.layers
    set_table(labels, build_table(extract_regions(labels.data)))
    session = ReviewSession(image, labels)
    out, file = tmp_path / "m.csv", str(tmp_path / "m.tif")
    with pytest.raises(ExportError, match="Nothing is decided by hand yet"):
        save_annotations(out, session, file, None)
    session.set_type(session.region_keys()[:1], "single")
    with pytest.raises(ExportError, match="the review is not saved"):
        save_annotations(out, session, file, None)
    with pytest.raises(ExportError, match="save the image and open it again"):
        save_annotations(out, session, None, tmp_path / "m_labels.tif")
    labels.data_setitem(tuple(np.argwhere(labels.data)[:2].T), 0)
    with pytest.raises(ExportError, match="pixels that have changed"):
        save_annotations(out, session, file, tmp_path / "m_labels.tif")
    session.close()


@pytest.mark.parametrize("group", ["patient 1", ""])
def test_an_exported_review_stays_in_the_group_of_its_image(viewer, tmp_path, group):
    add_file(viewer, tmp_path / "m.tif", "m", r1="single")
    image, labels = viewer.layers
    image.metadata[GROUP] = group
    write_labels(tmp_path / "m_labels.tif", labels_of())
    session = ReviewSession(image, labels)
    out = tmp_path / "m.csv"
    assert save_annotations(out, session, str(tmp_path / "m.tif"), tmp_path / "m_labels.tif") == 1
    session.close()
    (pair,) = open_pairs(viewer)
    (of_layer,) = layer_groups([pair], read_sources([])).values()
    assert list(read_annotations(out)["group"]) == [of_layer] == [group or "m.tif"]
