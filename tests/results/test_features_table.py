import numpy as np
import pandas as pd
import pytest

from napari_chromocluster.cluster_types import ClusterType
from napari_chromocluster.imaging.regions import extract_regions
from napari_chromocluster.results.features_table import (
    COLUMNS,
    PROBABILITIES,
    TableError,
    build_table,
    confirm_types,
    counts,
    empty_table,
    keep_regions,
    mark_changed,
    mark_stale,
    merge_tables,
    revert_to_model,
    salvage_table,
    set_types,
    unsure,
    validate_table,
)
from napari_chromocluster.results.table_files import read_table, write_table

LABELS = np.zeros((30, 40), int)
LABELS[2:6, 2:6], LABELS[10:16, 3:20], LABELS[20:28, 5:35] = 1, 5, 9
CHANCES = np.array(
    [[0.9, 0.05, 0.03, 0.01, 0.01], [0.4, 0.5, 0.05, 0.03, 0.02], [0.1, 0.1, 0.7, 0.05, 0.05]]
)


@pytest.fixture
def table():
    return build_table(extract_regions(LABELS), CHANCES, model="m")


def test_columns_and_model_rows(table):
    assert tuple(table.columns) == COLUMNS
    assert list(table["cluster_type"]) == ["single", "touching", "overlapping"]
    assert list(table["confidence"]) == [0.9, 0.5, 0.7]
    assert set(table["source"]) == {"model"}
    assert table["bbox"][1] == "10,3,16,20"
    assert not table["stale"].any()


def test_unclassified_rows():
    table = build_table(extract_regions(LABELS))
    assert set(table["cluster_type"]) == {""}
    assert table["confidence"].isna().all()


def test_a_human_row_is_never_overwritten(table):
    mine = set_types(table, [5], ClusterType.OVERLAPPING)
    fresh = build_table(extract_regions(LABELS), CHANCES[::-1], model="new")
    merged = merge_tables(mine, fresh).set_index("index")
    assert merged.loc[5, "cluster_type"] == "overlapping"
    assert merged.loc[5, "source"] == "human"
    assert merged.loc[5, "model"] == "new"
    assert merged.loc[5, "p_touching"] == 0.5
    assert merged.loc[1, "cluster_type"] == "overlapping"


def test_merging_a_part_keeps_the_rest(table):
    part = build_table(extract_regions(LABELS, [9]), CHANCES[:1], model="new")
    merged = merge_tables(table, part).set_index("index")
    assert merged.loc[9, "cluster_type"] == "single"
    assert merged.loc[1, "model"] == "m"
    assert len(merged) == 3


def test_a_new_run_does_not_make_a_stale_decision_fresh(table):
    decided = mark_stale(set_types(table, [1], "overlapping"), [1])
    merged = merge_tables(decided, table, complete=True).set_index("index")
    assert merged.loc[1, "stale"]
    assert not merged.loc[5, "stale"]


def test_regions_that_changed_while_a_model_looked_are_stale(table):
    decided = set_types(table, [9], "touching")
    now = LABELS.copy()
    now[LABELS == 5] = 0
    y, x = np.argwhere(LABELS == 1)[0]
    now[y, x] = 0
    out = mark_changed(decided, LABELS, now).set_index("index")
    assert list(out.index) == [1, 9]
    assert out.loc[1, "stale"]
    assert not out.loc[9, "stale"]


def test_labels_that_a_spreadsheet_wrote_are_read(table, tmp_path):
    file = tmp_path / "t.csv"
    table.assign(index=[f"{label}.0" for label in table["index"]]).to_csv(file, index=False)
    assert list(read_table(file)["index"]) == list(table["index"])


def test_functions_do_not_change_their_argument(table):
    before = table.copy()
    set_types(table, [1], "other")
    confirm_types(table, [1])
    mark_stale(table, [1])
    pd.testing.assert_frame_equal(table, before)


def test_undo_of_a_human_decision(table):
    changed = set_types(table, [1, 9], "touching")
    back = revert_to_model(changed, [1, 9])
    pd.testing.assert_frame_equal(back, table)


def test_accept_and_stale(table):
    stale = mark_stale(table, [5])
    assert stale.set_index("index").loc[5, "stale"]
    done = confirm_types(stale, [5]).set_index("index")
    assert (done.loc[5, "source"], done.loc[5, "confidence"]) == ("human", 1.0)
    assert not done.loc[5, "stale"]


def test_unsure_and_counts(table):
    assert list(unsure(table, 0.6)) == [False, True, False]
    assert not unsure(confirm_types(table, [5]), 0.6).any()
    assert counts(table)[ClusterType.TOUCHING] == 1
    assert sum(counts(table).values()) == 3


def test_regions_that_go_and_come(table):
    edited = LABELS.copy()
    edited[edited == 5] = 0
    edited[25:29, 36:39] = 12
    kept = keep_regions(set_types(table, [9], "other"), extract_regions(edited)).set_index("index")
    assert list(kept.index) == [1, 9, 12]
    assert kept.loc[9, "source"] == "human"
    assert kept.loc[12, "cluster_type"] == ""


def test_csv_round_trip(tmp_path, table):
    table = set_types(table, [1], "other")
    write_table(tmp_path / "t.csv", table)
    pd.testing.assert_frame_equal(read_table(tmp_path / "t.csv"), table)
    write_table(tmp_path / "e.csv", empty_table())
    assert len(read_table(tmp_path / "e.csv")) == 0


def test_csv_from_a_spreadsheet(tmp_path, table):
    frame = table.assign(note="seen")[[*reversed(COLUMNS), "note"]]
    text = frame.to_csv(index=False, sep=";", decimal=",").replace("False", "FALSE")
    (tmp_path / "t.csv").write_text("\ufeff" + text, encoding="utf-8")
    back = read_table(tmp_path / "t.csv")
    assert list(back["note"]) == ["seen"] * 3
    pd.testing.assert_frame_equal(back[list(COLUMNS)], table)


def test_types_may_be_typed_as_they_are_shown(table):
    typed = table.assign(cluster_type=["Single", "touching-overlapping", ""])
    assert list(validate_table(typed)["cluster_type"]) == ["single", "touching_overlapping", ""]


def test_what_can_be_used_of_a_broken_table(table):
    broken = pd.concat([table.assign(cluster_type=["single", "singel", "other"]), table.iloc[[0]]])
    assert list(salvage_table(broken)["cluster_type"]) == ["single", "", "other"]
    assert salvage_table(broken)["source"].iloc[1] == ""
    assert salvage_table(broken.assign(index=["a", "b", "c", "d"])).empty


def test_bad_tables_name_the_line(tmp_path, table):
    with pytest.raises(TableError, match="column 'index'"):
        validate_table(table.drop(columns="index"))
    with pytest.raises(TableError, match="Line 3: 'singel' is no cluster type"):
        validate_table(table.assign(cluster_type=["single", "singel", "other"]))
    with pytest.raises(TableError, match="Line 3: region 1 stands there twice"):
        validate_table(pd.concat([table.iloc[[0]], table.iloc[[0]]]))
    (tmp_path / "t.csv").write_text("index,cluster_type\n1,single,3\n")
    with pytest.raises(TableError, match="line 2"):
        read_table(tmp_path / "t.csv")


@pytest.mark.parametrize("encoding", ["cp1252", "utf-16"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_tables_of_any_encoding_and_delimiter(tmp_path, table, encoding, delimiter):
    named = table.assign(model="Würzburg")
    text = f"sep={delimiter}\n{named.to_csv(index=False, sep=delimiter)}"
    (tmp_path / "t.csv").write_bytes(text.encode(encoding))
    pd.testing.assert_frame_equal(read_table(tmp_path / "t.csv"), validate_table(named))


def test_labels_as_large_as_uint64(tmp_path):
    labels = np.zeros((5, 5), np.uint64)
    labels[1, 1] = np.iinfo(np.uint64).max
    table = build_table(extract_regions(labels))
    write_table(tmp_path / "t.csv", table)
    assert int(read_table(tmp_path / "t.csv")["index"][0]) == np.iinfo(np.uint64).max


def test_decimal_commas_in_quotes_and_truth_in_other_languages(tmp_path, table):
    text = table.assign(stale=["WAHR", "FALSCH", "VRAI"]).to_csv(index=False)
    rows = [line.split(",") for line in text.splitlines()]
    place = rows[0].index("area")
    for row in rows[1:]:
        row[place] = f'"{float(row[place]):.1f}"'.replace(".", ",")
    (tmp_path / "t.csv").write_text("\n".join(",".join(row) for row in rows))
    back = read_table(tmp_path / "t.csv")
    np.testing.assert_allclose(back["area"], table["area"])
    assert list(back["stale"]) == [True, False, True]


def test_source_may_be_typed_with_a_capital(table):
    typed = validate_table(table.assign(source=[" Human", "model", ""]))
    assert list(typed["source"]) == ["human", "model", ""]


def as_shown(table, number):
    """The table as a spreadsheet saves it, with numbers as displayed."""
    shown = table.copy()
    for name in ("confidence", *PROBABILITIES):
        shown[name] = [number(one) for one in table[name]]
    return shown


@pytest.mark.parametrize(
    "number",
    [
        lambda p: f"{p:.0%}",
        lambda p: f"{100 * p:.1f} %".replace(".", ","),
        lambda p: f"{100 * p:.0f}\u00a0%",
        lambda p: f"{p:.2f}".replace(".", ","),
    ],
)
def test_percent_and_decimal_commas_stay_the_models(tmp_path, table, number):
    chances = np.array([[0.504, 0.496, 0, 0, 0], [0.496, 0.504, 0, 0, 0], [0, 0, 1, 0, 0]])
    table = build_table(extract_regions(LABELS), chances, model="m")
    as_shown(table, number).to_csv(tmp_path / "t.csv", sep=";", index=False)
    back = read_table(tmp_path / "t.csv")
    assert list(back["source"]) == ["model"] * 3
    assert list(back["cluster_type"]) == list(table["cluster_type"])
    np.testing.assert_allclose(back["confidence"], table["confidence"], atol=0.006)
    # Only the type was changed.
    text = (tmp_path / "t.csv").read_text().replace(";overlapping;", ";other;", 1)
    (tmp_path / "t.csv").write_text(text)
    assert list(read_table(tmp_path / "t.csv")["source"]) == ["model", "model", "human"]


def test_percent_regions_of_the_shared_cases(shared_cases):
    table = read_table(shared_cases / "percent_regions.csv")
    assert "human" not in set(table["source"])
    assert table["confidence"].between(0, 1).all()
    assert (table["confidence"] < 1).any()


@pytest.mark.parametrize("cell", ["very likely", "86", "01. Mai", "-0.2"])
def test_probabilities_that_cannot_be_read_are_refused(tmp_path, table, cell):
    shown = table.astype({"p_touching": object})
    shown.loc[1, "p_touching"] = cell
    shown.to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(TableError, match=r"line 3: .*'p_touching' is no probability"):
        read_table(tmp_path / "t.csv")


def test_a_row_of_the_model_without_probabilities_stays_the_models(tmp_path, table):
    table[["index", "cluster_type", "source"]].to_csv(tmp_path / "t.csv", index=False)
    assert set(read_table(tmp_path / "t.csv")["source"]) == {"model"}
    # A row without a source was filled in by hand.
    table[["index", "cluster_type"]].to_csv(tmp_path / "t.csv", index=False)
    assert set(read_table(tmp_path / "t.csv")["source"]) == {"human"}


def test_a_type_changed_in_a_spreadsheet_is_a_decision_wherever_the_table_is_read(tmp_path, table):
    table.assign(cluster_type=["single", "other", "overlapping"], grade=[1.5, 2, 3]).to_csv(
        tmp_path / "t.csv", index=False
    )
    back = read_table(tmp_path / "t.csv")
    assert list(back["source"]) == ["model", "human", "model"]
    assert back["confidence"][1] == 1.0
    fresh = build_table(extract_regions(LABELS), CHANCES, model="new")
    merged = merge_tables(back, fresh, complete=True)
    assert list(merged["cluster_type"]) == ["single", "other", "overlapping"]
    assert list(merged["grade"]) == [1.5, 2.0, 3.0]
