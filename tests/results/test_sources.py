"""Ready-made crops, whatever was put around their region."""

import numpy as np
import pytest

from napari_chromocluster.imaging.regions import extract_regions, region_mask
from napari_chromocluster.results.sources import cut_ready_made


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
    usual = cut_ready_made([pixels for pixels, _ in crops])
    others = cut_ready_made([with_ground(pixels, mask, ground) for pixels, mask in crops])
    for one, other in zip(usual, others, strict=True):
        np.testing.assert_array_equal(one.mask, other.mask)
        inside = one.mask
        assert np.corrcoef(one.signal[inside], other.signal[inside])[0, 1] > 0.9
        assert abs(np.median(other.signal[inside]) - np.median(one.signal[inside])) < 0.3
