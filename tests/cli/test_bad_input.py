"""Bad input: status 2, one clear line, no traceback, and no file written or lost."""

import dataclasses
import json
import os
import pickle
import subprocess
import sys
import zipfile

import numpy as np
import pandas as pd
import pytest
import tifffile
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save_file

from napari_chromocluster.cli import main
from napari_chromocluster.imaging.io import read_labels, write_labels
from napari_chromocluster.models.model_file import load_model_file
from napari_chromocluster.results.features_table import set_types
from napari_chromocluster.results.table_files import read_table, write_table


@pytest.fixture
def here(tmp_path, metaphase, tiny_model, monkeypatch):
    """A working folder with a good image, good labels and a good model."""
    monkeypatch.chdir(tmp_path)
    Image.fromarray(metaphase.image).save("image.png")
    write_labels("labels.tif", metaphase.labels)
    tmp_path.joinpath("model.safetensors").write_bytes(tiny_model.read_bytes())
    return tmp_path


@pytest.fixture
def refused(here, capfd):
    """Run a command that must fail; returns its one line."""

    def run(*arguments):
        before = {path.name for path in here.iterdir()}
        status = main([str(one) for one in arguments])
        printed = capfd.readouterr()
        assert (status, printed.out) == (2, "")
        # Warnings about readable annotations are printed before the images are read.
        lines = [one for one in printed.err.splitlines() if not one.startswith("warning: ")]
        assert len(lines) == 1
        assert lines[0].startswith("chromocluster: ")
        assert "Traceback" not in printed.err
        assert {path.name for path in here.iterdir()} - before <= {"out"}
        assert not any((here / "out").glob("*_regions.csv"))
        return lines[0]

    return run


def classify(*options, image="image.png"):
    return ["classify", image, "-o", "out", "--model", "model.safetensors", *options]


def test_image_and_labels_of_different_shape(refused, metaphase):
    write_labels("small.tif", metaphase.labels[:-5])
    assert "differ in shape" in refused(*classify("--labels", "small.tif"))


def test_empty_labels(refused, metaphase):
    write_labels("empty.tif", np.zeros_like(metaphase.labels))
    assert "hold no region" in refused(*classify("--labels", "empty.tif"))


def test_labels_that_are_a_picture(refused):
    Image.fromarray(np.zeros((9, 9, 3), np.uint8)).save("colour.png")
    assert "not a label image" in refused(*classify("--labels", "colour.png"))


def test_labels_that_are_a_gray_picture(refused, metaphase):
    gray = metaphase.image.astype(float)
    Image.fromarray((255 * gray / gray.max()).astype(np.uint8)).save("gray.png")
    assert "gray.png looks like a picture" in refused(*classify("--labels", "gray.png"))


@pytest.mark.parametrize(
    ("select", "words"),
    [("", "No region is selected"), ("9999", "does not occur"), ("one", "whole numbers")],
)
def test_selection_of_nothing(refused, select, words):
    assert words in refused(*classify("--labels", "labels.tif", "--select", select))


@pytest.mark.parametrize("value", [0, 255])
def test_image_of_one_gray(refused, value):
    Image.fromarray(np.full((200, 200), value, np.uint8)).save("flat.png")
    assert "No chromosome was found" in refused(*classify(image="flat.png"))


@pytest.mark.parametrize("name", ["text.png", "text.tif", "text.xyz"])
def test_file_that_is_no_image(here, refused, name):
    (here / name).write_text("no image")
    assert "not an image" in refused(*classify(image=name))
    assert "not an image" in refused("segment", name, "-o", "out")


@pytest.mark.parametrize("name", ["cut.png", "cut.tif", "cut.jpg"])
def test_file_that_is_cut_short(here, refused, metaphase, name):
    Image.fromarray(metaphase.image).save(name)
    (here / name).write_bytes((here / name).read_bytes()[:9000])
    assert "cut short" in refused(*classify(image=name))


def test_missing_file(refused):
    assert "none.png does not exist" in refused(*classify(image="none.png"))


def test_stack(refused, metaphase):
    tifffile.imwrite("stack.tif", np.stack([metaphase.image] * 2), photometric="minisblack")
    assert "2 frames" in refused(*classify(image="stack.tif"))


def test_folder_that_cannot_be_written(here, refused):
    (here / "file").write_text("")
    arguments = ["image.png", "-o", "file/out"]
    for command in (
        ["classify", *arguments, "--model", "model.safetensors"],
        ["segment", *arguments],
    ):
        assert "choose another folder" in refused(*command)
    assert "choose another folder" in refused("demo", "--no-show", "-o", "file/out")
    assert "choose another folder" in refused("batch", *arguments)


def damaged(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    path.write_bytes(content)


def cut(path):
    path.write_bytes(path.read_bytes()[:5000])


def text(path):
    path.write_text("no model")


def newer(path):
    network, card = load_model_file(path)
    text = dataclasses.replace(card, format_version=99).to_json()
    save_file(network.state_dict(), str(path), metadata={"chromocluster_card": text})


def pickled(path):
    path.write_bytes(pickle.dumps({"weights": [1, 2, 3]}))


def zipped(path):
    with zipfile.ZipFile(path, "w") as opened:
        opened.writestr("archive/data.pkl", b"")


def without_card(path):
    with safe_open(str(path), "pt") as opened:
        save_file({"a": opened.get_tensor(next(iter(opened.keys())))}, str(path))


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (damaged, "damaged"),
        (cut, "damaged"),
        (text, "damaged"),
        (newer, "update napari-chromocluster"),
        (pickled, "pickle"),
        (zipped, "pickle"),
        (without_card, "no model card"),
    ],
)
def test_model_file_that_cannot_be_used(here, refused, spoil, words):
    spoil(here / "model.safetensors")
    assert words in refused(*classify())
    assert words in refused("models", "--add", "model.safetensors")
    assert words in refused("batch", "image.png", "-o", "out", "--model", "model.safetensors")


def test_unknown_names(refused):
    assert "There is no model 'none'" in refused("classify", "image.png", "-o", "out",
                                                 "--model", "none")  # fmt: skip
    assert "There is no device" in refused(*classify("--device", "abacus"))
    assert "No such command" in refused("nonsense")
    assert "--nonsense" in refused(*classify("--nonsense"))
    assert "Missing" in refused("classify")
    assert "to download" in refused("models", "--download", "none")


def test_licence_that_is_not_accepted(refused):
    assert "CC-BY-NC-4.0" in refused("models", "--download", "resnext101_32x8d_wsl")


ROW = "image.png,labels.tif,{},{}\n"


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ("gone.png,labels.tif,1,single\n", "line 2: the file 'gone.png' is missing"),
        (ROW.format(1, "single") + ROW.format(2, "knot"), "line 3: 'knot' is no cluster type"),
        (ROW.format(1, "single") * 2, "line 3: this region is annotated twice"),
        # From two metaphases, since a training run needs one for validation.
        (
            ROW.format(9999, "single") + "labels.tif,labels.tif,1,single\n",
            "a.csv, line 2: label 9999 does not occur",
        ),
        ("", "no annotated region"),
    ],
)
@pytest.mark.parametrize("command", ["evaluate", "train"])
def test_annotations_that_cannot_be_used(here, refused, command, rows, words):
    (here / "a.csv").write_text("image,labels,label,cluster_type\n" + rows)
    more = ["--model", "model.safetensors"]
    if command == "train":
        more = ["--out", "out", "--base-model", "model.safetensors"]
    assert words in refused(command, "a.csv", *more)


def test_training_that_cannot_start(here, refused):
    (here / "a.csv").write_text("image,labels,label,type\n")
    assert "does not exist" in refused("train", "none.csv", "--out", "out")
    assert "at least one annotation" in refused("train", "--out", "o2")
    assert "no preset 'best'" in refused("train", "a.csv", "--preset", "best", "--out", "o3")
    assert "2 numbers" in refused("train", "a.csv", "--epochs", "1", "--out", "o4")
    assert "not a run folder" in refused("train", "--resume", "--out", "o5")
    (here / "o6").mkdir()
    (here / "o6" / "config.json").write_text("{}")
    assert "already holds a training" in refused("train", "a.csv", "--out", "o6")


def test_types_that_a_human_decided_are_not_written_over(here, refused):
    assert main(classify("--labels", "labels.tif")) == 0
    done = here / "out"
    table = done / "image_regions.csv"
    write_table(table, set_types(read_table(table), [read_table(table)["index"][0]], "other"))
    kept = table.read_bytes()
    done.rename(here / "kept")
    status = main(["classify", "image.png", "-o", "kept", "--model", "model.safetensors"])
    assert status == 2
    assert (here / "kept" / "image_regions.csv").read_bytes() == kept


def test_a_foreign_table_is_not_written_over(here, capfd):
    (here / "out").mkdir()
    table = here / "out" / "image_regions.csv"
    table.write_text("my,own,notes\n1,2,3\n")
    assert main(classify("--labels", "labels.tif")) == 2
    assert "no features table" in capfd.readouterr().err
    assert table.read_text().startswith("my,own,notes")


def test_small_and_cut_off_regions_are_no_bad_input(here, metaphase, capfd):
    labels = np.zeros_like(metaphase.labels)
    labels[100, 100] = 1  # one pixel
    labels[:30, :12] = 2  # at the border
    write_labels("odd.tif", labels)
    assert main([*classify("--labels", "odd.tif"), "--json"]) == 0
    table = pd.read_csv(json.loads(capfd.readouterr().out)["regions"])
    assert list(table["area"]) == [1, 360]
    assert table["confidence"].between(0, 1).all()


@pytest.fixture
def reviewed(here):
    """Return the files, as bytes, of a classified metaphase in ``kept`` with a human decision."""
    assert main(["classify", "image.png", "-o", "kept", "--model", "model.safetensors"]) == 0
    table = here / "kept" / "image_regions.csv"
    write_table(table, set_types(read_table(table), [read_table(table)["index"][0]], "other"))
    return {path: path.read_bytes() for path in (here / "kept").iterdir()}


def test_segment_keeps_the_regions_that_a_human_decided_on(here, reviewed, capfd):
    capfd.readouterr()
    assert main(["segment", "image.png", "-o", "kept", "--smallest", "1.2"]) == 2
    assert "a human decided" in capfd.readouterr().err
    assert {path: path.read_bytes() for path in (here / "kept").iterdir()} == reviewed
    # Segmenting the same regions again causes no conflict.
    assert main(["segment", "image.png", "-o", "kept"]) == 0
    assert (here / "kept" / "image_regions.csv").read_bytes() == reviewed[
        here / "kept" / "image_regions.csv"
    ]


def test_segment_removes_what_a_model_made_of_other_regions(here, capfd):
    assert main(classify()) == 0
    capfd.readouterr()
    assert main(["segment", "image.png", "-o", "out"]) == 0
    assert capfd.readouterr().err == ""
    assert (here / "out" / "image_regions.csv").exists()
    assert main(["segment", "image.png", "-o", "out", "--smallest", "1.2"]) == 0
    assert "removed out/image_regions.csv" in capfd.readouterr().err.replace("\\", "/")
    assert {path.name for path in (here / "out").iterdir()} == {"image_labels.tif"}


def test_labels_that_are_not_those_of_the_table_are_refused(here, reviewed, metaphase, capfd):
    table, labels = here / "kept" / "image_regions.csv", here / "kept" / "image_labels.tif"
    arguments = ["classify", "image.png", "-o", "kept", "--model", "model.safetensors"]
    good = read_labels(labels)
    write_labels("good.tif", good)
    write_labels(labels, np.where(good == good.max(), 0, good))
    for other in (labels, "labels.tif"):
        assert main([*arguments, "--labels", str(other)]) == 2
        assert "on other regions than these" in capfd.readouterr().err
        assert table.read_bytes() == reviewed[table]
    # With the regions of the table, everything is restored.
    assert main([*arguments, "--labels", "good.tif"]) == 0
    assert np.array_equal(read_labels(labels), good)
    assert (read_table(table)["source"] == "human").sum() == 1


def test_a_refused_command_leaves_no_empty_folder(here, metaphase):
    write_labels("empty.tif", np.zeros_like(metaphase.labels))
    arguments = ["image.png", "-o", "new/folder", "--model", "model.safetensors"]
    assert main(["classify", *arguments, "--labels", "empty.tif"]) == 2
    assert main(["segment", "image.png", "-o", "new/folder", "--smallest", "-1"]) == 2
    assert not (here / "new").exists()


def test_a_folder_instead_of_an_image(here, refused):
    (here / "slides").mkdir()
    for command in (classify(image="slides"), ["segment", "slides", "-o", "out"]):
        assert "slides is a folder: use 'chromocluster batch'" in refused(*command)


def test_usage_errors_name_the_help_of_their_command(refused):
    assert refused(*classify("--nonsense")).endswith("See 'chromocluster classify --help'.")
    assert refused("nonsense").endswith("See 'chromocluster --help'.")


def test_as_a_module_it_gives_the_same_status(tmp_path):
    command = [sys.executable, "-m", "napari_chromocluster", "classify", "nope.png", "-o", "out"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("chromocluster: nope.png does not exist")


def test_a_mask_in_place_of_labels_is_told(here, metaphase, capfd):
    write_labels("mask.tif", (metaphase.labels > 0).astype(np.uint8) * 255)
    assert main(classify("--labels", "mask.tif")) == 0
    assert "give each part a label of its own" in capfd.readouterr().err
    assert main(classify("--labels", "labels.tif")) == 0
    assert not capfd.readouterr().err


def test_a_name_that_the_console_cannot_show_is_no_failure(tmp_path, metaphase):
    Image.fromarray(metaphase.image).save(tmp_path / "染色体.png")
    command = [sys.executable, "-m", "napari_chromocluster", "segment", "染色体.png", "-o", "out"]
    console = {**os.environ, "PYTHONIOENCODING": "cp1252"}
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, env=console)
    assert done.returncode == 0
    assert b"u67d3" in done.stdout
    assert (tmp_path / "out" / "染色体_labels.tif").is_file()
