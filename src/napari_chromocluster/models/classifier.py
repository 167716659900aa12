"""The classifier: from an image and its regions to a features table."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from napari_chromocluster.cluster_types import EXPECTED_CHROMOSOMES, TYPES
from napari_chromocluster.imaging.crops import RegionCrop, render_crop
from napari_chromocluster.imaging.regions import Region, Selection, extract_regions
from napari_chromocluster.models.calibration import calibrate, expand_to_all_types, prior_weights
from napari_chromocluster.models.chromosome_count_prior import apply_chromosome_count_prior
from napari_chromocluster.models.devices import choose_device, is_out_of_memory
from napari_chromocluster.models.familiarity import (
    FeatureStatistics,
    familiarity,
    less_confident,
)
from napari_chromocluster.models.frames import as_array, match_frames
from napari_chromocluster.models.metaphase_crops import MetaphaseCrops, crop_metaphase
from napari_chromocluster.models.model_card import ModelCard
from napari_chromocluster.models.model_file import load_model_file
from napari_chromocluster.models.neighborhood_prior import neighborhood_logit_offsets
from napari_chromocluster.models.network import ClusterEnsemble, ClusterNetwork, fold_batch_norms
from napari_chromocluster.models.prediction_cache import PredictionCache
from napari_chromocluster.models.predictions import (
    ClassifyError,
    MetaphasePredictions,
    RegionPredictions,
)
from napari_chromocluster.models.registry import listed_name, resolve_model
from napari_chromocluster.progress import Cancelled, Progress, Stop, offset_progress
from napari_chromocluster.results.annotated_crops import load_ready_made_crops
from napari_chromocluster.results.features_table import build_table

#: Regions sent through the network at once.
_BATCH = {"cuda": 128, "mps": 32, "cpu": 16}
#: Regions rendered at once, to limit memory.
_RENDERED = 512


class ClusterClassifier:
    """Classify regions of metaphase images.

    Parameters
    ----------
    network : ClusterNetwork or ClusterEnsemble
        The network or ensemble.
    card : ModelCard
        Its card.
    device : str
        ``auto``, ``cpu``, ``cuda`` or ``mps``.

    Examples
    --------
    >>> import napari_chromocluster as cc
    >>> table = cc.load_model().classify(image, labels)  # doctest: +SKIP
    """

    def __init__(
        self, network: ClusterNetwork | ClusterEnsemble, card: ModelCard, device: str = "auto"
    ) -> None:
        self.card = card
        self.device = choose_device(device)
        self.network = network.to(self.device).eval()
        # Grouped convolutions are about twice as fast in channels-last format.
        plain = self.device.type == "mps"
        self._layout = torch.contiguous_format if plain else torch.channels_last
        self.network.to(memory_format=self._layout)
        self.batch_size = _BATCH.get(self.device.type, 16)
        self._recall = PredictionCache(card)
        self._statistics = FeatureStatistics.from_dict(card.feature_statistics)

    @property
    def name(self) -> str:
        """Name of the model."""
        return self.card.name

    def classify(
        self,
        image: Any,
        labels: Any,
        select: Selection | None = None,
        *,
        prior: Mapping[str, float] | None = None,
        expected: int | None = EXPECTED_CHROMOSOMES,
        tta: int | None = None,
        progress: Progress | None = None,
        stop: Stop | None = None,
    ) -> pd.DataFrame:
        """Classify the regions of a metaphase or of a stack of metaphases.

        Parameters
        ----------
        image : (H, W), (H, W, 3 | 4), (N, H, W) or (N, H, W, 3 | 4) array
            Any real dtype, or nested lists; dask and zarr arrays are read frame by frame.
        labels : (H, W) or (N, H, W) integer array
            Regions; 0 is background.
        select : label or collection of labels, optional
            Regions to classify (default: all); in a stack, (frame, label) pairs select regions
            of one frame.  The other regions still count for the reference size and the number
            of chromosomes.
        prior : mapping of type to share, optional
            Frequency of types; the others keep their share in the model card.
        expected : int, optional
            Chromosomes in a cell, see `apply_chromosome_count_prior`; None if unknown.
        tta : int, optional
            Rotated and mirrored copies averaged, 1 to 8 (default: the card's).  The networks of
            an ensemble take turns, so it costs no more than a single network.
        progress : callable, optional
            Called with the number of regions done and the total.
        stop : callable, optional
            Called between batches; True cancels.

        Returns
        -------
        DataFrame
            The features table, one row per region.  ``attrs["familiarity"]`` maps each frame to
            its familiarity: 1 if it looks like the training data, less if not, None if unknown.

        Raises
        ------
        ClassifyError
            If image and labels do not match, or the prior names an unknown type.
        RegionError
            If there is no region or none is selected.
        Cancelled
            If ``stop`` returned True.
        """
        image, labels = as_array(image), as_array(labels)
        frames = match_frames(image, labels)
        # List all regions first, to raise errors early and to know the total.
        selected = extract_regions(labels, select)
        total, done = len(selected), 0
        parts = []
        familiar: dict[int, float | None] = {}
        self._weights(prior)  # raise for an invalid prior before any work
        for cut in self._cut_frames(frames, selected, expected, stop):
            predicted = self.classify_metaphase(
                cut,
                prior=prior,
                tta=tta,
                stop=stop,
                progress=offset_progress(progress, done, total),
            )
            familiar[cut.regions[0].frame] = predicted.familiarity
            parts.append(build_table(cut.regions, predicted.probabilities, model=self.name))
            done += len(cut.regions)
        table = pd.concat(parts, ignore_index=True)
        table.attrs["familiarity"] = familiar
        return table

    def _cut_frames(
        self,
        frames: Sequence[tuple[Any, Any]],
        selected: list[Region],
        expected: int | None,
        stop: Stop | None,
    ) -> Iterator[MetaphaseCrops]:
        by_frame: dict[int, list[Region]] = {}
        for region in selected:
            by_frame.setdefault(region.frame, []).append(region)
        for frame, mine in sorted(by_frame.items()):
            if stop is not None and stop():
                raise Cancelled("Classifying was stopped.")
            image, labels = (np.asarray(part) for part in frames[frame])
            yield crop_metaphase(image, labels, mine, expected)

    def classify_crops(
        self,
        images: Sequence[NDArray[Any]],
        *,
        prior: Mapping[str, float] | None = None,
        tta: int | None = None,
        progress: Progress | None = None,
        stop: Stop | None = None,
    ) -> NDArray[np.float32]:
        """Classify ready-made crops: images of one region each.

        Parameters
        ----------
        images : sequence of (h, w) or (h, w, 3) arrays
            Crops of one metaphase or slide at one scale; with eight or more,
            their median size is the reference size.
        prior, tta, progress, stop
            As in `classify`.

        Returns
        -------
        (N, 5) float32 array
            Probabilities in the order of `cluster_types.TYPES`.
        """
        return self.predict_regions(
            load_ready_made_crops(images), prior=prior, tta=tta, progress=progress, stop=stop
        )

    def explain(
        self,
        image: Any,
        labels: Any,
        select: Selection | None = None,
        *,
        cluster_type: str | None = None,
        expected: int | None = EXPECTED_CHROMOSOMES,
        progress: Progress | None = None,
        stop: Stop | None = None,
    ) -> NDArray[np.float32]:
        """Return class activation maps of regions, as an image of the metaphase's shape.

        See `napari_chromocluster.models.class_activation.explain_regions`.
        """
        from napari_chromocluster.models.class_activation import explain_regions

        return explain_regions(
            self, image, labels, select, cluster_type=cluster_type, expected=expected,
            progress=progress, stop=stop,
        )  # fmt: skip

    def classify_metaphase(
        self,
        cut: MetaphaseCrops,
        *,
        prior: Mapping[str, float] | None = None,
        tta: int | None = None,
        again: bool = True,
        progress: Progress | None = None,
        stop: Stop | None = None,
    ) -> MetaphasePredictions:
        """Classify the crops of one metaphase (see `crop_metaphase`).

        Parameters
        ----------
        cut : MetaphaseCrops
            The regions.
        prior, tta, progress, stop
            As in `classify`.
        again : bool
            Whether to classify regions again that are cached.
        """
        if self._recall.card is not self.card:  # another card gives other probabilities
            self._recall = PredictionCache(self.card)
            self._statistics = FeatureStatistics.from_dict(self.card.feature_statistics)
        setting = (tta, tuple(sorted((prior or {}).items())))

        def predict(crops: list[RegionCrop], shown: Progress | None = None) -> NDArray[np.float32]:
            found = self._predict(crops, prior=prior, tta=tta, progress=shown, stop=stop)
            return np.column_stack([found.probabilities, found.distances])

        # The regions that are not selected are usually cached.
        others = self._recall.ask(cut.others, setting, predict)
        if again:
            alone = predict(cut.crops, progress)
            self._recall.keep(cut.crops, setting, alone)
        else:
            alone = self._recall.ask(cut.crops, setting, predict)
        counted = cut.counted if cut.expected is not None else np.ones(len(alone), bool)
        together = np.concatenate([alone[counted], others])
        familiar = self._familiarity(together[:, -1])
        out = less_confident(alone[:, :-1], familiar)
        if cut.expected is not None:
            flat = less_confident(together[:, :-1], familiar)
            weighed = apply_chromosome_count_prior(flat, cut.sizes, cut.expected)
            out[counted] = weighed[: int(counted.sum())]
        return MetaphasePredictions(out, familiar)

    def _familiarity(self, distances: NDArray[np.floating]) -> float | None:
        """Return the familiarity of a metaphase, or None without feature statistics."""
        if self._statistics is None:
            return None
        return familiarity(distances, self._statistics.usual)

    def predict_regions(
        self,
        crops: Sequence[RegionCrop],
        *,
        prior: Mapping[str, float] | None = None,
        tta: int | None = None,
        progress: Progress | None = None,
        stop: Stop | None = None,
    ) -> NDArray[np.float32]:
        """Classify crops (see ``imaging.crops.cut_region``) individually.

        Returns
        -------
        (N, 5) float32 array
            Probabilities in the order of `cluster_types.TYPES`.
        """
        found = self._predict(crops, prior=prior, tta=tta, progress=progress, stop=stop)
        return found.probabilities

    def _predict(
        self,
        crops: Sequence[RegionCrop],
        *,
        prior: Mapping[str, float] | None,
        tta: int | None,
        progress: Progress | None,
        stop: Stop | None,
    ) -> RegionPredictions:
        """Classify crops, rendering a few hundred at a time to limit memory."""
        parts = [RegionPredictions(np.zeros((0, len(TYPES)), np.float32), np.zeros(0, np.float32))]
        for start in range(0, len(crops), _RENDERED):
            some = crops[start : start + _RENDERED]
            parts.append(
                self._predict_inputs(
                    self.render(some),
                    self.shifts(some),
                    self._weights(prior),
                    tta,
                    offset_progress(progress, start, len(crops)),
                    stop,
                )
            )
        return RegionPredictions(
            np.concatenate([part.probabilities for part in parts]),
            np.concatenate([part.distances for part in parts]),
        )

    def render(self, crops: Sequence[RegionCrop]) -> NDArray[np.float32]:
        """Render crops as network inputs (N, 3, S, S)."""
        spec = self.card.crop_spec
        if not crops:
            return np.zeros((0, spec.n_channels, spec.size, spec.size), np.float32)
        return np.stack([render_crop(crop, spec) for crop in crops])

    def shifts(self, crops: Sequence[RegionCrop]) -> NDArray[np.float64]:
        """Return the log-odds shifts of crops (`neighborhood_logit_offsets`)."""
        around = [crop.surroundings for crop in crops]
        return neighborhood_logit_offsets(around, self.card.surroundings, self.card.classes)

    def predict_crops(
        self,
        crops: NDArray[np.float32],
        *,
        shifts: NDArray[np.floating] | float = 0.0,
        prior: Mapping[str, float] | None = None,
        tta: int | None = None,
        progress: Progress | None = None,
        stop: Stop | None = None,
    ) -> NDArray[np.float32]:
        """Classify network inputs.

        Parameters
        ----------
        crops : (N, 3, S, S) float32 array
            From `render`.
        shifts : (N, K) float array, optional
            From `shifts`.

        Returns
        -------
        (N, 5) float32 array
            Probabilities in the order of `cluster_types.TYPES`.
        """
        every = np.broadcast_to(np.asarray(shifts, float), (len(crops), len(self.card.classes)))
        found = self._predict_inputs(crops, every, self._weights(prior), tta, progress, stop)
        return found.probabilities

    def _predict_inputs(
        self,
        inputs: NDArray[np.float32],
        shifts: NDArray[np.floating],
        weights: NDArray[np.float64],
        tta: int | None,
        progress: Progress | None,
        stop: Stop | None,
    ) -> RegionPredictions:
        """Classify network inputs: one view of each, and more views of uncertain ones."""
        views = self._views(tta)
        staged = tta is None and self.card.view_threshold < 1
        threshold = self.card.view_threshold if staged else np.inf
        chances = np.zeros((len(inputs), len(self.card.classes)))
        distances = np.full(len(inputs), np.nan, np.float32)

        def calibrated(logits: NDArray[np.float32], rows: Any) -> NDArray[np.float64]:
            return calibrate(logits, self.card.temperature, weights, shifts[rows])

        def predict(rows: slice) -> None:
            logits, features = self._forward(inputs[rows], range(1))
            chances[rows] = calibrated(logits, rows)
            if self._statistics is not None:
                distances[rows] = self._statistics.distances(features, logits[0])
            unsure = np.flatnonzero(chances[rows].max(axis=1) < threshold)
            if views > 1 and unsure.size:
                others, _ = self._forward(inputs[rows][unsure], range(1, views))
                together = np.concatenate([logits[:, unsure], others])
                chances[rows.start + unsure] = calibrated(together, rows.start + unsure)

        self._in_batches(len(inputs), predict, progress, stop)
        return RegionPredictions(expand_to_all_types(chances, self.card.classes), distances)

    def _views(self, tta: int | None) -> int:
        """Return the number of rotated and mirrored views, 1 to 8."""
        return max(1, min(8, tta if tta is not None else self.card.tta))

    def _weights(self, prior: Mapping[str, float] | None) -> NDArray[np.float64]:
        """Return the weight of each class under the prior in use."""
        chosen = {str(name): float(share) for name, share in (prior or {}).items()}
        for name, share in chosen.items():
            if name not in {str(kind) for kind in TYPES}:
                raise ClassifyError(
                    f"The prior names {name!r}, which is not a type: use {', '.join(TYPES)}."
                )
            if not 0 <= share < np.inf:
                raise ClassifyError(f"The prior of {name} is {share}: give a share from 0 to 1.")
        return prior_weights(
            self.card.training_prior, {**self.card.deployment_prior, **chosen}, self.card.classes
        )

    def logits(
        self,
        crops: NDArray[np.float32],
        *,
        tta: int | None = None,
        progress: Progress | None = None,
        stop: Stop | None = None,
    ) -> NDArray[np.float32]:
        """Return the logits (V, N, K) for V views of N crops.

        The networks of an ensemble take turns (see `member_for_view`).
        """
        views = self._views(tta)
        out = np.zeros((views, len(crops), len(self.card.classes)), np.float32)

        def forward(rows: slice) -> None:
            out[:, rows] = self._forward(crops[rows], range(views))[0]

        self._in_batches(len(crops), forward, progress, stop)
        return out

    def _in_batches(
        self,
        count: int,
        work: Callable[[slice], None],
        progress: Progress | None,
        stop: Stop | None,
    ) -> None:
        """Process rows in batches; halve the batch size when out of memory."""
        start = 0
        while start < count:
            if stop is not None and stop():
                raise Cancelled("Classifying was stopped.")
            rows = slice(start, min(start + self.batch_size, count))
            try:
                work(rows)
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
                self._halve_batch(rows.stop - start)
                continue
            start = rows.stop
            if progress is not None:
                progress(start, count)

    def member_for_view(self, number: int) -> ClusterNetwork:
        """Return the network for a view."""
        members = self.network.members
        return members[number % len(members)]

    def _halve_batch(self, size: int) -> None:
        """Halve the batch size."""
        if size == 1:
            raise ClassifyError(
                f"There is too little memory on {self.device} for one region: "
                f"choose the device 'cpu' or a smaller model."
            ) from None
        self.batch_size = size // 2
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def _forward(
        self, part: NDArray[np.float32], numbers: range
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return logits (V, n, K) of some views of n crops, and features (n, F) of the first."""
        half = self.device.type == "cuda"
        # Views of few crops form one batch.
        together = len(numbers) * len(part) <= self.batch_size and len(self.network.members) == 1
        groups = [list(numbers)] if together else [[number] for number in numbers]
        logits, features = [], []
        with torch.inference_mode(), torch.autocast("cuda", torch.float16, enabled=half):
            inputs = torch.from_numpy(np.ascontiguousarray(part)).to(self.device)
            for group in groups:
                views = torch.cat([dihedral_view(inputs, number) for number in group])
                seen = views.contiguous(memory_format=self._layout)
                answer, hidden = self.member_for_view(group[0]).logits_and_features(seen)
                logits.append(answer.float().reshape(len(group), len(part), -1))
                features.append(hidden[: len(part)])
            return torch.cat(logits).cpu().numpy(), features[0].float().cpu().numpy()


def dihedral_view(inputs: torch.Tensor, number: int) -> torch.Tensor:
    """Return one of the eight rotated and mirrored copies of (N, C, S, S) inputs."""
    view = torch.rot90(inputs, number % 4, (2, 3)) if number % 4 else inputs
    return view.flip(3) if number >= 4 else view


def load_model(name_or_path: str | Path = "default", device: str = "auto") -> ClusterClassifier:
    """Load a classifier.

    Parameters
    ----------
    name_or_path : str or path
        ``default`` (the embedded model), another name of `list_models`, or a
        model file.
    device : str
        ``auto``, ``cpu``, ``cuda`` or ``mps``.

    Returns
    -------
    ClusterClassifier

    Raises
    ------
    ModelFileError, RegistryError
        If there is no such model or its file cannot be used.
    """
    path = resolve_model(name_or_path)
    network, card = load_model_file(path)
    fold_batch_norms(network)
    # Results use the name under which the model is listed.
    named = dataclasses.replace(card, name=listed_name(path) or card.name)
    return ClusterClassifier(network, named, device)
