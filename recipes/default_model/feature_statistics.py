"""Measure how training regions look to a network, and from when on a metaphase is unfamiliar."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from napari_chromocluster.models.classifier import ClusterClassifier
from napari_chromocluster.models.familiarity import (
    FEWEST_REGIONS,
    FeatureStatistics,
    fit_feature_statistics,
)
from napari_chromocluster.results.annotated_crops import load_annotated_crops
from napari_chromocluster.results.annotations import read_annotations, with_allowed_types

#: Share of the validation metaphases that must be familiar.
FAMILIAR_SHARE = 0.975
_BATCH = 32


@dataclass(frozen=True)
class RegionFeatures:
    """Last hidden layer (N, F) and outputs (N, K) of regions, and the image of each."""

    features: NDArray[np.float32]
    logits: NDArray[np.float32]
    images: NDArray[np.str_]

    def medians(self, statistics: FeatureStatistics) -> NDArray[np.float64]:
        """Return the median distance of each metaphase with enough regions."""
        distances = statistics.distances(self.features, self.logits)
        found = pd.Series(distances).groupby(self.images).agg(["median", "size"])
        return found["median"][found["size"] >= FEWEST_REGIONS].to_numpy(float)


def region_features(classifier: ClusterClassifier, table: pd.DataFrame) -> RegionFeatures:
    """Return what the first network of a model sees in one view of annotated regions."""
    cut = load_annotated_crops(table, half=True)
    network = classifier.network.members[0]
    logits, features = [], []
    with torch.inference_mode():
        for start in range(0, len(cut.crops), _BATCH):
            inputs = torch.from_numpy(classifier.render(cut.crops[start : start + _BATCH]))
            outputs = network.logits_and_features(inputs.to(classifier.device))
            logits.append(outputs[0].float().cpu().numpy())
            features.append(outputs[1].float().cpu().numpy())
    images = np.array([str(one) for one in cut.rows["image"]])
    return RegionFeatures(np.concatenate(features), np.concatenate(logits), images)


def sample(files: Iterable[Path], groups: set[str] | None, most: int) -> pd.DataFrame:
    """Return up to ``most`` regions of known type of each file, of some groups only."""
    tables = []
    for file in files:
        table = with_allowed_types(read_annotations(file))
        if groups is not None:
            table = table[table["group"].isin(groups)]
        tables.append(table.sample(min(most, len(table)), random_state=0))
    return pd.concat(tables, ignore_index=True)


def measured_statistics(
    classifier: ClusterClassifier, training: pd.DataFrame, validation: pd.DataFrame
) -> FeatureStatistics:
    """Return the statistics of training regions, with the level of the validation metaphases."""
    seen = region_features(classifier, training)
    statistics = fit_feature_statistics(seen.features, seen.logits)
    medians = region_features(classifier, validation).medians(statistics)
    usual = float(np.quantile(medians, FAMILIAR_SHARE))
    return dataclasses.replace(statistics, usual=usual)
