import numpy as np
import pytest
import tifffile
import torch

from napari_chromocluster.cluster_types import CLUSTERS, TYPES, UNTYPED_CLUSTER
from napari_chromocluster.imaging.crops import CropSpec, render_crop
from napari_chromocluster.imaging.io import write_labels
from napari_chromocluster.imaging.normalization import to_grayscale
from napari_chromocluster.imaging.synthetic_metaphase import synthetic_metaphase
from napari_chromocluster.results.annotated_crops import load_annotated_crops, read_sources
from napari_chromocluster.results.annotations import AnnotationError
from napari_chromocluster.training.config import AUGMENTATIONS, preset
from napari_chromocluster.training.data.augmentation import augment, vary_pixels
from napari_chromocluster.training.data.composed_clusters import compose_set
from napari_chromocluster.training.data.region_set import (
    RegionSet,
    allowed_types,
    pack,
    single_chromosomes,
)
from napari_chromocluster.training.data.sampling import DrawPlan, TrainingBatches, make_inputs
from napari_chromocluster.training.fit.lightning_module import macro_sensitivity, partial_label_loss

CONFIG = preset("quick").replace(batch_size=16)


@pytest.fixture(scope="module")
def regions(cut):
    return pack(cut.crops, cut.names, cut.groups, 64)


@pytest.fixture(scope="module")
def composed(cut):
    singles = single_chromosomes(cut.crops, cut.names, cut.groups)
    return compose_set(singles, 30, 64, 0, list(CLUSTERS))


def test_inputs_are_those_of_the_classifier(cut, regions):
    rows = np.arange(6)
    inputs = make_inputs(regions, rows, 64, "signal_mask_scale")
    expected = np.stack([render_crop(cut.crops[row], CropSpec(64)) for row in rows])
    assert np.abs(inputs.numpy() - expected).max() < 0.02


def test_untyped_clusters_allow_the_cluster_types():
    assert list(allowed_types(UNTYPED_CLUSTER)) == [False, True, True, True, False]
    assert list(allowed_types("single")) == [True, False, False, False, False]


def test_draws_are_balanced_as_asked(regions, composed):
    joined = RegionSet.concatenated([regions, composed])
    plan = DrawPlan(joined, len(regions), CONFIG)
    rows = plan.draw(20000, np.random.default_rng(0))
    share = joined.allowed[rows].mean(axis=0)
    for place, kind in enumerate(TYPES):
        assert share[place] == pytest.approx(plan.prior(joined)[str(kind)], abs=0.02)
    clusters = joined.allowed[:, 1:4].any(axis=1)
    drawn = rows[clusters[rows]]
    assert (drawn >= len(regions)).mean() == pytest.approx(CONFIG.composed_share, abs=0.05)


def regions_of(*names):
    blank = np.zeros((len(names), 8, 8), np.uint8)
    allowed = np.array([allowed_types(name) for name in names])
    size = np.zeros(len(names), np.float32)
    return RegionSet(blank, blank, size, allowed, np.array(["g"] * len(names)))


@pytest.mark.parametrize("several", ["cluster", "touching|overlapping"])
def test_regions_of_several_possible_types_are_drawn(several):
    # Shares of the data: each as often as any other.
    some = regions_of("single", "touching", several, several)
    plan = DrawPlan(some, 4, CONFIG.replace(type_shares={}))
    assert plan.weights == pytest.approx([0.25] * 4)
    assert sum(plan.prior(some).values()) == pytest.approx(1)
    # Next to typed clusters they get a quarter of the cluster draws.
    clusters = sum(CONFIG.type_shares[str(kind)] for kind in CLUSTERS)
    plan = DrawPlan(regions_of("single", *CLUSTERS, several, several, "other"), 7, CONFIG)
    assert plan.weights[4:6] == pytest.approx([clusters / 8] * 2)


@pytest.mark.parametrize("name", ["paper", "default"])
@pytest.mark.parametrize("several", ["cluster", "touching|overlapping"])
def test_without_typed_clusters_those_of_several_possible_types_stand_for_them(name, several):
    config = preset(name)
    some = regions_of("single", "single", several, several)
    plan = DrawPlan(some, 4, config)
    shares = config.type_shares
    clusters = sum(shares[str(kind)] for kind in CLUSTERS)
    assert plan.weights[2:].sum() == pytest.approx(clusters / (clusters + shares["single"]))
    prior = plan.prior(some)
    assert sum(prior.values()) == pytest.approx(1)
    allowed = [str(kind) for kind in TYPES if allowed_types(several)[TYPES.index(kind)]]
    for one in allowed:
        assert prior[one] == pytest.approx(plan.weights[2:].sum() / len(allowed))


def test_each_row_knows_its_annotation_file(annotated):
    table = read_sources([annotated, annotated])
    assert list(np.unique(table["source"], return_counts=True)[1]) == [len(table) // 2] * 2


def test_batches_hang_on_seed_epoch_and_number_only(regions):
    plan = DrawPlan(regions, len(regions), CONFIG)
    first = TrainingBatches(regions, plan, CONFIG, CONFIG.stages[0], 0)
    again = TrainingBatches(regions, plan, CONFIG, CONFIG.stages[0], 0)
    assert torch.equal(first[1][0], again[1][0])
    again.epoch = 1
    assert not torch.equal(first[1][0], again[1][0])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device here")
@pytest.mark.parametrize("kind", AUGMENTATIONS)
def test_batches_made_on_cuda_look_like_those_made_on_the_cpu(regions, kind):
    config = CONFIG.replace(augment=kind, batch_size=400)
    plan = DrawPlan(regions, len(regions), config)
    there, again, here = (
        TrainingBatches(regions, plan, config, config.stages[0], 0, where)[0]
        for where in ("cuda", "cuda", "cpu")
    )
    assert there[0].device.type == "cuda"
    assert torch.equal(there[0], again[0])
    # The same regions are drawn, but varied by other random numbers.
    assert torch.equal(there[1], here[1])
    for mine, theirs in zip(there[0].cpu().unbind(1), here[0].unbind(1), strict=True):
        assert float(mine.mean()) == pytest.approx(float(theirs.mean()), rel=0.05, abs=0.02)
        assert float(mine.std()) == pytest.approx(float(theirs.std()), rel=0.05)


@pytest.mark.parametrize("kind", AUGMENTATIONS)
def test_augmentation_keeps_range_and_shape(regions, kind):
    signal = torch.from_numpy(regions.signal[:8]).float() / 255
    mask = torch.from_numpy(regions.mask[:8]).float() / 255
    generator = torch.Generator().manual_seed(0)
    out = augment(signal, mask, torch.zeros(8), 48, kind, generator)
    assert out[0].shape == out[1].shape == (8, 48, 48)
    assert float(out[0].min()) >= 0
    assert float(out[0].max()) <= 1
    assert float(out[1].mean()) == pytest.approx(float(mask.mean()), rel=0.5)


def test_augmentation_draws_a_few_outlines_much_wider_than_the_chromosome():
    y, x = np.mgrid[:64, :64] - 31.5
    disc = torch.from_numpy((np.hypot(y, x) < 8).astype(np.float32)).expand(400, 64, 64)
    generator = torch.Generator().manual_seed(0)
    signal, mask, _ = augment(disc, disc, torch.zeros(400), 64, "full", generator)
    # The chromosome grows and shrinks as well, so the distance of its outline is compared.
    wider = mask.sum(dim=(1, 2)).sqrt() / (signal > 0.1).sum(dim=(1, 2)).sqrt()
    assert 0.05 < float((wider > 1.25).float().mean()) < 0.25


def test_loss_sums_over_what_is_allowed():
    logits = torch.log(torch.tensor([[0.5, 0.2, 0.2, 0.05, 0.05]]))
    one = partial_label_loss(logits, torch.tensor([[1.0, 0, 0, 0, 0]]), 0.0)
    three = partial_label_loss(logits, torch.tensor([[0.0, 1, 1, 1, 0]]), 0.0)
    assert float(one) == pytest.approx(-np.log(0.5), abs=1e-5)
    assert float(three) == pytest.approx(-np.log(0.45), abs=1e-5)


def test_macro_sensitivity_counts_each_type_once():
    true = torch.tensor([0, 0, 0, 0, 1])
    assert macro_sensitivity(torch.zeros(5, dtype=torch.long), true) == pytest.approx(0.5)


def test_sharpness_of_a_mask_varies_with_that_of_its_pixels(regions):
    soft = torch.nn.functional.avg_pool2d(
        torch.from_numpy(regions.mask).float()[:, None] / 255, 5, 1, 2
    )[:, 0].repeat(40, 1, 1)[:400]
    signal = soft * torch.rand(soft.shape, generator=torch.Generator().manual_seed(1))
    moved, mask = vary_pixels(signal, soft, torch.Generator().manual_seed(0))
    assert mask.shape == moved.shape == soft.shape
    assert min(mask.min(), moved.min()) >= 0
    assert max(mask.max(), moved.max()) <= 1
    sharp = ((mask == 0) | (mask == 1)).all(dim=(1, 2))
    has_default_contrast = (mask == soft).all(dim=(1, 2))
    coarse = (moved != signal).any(dim=(1, 2))
    assert sharp.float().mean() == pytest.approx(0.4, abs=0.08)
    assert has_default_contrast.float().mean() == pytest.approx(0.25, abs=0.08)
    assert coarse.float().mean() == pytest.approx(0.15, abs=0.06)
    # With any edge, a mask keeps its size, apart from the steps of coarse pixels.
    area = (mask.sum(dim=(1, 2)) / soft.sum(dim=(1, 2)))[~coarse]
    assert area.min() > 0.8
    assert area.max() < 1.25


@pytest.mark.parametrize("stain", ["giemsa", "dapi"])
@pytest.mark.parametrize("bits", [8, 16])
def test_a_picture_in_the_place_of_labels_is_told_at_once(stain, bits, tmp_path):
    made = synthetic_metaphase(seed=3, stain=stain)
    gray = to_grayscale(made.image)
    top = (1 << bits) - 1
    gray = np.rint((gray - gray.min()) / np.ptp(gray) * top).astype(f"uint{bits}")
    tifffile.imwrite(tmp_path / "m.tif", gray)
    write_labels(tmp_path / "m_labels.tif", made.labels)
    (tmp_path / "a.csv").write_text(
        "image,labels,label,cluster_type\nm_labels.tif,m.tif,1,single\n"
    )
    with pytest.raises(AnnotationError, match=r"m\.tif looks like a picture, .* swapped\?"):
        load_annotated_crops(read_sources([tmp_path / "a.csv"]))
