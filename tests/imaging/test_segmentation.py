import time
from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from napari_chromocluster.cluster_types import ClusterType
from napari_chromocluster.imaging.io import read_image
from napari_chromocluster.imaging.region_filter import SegmentationParameters, filter_regions
from napari_chromocluster.imaging.segmentation import (
    label_foreground,
    local_mean,
    segment_metaphase,
)
from napari_chromocluster.imaging.synthetic_metaphase import synthetic_metaphase
from napari_chromocluster.progress import Cancelled


def agreement(made, labels):
    """Return the share of true regions that are found, and of found regions that are true."""
    chromosomes = [k for k, kind in made.types.items() if kind is not ClusterType.OTHER]
    hit = 0
    for label in chromosomes:
        inside = labels[made.labels == label]
        counts = np.bincount(inside[inside > 0])
        hit += bool(counts.size and counts.max() > 0.6 * inside.size)
    true = np.isin(made.labels, chromosomes)
    found = np.unique(labels[true])
    return hit / len(chromosomes), (found > 0).sum() / max(labels.max(), 1)


@pytest.mark.parametrize("stain", ["giemsa", "dapi"])
@pytest.mark.parametrize("seed", [3, 4])
def test_finds_the_chromosomes_of_synthetic_metaphases(stain, seed):
    made = synthetic_metaphase(seed, stain)
    labels = segment_metaphase(made.image)
    covered, true = agreement(made, labels)
    assert covered >= 0.95
    assert true >= 0.9


def out_of_focus(made, zoom=1):
    """Blur a DAPI image, add glow, and enlarge it with noise; also returns matching labels."""
    picture = made.image.astype(float)
    glow = 0.6 * (ndimage.gaussian_filter(picture, 2.5) + ndimage.gaussian_filter(picture, 14))
    noisy = np.rint(np.clip(glow + np.random.default_rng(0).normal(0, 1.5, glow.shape), 0, 255))
    large = np.rint(ndimage.zoom(noisy, zoom, order=1)).astype(np.uint8)
    return large, np.kron(made.labels, np.ones((zoom, zoom), int))


#: Rounding differs between processors and changes the chromosomes, so one image is not enough.
SEEDS = (3, 4, 5, 6)


@pytest.mark.parametrize("zoom", [1, 2, 3])
def test_blurred_pictures_have_the_same_regions_at_any_magnification(zoom):
    figures = []
    for seed in SEEDS:
        made = synthetic_metaphase(seed, "dapi")
        image, labels = out_of_focus(made, zoom)
        figures.append(agreement(replace(made, labels=labels), segment_metaphase(image)))
    covered, true = np.mean(figures, axis=0)
    assert covered >= 0.92
    assert true >= 0.95


def test_glow_is_no_part_of_a_bright_region():
    held = []
    for seed in SEEDS:
        made = synthetic_metaphase(seed, "dapi")
        image, true = out_of_focus(made)
        kinds = made.types.items()
        chromosomes = np.isin(true, [k for k, one in kinds if one != ClusterType.OTHER])
        glow = {}
        for edge in (0.0, 0.2, 0.35):
            found = segment_metaphase(image, edge=edge) > 0
            glow[edge] = (found & ~chromosomes).sum() / (found & chromosomes).sum()
            if edge:
                held.append((found & chromosomes).sum() / chromosomes.sum())
        assert glow[0.0] > 1.2 * glow[0.2] > 1.2 * 1.5 * glow[0.35]
    assert np.mean(held) > 0.93


def test_regions_that_were_cut_apart_do_not_meet():
    image, _ = out_of_focus(synthetic_metaphase(4, "dapi"))
    labels = segment_metaphase(image)
    near = ndimage.maximum_filter(labels, size=3)
    assert not ((labels > 0) & (near > labels)).any()
    assert segment_metaphase(image, gap=0).max() < labels.max()


def test_nucleus_is_left_out(metaphase):
    labels = segment_metaphase(metaphase.image)
    nucleus = max(
        (k for k, kind in metaphase.types.items() if kind is ClusterType.OTHER),
        key=lambda k: (metaphase.labels == k).sum(),
    )
    assert (labels[metaphase.labels == nucleus] > 0).mean() < 0.1
    kept = segment_metaphase(metaphase.image, nucleus_width=0)
    assert (kept[metaphase.labels == nucleus] > 0).mean() > 0.9


def test_result_is_numbered_without_gaps_and_reproducible(metaphase):
    labels = segment_metaphase(metaphase.image)
    assert labels.dtype == np.int32
    assert set(np.unique(labels)) == set(range(labels.max() + 1))
    assert np.array_equal(labels, segment_metaphase(metaphase.image))


def test_size_limits_filter_alone(metaphase):
    foreground = label_foreground(metaphase.image)
    loose = filter_regions(foreground, SegmentationParameters())
    strict = filter_regions(foreground, SegmentationParameters(smallest_region=0.8))
    small = filter_regions(foreground, SegmentationParameters(largest_region=1.2))
    assert strict.max() < loose.max()
    assert small.max() < loose.max()


@pytest.mark.parametrize("image", [np.zeros((60, 60)), np.full((60, 60), 255, np.uint8)])
def test_image_without_contrast_has_no_regions(image):
    assert not segment_metaphase(image).any()


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"smallest_region": 3, "largest_region": 2}, "smaller than the largest"),
        ({"threshold": 0}, "greater than 0"),
        ({"gap": -1}, "gap cannot be negative"),
        ({"edge": 1.0}, "choose one below 1"),
        ({"polarity": "green"}, "'auto', 'dark' or 'bright'"),
    ],
)
def test_parameters_that_mean_nothing_are_refused(values, sentence):
    with pytest.raises(ValueError, match=sentence):
        SegmentationParameters(**values)


def drawing(shapes, size=(300, 400), width=6):
    """Draw rods ``(y0, x0, y1, x1)`` and discs ``(y, x, radius)``: 1 on 0, a little blurred."""
    y, x = np.mgrid[: size[0], : size[1]].astype(float)
    picture = np.zeros(size)
    for shape in shapes:
        if len(shape) == 3:
            inside = np.hypot(y - shape[0], x - shape[1]) <= shape[2]
        else:
            y0, x0, y1, x1 = shape
            along = ((y - y0) * (y1 - y0) + (x - x0) * (x1 - x0)) / np.hypot(y1 - y0, x1 - x0) ** 2
            along = np.clip(along, 0, 1)
            away = np.hypot(y - y0 - along * (y1 - y0), x - x0 - along * (x1 - x0))
            inside = away <= width
        picture[inside] = 1
    return ndimage.gaussian_filter(picture, 1.0)


#: Twelve chromosomes with space between them.
RODS = [(40 + 70 * row, 30 + 90 * column, 75 + 70 * row, 50 + 90 * column)
        for row in range(3) for column in range(4)]  # fmt: skip


def as_giemsa(picture):
    return 230 - 130 * picture


def as_dapi(picture):
    return 15 + 160 * picture


@pytest.mark.parametrize("stain", [as_giemsa, as_dapi])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, np.float64])
def test_either_background_and_any_dtype_gives_the_same_regions(stain, dtype):
    scale = 257 if dtype == np.uint16 else 1
    labels = segment_metaphase((stain(drawing(RODS)) * scale).astype(dtype))
    assert labels.max() == len(RODS)
    assert (labels > 0).mean() == pytest.approx((drawing(RODS) > 0.5).mean(), rel=0.35)


def test_color_and_missing_pixels():
    gray = as_giemsa(drawing(RODS))
    rgb = np.stack([gray, 0.8 * gray, 0.9 * gray], axis=-1).astype(np.uint8)
    assert segment_metaphase(rgb).max() == len(RODS)
    gray[:5, :5] = np.nan
    assert segment_metaphase(gray).max() == len(RODS)


@pytest.mark.parametrize("stain", [as_giemsa, as_dapi])
def test_uneven_light(stain):
    y, x = np.mgrid[:300, :400] / 400
    image = stain(drawing(RODS))
    image = image * (1 - 0.45 * x) if stain is as_giemsa else image + 40 * x + 20 * y
    assert segment_metaphase(image).max() == len(RODS)


def test_chromosome_that_lies_against_a_nucleus_is_kept():
    touching = (230, 300, 265, 330)
    picture = drawing([*RODS[:8], touching, (225, 250, 48)])
    foreground = as_giemsa(picture)
    labels = segment_metaphase(foreground)
    assert labels[250, 318] > 0
    assert (labels[200:250, 220:280] == 0).all()
    assert labels.max() == 9


def test_glow_between_bright_chromosomes_is_cut_and_pale_bands_of_dark_ones_are_not():
    pair = [(230, 60, 260, 60), (230, 76, 260, 76)]
    picture = drawing([*RODS[:8], *pair], width=5)
    picture[232:258, 62:75] = np.maximum(picture[232:258, 62:75], 0.4)
    assert segment_metaphase(as_dapi(picture)).max() == 10
    assert segment_metaphase(as_dapi(picture), gap=0).max() == 9
    banded = drawing(RODS, width=7)
    for y0, x0, y1, x1 in RODS:
        y, x = (y0 + y1) // 2, (x0 + x1) // 2
        banded[y - 3 : y + 3, x - 12 : x + 12] *= 0.6
    assert segment_metaphase(as_giemsa(banded)).max() == len(RODS)


def test_specks_lint_and_crumbs_are_left_out_by_shape():
    rng = np.random.default_rng(5)
    specks = [(y, x, 2) for y, x in zip(rng.integers(5, 60, 30), rng.integers(5, 390, 30),
                                        strict=True)]  # fmt: skip
    picture = np.maximum(drawing(RODS[4:]), drawing(specks))
    thread = drawing([(20, 20, 45, 140)], width=2)
    labels = segment_metaphase(as_giemsa(np.maximum(picture, thread)))
    assert labels.max() == 8
    assert not labels[:60].any()
    crumbs = np.zeros((300, 400))
    for angle in np.linspace(0, np.pi, 5, endpoint=False):
        dy, dx = 20 * np.sin(angle), 20 * np.cos(angle)
        crumbs = np.maximum(crumbs, drawing([(45 - dy, 200 - dx, 45 + dy, 200 + dx)], width=2))
    crumbs = np.maximum(crumbs, drawing([(45, 200, 7)]))
    image = as_giemsa(np.maximum(drawing(RODS[4:]), crumbs))
    assert segment_metaphase(image).max() == 8
    assert segment_metaphase(image, most_ragged=20.0, thickest_region=9.0).max() == 9


def test_filtering_alone_follows_a_slider(metaphase):
    start = time.thread_time()
    foreground = label_foreground(metaphase.image)
    whole = time.thread_time() - start
    times = []
    for smallest in (0.1, 0.2, 0.3, 0.4, 0.5):
        start = time.thread_time()
        filter_regions(foreground, SegmentationParameters(smallest_region=smallest))
        times.append(time.thread_time() - start)
    assert min(times) < whole / 5


def test_local_mean_is_that_of_a_gaussian():
    rng = np.random.default_rng(0)
    values = ndimage.gaussian_filter(rng.random((150, 203)), 8.0)
    near = local_mean(values, 20.0)
    assert near.shape == values.shape
    assert np.abs(near - ndimage.gaussian_filter(values, 20.0)).max() < 0.1 * np.ptp(values)


def test_real_metaphases_are_covered(real_data):
    import pandas as pd

    boxes = pd.read_csv(real_data / "gband_metaphases" / "boxes.csv")
    covered = total = 0
    for name, mine in list(boxes.groupby("image"))[::40]:
        labels = segment_metaphase(read_image(real_data / "gband_metaphases" / name))
        for x0, y0, x1, y1 in mine[["xmin", "ymin", "xmax", "ymax"]].to_numpy():
            middle = labels[max(y0, 0) : y1, max(x0, 0) : x1]
            total += 1
            covered += (middle > 0).mean() > 0.1
    assert covered / total > 0.97


def test_time_grows_with_the_pixels_of_a_bright_picture(real_data):
    image = read_image(real_data / "mfish" / "images" / "A0621XY_dapi.png")
    seconds = []
    for zoom in (1, 3):
        large = np.rint(ndimage.zoom(image.astype(float), zoom, order=1)).astype(np.uint8)
        began = time.perf_counter()
        assert segment_metaphase(large).max() > 30
        seconds.append(time.perf_counter() - began)
    # Nine times the pixels; a flood fill that queued pixels repeatedly took 120 times as long, or
    # all the memory.
    assert seconds[1] < 40 * seconds[0]


def test_tightened_outlines_are_narrower_and_widened_ones_wider(metaphase):
    usual = SegmentationParameters()
    areas = [
        int((segment_metaphase(metaphase.image, usual.with_tightness(factor)) > 0).sum())
        for factor in (1.5, 1.0, 0.7)
    ]
    assert areas[0] < 0.97 * areas[1]
    assert areas[1] < areas[2]
    assert usual.with_tightness(1.0) == usual
    assert usual.with_tightness(9.0).edge < 1


def test_steps_are_reported_and_the_work_ends_between_them(metaphase):
    seen = []
    label_foreground(metaphase.image, progress=lambda done, total: seen.append((done, total)))
    assert [done for done, _ in seen] == list(range(1, seen[-1][1] + 1))
    for after in range(len(seen)):
        reached = []
        with pytest.raises(Cancelled):
            label_foreground(
                metaphase.image,
                progress=lambda done, _, reached=reached: reached.append(done),
                stop=lambda after=after, reached=reached: len(reached) == after,
            )
        assert len(reached) == after
