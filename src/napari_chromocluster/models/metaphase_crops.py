"""Crops of the regions of one metaphase, with the other regions as context."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_chromocluster.imaging.crops import RegionCrop, cut_regions
from napari_chromocluster.imaging.regions import Region, drop_small_regions, extract_regions
from napari_chromocluster.models.chromosome_count_prior import prior_is_informative


@dataclass(frozen=True)
class MetaphaseCrops:
    """Crops of the regions of one metaphase.

    Attributes
    ----------
    regions : list of Region
        The requested regions.
    crops : list of RegionCrop
        Their crops.
    others : list of RegionCrop
        Crops of the other regions except specks, if ``expected`` is used.
    counted : (N,) bool array
        Which requested regions are not specks; only valid if ``expected`` is used.
    expected : int or None
        Chromosomes in a cell; None if it is not informative for these regions.
    """

    regions: list[Region]
    crops: list[RegionCrop]
    others: list[RegionCrop] = field(default_factory=list)
    counted: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, bool))
    expected: int | None = None

    @property
    def sizes(self) -> NDArray[np.float64]:
        """Areas of the counted and the other regions, relative to a typical region."""
        sizes = 4.0 ** np.array([one.relative_size for one in (*self.crops, *self.others)])
        return np.asarray(sizes[np.append(self.counted, np.ones(len(self.others), bool))])


def crop_metaphase(
    image: Any,
    labels: NDArray[np.integer],
    regions: Iterable[Region],
    expected: int | None,
    everything: Iterable[Region] | None = None,
) -> MetaphaseCrops:
    """Crop regions of one metaphase.

    Parameters
    ----------
    image : (H, W) or (H, W, 3 | 4) array of any real dtype
        The metaphase.
    labels : (H, W) integer array
        Its regions.
    regions : iterable of Region
        The regions to crop.
    expected : int or None
        Chromosomes in a cell, if known.
    everything : iterable of Region, optional
        All regions, if already extracted.
    """
    asked = list(regions)
    everything = extract_regions(labels) if everything is None else list(everything)
    chromosomes = {one.label: one for one in drop_small_regions(everything)}
    if not prior_is_informative(len(chromosomes), expected):
        return MetaphaseCrops(asked, list(cut_regions(image, labels, asked, everything)))
    counted = np.array([one.label in chromosomes for one in asked], bool)
    for one in asked:
        chromosomes.pop(one.label, None)
    crops = list(cut_regions(image, labels, [*asked, *chromosomes.values()], everything))
    return MetaphaseCrops(asked, crops[: len(asked)], crops[len(asked) :], counted, expected)
