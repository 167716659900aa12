"""Reader, writer, sample data and the manifest."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
from napari.components import ViewerModel
from npe2 import PluginManifest
from PIL import Image

from napari_chromocluster.imaging.io import read_image, read_labels, write_labels
from napari_chromocluster.imaging.regions import extract_regions
from napari_chromocluster.results.annotations import read_annotations, write_annotations
from napari_chromocluster.results.features_table import TableError, build_table, set_types
from napari_chromocluster.results.table_files import read_table
from napari_chromocluster.viewer import reader
from napari_chromocluster.viewer.layer_tables import set_table, table_of
from napari_chromocluster.viewer.layers import SOURCE
from napari_chromocluster.viewer.overlay import show_overlay
from napari_chromocluster.viewer.reader import annotations_beside, get_reader, outline_what_comes
from napari_chromocluster.viewer.review.exports import micrometres_per_pixel
from napari_chromocluster.viewer.sample_data import synthetic_dapi, synthetic_giemsa
from napari_chromocluster.viewer.scripting import add_regions
from napari_chromocluster.viewer.settings import preferences
from napari_chromocluster.viewer.writer import SaveError, write_regions
from own_application import own_application


def test_annotation_file_opens_image_regions_and_types(annotated):
    layers = get_reader(str(annotated))(str(annotated))
    assert [kind for _, _, kind in layers] == ["image", "labels"] * 4
    data, options, _ = layers[1]
    table = options["features"]
    assert set(table["source"]) == {"human"}
    assert set(table["index"]) == set(np.unique(data)) - {0}


def test_folder_per_type_opens_as_one_sheet(tmp_path):
    for number, kind in enumerate(("single", "touching", "touching")):
        (tmp_path / kind).mkdir(exist_ok=True)
        crop = np.full((30, 40), 255, np.uint8)
        crop[5:20, 5:30] = 100 + number
        Image.fromarray(crop).save(tmp_path / kind / f"c_{number}.png")
    sheet, labels = get_reader(str(tmp_path))(str(tmp_path))
    assert sheet[0].shape == labels[0].shape
    assert list(labels[1]["features"]["cluster_type"]) == ["single", "touching", "touching"]


def test_large_crops_are_shown_whole(tmp_path):
    (tmp_path / "single").mkdir()
    crop = np.full((224, 224), 255, np.uint8)
    crop[180:210, 170:200] = 100
    Image.fromarray(crop).save(tmp_path / "single" / "c.png")
    _, labels = get_reader(str(tmp_path))(str(tmp_path))
    assert (labels[0] == 1).sum() == 900


def test_crops_that_are_left_out_are_told(tmp_path, monkeypatch):
    (tmp_path / "single").mkdir()
    crop = np.full((30, 40), 255, np.uint8)
    crop[5:20, 5:30] = 100
    for number in range(4):
        Image.fromarray(crop).save(tmp_path / "single" / f"c_{number}.png")
    monkeypatch.setattr(reader, "_MOST_PIXELS", 3 * 40**2)
    with pytest.warns(UserWarning, match="3 of 4 crops"):
        _, labels = get_reader(str(tmp_path))(str(tmp_path))
    assert labels[0].max() == 3


def test_annotations_beside_an_image_are_found(annotated, tmp_path):
    rows = read_annotations(annotated)
    image, labels = str(rows["image"].iloc[0]), str(rows["labels"].iloc[0])
    array, table, name = annotations_beside(image)
    assert name == annotated.name
    assert np.array_equal(array, read_labels(labels))
    mine = rows[rows["image"] == image].set_index("label")["cluster_type"]
    assert dict(table.set_index("index")["cluster_type"]) == dict(mine)
    # The images in a separate folder, the annotations above it.
    (tmp_path / "images").mkdir()
    for file in (image, labels):
        shutil.copy(file, tmp_path / "images")
    moved = rows[rows["image"] == image].assign(
        image=str(tmp_path / "images" / Path(image).name),
        labels=str(tmp_path / "images" / Path(labels).name),
    )
    write_annotations(tmp_path / "annotations.csv", moved)
    assert annotations_beside(tmp_path / "images" / Path(image).name)[2] == "annotations.csv"
    assert annotations_beside(tmp_path / "images" / Path(labels).name) is None
    assert annotations_beside(None) is None


def test_raw_images_are_left_to_napari(tmp_path, annotated):
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    for name in ("image.tif", "image.png", "other.csv"):
        assert get_reader(str(tmp_path / name)) is None
    assert get_reader(str(tmp_path)) is None
    assert get_reader([str(annotated)]) is None


def test_writer_writes_labels_and_table(tmp_path, metaphase):
    table = build_table(extract_regions(metaphase.labels))
    written = write_regions(str(tmp_path / "m_labels.tif"), metaphase.labels, {"features": table})
    assert [p.rpartition("/")[2] for p in written] == ["m_labels.tif", "m_regions.csv"]
    assert np.array_equal(read_labels(written[0]), metaphase.labels)
    pd.testing.assert_frame_equal(read_table(written[1]), table)
    only = write_regions(str(tmp_path / "t.csv"), metaphase.labels, {"features": table})
    assert only == [str(tmp_path / "t.csv")]


def test_no_decision_of_a_human_is_written_over(tmp_path, metaphase):
    table = build_table(extract_regions(metaphase.labels))
    decided = {"features": set_types(table, [3], "other")}
    target = tmp_path / "m_labels.tif"
    write_regions(str(target), metaphase.labels, decided)
    for path in (target, tmp_path / "m_regions.csv"):
        with pytest.raises(TableError, match="a human decided"):
            write_regions(str(path), metaphase.labels, {"features": table})
    write_regions(str(target), metaphase.labels, decided)
    assert (read_table(tmp_path / "m_regions.csv")["source"] == "human").sum() == 1


@pytest.mark.parametrize("sample", [synthetic_giemsa, synthetic_dapi])
def test_sample_data(sample):
    [(image, _, kind)] = sample()
    assert kind == "image"
    assert image.ndim == 2


def test_every_command_of_the_manifest_exists():
    manifest = PluginManifest.from_distribution("napari-chromocluster")
    for command in manifest.contributions.commands:
        module, _, name = command.python_name.partition(":")
        if "widgets" not in module:
            assert getattr(__import__(module, fromlist=[name]), name)
    patterns = [p for r in manifest.contributions.readers for p in r.filename_patterns]
    assert patterns == ["*.csv", "*.tsv"]


def test_preferences_have_defaults():
    assert preferences().model == "default"
    assert preferences().colors["single"] == "#009E73"


@pytest.fixture
def plugins():
    """The plugins, as napari finds them when it starts."""
    from napari.plugins import _initialize_plugins

    with own_application():
        _initialize_plugins()
        yield


@pytest.mark.parametrize("unsure", [True, False])
def test_all_layers_are_saved_with_the_types_of_their_regions(tmp_path, metaphase, plugins, unsure):
    viewer = ViewerModel()
    image = viewer.add_image(metaphase.image, name="m: 1")
    chances = np.tile([0.9, 0.1, 0, 0, 0], (len(metaphase.types), 1))
    table = build_table(extract_regions(metaphase.labels), chances, model="m")
    labels = add_regions(viewer, image, metaphase.labels, set_types(table, [3], "other"))
    show_overlay(viewer, labels, threshold=0.95 if unsure else 0.0)
    viewer.add_points(np.array([[3.0, 4.0]]), name="m: 1")
    written = viewer.layers.save(str(tmp_path / "saved"))
    names = sorted(Path(one).name for one in written)
    assert names == ["m_ 1 [1].csv", "m_ 1.tif", "m_ 1_labels.tif", "m_ 1_regions.csv"]
    folder = tmp_path / "saved"
    assert sorted(one.name for one in folder.iterdir()) == names
    np.testing.assert_array_equal(read_labels(folder / "m_ 1_labels.tif"), metaphase.labels)
    np.testing.assert_array_equal(read_image(folder / "m_ 1.tif"), metaphase.image)
    assert read_table(folder / "m_ 1_regions.csv").equals(table_of(labels))
    # Once more, without the decision in the files.
    set_table(labels, table)
    with pytest.raises(SaveError, match="a human decided"):
        viewer.layers.save(str(folder))
    assert (read_table(folder / "m_ 1_regions.csv")["source"] == "human").sum() == 1


def test_of_many_annotated_metaphases_the_first_is_shown_in_outlines(annotated, tmp_path):
    rows = read_annotations(annotated)
    first = rows["image"] == rows["image"].iloc[0]
    few = pd.concat([rows[first].iloc[:2], rows[~first]])
    write_annotations(tmp_path / "few.csv", few)
    viewer = ViewerModel()
    outline_what_comes(viewer, 4)
    for data, options, kind in get_reader(str(tmp_path / "few.csv"))(str(tmp_path / "few.csv")):
        getattr(viewer, f"add_{kind}")(data, **options)
    assert [one.visible for one in viewer.layers] == [True, True] + [False] * 6
    labels = viewer.layers[1]
    assert (labels.contour, labels.opacity) == (1, 1.0)
    colors = labels.colormap.color_dict
    annotated_ones = set(few.loc[few["labels"] == few["labels"].iloc[0], "label"])
    for label in labels.features["index"]:
        assert (colors[label][3] == 1) == (label in annotated_ones)


def test_the_size_of_a_pixel_reaches_layers_and_figures(tmp_path, metaphase):
    tifffile.imwrite(tmp_path / "m.tif", metaphase.image, imagej=True, resolution=(8, 8),
                     metadata={"unit": "micron"})  # fmt: skip
    write_labels(tmp_path / "l.tif", metaphase.labels)
    (tmp_path / "a.csv").write_text("image,labels,label,cluster_type\nm.tif,l.tif,1,single\n")
    for _, options, _ in reader.read(str(tmp_path / "a.csv")):
        assert options["scale"] == (0.125, 0.125)
        assert options["units"] == ("um", "um")
    # As opened by napari's own reader, with only the file as a source.
    plain = ViewerModel().add_image(metaphase.image, metadata={SOURCE: str(tmp_path / "m.tif")})
    assert micrometres_per_pixel(plain) == pytest.approx(0.125)
    plain.metadata = {}
    assert micrometres_per_pixel(plain) is None
    known = ViewerModel().add_image(metaphase.image, scale=(0.2, 0.2), units=("um", "um"))
    assert micrometres_per_pixel(known) == pytest.approx(0.2)


def test_a_label_that_does_not_occur_is_named_when_annotations_are_opened(tmp_path, metaphase):
    Image.fromarray(metaphase.image).save(tmp_path / "m.png")
    write_labels(tmp_path / "m.tif", metaphase.labels)
    rows = ["image,labels,label,cluster_type", "m.png,m.tif,1,single", "m.png,m.tif,999,other"]
    (tmp_path / "a.csv").write_text("\n".join(rows) + "\n")
    with pytest.warns(UserWarning, match=r"^a\.csv, line 3: label 999 does not occur in m\.tif"):
        assert len(reader.read(str(tmp_path / "a.csv"))) == 2
