import pytest

from napari_chromocluster.results.sources import cut_annotated, read_sources


@pytest.fixture(scope="module")
def cut(annotated):
    """The annotated regions of some synthetic metaphases, cut out."""
    return cut_annotated(read_sources([annotated]))
