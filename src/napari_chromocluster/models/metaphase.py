"""Regions of one metaphase, cut out, with the others that tell something of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_chromocluster.imaging.crops import RegionCrop, cut_regions
from napari_chromocluster.imaging.regions import Region, extract_regions, without_specks
from napari_chromocluster.models.expected_number import says_something


@dataclass(frozen=True)
class CutMetaphase:
    """Regions of one metaphase, cut out.

    Attributes
    ----------
    regions : list of Region
        Those that are asked for.
    crops : list of RegionCrop
        What was cut for each.
    counted : (N,) bool array or None
        Which of them are no specks; None where the number of chromosomes in the metaphase
        says nothing.
    others : list of RegionCrop
        The rest of its regions that are no specks, where that number says something.
    """

    regions: list[Region]
    crops: list[RegionCrop]
    counted: NDArray[np.bool_] | None = None
    others: list[RegionCrop] = field(default_factory=list)

    @property
    def sizes(self) -> NDArray[np.float64]:
        """Areas of those counted and of the others, over that of a usual region."""
        asked = [] if self.counted is None else zip(self.crops, self.counted, strict=True)
        counted = [crop for crop, is_counted in asked if is_counted]
        return np.asarray(4.0 ** np.array([one.relative_size for one in (*counted, *self.others)]))


def cut_metaphase(
    image: Any,
    labels: NDArray[np.integer],
    regions: Iterable[Region],
    expected: int | None,
    everything: Iterable[Region] | None = None,
) -> CutMetaphase:
    """Cut regions out of one metaphase.

    Parameters
    ----------
    image : (H, W) or (H, W, 3 | 4) array of any real dtype
        The metaphase.
    labels : (H, W) integer array
        Its regions.
    regions : iterable of Region
        Those to cut.
    expected : int or None
        Chromosomes in a cell, where that is known.
    everything : iterable of Region, optional
        All regions, where they are listed already.
    """
    asked = list(regions)
    everything = extract_regions(labels) if everything is None else list(everything)
    chromosomes = {one.label: one for one in without_specks(everything)}
    if not says_something(len(chromosomes), expected):
        return CutMetaphase(asked, list(cut_regions(image, labels, asked, everything)))
    counted = np.array([one.label in chromosomes for one in asked], bool)
    for one in asked:
        chromosomes.pop(one.label, None)
    crops = list(cut_regions(image, labels, [*asked, *chromosomes.values()], everything))
    return CutMetaphase(asked, crops[: len(asked)], counted, crops[len(asked) :])
