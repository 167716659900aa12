"""The command line: what each command writes and prints."""

import json

import numpy as np
import pandas as pd
import pytest
import tifffile
from PIL import Image

from napari_chromocluster.cli import main
from napari_chromocluster.cli.train import event_text
from napari_chromocluster.imaging.io import write_labels
from napari_chromocluster.imaging.regions import extract_regions
from napari_chromocluster.imaging.synthetic_metaphase import synthetic_metaphase
from napari_chromocluster.results.features_table import COLUMNS, set_types
from napari_chromocluster.results.summary import estimate_chromosomes
from napari_chromocluster.results.table_files import read_table, write_table

COMMANDS = ("demo", "segment", "classify", "train", "evaluate", "batch", "models")


@pytest.fixture
def image(tmp_path, metaphase):
    path = tmp_path / "metaphase.png"
    Image.fromarray(metaphase.image).save(path)
    return path


@pytest.fixture
def channels(tmp_path, metaphase, dapi):
    """A hyperstack of two channels, one bright and one dark."""
    path = tmp_path / "channels.tif"
    planes = np.stack([dapi.image, metaphase.image])
    names = {"axes": "CYX", "Labels": ["DAPI", "Giemsa"]}
    tifffile.imwrite(path, planes, imagej=True, metadata=names)
    return path


def test_the_channel_is_chosen_and_said(channels, tmp_path, dapi, metaphase, capsys):
    out = tmp_path / "out"

    def found(*options):
        assert main(["segment", str(channels), "-o", str(out), *options]) == 0
        said = capsys.readouterr().err
        return tifffile.imread(out / "channels_labels.tif") > 0, said

    regions, said = found()
    assert (regions == (dapi.labels > 0)).mean() > 0.95
    assert said.startswith("note: channels.tif has 2 channels (DAPI, Giemsa): channel 1 was read")
    for named in ("giemsa", "2"):
        regions, said = found("--channel", named, "--polarity", "dark")
        assert (regions == (metaphase.labels > 0)).mean() > 0.95
        assert said == ""
    assert main(["segment", str(channels), "-o", str(out), "--channel", "Cy3"]) == 2
    assert "no channel 'Cy3': it has 1 DAPI, 2 Giemsa." in capsys.readouterr().err
    assert main(["segment", str(channels), "-o", str(out), "--polarity", "grey"]) == 2
    assert "auto, dark, bright" in capsys.readouterr().err.replace("'", "")


def test_a_folder_of_crops(tiny_model, tmp_path, metaphase, capsys):
    folder, out = tmp_path / "cells", tmp_path / "out"
    folder.mkdir()
    for number, region in enumerate(extract_regions(metaphase.labels)[:9]):
        y0, x0, y1, x1 = region.bbox
        pixels = np.where(metaphase.labels == region.label, metaphase.image, 255)
        crop = pixels[y0:y1, x0:x1].astype(np.uint8)
        micrometres = {"resolution": (10, 10), "metadata": {"unit": "um"}}
        tifffile.imwrite(folder / f"a_{number}.tif", crop, imagej=True, **micrometres)
    (folder / "broken.png").write_text("no image")
    command = ["classify", str(folder), "--crops", "-o", str(out), "--model", str(tiny_model)]
    assert main([*command, "--json"]) == 1
    printed = json.loads(capsys.readouterr().out)
    table = pd.read_csv(printed["table"])
    assert len(table) == sum(printed["counts"].values()) == 9
    assert set(table["group"]) == {"a"}
    assert table["image"].str.endswith(".tif").all()
    with Image.open(printed["sheet"]) as sheet:
        assert min(sheet.size) > 50
        scale_bar = np.asarray(sheet.convert("RGB"))[-45:] == (0x00, 0x72, 0xB2)
        assert scale_bar.all(axis=-1).any()
    assert "broken.png is not an image" in next(iter(printed["failures"].values()))
    assert main([*command, "--labels", "l.tif"]) == 2
    assert main([part for part in command if part != "--crops"]) == 2
    assert "with --crops" in capsys.readouterr().err


def test_an_option_by_its_former_name(image, tmp_path, capsys):
    def found(*options):
        out = tmp_path / "-".join(options)
        assert main(["segment", str(image), "-o", str(out), *options]) == 0
        return tifffile.imread(out / "metaphase_labels.tif")

    new = found("--threshold-factor", "1.5")
    np.testing.assert_array_equal(new, found("--threshold", "1.5"))
    np.testing.assert_array_equal(new, found("--threshold=1.5"))
    assert (new != found()).any()
    for command in ("segment", "train", "evaluate"):
        assert main([command, "--help"]) == 0
        shown = capsys.readouterr().out.split()
        assert not {"--threshold", "--out", "--json-file"} & set(shown)


@pytest.fixture
def labels(tmp_path, metaphase):
    path = tmp_path / "regions.tif"
    write_labels(path, metaphase.labels)
    return path


@pytest.fixture
def classify(image, labels, tiny_model, tmp_path, capsys):
    """Classify the synthetic metaphase; returns the printed output."""

    def run(*options):
        out = tmp_path / "out"
        arguments = [image, "--labels", labels, "--model", tiny_model, "-o", out, *options]
        status = main(["classify", *map(str, arguments)])
        printed = capsys.readouterr()
        assert status == 0, printed.err
        return printed.out

    return run


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_each_command(command, capsys):
    assert main([command, "--help"]) == 0
    assert f"chromocluster {command}" in capsys.readouterr().out


def test_without_a_command_the_help_is_shown(capsys):
    assert main([]) == 2
    shown = capsys.readouterr().out
    assert all(command in shown for command in COMMANDS)


def test_segment_writes_labels(image, tmp_path, capsys):
    assert main(["segment", str(image), "-o", str(tmp_path / "out"), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    labels = tifffile.imread(result["labels"])
    assert labels.max() == result["regions"] > 20
    # The synthetic metaphase has one nucleus.
    assert result["left_out"]["nucleus"] == 1


def test_segment_obeys_its_options(image, tmp_path, capsys):
    found = []
    for smallest in ("0.2", "0.8"):
        assert main(["segment", str(image), "-o", str(tmp_path / "out"), "--json",
                     "--smallest", smallest]) == 0  # fmt: skip
        found.append(json.loads(capsys.readouterr().out)["regions"])
    assert found[1] < found[0]


def test_regions_that_somebody_mended_are_not_written_over(image, tmp_path, tiny_model, capsys):
    out, segment = str(tmp_path / "out"), ["segment", str(image), "-o", str(tmp_path / "out")]
    classify = ["classify", str(image), "-o", out, "--model", str(tiny_model)]
    assert main(segment) == 0
    file = tmp_path / "out" / f"{image.stem}_labels.tif"
    edited = tifffile.imread(file)
    edited[edited == 3] = 0
    tifffile.imwrite(file, edited)
    for command in (segment, classify):
        capsys.readouterr()
        assert main(command) == 2
        assert "changed or given by a user" in capsys.readouterr().err
        assert np.array_equal(tifffile.imread(file), edited)
    # They can be classified unchanged, and still count as given by a user.
    assert main([*classify, "--labels", str(file)]) == 0
    assert main(segment) == 2
    assert np.array_equal(tifffile.imread(file), edited)


def test_regions_that_were_given_are_replaced_by_given_ones_alone(
    image, tmp_path, tiny_model, capsys
):
    assert main(["segment", str(image), "-o", str(tmp_path / "first")]) == 0
    mine, out = tmp_path / "mine.tif", str(tmp_path / "out")
    labels = tifffile.imread(tmp_path / "first" / f"{image.stem}_labels.tif")
    classify = ["classify", str(image), "-o", out, "--model", str(tiny_model)]
    for left in (2, 4):
        tifffile.imwrite(mine, np.where(labels > left, labels, 0))
        assert main([*classify, "--labels", str(mine)]) == 0
    assert main(classify) == 2
    assert "--labels" in capsys.readouterr().err


def test_segment_ends_bright_regions_where_it_is_told(tmp_path, capsys):
    file = tmp_path / "bright.png"
    Image.fromarray(synthetic_metaphase(3, "dapi").image).save(file)
    stained = []
    for edge in ("0", "0.5"):
        assert main(["segment", str(file), "-o", str(tmp_path), "--edge", edge, "--json"]) == 0
        labels = tifffile.imread(json.loads(capsys.readouterr().out)["labels"])
        stained.append((labels > 0).sum())
    assert stained[1] < 0.95 * stained[0]


def test_classify_writes_labels_table_and_overlay(classify, metaphase):
    result = json.loads(classify("--json"))
    assert np.array_equal(tifffile.imread(result["labels"]), metaphase.labels)
    table = pd.read_csv(result["regions"])
    assert tuple(table.columns) == COLUMNS
    assert len(table) == len(metaphase.types) == sum(result["counts"].values())
    with Image.open(result["overlay"]) as overlay:
        assert min(overlay.size) > max(metaphase.image.shape)


def test_classify_prints_counts_and_time(classify, metaphase):
    printed = classify()
    assert "touching-overlapping" in printed
    assert " s on cpu with the model 'tiny'" in printed


def test_a_picture_unlike_those_of_the_training_is_reported(classify, unlike_model):
    assert "familiar" not in json.loads(classify("--json"))  # this model has no feature statistics
    printed = json.loads(classify("--json", "--model", str(unlike_model)))
    assert printed["familiar"] is False
    assert 0 <= printed["familiarity"] < 0.1
    assert "check every type" in classify("--model", str(unlike_model))


def test_the_number_of_chromosomes_is_told_of_the_whole(classify, metaphase, tmp_path):
    printed = json.loads(classify("--json"))["chromosomes"]
    table = read_table(tmp_path / "out" / "metaphase_regions.csv")
    assert printed == estimate_chromosomes(table) > 0
    assert f"{printed:5d}  chromosomes, estimated" in classify()
    assert "chromosomes" not in json.loads(classify("--json", "--select", "1,2"))


def test_an_impossible_number_of_chromosomes_is_warned_of(classify):
    printed = json.loads(classify("--json", "--expected", "400"))["count_warning"]
    assert "Far fewer" in printed
    assert printed in classify("--expected", "400")
    assert json.loads(classify("--json", "--expected", "0"))["count_warning"] == ""


def test_classify_only_the_selected_labels(classify, metaphase):
    chosen = sorted(metaphase.types)[3:6]
    result = json.loads(classify("--json", "--select", ", ".join(map(str, chosen))))
    assert list(pd.read_csv(result["regions"])["index"]) == chosen


def test_the_number_of_chromosomes_can_be_told(classify, tmp_path, annotated, tiny_model, capsys):
    found = {}
    for number in ("0", "46", "80"):
        classify("--expected", number)
        found[number] = read_table(tmp_path / "out" / "metaphase_regions.csv")["p_single"]
    assert not np.allclose(found["0"], found["46"], atol=1e-4)
    assert not np.allclose(found["80"], found["46"], atol=1e-4)
    figures = []
    for number in ("0", "24"):
        asked = ["evaluate", str(annotated), "--model", str(tiny_model), "--expected", number]
        assert main([*asked, "--json", str(tmp_path / "figures.json")]) == 0
        figures.append(json.loads((tmp_path / "figures.json").read_text())["ece"])
    assert figures[0] != figures[1]
    assert main(["evaluate", str(annotated), "--expected", "-3"]) == 2
    assert "--expected" in capsys.readouterr().err


def test_threshold_decides_what_is_unsure(classify, metaphase):
    assert json.loads(classify("--json", "--threshold", "0"))["unsure"] == 0
    assert json.loads(classify("--json", "--threshold", "1"))["unsure"] == len(metaphase.types)


def test_explanation_lies_over_the_regions(classify, metaphase):
    chosen = sorted(metaphase.types)[:2]
    result = json.loads(classify("--json", "--explain", "--select", ",".join(map(str, chosen))))
    heat = tifffile.imread(result["explanation"])
    assert heat.shape == metaphase.labels.shape
    assert not heat[~np.isin(metaphase.labels, chosen)].any()


def test_types_that_a_human_decided_survive(classify, metaphase):
    path = json.loads(classify("--json"))["regions"]
    decided = sorted(metaphase.types)[0]
    write_table(path, set_types(read_table(path), [decided], "touching_overlapping"))
    classify()
    row = read_table(path).set_index("index").loc[decided]
    assert (row["cluster_type"], row["source"]) == ("touching_overlapping", "human")


def test_demo_goes_the_whole_way(tmp_path, tiny_model, capsys):
    arguments = ["demo", "--no-show", "-o", str(tmp_path / "demo"), "--model", str(tiny_model)]
    assert main([*arguments, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert sum(result["counts"].values()) > 20
    assert {path.name for path in (tmp_path / "demo").iterdir()} == {
        f"synthetic_metaphase{end}"
        for end in (".png", "_labels.tif", "_regions.csv", "_overlay.png")
    }


def test_evaluate_prints_and_writes_the_contract(annotated, tiny_model, tmp_path, capsys):
    file = tmp_path / "figures.json"
    arguments = ["evaluate", str(annotated), "--model", str(tiny_model), "--json", str(file)]
    assert main([*arguments, "-o", str(tmp_path / "report")]) == 0
    figures = json.loads(file.read_text())
    names = {
        "n", "accuracy", "accuracy_interval", "macro_sensitivity", "macro_specificity",
        "micro_specificity", "per_type", "confusion_matrix", "kappa", "auroc", "ece", "per_group",
    }  # fmt: skip
    assert names <= set(figures)
    assert np.sum(figures["confusion_matrix"]) == figures["n"] > 0
    assert (tmp_path / "report" / "confusion_matrix.png").exists()
    assert "macro sensitivity" in capsys.readouterr().out


def test_models_lists_shows_and_adds(tiny_model, capsys):
    assert main(["models", "--add", str(tiny_model)]) == 0
    capsys.readouterr()
    assert main(["models", "--json"]) == 0
    listed = {one["name"]: one for one in json.loads(capsys.readouterr().out)}
    assert listed["tiny"]["kind"] == "user"
    assert listed["resnext101_32x8d_wsl"]["licence"] == "CC-BY-NC-4.0"
    assert main(["models", "tiny", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["backbone"] == "compact"


def test_a_card_is_told_in_lines(tiny_model, capsys):
    assert main(["models", "default"]) == 0
    printed = capsys.readouterr().out
    assert "network  compact, crops of 128 px" in printed
    assert "cite     Tseng" in printed
    figures = {line[:20].strip(): line.split()[-6:] for line in printed.splitlines()[-8:]}
    assert float(figures["held-out gband group"][1]) > 0.95
    assert max(map(len, printed.splitlines())) < 120
    assert main(["models", str(tiny_model)]) == 0  # without any metrics
    assert "model    tiny" in capsys.readouterr().out


def test_train_makes_a_model_that_classifies(
    annotated, tiny_model, image, labels, tmp_path, capsys
):
    run = tmp_path / "run"
    arguments = ["train", str(annotated), "--preset", "quick", "--base-model", str(tiny_model),
                 "--epochs", "1,0", "--name", "ours", "--out", str(run)]  # fmt: skip
    assert main([*arguments, "--json"]) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["state"] == "finished"
    assert "epoch 1 of 1" in printed.err
    assert (run / "events.jsonl").exists()
    out = str(tmp_path / "out")
    model = str(run / "model.safetensors")
    arguments = ["classify", str(image), "--labels", str(labels), "--model", model, "-o", out]
    assert main([*arguments, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["model"] == "ours"


def test_events_in_words():
    epoch = {"kind": "epoch", "epoch": 2, "epochs": 3, "train_loss": 0.5,
             "metrics": {"macro_sensitivity": 0.75}}  # fmt: skip
    assert event_text(epoch) == "  epoch 2 of 3: loss 0.500, validation: macro sensitivity 0.750"
    assert event_text({**epoch, "eta_s": 300.0}).endswith("sensitivity 0.750; 5 min left")
    assert event_text({"kind": "batch"}) == ""


def test_one_of_something_is_no_plural(image, tiny_model, tmp_path, capsys):
    arguments = ["batch", str(image), "-o", str(tmp_path / "out"), "--model", str(tiny_model)]
    assert main(arguments) == 0
    assert capsys.readouterr().out.startswith("1 metaphase in ")


def test_ctrl_c_is_said_in_one_line(image, tmp_path, monkeypatch, capsys):
    def stopped(*arguments, **parameters):
        raise KeyboardInterrupt

    monkeypatch.setattr("napari_chromocluster.batch.read_frame", stopped)
    assert main(["segment", str(image), "-o", str(tmp_path / "out")]) == 130
    assert capsys.readouterr().err == "chromocluster: Interrupted.\n"
