import copy
import dataclasses

import dask.array as da
import numpy as np
import pytest
import torch

from napari_chromocluster.cluster_types import TYPES
from napari_chromocluster.imaging.crops import cut_regions
from napari_chromocluster.imaging.regions import RegionError, drop_small_regions, extract_regions
from napari_chromocluster.imaging.synthetic_metaphase import synthetic_stack
from napari_chromocluster.models.classifier import ClusterClassifier, load_model
from napari_chromocluster.models.devices import choose_device
from napari_chromocluster.models.familiarity import fit_feature_statistics
from napari_chromocluster.models.network import ClusterEnsemble
from napari_chromocluster.models.predictions import ClassifyError
from napari_chromocluster.progress import Cancelled
from napari_chromocluster.results.features_table import COLUMNS, PROBABILITIES


def test_table_of_a_metaphase(classifier, metaphase):
    seen = []
    table = classifier.classify(
        metaphase.image, metaphase.labels, progress=lambda *p: seen.append(p)
    )
    assert tuple(table.columns) == COLUMNS
    assert list(table["index"]) == sorted(metaphase.types)
    assert np.allclose(table[list(PROBABILITIES)].sum(axis=1), 1, atol=1e-5)
    assert set(table["model"]) == {"lively"}
    assert seen[-1] == (len(table), len(table))


def test_selection_gives_the_same_rows(classifier, metaphase):
    whole = classifier.classify(metaphase.image, metaphase.labels).set_index("index")
    some = classifier.classify(metaphase.image, metaphase.labels, select=[3, 7])
    one = classifier.classify(metaphase.image, metaphase.labels, select=7)
    assert list(some["index"]) == [3, 7]
    assert np.allclose(some["p_single"], whole.loc[[3, 7], "p_single"], atol=1e-5)
    assert list(one["index"]) == [7]


def test_the_number_of_chromosomes_weighs_on_all_regions(classifier, metaphase):
    regions = extract_regions(metaphase.labels)
    alone, few, many = (
        classifier.classify(metaphase.image, metaphase.labels, expected=number)
        for number in (None, 40, 70)
    )
    crops = list(cut_regions(metaphase.image, metaphase.labels, regions))
    assert np.allclose(alone[list(PROBABILITIES)], classifier.predict_regions(crops), atol=1e-5)
    clusters = [f"p_{kind}" for kind in TYPES if kind.is_cluster]
    likely = [table[clusters].to_numpy().sum() for table in (few, many)]
    assert likely[0] + 1 < likely[1]


def test_what_lies_beside_a_selection_is_looked_at_once(classifier, metaphase):
    seen = []
    classifier.network.body.register_forward_hook(lambda _, given, __: seen.append(len(given[0])))
    number = len(drop_small_regions(extract_regions(metaphase.labels)))
    classifier.classify(metaphase.image, metaphase.labels, select=7, tta=1)
    assert sum(seen) == number
    classifier.classify(metaphase.image, metaphase.labels, select=[3, 7], tta=1)
    assert sum(seen) == number + 2
    classifier.classify(metaphase.image, metaphase.labels, select=[3, 7], tta=1, expected=None)
    assert sum(seen) == number + 4
    # Different regions or another prior are not cached.
    changed = metaphase.labels.copy()
    changed[changed == 9] = 0
    classifier.classify(metaphase.image, changed, select=7, tta=1)
    classifier.classify(metaphase.image, metaphase.labels, 7, tta=1, prior={"touching": 0.4})
    assert sum(seen) > 2 * number
    seen.clear()
    classifier.card = dataclasses.replace(classifier.card, temperature=2.0)
    classifier.classify(metaphase.image, metaphase.labels, select=7, tta=1)
    assert sum(seen) == number


def test_stack_and_dask(classifier):
    images, labels = synthetic_stack([1, 2])
    table = classifier.classify(images, labels)
    assert set(table["frame"]) == {0, 1}
    lazy = classifier.classify(
        da.from_array(images, chunks=(1, -1, -1)), da.from_array(labels, chunks=(1, -1, -1))
    )
    assert np.allclose(lazy["p_single"], table["p_single"], atol=1e-5)


def test_colour_and_dtype_do_not_matter(classifier, metaphase):
    plain = classifier.classify(metaphase.image, metaphase.labels)
    color = np.stack([metaphase.image] * 3, axis=-1).astype(np.uint16) * 250
    assert np.allclose(
        classifier.classify(color, metaphase.labels)["p_single"], plain["p_single"], atol=0.02
    )


def test_cancel(classifier, metaphase):
    with pytest.raises(Cancelled):
        classifier.classify(metaphase.image, metaphase.labels, stop=lambda: True)


def test_bad_input_in_one_sentence(classifier, metaphase):
    with pytest.raises(ClassifyError, match="differ in shape"):
        classifier.classify(metaphase.image[:-5], metaphase.labels)
    with pytest.raises(RegionError, match="hold no region"):
        classifier.classify(metaphase.image, np.zeros_like(metaphase.labels))
    with pytest.raises(RegionError, match="No region is selected"):
        classifier.classify(metaphase.image, metaphase.labels, select=[])


def test_tiny_regions_borders_and_black_images(classifier):
    labels = np.zeros((60, 60), int)
    labels[0, 0], labels[59, 30:], labels[20:40, 20:30] = 1, 2, 3
    for image in (np.zeros((60, 60), np.uint8), np.random.default_rng(0).random((60, 60))):
        table = classifier.classify(image, labels)
        assert np.isfinite(table["confidence"]).all()


def test_prior_moves_the_probabilities(classifier, metaphase):
    prior = dict.fromkeys(classifier.card.classes, 0.2)
    card = dataclasses.replace(classifier.card, training_prior=prior)
    balanced = ClusterClassifier(classifier.network, card)
    rare = balanced.classify(metaphase.image, metaphase.labels, prior={"single": 0.99})
    usual = balanced.classify(metaphase.image, metaphase.labels, prior={"single": 0.2})
    assert rare["p_single"].mean() > usual["p_single"].mean()


def test_out_of_memory_halves_the_batch(classifier, metaphase, monkeypatch):
    sizes = []
    forward = type(classifier)._forward

    def forgetful(self, part, copies):
        sizes.append(len(part))
        if len(part) > 4:
            raise torch.cuda.OutOfMemoryError
        return forward(self, part, copies)

    monkeypatch.setattr(type(classifier), "_forward", forgetful)
    table = classifier.classify(metaphase.image, metaphase.labels)
    assert table["confidence"].notna().all()
    assert sizes[:3] == [16, 8, 4]


def test_devices():
    assert choose_device("cpu").type == "cpu"
    with pytest.raises(ClassifyError, match="no device 'quantum'"):
        choose_device("quantum")
    with pytest.raises(ClassifyError, match="no device 'cuda:77'"):
        choose_device("cuda:77")
    assert choose_device("auto").type in ("cpu", "cuda", "mps")


def test_the_halved_batch_stays_and_one_region_too_many_is_told(classifier, monkeypatch):
    crops = np.zeros((20, 3, 48, 48), np.float32)
    expected = classifier.logits(crops)
    forward = ClusterClassifier._forward
    limit = [3]

    def small(self, part, copies):
        if len(part) > limit[0]:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried 9 bytes")
        return forward(self, part, copies)

    monkeypatch.setattr(ClusterClassifier, "_forward", small)
    assert np.allclose(classifier.logits(crops), expected, atol=1e-5)
    assert classifier.batch_size == 2
    limit[0] = 0
    with pytest.raises(ClassifyError, match="too little memory on cpu for one region"):
        classifier.logits(crops)


def test_other_errors_of_the_network_are_not_swallowed(classifier, monkeypatch):
    def broken(self, part, copies):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    monkeypatch.setattr(ClusterClassifier, "_forward", broken)
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        classifier.logits(np.zeros((2, 3, 48, 48), np.float32))


def test_eight_copies_make_turning_and_mirroring_irrelevant(classifier):
    crops = np.random.default_rng(0).random((3, 3, 48, 48), np.float32)
    plain = classifier.predict_crops(crops, tta=8)
    for turned in (np.rot90(crops, 1, (2, 3)), crops[..., ::-1], crops.swapaxes(2, 3)):
        assert np.allclose(classifier.predict_crops(turned, tta=8), plain, atol=1e-4)
    one = classifier.predict_crops(crops, tta=1)
    assert np.abs(one - classifier.predict_crops(np.rot90(crops, 1, (2, 3)), tta=1)).max() > 1e-4


def test_only_regions_that_are_unsure_at_first_sight_are_turned(classifier):
    crops = np.random.default_rng(0).random((40, 3, 48, 48), np.float32)
    one, eight = (classifier.predict_crops(crops, tta=views) for views in (1, 8))
    threshold = float(np.median(one.max(axis=1)))
    sure = one.max(axis=1) >= threshold
    seen = []
    classifier.network.body.register_forward_hook(lambda _, given, __: seen.append(len(given[0])))
    card = dataclasses.replace(classifier.card, tta=8, view_threshold=threshold)
    classifier.card = card
    staged = classifier.predict_crops(crops)
    np.testing.assert_allclose(staged[sure], one[sure], atol=1e-5)
    np.testing.assert_allclose(staged[~sure], eight[~sure], atol=1e-5)
    assert sum(seen) == len(crops) + 7 * int((~sure).sum())
    # The batch size does not matter, and the number of views can still be set.
    classifier.batch_size = 3
    np.testing.assert_allclose(classifier.predict_crops(crops), staged, atol=1e-5)
    np.testing.assert_allclose(classifier.predict_crops(crops, tta=8), eight, atol=1e-5)


def test_a_metaphase_unlike_those_of_the_training_lowers_the_confidence(classifier, metaphase):
    plain = classifier.classify(metaphase.image, metaphase.labels)
    assert plain.attrs["familiarity"] == {0: None}  # this model has no feature statistics
    crops = list(cut_regions(metaphase.image, metaphase.labels, extract_regions(metaphase.labels)))
    inputs = torch.from_numpy(classifier.render(crops))
    with torch.inference_mode():
        logits, features = (one.numpy() for one in classifier.network.logits_and_features(inputs))
    known = fit_feature_statistics(features, logits, usual=1.5)
    other = fit_feature_statistics(features + 3 * features.std(), logits, usual=1.5)
    card = classifier.card
    for statistics, familiar in ((known, True), (other, False)):
        classifier.card = dataclasses.replace(card, feature_statistics=statistics.to_dict())
        table = classifier.classify(metaphase.image, metaphase.labels)
        assert (table.attrs["familiarity"][0] == 1.0) == familiar
        assert (table["confidence"].mean() < plain["confidence"].mean() - 0.05) != familiar
        # The familiarity of the metaphase does not depend on the selection.
        some = classifier.classify(metaphase.image, metaphase.labels, select=[3, 7])
        assert some.attrs["familiarity"][0] == pytest.approx(table.attrs["familiarity"][0])


def test_temperature_of_the_card(classifier):
    crops = np.random.default_rng(0).random((6, 3, 48, 48), np.float32)
    sure = classifier.predict_crops(crops).max(axis=1)
    classifier.card = dataclasses.replace(classifier.card, temperature=20.0)
    assert (classifier.predict_crops(crops).max(axis=1) < sure).all()


@pytest.mark.parametrize("prior", [{"circle": 0.5}, {"single": -1}, {"single": float("nan")}])
def test_a_prior_that_makes_no_sense(classifier, metaphase, prior):
    with pytest.raises(ClassifyError, match=next(iter(prior))):
        classifier.classify(metaphase.image, metaphase.labels, prior=prior)


def test_a_stack_is_its_frames_and_progress_counts_all(classifier):
    images, labels = synthetic_stack([1, 2])
    seen = []
    table = classifier.classify(images, labels, progress=lambda *p: seen.append(p))
    done = [one for one, _ in seen]
    assert done == sorted(done)
    assert seen[-1] == (len(table), len(table))
    assert {total for _, total in seen} == {len(table)}
    second = classifier.classify(images[1], labels[1])
    part = table[table["frame"] == 1]
    assert list(part["index"]) == list(second["index"])
    assert np.allclose(part["p_single"], second["p_single"], atol=1e-5)


def test_only_the_frames_needed_are_read(classifier):
    images, labels = synthetic_stack([1, 2])
    labels = labels.copy()
    labels[1][labels[1] > 0] += 1000
    read = []

    def frame(block_info=None):
        place = block_info[None]["chunk-location"][0]
        read.append(place)
        return images[place : place + 1]

    lazy = da.map_blocks(
        frame, chunks=((1, 1), images.shape[1:2], images.shape[2:]), dtype=images.dtype
    )
    chosen = int(labels[1].max())
    table = classifier.classify(lazy, labels, select=chosen)
    assert list(table["frame"]) == [1]
    assert set(read) == {1}


def test_stopping_between_frames(classifier):
    images, labels = synthetic_stack([1, 2])
    seen = []
    first = len(np.unique(labels[0])) - 1
    with pytest.raises(Cancelled):
        classifier.classify(
            images,
            labels,
            progress=lambda done, total: seen.append(done),
            stop=lambda: bool(seen) and seen[-1] >= first,
        )
    assert seen[-1] == first


def test_labels_with_gaps_up_to_uint64(classifier, metaphase):
    plain = classifier.classify(metaphase.image, metaphase.labels)
    large = metaphase.labels.astype(np.uint64)
    large[large == 1] = np.uint64(2**64 - 1)
    table = classifier.classify(metaphase.image, large)
    assert int(table["index"].max()) == 2**64 - 1
    moved = table.set_index("index").loc[2**64 - 1, "p_single"]
    assert moved == pytest.approx(plain.set_index("index").loc[1, "p_single"], abs=1e-5)


def test_nan_and_color_with_alpha(classifier, metaphase):
    image = metaphase.image.astype(np.float64)
    image[0, :5] = np.nan
    rgba = np.stack([image] * 4, axis=-1)
    plain = classifier.classify(metaphase.image, metaphase.labels)
    for form in (image, rgba):
        table = classifier.classify(form, metaphase.labels)
        assert np.allclose(table["p_single"], plain["p_single"], atol=0.02)


@pytest.mark.parametrize("shape", [(5,), (2, 3, 4, 5, 3), (20, 30, 2)])
def test_images_of_no_use(classifier, shape):
    with pytest.raises(ClassifyError, match="differ in shape"):
        classifier.classify(np.zeros(shape), np.ones((20, 30), int))


def test_labels_that_are_an_image(classifier, metaphase):
    with pytest.raises(RegionError, match="whole numbers"):
        classifier.classify(metaphase.image, metaphase.labels.astype(float))
    with pytest.raises(RegionError, match="Label 9999 does not occur"):
        classifier.classify(metaphase.image, metaphase.labels, select=[1, 9999])


def test_ready_made_crops(classifier, metaphase):
    crops = []
    for label in (1, 2, 3):
        ys, xs = np.nonzero(metaphase.labels == label)
        box = np.s_[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1]
        mask = np.pad(metaphase.labels[box] == label, 4)
        crops.append(np.where(mask, np.pad(metaphase.image[box], 4), 255).astype(np.uint8))
    found = classifier.classify_crops(crops)
    assert found.shape == (3, 5)
    assert np.allclose(found.sum(axis=1), 1, atol=1e-5)
    assert np.allclose(classifier.classify_crops(crops[::-1])[::-1], found, atol=1e-5)
    assert classifier.classify_crops([]).shape == (0, 5)


def test_many_regions_are_rendered_in_parts(classifier, metaphase, monkeypatch):
    whole = classifier.classify(metaphase.image, metaphase.labels)
    monkeypatch.setattr("napari_chromocluster.models.classifier._RENDERED", 7)
    seen = []
    parts = classifier.classify(
        metaphase.image, metaphase.labels, progress=lambda *p: seen.append(p)
    )
    assert np.allclose(parts["p_single"], whole["p_single"], atol=1e-5)
    assert [done for done, _ in seen] == [*range(7, len(whole), 7), len(whole)]


def test_explaining_through_the_classifier(classifier, metaphase):
    heat = classifier.explain(metaphase.image, metaphase.labels, 3)
    assert set(np.unique(metaphase.labels[heat > 0])) == {3}


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device here")
def test_half_precision_on_cuda_agrees(lively_model, classifier, metaphase):
    fast = load_model(lively_model, "cuda").classify(metaphase.image, metaphase.labels)
    plain = classifier.classify(metaphase.image, metaphase.labels)
    assert np.allclose(fast["p_single"], plain["p_single"], atol=0.02)


def test_the_model_of_these_tests_tells_regions_apart(classifier, metaphase):
    table = classifier.classify(metaphase.image, metaphase.labels)
    assert table["p_single"].std() > 0.05
    assert table["cluster_type"].nunique() > 2


@pytest.fixture
def two(classifier):
    """An ensemble of the model of these tests and one whose outputs are shifted by one type."""
    other = copy.deepcopy(classifier.network)
    last = other.head[-1]
    last.weight.data, last.bias.data = (torch.roll(one.data, 1, 0) for one in last.parameters())
    card = dataclasses.replace(classifier.card, tta=8)
    return ClusterClassifier(ClusterEnsemble([classifier.network, other]), card, "cpu")


def test_networks_take_turns_at_the_copies(two, metaphase):
    regions = extract_regions(metaphase.labels)[:6]
    crops = two.render(list(cut_regions(metaphase.image, metaphase.labels, regions)))
    alone = [ClusterClassifier(one, two.card, "cpu").logits(crops) for one in two.network.members]
    assert not np.allclose(alone[0], alone[1])
    for number, logits in enumerate(two.logits(crops)):
        np.testing.assert_allclose(logits, alone[number % 2][number], atol=1e-4)
    # A single view uses only the first network.
    np.testing.assert_allclose(two.logits(crops, tta=1), alone[0][:1], atol=1e-4)


def test_networks_that_contradict_each_other_are_unsure(two, classifier, metaphase):
    sure = classifier.classify(metaphase.image, metaphase.labels)["confidence"]
    assert two.classify(metaphase.image, metaphase.labels)["confidence"].mean() < sure.mean()


@pytest.mark.parametrize(
    "select", [np.ones(9, bool), [True, False], True, [3.5], "3", ["3"], [None], np.ones((2, 2))]
)
def test_a_selection_that_names_no_labels_is_refused(select, classifier, metaphase):
    for work in (classifier.classify, classifier.explain):
        with pytest.raises(RegionError, match=r"such as \[1, 2, 5\], not a mask"):
            work(metaphase.image, metaphase.labels, select=select)


def test_labels_may_be_selected_in_many_ways(classifier, metaphase):
    for select in ([3, 7], (7, 3), {3, 7}, np.array([3, 7], np.uint16), [3.0, 7], iter([3, 7])):
        table = classifier.classify(metaphase.image, metaphase.labels, select=select, tta=1)
        assert list(table["index"]) == [3, 7]


def test_nested_lists_are_arrays_too(classifier, metaphase):
    lists = metaphase.image.tolist(), metaphase.labels.tolist()
    table = classifier.classify(*lists, select=[3], tta=1)
    assert list(table["index"]) == [3]
    assert classifier.explain(*lists, select=[3]).shape == metaphase.labels.shape
    with pytest.raises(ClassifyError, match="rows differ in length"):
        classifier.classify([[1, 2], [3]], [[1, 2], [3]])


@pytest.mark.parametrize("expected", ["46", [46]])
def test_a_number_of_chromosomes_that_is_none_is_refused(expected, classifier, metaphase):
    with pytest.raises(ValueError, match="A cell cannot have"):
        classifier.classify(metaphase.image, metaphase.labels, expected=expected)
