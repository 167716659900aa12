"""Results of a blind reading of labels that a model contradicts."""

from __future__ import annotations

import numpy as np
import pandas as pd

from dapi_read_by_eye import FILE, Readings
from napari_chromocluster.cluster_types import TYPES, UNRESOLVED


def test_readings_are_types_of_distinct_regions():
    table = pd.read_csv(FILE, dtype=str)
    assert not table.duplicated(["image", "label"]).any()
    assert set(table["cluster_type"]) <= {*map(str, TYPES), UNRESOLVED}


def test_readings_tell_who_is_right_where_model_and_label_differ():
    found = Readings(
        label=np.array(["single"] * 16 + ["touching", "single", "overlapping", "single"]),
        answer=np.array(["single"] * 16 + ["single", "touching", "touching", "touching"]),
        reading=np.array([""] * 16 + ["touching", "touching", UNRESOLVED, "touching"]),
        confidence=np.array([0.99] * 19 + [0.4]),
    )
    counts = found.counts()
    differ = counts.loc["they differ"]
    assert differ.loc["sure"].to_dict() == {
        "as the label": 1,
        "as the model": 1,
        "doubtful": 1,
        "not read": 0,
    }
    assert differ.loc["among the 5 % least sure", "as the model"] == 1
    assert counts.loc["model and label agree"].loc["sure", "not read"] == 16
    by_label, as_read, alike = found.selective().values()
    assert by_label == 16 / 19
    assert as_read == 17 / 19  # the doubtful one counts as labeled
    assert (
        alike == 16 / 17
    )  # of what was read only one label is confirmed, and there the model is wrong
