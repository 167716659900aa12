import pytest

from napari_chromocluster.results.annotated_crops import load_annotated_crops, read_sources


@pytest.fixture(scope="module")
def cut(annotated):
    """The cropped annotated regions of some synthetic metaphases."""
    return load_annotated_crops(read_sources([annotated]))
