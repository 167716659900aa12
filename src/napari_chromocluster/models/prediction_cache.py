"""Cache of predictions, so that regions that are not selected need not be classified again."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence

import numpy as np
from numpy.typing import NDArray

from napari_chromocluster.imaging.crops import RegionCrop
from napari_chromocluster.models.model_card import ModelCard

#: Maximum number of cached regions: those of a few dozen metaphases.
_MOST = 2048


class PredictionCache:
    """Cache of the predictions of regions, by the content of their crops.

    Parameters
    ----------
    card : ModelCard
        Card of the model; predictions are valid only for this card.
    """

    def __init__(self, card: ModelCard) -> None:
        self.card = card
        self._known: OrderedDict[Hashable, NDArray[np.float32]] = OrderedDict()

    def keep(
        self, crops: Sequence[RegionCrop], setting: Hashable, probabilities: NDArray[np.float32]
    ) -> None:
        """Store predictions of regions (N, M) under some setting."""
        for crop, row in zip(crops, probabilities, strict=True):
            self._known[_key(crop, setting)] = row.copy()
        while len(self._known) > _MOST:
            self._known.popitem(last=False)

    def ask(
        self,
        crops: Sequence[RegionCrop],
        setting: Hashable,
        predict: Callable[[list[RegionCrop]], NDArray[np.float32]],
    ) -> NDArray[np.float32]:
        """Return predictions of regions (N, M); ``predict`` is called for missing ones."""
        rows = [self._known.get(_key(crop, setting)) for crop in crops]
        missing = [crop for crop, row in zip(crops, rows, strict=True) if row is None]
        found = predict(missing)
        self.keep(missing, setting, found)
        fresh = iter(found)
        out = np.zeros((len(crops), found.shape[1]), np.float32)
        for place, row in enumerate(rows):
            out[place] = next(fresh) if row is None else row
        return out


def _key(crop: RegionCrop, setting: Hashable) -> Hashable:
    pixels = hashlib.blake2b(np.ascontiguousarray(crop.signal).data, digest_size=16)
    pixels.update(np.ascontiguousarray(crop.mask).data)
    seen = (crop.signal.shape, crop.relative_size, crop.oversampling, repr(crop.surroundings))
    return pixels.digest(), seen, setting
