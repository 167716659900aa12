"""What tells the size of the chromosomes of an image: widths, areas, what is but a speck."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Mask = NDArray[np.bool_]
Floats = NDArray[np.floating]

EIGHT = np.ones((3, 3), bool)
#: Fewest pixels of anything that is looked at.
SPECK = 12
#: Depth of a ridge in px up to which it is that of a speck.
SHALLOWEST = 2.0
#: Areas between which a piece may be one chromosome, and the usual one, in squares of half
#: the width of the chromosomes.
_PLAUSIBLE_AREAS, _USUAL_AREA = (4.0, 40.0), 16.0


def without_specks(mask: Mask) -> Mask:
    """Leave out pieces of fewer than `SPECK` px."""
    labels, _ = ndimage.label(mask, EIGHT)
    keep = np.bincount(labels.ravel()) >= SPECK
    keep[0] = False
    return np.asarray(keep[labels])


def half_width(depth: Floats, least: float = SHALLOWEST) -> float:
    """Half the usual width of the chromosomes: the median depth of all ridges, in px.

    Chromosomes have long ridges for their area, nuclei short ones and specks
    shallow ones, so neither moves the median much.  What is shallower than ``least`` is no ridge.
    """
    ridge = (depth == ndimage.maximum_filter(depth, size=3)) & (depth >= least)
    return float(np.median(depth[ridge])) if ridge.any() else 0.0


def chromosome_area(areas: NDArray[Any], half: float) -> float:
    """Area of the median chromosome among some pieces, in px; 0 without pieces.

    Specks, rims and large clusters are told by the width of the chromosomes;
    where nothing else is left, the width alone gives the area.
    """
    if not areas.any():
        return 0.0
    plausible = plausible_areas(areas, half)
    return float(np.median(plausible)) if plausible.size >= 5 else _USUAL_AREA * half**2


def plausible_areas(areas: NDArray[np.intp], half: float) -> NDArray[np.intp]:
    """Return the areas that one chromosome may have, from half the width of one, in px."""
    low, high = _PLAUSIBLE_AREAS
    return np.asarray(areas[(areas > low * half**2) & (areas < high * half**2)])
