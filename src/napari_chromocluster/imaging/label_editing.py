"""Manual corrections of regions: split a cluster, merge fragments, delete debris.

The functions do not change the labels: each returns a `LabelPatch` that can be applied and
reversed, for exact undo.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.draw import line as draw_line
from skimage.feature import peak_local_max
from skimage.segmentation import watershed

_EIGHT = np.ones((3, 3), bool)
#: Pieces smaller than this share of the region are not chromosomes.
_CRUMB = 0.02
#: Extension of a drawn line at both ends, in px: users often stop a little short.
_OVERSHOOT = 3.0


class LabelEditError(ValueError):
    """Regions that cannot be split, merged or deleted as asked."""


@dataclass(frozen=True)
class LabelPatch:
    """A change of some pixels of one frame of a label image.

    Attributes
    ----------
    y0, x0 : int
        Upper left corner of the changed window, in px.
    before, after : (h, w) integer arrays
        The window before and after.
    """

    y0: int
    x0: int
    before: NDArray[Any]
    after: NDArray[Any]

    @property
    def window(self) -> tuple[slice, slice]:
        """Index of the window in the frame."""
        height, width = self.before.shape
        return slice(self.y0, self.y0 + height), slice(self.x0, self.x0 + width)

    @property
    def labels_before(self) -> set[int]:
        """Labels of the pixels that change, before; without background."""
        return {int(one) for one in np.unique(self.before[self.before != self.after])} - {0}

    @property
    def labels_after(self) -> set[int]:
        """Labels of the pixels that change, after; without background."""
        return {int(one) for one in np.unique(self.after[self.before != self.after])} - {0}

    def reversed(self) -> LabelPatch:
        """Return the patch that undoes this one."""
        return LabelPatch(self.y0, self.x0, self.after, self.before)

    def apply(self, frame: NDArray[Any]) -> None:
        """Write the change into a frame of shape (H, W), in place.

        Pixels painted since the patch was made are not changed.
        """
        here = frame[self.window]
        ours = (self.before != self.after) & (here == self.before)
        here[ours] = self.after[ours]
        frame[self.window] = here


def diff_labels(before: NDArray[Any], after: NDArray[Any]) -> LabelPatch | None:
    """Return the change from one frame (H, W) to another; None if they are equal."""
    window = changed_window(before, after)
    if window is None:
        return None
    kept = np.array(before[window])
    return LabelPatch(window[0].start, window[1].start, kept, after[window].astype(kept.dtype))


def changed_window(old: NDArray[Any], new: NDArray[Any]) -> tuple[slice, slice] | None:
    """Return the window in which two frames (H, W) differ; None if they are equal."""
    different = old != new
    rows = np.nonzero(different.any(axis=1))[0]
    if rows.size == 0:
        return None
    columns = np.nonzero(different[rows[0] : rows[-1] + 1].any(axis=0))[0]
    return (
        slice(int(rows[0]), int(rows[-1]) + 1),
        slice(int(columns[0]), int(columns[-1]) + 1),
    )


def split_by_line(
    labels: NDArray[Any],
    label: int,
    points: Sequence[Sequence[float]] | NDArray[Any],
    next_label: int | None = None,
) -> LabelPatch:
    """Split a region along a drawn line.

    Parameters
    ----------
    labels : (H, W) integer array
        0 is background.
    label : int
        The region.
    points : (P, 2) array of float
        The line, ``(y, x)`` in px; at least two points.
    next_label : int, optional
        Label of the first new piece (default: the largest label plus one).

    Returns
    -------
    LabelPatch
        The largest piece keeps the label.  The pixels under the line are assigned to the nearest
        piece.

    Raises
    ------
    LabelEditError
        If the line does not cut the region in two.
    """
    window, mask = _cut_out(labels, label)
    path = _lengthened(np.asarray(points, float)) - (window[0].start, window[1].start)
    cut = _rasterised(path, mask.shape)
    pieces = _pieces(mask, cut)
    if pieces.max() < 2:
        raise LabelEditError(
            f"The line does not cut region {label} in two: draw it right across the region."
        )
    return _numbered(labels, label, window, mask, pieces, next_label)


def _lengthened(points: NDArray[np.float64]) -> NDArray[np.float64]:
    if points.ndim != 2 or points.shape[1] != 2 or len(points) < 2:
        raise LabelEditError("A line needs at least two points: draw it across the region.")
    out = points.copy()
    for end, neighbour in ((0, 1), (-1, -2)):
        step = points[end] - points[neighbour]
        length = float(np.hypot(*step))
        if length > 0:
            out[end] = points[end] + step / length * _OVERSHOOT
    return out


def _rasterised(path: NDArray[np.float64], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    cut = np.zeros(shape, bool)
    rounded = np.round(path).astype(int)
    for (y0, x0), (y1, x1) in pairwise(rounded):
        ys, xs = draw_line(y0, x0, y1, x1)
        inside = (ys >= 0) & (xs >= 0) & (ys < shape[0]) & (xs < shape[1])
        cut[ys[inside], xs[inside]] = True
    # Thicken the line, so that pieces are not connected across its diagonal steps.
    return np.asarray(ndimage.binary_dilation(cut))


def _pieces(mask: NDArray[np.bool_], cut: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Assign every pixel of a mask to a piece; pieces are numbered from 1, the largest first."""
    found, count = ndimage.label(mask & ~cut, _EIGHT)
    areas = np.bincount(found.ravel(), minlength=count + 1)[1:]
    least = max(2.0, _CRUMB * float(mask.sum()))
    order = [one for one in np.argsort(-areas, kind="stable") if areas[one] >= least]
    numbers = np.zeros(count + 1, np.int32)
    for place, one in enumerate(order, start=1):
        numbers[one + 1] = place
    seeds = numbers[found]
    if not seeds.any():
        return np.zeros(mask.shape, np.int32)
    nearest = ndimage.distance_transform_edt(
        seeds == 0, return_distances=False, return_indices=True
    )
    return np.where(mask, seeds[tuple(nearest)], 0).astype(np.int32)


def split_by_watershed(
    labels: NDArray[Any],
    label: int,
    pieces: int = 2,
    signal: NDArray[Any] | None = None,
    next_label: int | None = None,
) -> LabelPatch:
    """Split a region at its narrowest and faintest points, by watershed.

    Every local maximum of thickness starts a basin; the two basins with the
    shallowest saddle between them are merged until ``pieces`` are left.

    Parameters
    ----------
    labels : (H, W) integer array
        0 is background.
    label : int
        The region.
    pieces : int
        Number of pieces, 2 or more.
    signal : (H, W) float array, optional
        Chromosome signal, to also cut at faint gaps.
    next_label : int, optional
        Label of the first new piece (default: the largest label plus one).

    Raises
    ------
    LabelEditError
        If the region cannot be split this way.
    """
    window, mask = _cut_out(labels, label)
    height = ndimage.gaussian_filter(ndimage.distance_transform_edt(mask), 1.0)
    if signal is not None:
        inside = np.clip(np.asarray(signal[window], float), 0.0, 1.5)
        height = height * (0.35 + ndimage.gaussian_filter(inside, 1.0))
    peaks = peak_local_max(height, min_distance=2, labels=mask.astype(int), exclude_border=False)
    markers = np.zeros(mask.shape, np.int32)
    markers[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
    basins = watershed(-height, markers, mask=mask)
    basins = _joined(np.asarray(basins, np.int32), height, pieces)
    if len(np.unique(basins[mask])) < pieces:
        raise LabelEditError(
            f"Region {label} cannot be split into {pieces} pieces automatically: split it by a "
            f"drawn line."
        )
    order = np.argsort(-np.bincount(basins.ravel())[1:], kind="stable")
    ranks = np.zeros(basins.max() + 1, np.int32)
    ranks[order + 1] = np.arange(1, len(order) + 1)
    return _numbered(labels, label, window, mask, ranks[basins] * mask, next_label)


def _joined(
    basins: NDArray[np.int32], height: NDArray[np.floating], pieces: int
) -> NDArray[np.int32]:
    """Merge the basins with the shallowest saddle, or tiny ones, until ``pieces`` are left."""
    basins = basins.copy()
    least = 0.08 * float((basins > 0).sum())
    while True:
        names, areas = np.unique(basins[basins > 0], return_counts=True)
        passes = _passes(basins, height)
        if len(names) <= 1 or not passes:
            return basins
        area = dict(zip(names.tolist(), areas.tolist(), strict=True))
        top = {name: float(height[basins == name].max()) for name in area}
        if len(names) <= pieces and min(area.values()) >= least:
            return basins

        def depth(
            pair: tuple[int, int],
            area: dict[int, int] = area,
            top: dict[int, float] = top,
            passes: dict[tuple[int, int], float] = passes,
        ) -> tuple[bool, float]:
            one, other = pair
            # Merge tiny basins first.
            crumb = min(area[one], area[other]) < least
            return not crumb, 1 - passes[pair] / max(min(top[one], top[other]), 1e-6)

        one, other = min(passes, key=depth)
        basins[basins == other] = one


def _passes(
    basins: NDArray[np.int32], height: NDArray[np.floating]
) -> dict[tuple[int, int], float]:
    """Return the height of the saddle between each two adjacent basins."""
    passes: dict[tuple[int, int], float] = {}
    for axis in (0, 1):
        low = [slice(None)] * 2
        high = [slice(None)] * 2
        low[axis], high[axis] = slice(None, -1), slice(1, None)
        a, b = basins[tuple(low)], basins[tuple(high)]
        level = np.minimum(height[tuple(low)], height[tuple(high)])
        meet = (a != b) & (a > 0) & (b > 0)
        for one, other, value in zip(a[meet], b[meet], level[meet], strict=True):
            pair = (int(min(one, other)), int(max(one, other)))
            passes[pair] = max(passes.get(pair, 0.0), float(value))
    return passes


def merge_regions(labels: NDArray[Any], selected: Sequence[int]) -> LabelPatch:
    """Merge regions into one, with the label of the largest.

    Raises
    ------
    LabelEditError
        If fewer than two regions are given or one does not exist.
    """
    wanted = sorted({int(label) for label in selected} - {0})
    if len(wanted) < 2:
        raise LabelEditError("Select at least two regions to merge them.")
    window, mask = _cut_out(labels, *wanted)
    areas = {label: int((labels[window] == label).sum()) for label in wanted}
    keeper = max(wanted, key=lambda label: areas[label])
    before = np.array(labels[window])
    return LabelPatch(window[0].start, window[1].start, before, np.where(mask, keeper, before))


def hang_together(labels: NDArray[Any], selected: Sequence[int]) -> bool:
    """Return whether regions form one connected piece, allowing gaps of two px.

    Raises
    ------
    LabelEditError
        If one does not exist.
    """
    _, mask = _cut_out(labels, *(int(label) for label in selected))
    # There may be a line of background between regions that were split.
    grown = ndimage.binary_dilation(np.pad(mask, 1), np.ones((3, 3), bool))
    return int(ndimage.label(grown, np.ones((3, 3), bool))[1]) == 1


def delete_regions(labels: NDArray[Any], selected: Sequence[int]) -> LabelPatch:
    """Turn regions into background.

    Raises
    ------
    LabelEditError
        If no region is given or one does not exist.
    """
    wanted = sorted({int(label) for label in selected} - {0})
    if not wanted:
        raise LabelEditError("Select the regions to delete.")
    window, mask = _cut_out(labels, *wanted)
    before = np.array(labels[window])
    return LabelPatch(window[0].start, window[1].start, before, np.where(mask, 0, before))


def _cut_out(labels: NDArray[Any], *wanted: int) -> tuple[tuple[slice, slice], NDArray[np.bool_]]:
    """Return the window around some regions and their mask in it."""
    mask = np.zeros(labels.shape, bool)
    for label in wanted:
        mine = labels == label
        if not mine.any():
            raise LabelEditError(f"Region {label} does not occur in this frame: select another.")
        mask |= mine
    ys, xs = np.nonzero(mask.any(axis=1))[0], np.nonzero(mask.any(axis=0))[0]
    window = (slice(int(ys[0]), int(ys[-1]) + 1), slice(int(xs[0]), int(xs[-1]) + 1))
    return window, mask[window]


def _numbered(
    labels: NDArray[Any],
    label: int,
    window: tuple[slice, slice],
    mask: NDArray[np.bool_],
    pieces: NDArray[Any],
    next_label: int | None,
) -> LabelPatch:
    first = int(labels.max()) + 1 if next_label is None else next_label
    count = int(pieces.max())
    if first + count - 2 > np.iinfo(labels.dtype).max:
        raise LabelEditError(
            f"The labels layer ({labels.dtype}) has no unused number for a new region: "
            f"convert it to int32 (right-click the layer) and try again."
        )
    names = np.array([0, label, *range(first, first + count - 1)], dtype=labels.dtype)
    before = np.array(labels[window])
    after = np.where(mask, names[pieces], before).astype(labels.dtype)
    return LabelPatch(window[0].start, window[1].start, before, after)
