"""Sample data: a synthetic metaphase offline, a real one by download."""

from __future__ import annotations

from typing import Any

from napari_chromocluster.imaging.synthetic import synthetic_metaphase

LayerTuple = tuple[Any, dict[str, Any], str]


def synthetic_giemsa() -> list[LayerTuple]:
    """Return a synthetic Giemsa-stained metaphase."""
    return [(synthetic_metaphase(seed=0).image, {"name": "synthetic metaphase"}, "image")]


def synthetic_dapi() -> list[LayerTuple]:
    """Return a synthetic DAPI-stained metaphase."""
    made = synthetic_metaphase(seed=1, stain="dapi")
    return [(made.image, {"name": "synthetic DAPI metaphase"}, "image")]
