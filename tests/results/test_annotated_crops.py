"""Ready-made crops with different backgrounds around their region."""

import numpy as np
import pytest
from PIL import Image

from napari_chromocluster.imaging.io import write_labels
from napari_chromocluster.imaging.regions import extract_regions, region_mask
from napari_chromocluster.results.annotated_crops import (
    load_annotated_crops,
    load_ready_made_crops,
    read_sources,
)
from napari_chromocluster.results.annotations import AnnotationError


@pytest.fixture(params=["metaphase", "dapi"])
def crops(request):
    """Crops of ten regions with the background of their stain, and their masks."""
    made = request.getfixturevalue(request.param)
    ground = 255 if request.param == "metaphase" else 0
    found = []
    for region in extract_regions(made.labels)[:10]:
        y0, x0, y1, x1 = region.bbox
        mask = np.pad(region_mask(made.labels, region), 3)
        pixels = np.pad(made.image[y0:y1, x0:x1], 3)
        found.append((np.where(mask, pixels, ground).astype(np.uint8), mask))
    return found


def with_ground(pixels, mask, ground):
    if ground != "transparent":
        return np.where(mask, pixels, ground).astype(np.uint8)
    shown = np.where(mask, pixels, 0)
    return np.stack([shown, shown, shown, mask * 255], axis=-1).astype(np.uint8)


@pytest.mark.parametrize("ground", [0, 255, "transparent"])
def test_what_surrounds_a_crop_does_not_matter(crops, ground):
    usual = load_ready_made_crops([pixels for pixels, _ in crops])
    others = load_ready_made_crops([with_ground(pixels, mask, ground) for pixels, mask in crops])
    for one, other in zip(usual, others, strict=True):
        np.testing.assert_array_equal(one.mask, other.mask)
        inside = one.mask
        assert np.corrcoef(one.signal[inside], other.signal[inside])[0, 1] > 0.9
        assert abs(np.median(other.signal[inside]) - np.median(one.signal[inside])) < 0.3


GOOD = "image.png,labels.tif,1,single"


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ("image.png,small.tif,1,single", r"image\.png and its labels small\.tif differ in size"),
        ("image.png,empty.tif,1,single", r"empty\.tif holds no region"),
        ("image.png,stack.tif,1,single", r"stack\.tif holds several frames"),
        ("image.png,labels.tif,99,single", r"label 99 does not occur in labels\.tif"),
        ("image.png,image.png,1,single", r"image\.png looks like a picture"),
        ("image.png,text.tif,1,single", r"text\.tif is not a label image"),
        ("text.png,labels.tif,1,single", r"text\.png is not an image"),
        ("text.png,,,single", r"text\.png is not an image"),
    ],
)
def test_what_is_wrong_with_an_annotated_file_names_the_line(tmp_path, metaphase, wrong, words):
    gray = np.asarray(Image.fromarray(metaphase.image).convert("L"))
    Image.fromarray(gray).save(tmp_path / "image.png")
    labels = metaphase.labels
    for name, array in {
        "labels": labels,
        "small": labels[:-5],
        "empty": np.zeros_like(labels),
        "stack": np.stack([labels, labels]),
    }.items():
        write_labels(tmp_path / f"{name}.tif", array)
    for name in ("text.tif", "text.png"):
        (tmp_path / name).write_text("no picture")
    lines = ["image,labels,label,cluster_type", GOOD, "", wrong]
    (tmp_path / "annotations.csv").write_text("\n".join(lines) + "\n")
    table = read_sources([tmp_path / "annotations.csv"])
    with pytest.raises(AnnotationError, match=rf"^annotations\.csv, line 4: {words}"):
        load_annotated_crops(table)
