"""A single chromosome cut out of its metaphase: what clusters are composed of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class SingleChromosome:
    """One chromosome with its soft surroundings.

    Attributes
    ----------
    signal : (h, w) float32 array
        Chromosome signal (see `imaging.signal`), 0 where other regions lay.
    mask : (h, w) bool array
        The chromosome.
    group : str
        Metaphase, slide or case it comes from.
    """

    signal: NDArray[np.float32]
    mask: NDArray[np.bool_]
    group: str = ""
