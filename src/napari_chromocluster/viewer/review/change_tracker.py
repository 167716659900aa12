"""Tracks which regions have changed their pixels since they were classified.

A region's hash is the sum, modulo 2**64, of one pseudorandom number per pixel.  So the cost of an
edit depends on the number of changed pixels, not on the image size: subtract the pixels that left
the region, add the new ones.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_chromocluster.imaging.label_editing import changed_window

#: Frame and label of a region.
Key = tuple[int, int]


@dataclass
class FrameDiff:
    """What an edit changed in a frame.

    Attributes
    ----------
    frame : int
        The frame.
    window : tuple of slice
        Where pixels changed.
    before, after : (h, w) integer arrays
        The window before and after.
    changed : set of int
        Labels that exist before and after, with different pixels.
    added, removed : set of int
        Labels that are new, and labels that are gone.
    """

    frame: int
    window: tuple[slice, slice]
    before: NDArray[Any]
    after: NDArray[Any]
    changed: set[int] = field(default_factory=set)
    added: set[int] = field(default_factory=set)
    removed: set[int] = field(default_factory=set)


def pixel_codes(positions: NDArray[Any]) -> NDArray[np.uint64]:
    """Return one well-mixed 64-bit number for each position (splitmix64)."""
    z = np.asarray(positions).astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(z ^ (z >> np.uint64(31)), np.uint64)


def sum_codes(labels: NDArray[Any], positions: NDArray[Any]) -> dict[int, tuple[int, int]]:
    """Return pixel count and sum of codes of each label among some pixels."""
    top = int(labels.max()) if labels.size else 0
    if labels.size and top < max(4 * labels.size, 1 << 12) and int(labels.min()) >= 0:
        # Labels are nearly always small numbers, so sorting the pixels is unnecessary.
        names, place = np.arange(top + 1), labels.astype(np.intp, copy=False)
    else:
        names, place = np.unique(labels, return_inverse=True)
        place = place.ravel()
    codes = pixel_codes(positions)
    sums = np.zeros(names.size, np.uint64)
    np.add.at(sums, place, codes)
    areas = np.bincount(place, minlength=names.size)
    return {
        int(name): (int(area), int(total))
        for name, area, total in zip(names, areas, sums, strict=True)
        if name > 0 and area
    }


def region_codes(frame: NDArray[Any]) -> dict[int, tuple[int, int]]:
    """Return pixel count and sum of codes of each region of a frame, ignoring labels below 1."""
    ys, xs = np.nonzero(frame > 0)
    return sum_codes(frame[ys, xs], ys * frame.shape[1] + xs)


class RegionTracker:
    """Keeps a copy of each frame seen so far and the hash of each of its regions.

    Parameters
    ----------
    labels : (H, W) or (N, H, W) integer array, or lazy
        The labels; frames are read on first access.
    """

    def __init__(self, labels: Any) -> None:
        self.labels = labels
        self._seen: dict[int, NDArray[Any]] = {}
        self._regions: dict[int, dict[int, tuple[int, int]]] = {}

    @property
    def frames(self) -> int:
        """Number of frames."""
        return int(self.labels.shape[0]) if len(self.labels.shape) == 3 else 1

    @property
    def seen(self) -> list[int]:
        """The frames seen so far."""
        return list(self._seen)

    def frame(self, number: int) -> NDArray[Any]:
        """Return the current pixels of a frame."""
        return np.asarray(self.labels[number] if len(self.labels.shape) == 3 else self.labels)

    def see(self, number: int) -> None:
        """Store a copy of a frame, if it has not been seen yet."""
        if number in self._seen:
            return
        frame = np.array(self.frame(number))
        self._seen[number] = frame
        self._regions[number] = region_codes(frame)

    def regions(self, number: int) -> dict[int, int]:
        """Return the hash of each region of a frame, as of the last comparison."""
        self.see(number)
        return {label: code for label, (_, code) in self._regions[number].items()}

    def hash_of(self, key: Key) -> int:
        """Return the hash of a region as of the last comparison, or 0 if it does not exist."""
        self.see(key[0])
        return self._regions[key[0]].get(key[1], (0, 0))[1]

    def area_of(self, key: Key) -> int:
        """Return the pixel count of a region as of the last comparison, or 0 if it is gone."""
        self.see(key[0])
        return self._regions[key[0]].get(key[1], (0, 0))[0]

    def compare(self, number: int) -> FrameDiff | None:
        """Compare a frame with its last known state; None if nothing has changed."""
        self.see(number)
        old, new = self._seen[number], self.frame(number)
        if old.shape != new.shape:
            raise ValueError("The labels have changed their size: open the review again.")
        window = changed_window(old, new)
        if window is None:
            return None
        before, after = old[window], np.array(new[window])
        found = FrameDiff(number, window, before.copy(), after)
        self._follow(found)
        old[window] = after
        return found

    def _follow(self, found: FrameDiff) -> None:
        ys, xs = np.nonzero(found.before != found.after)
        width = self._seen[found.frame].shape[1]
        positions = (ys + found.window[0].start) * width + xs + found.window[1].start
        left = sum_codes(found.before[ys, xs], positions)
        came = sum_codes(found.after[ys, xs], positions)
        regions = self._regions[found.frame]
        for label in left.keys() | came.keys():
            area, code = regions.get(label, (0, 0))
            lost, gained = left.get(label, (0, 0)), came.get(label, (0, 0))
            now = (area - lost[0] + gained[0], (code - lost[1] + gained[1]) % (1 << 64))
            if now[0] == 0:
                regions.pop(label, None)
                if area:
                    found.removed.add(label)
                continue
            regions[label] = now
            (found.changed if area else found.added).add(label)
