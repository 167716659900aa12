"""Counts and warnings about training data."""

from importlib import import_module

import pandas as pd

from napari_chromocluster.cli import main
from napari_chromocluster.cluster_types import ClusterType
from napari_chromocluster.models.model_card import ModelCard
from napari_chromocluster.models.model_file import save_model
from napari_chromocluster.models.network import build_network
from napari_chromocluster.results.annotations import read_annotations
from napari_chromocluster.training import api
from napari_chromocluster.training.config import preset
from napari_chromocluster.training.data.summary import CHECK, LEARN, data_warnings, summarize_data

CONFIG = preset("default")


def rows(group, image=None, labels="regions", **numbers):
    kinds = [kind for kind, number in numbers.items() for _ in range(number)]
    return pd.DataFrame(
        {
            "image": image or f"{group}.png",
            "labels": labels,
            "label": range(1, len(kinds) + 1),
            "cluster_type": kinds,
            "group": group,
        }
    )


FULL = {"single": 30, "touching": 12, "overlapping": 11, "touching_overlapping": 10}


def test_counts_per_source_type_and_group(annotated):
    found = summarize_data({"file": read_annotations(annotated)}, CONFIG)
    assert sum(found.totals.values()) == sum(found.counts["file"].values()) > 50
    assert len(found.groups) == 4
    assert set(found.groups["side"]) == {LEARN, CHECK}
    assert found.problem == ""


def test_plenty_of_everything_has_no_warning():
    sources = {name: rows(name, **FULL) for name in ("a", "b", "c", "d", "e")}
    found = summarize_data(sources, CONFIG)
    assert found.warnings == ()
    assert found.totals[ClusterType.TOUCHING] == 60


def test_figures_on_what_the_start_has_learnt_from_are_warned_of(tmp_path):
    def warned(trained, **changes):
        card = ModelCard("known", input_size=32, training={"groups_trained": trained})
        save_model(tmp_path / "known.safetensors", build_network("compact"), card)
        config = CONFIG.replace(base_model=str(tmp_path / "known.safetensors"), **changes)
        return summarize_data({name: rows(name, **FULL) for name in "abcde"}, config).warnings

    assert warned([*"abcd"]) == ()
    (text,) = warned([*"abcde"])
    assert text.startswith("The model to start from was trained on all groups that are checked")
    (text,) = warned([*"ab"], validation_groups=("b", "c"))
    assert "on 1 of the 2 groups that" in text
    (text,) = warned([*"ab"], folds=5)
    assert "on 2 of the 5 groups that" in text


def test_few_none_and_all_in_one_group():
    sources = {"a": rows("a", single=20, touching=3), "b": rows("b", single=20, overlapping=12)}
    sources["c"] = rows("c", single=10, touching=1)
    text = " ".join(summarize_data(sources, CONFIG).warnings)
    assert "Only 4 touching" in text
    assert "All overlapping regions are in one group" in text
    assert "No touching-overlapping region" in text


def test_one_group_cannot_be_trained_on():
    found = summarize_data({"a": rows("a", **FULL)}, CONFIG)
    assert "at least two groups" in found.problem
    assert "nothing to learn from" in summarize_data({}, CONFIG).problem
    empty = summarize_data({"a": rows("a")}, CONFIG)
    assert "nothing to learn from" in empty.problem
    assert empty.totals[ClusterType.SINGLE] == 0


def test_one_image_on_both_sides_and_regions_annotated_twice():
    sources = {"a": rows("a", image="m.png", **FULL), "b": rows("b", image="m.png", **FULL)}
    text = " ".join(summarize_data(sources, CONFIG).warnings)
    assert "m.png belongs to two groups" in text
    assert "63 regions are annotated in two sources" in text


def test_what_is_wrong_with_the_data_is_said_in_the_console_and_on_the_command_line(
    annotated, tmp_path, monkeypatch, caplog, capfd
):
    said = data_warnings(preset("quick").replace(annotations=(str(annotated),)))
    assert said
    monkeypatch.setattr(api, "launch", lambda run, wait: None)
    api.train(annotated, preset="quick", out=tmp_path / "run")
    assert tuple(caplog.messages) == said
    command = import_module("napari_chromocluster.cli.train")
    monkeypatch.setattr(command, "_work", lambda run, resume: None)
    main(["train", str(annotated), "-o", str(tmp_path / "other"), "--preset", "quick"])
    printed = capfd.readouterr().err.splitlines()
    assert [line for line in printed if line.startswith("warning: ")] == [
        f"warning: {text}" for text in said
    ]
