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
    others : list of RegionCrop
        The rest of its regions that are no specks, where the number of chromosomes says
        something of them all.
    counted : (N,) bool array
        Which of those asked for are no specks; read where there is such a number.
    expected : int or None
        Chromosomes in a cell; None where that says nothing of these regions.
    """

    regions: list[Region]
    crops: list[RegionCrop]
    others: list[RegionCrop] = field(default_factory=list)
    counted: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, bool))
    expected: int | None = None

    @property
    def sizes(self) -> NDArray[np.float64]:
        """Areas of those counted and of the others, over that of a usual region."""
        sizes = 4.0 ** np.array([one.relative_size for one in (*self.crops, *self.others)])
        return np.asarray(sizes[np.append(self.counted, np.ones(len(self.others), bool))])


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
    return CutMetaphase(asked, crops[: len(asked)], crops[len(asked) :], counted, expected)
