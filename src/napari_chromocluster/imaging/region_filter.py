"""Which objects are regions: limits relative to the chromosomes of the image, and why not."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from napari_chromocluster.imaging.morphometry import SPECK, Mask
from napari_chromocluster.imaging.normalization import Polarity

Labels = NDArray[np.int32]
#: (n + 1,) reason of each label, None for regions and the background.
Reasons = NDArray[np.object_]
#: Minimum area of a cluster of any shape, in median chromosomes.
_CLUSTER = 2.5
#: If chromosomes are unusually thick or ragged, as with separated sister chromatids, the limit is
#: this multiple of their median.
_BESIDE_OTHERS = 1.6


@dataclass(frozen=True)
class SegmentationParameters:
    """Limits of regions and settings of the segmentation.

    Attributes
    ----------
    smallest_region : float
        Minimum area, in areas of the image's median chromosome.
    largest_region : float
        Maximum area, in areas of the image's median chromosome.
    thinnest_region : float
        Minimum thickness, in widths of the image's chromosomes.
    thickest_region : float
        Maximum thickness of a small region, in widths of the image's chromosomes.
    most_ragged : float
        Maximum length of the outline of a small region, times thickness over
        area: about 2.5 to 3 for a chromosome, more for crumbled debris.
    faintest_region : float
        Minimum mean signal, relative to the image's median region.
    threshold : float
        Factor of the automatic threshold: below 1 regions grow, above 1 they shrink.
    smoothing : float
        Standard deviation of the initial Gaussian filter, in px; larger if chromosomes are
        wider than 20 px.
    nucleus_width : float
        Minimum thickness of an interphase nucleus, in widths of the image's
        chromosomes; 0 keeps nuclei.
    nucleus_area : float
        Minimum area of a nucleus, in areas of the image's median chromosome.
    gap : float
        Bright chromosomes are separated where the signal is less than this
        share of its local mean (the glow fills the gap); 0 never separates.
        Dark chromosomes are not, because their pale bands look like gaps.
    edge : float
        Bright regions end where the signal is less than this share of the local maximum: the
        rest is glow; below 1, and 0 keeps the glow.
    polarity : {"auto", "dark", "bright"}
        Whether chromosomes are darker or brighter than the background.
    """

    smallest_region: float = 0.24
    largest_region: float = 80.0
    thinnest_region: float = 0.7
    thickest_region: float = 2.4
    most_ragged: float = 4.4
    faintest_region: float = 0.3
    threshold: float = 1.0
    smoothing: float = 0.6
    nucleus_width: float = 2.9
    nucleus_area: float = 8.0
    gap: float = 1.0
    edge: float = 0.2
    polarity: Polarity = "auto"

    def __post_init__(self) -> None:
        """Raise ValueError for invalid values."""
        for name, value in vars(self).items():
            if isinstance(value, float) and not math.isfinite(value):
                raise ValueError(f"The value of {name} must be a number, not {value}.")
        if not 0 <= self.smallest_region < self.largest_region:
            raise ValueError("The smallest region must be smaller than the largest region.")
        if self.threshold <= 0:
            raise ValueError("The threshold must be greater than 0.")
        for name in ("thinnest_region", "thickest_region", "most_ragged", "faintest_region",
                     "smoothing", "nucleus_width", "nucleus_area", "gap", "edge"):  # fmt: skip
            if getattr(self, name) < 0:
                raise ValueError(f"The value of {name} cannot be negative.")
        if self.edge >= 1:
            raise ValueError("The edge is a share of the maximum signal: choose one below 1.")
        if self.polarity not in ("auto", "dark", "bright"):
            raise ValueError("Polarity must be 'auto', 'dark' or 'bright'.")

    def with_tightness(self, factor: float) -> SegmentationParameters:
        """Return parameters for tighter (above 1) or wider (below 1) outlines.

        Parameters
        ----------
        factor : float
            Multiplies ``threshold`` and ``edge``; useful from about 0.5 to 2.
        """
        return dataclasses.replace(
            self, threshold=factor * self.threshold, edge=min(factor * self.edge, 0.95)
        )


class LeftOut(StrEnum):
    """Why an object of the foreground is not a region."""

    CONSTANT_AREA = "constant area"
    NUCLEUS = "nucleus"
    NUCLEUS_RIM = "rim of a nucleus"
    TOO_SMALL = "too small"
    TOO_LARGE = "too large"
    TOO_THIN = "too thin"
    TOO_THICK = "too thick"
    TOO_RAGGED = "too ragged"
    TOO_FAINT = "too faint"


@dataclass(frozen=True)
class CandidateRegions:
    """Everything stained in an image, before filtering.

    Attributes
    ----------
    labels : (H, W) int32 array
        Connected pieces, numbered from 1; nuclei and constant areas come last.
    areas : (n + 1,) int array
        Area of each label in px; 0 for the background.
    thickness : (n + 1,) float array
        Maximum thickness of each label, in px.
    raggedness : (n + 1,) float array
        Outline of each label times thickness, divided by area.
    strength : (n + 1,) float array
        Mean signal of each label.
    reasons : (n + 1,) object array
        Why a label is left out regardless of the limits (`LeftOut`), or None.
    median_area : float
        Area of the median chromosome, in px; 0 without chromosomes.
    width : float
        Width of a chromosome, in px; 0 without chromosomes.
    """

    labels: Labels
    areas: NDArray[np.intp]
    thickness: NDArray[np.float64]
    raggedness: NDArray[np.float64]
    strength: NDArray[np.float64]
    reasons: Reasons
    median_area: float
    width: float


@dataclass(frozen=True)
class FoundRegions:
    """The regions of a metaphase, and what was left out.

    Attributes
    ----------
    labels : (H, W) int32 array
        Regions numbered from 1, 0 background.
    left_out : (H, W) int32 array
        Objects that are not regions, numbered from 1.
    reasons : dict of int to LeftOut
        Why each of them was left out.
    """

    labels: Labels
    left_out: Labels
    reasons: dict[int, LeftOut] = field(default_factory=dict)

    def counts(self) -> dict[LeftOut, int]:
        """Count the objects that were left out, by reason."""
        return count_reasons(self.reasons.values())


def filter_regions(foreground: CandidateRegions, parameters: SegmentationParameters) -> Labels:
    """Drop regions that are too small, large, thin or faint, and renumber the rest from 1.

    Large regions may be thick and ragged: they may be tangled clusters.
    Takes a few milliseconds, so that a preview can follow a slider.

    Parameters
    ----------
    foreground : CandidateRegions
        From `label_foreground`.
    parameters : SegmentationParameters
        Smallest, largest, thinnest and faintest region are used.

    Returns
    -------
    (H, W) int32 array
        Regions numbered from 1.
    """
    keep = ~has_reason(why_left_out(foreground, parameters))
    keep[0] = False
    numbers = np.zeros(keep.size, np.int32)
    numbers[keep] = np.arange(1, int(keep.sum()) + 1)
    return np.asarray(numbers[foreground.labels])


def why_left_out(foreground: CandidateRegions, parameters: SegmentationParameters) -> Reasons:
    """Return for each label of a foreground why it is not a region.

    Parameters
    ----------
    foreground : CandidateRegions
        From `label_foreground`.
    parameters : SegmentationParameters
        As for `filter_regions`.

    Returns
    -------
    (n + 1,) object array
        A `LeftOut` for each label that is not a region, None for regions and the background.
    """
    reasons = foreground.reasons.copy()
    areas, median, width = foreground.areas, foreground.median_area, foreground.width

    def leave_out(which: Mask, reason: LeftOut) -> None:
        which[0] = False
        reasons[which & ~has_reason(reasons)] = reason

    leave_out(areas < max(SPECK, parameters.smallest_region * median), LeftOut.TOO_SMALL)
    leave_out(areas > parameters.largest_region * median, LeftOut.TOO_LARGE)
    leave_out(foreground.thickness < parameters.thinnest_region * width, LeftOut.TOO_THIN)
    small = areas < _CLUSTER * median
    for values, limit, reason in (
        (foreground.thickness, parameters.thickest_region * width, LeftOut.TOO_THICK),
        (foreground.raggedness, parameters.most_ragged, LeftOut.TOO_RAGGED),
    ):
        most = max(limit, _BESIDE_OTHERS * _median(values, ~has_reason(reasons)))
        leave_out(small & (values > most), reason)
    faintest = parameters.faintest_region * _median(foreground.strength, ~has_reason(reasons))
    leave_out(foreground.strength < faintest, LeftOut.TOO_FAINT)
    return reasons


def count_reasons(reasons: Iterable[LeftOut | None]) -> dict[LeftOut, int]:
    """Count the result of `why_left_out` by reason, without None."""
    counted = Counter(reasons)
    return {reason: counted[reason] for reason in LeftOut if counted[reason]}


def has_reason(reasons: Reasons) -> Mask:
    """Return which labels are left out."""
    return np.array([reason is not None for reason in reasons])


def _median(values: NDArray[np.float64], which: Mask) -> float:
    """Return the median of the chosen labels without the background; 0 if there are none."""
    chosen = values[1:][which[1:]]
    return float(np.median(chosen)) if chosen.size else 0.0
