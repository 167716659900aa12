"""Regions of plain thresholds, annotated by their boxes."""

import numpy as np
from skimage.filters import threshold_otsu

from plain_annotations import ANNOTATED, named_regions, threshold_plainly

BRIDGE = 150


def picture() -> np.ndarray:
    """Two dark bars with a gray bridge, and one separate bar, on a noisy background."""
    rng = np.random.default_rng(0)
    image = rng.normal(230, 8, (60, 60))
    for y, x in ((10, 5), (10, 29), (40, 5)):
        image[y : y + 8, x : x + 20] = rng.normal(70, 8, (8, 20))
    image = np.clip(image, 0, 255).astype(np.uint8)
    image[12:16, 25:29] = BRIDGE
    return image


BOXES = np.array([[5, 10, 25, 18], [29, 10, 49, 18], [5, 40, 25, 48]], np.int64)


def test_a_looser_threshold_bridges_what_a_tight_one_parts():
    level = BRIDGE - int(threshold_otsu(picture()))
    found = threshold_plainly(picture(), (level - 1, level))
    assert found[level - 1].max() == 3
    assert found[level].max() == 2
    assert found[level][14, 10] == found[level][14, 40] != 0


def test_color_is_read_as_gray():
    image = np.repeat(picture()[..., None], 3, axis=2)
    plain, color = (threshold_plainly(one, (ANNOTATED,))[ANNOTATED] for one in (picture(), image))
    np.testing.assert_array_equal(plain, color)


def joined() -> np.ndarray:
    labels = np.zeros((60, 60), np.int32)
    labels[10:18, 5:49] = 1
    labels[40:48, 5:25] = 2
    labels[55:57, 55:57] = 3
    return labels


def test_specks_have_no_name_and_boxes_that_lie_apart_touch():
    assert named_regions(joined(), set(), BOXES, doubtful=False) == [
        (1, "touching", 2),
        (2, "single", 1),
    ]


def test_what_falls_apart_touches_and_what_is_doubtful_is_kept_on_demand():
    crossed = BOXES.copy()
    crossed[:2] = [[5, 10, 40, 18], [14, 10, 49, 18]]
    assert (1, "touching", 2) in named_regions(joined(), {1}, crossed, doubtful=False)
    assert 1 not in [label for label, *_ in named_regions(joined(), set(), crossed, False)]
    assert (1, "touching|overlapping", 2) in named_regions(joined(), set(), crossed, True)
