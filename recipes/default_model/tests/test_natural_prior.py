"""The natural prior is computed from annotations."""

from __future__ import annotations

import pytest

from napari_chromocluster.models.model_card import NATURAL_PRIOR
from natural_prior import annotated_regions, shares


def test_the_natural_prior_is_counted_outside_the_test_groups(real_data):
    regions = annotated_regions(real_data)
    assert set(regions["stain"]) == {"gband", "dapi"}
    chromosomes = {name: share for name, share in NATURAL_PRIOR.items() if name != "other"}
    total = sum(chromosomes.values())
    counted = shares(regions)
    for name, share in chromosomes.items():
        assert share / total == pytest.approx(counted[name], abs=0.001), name
