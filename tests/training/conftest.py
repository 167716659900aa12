import pytest

from napari_chromocluster.results.annotated_crops import load_annotated_crops, read_sources


@pytest.fixture(scope="module")
def cut(annotated):
    """The annotated regions of some synthetic metaphases, cut out."""
    return load_annotated_crops(read_sources([annotated]))
