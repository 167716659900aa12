"""Regions of a label image: positions and sizes, in one pass over the pixels."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import ndimage

#: Ratio of largest to smallest area in the range that contains the chromosomes of a metaphase.
_RANGE = 8.0
#: Regions smaller than this share of a chromosome's area are specks.
_SPECK = 0.125
#: Minimum number of regions for a reference size.
_FEWEST = 5
#: Labels are gray values of an image if there are at least so many, their bounding boxes cover at
#: least this share of the whole, and they fill at most this share of their box.  Chromosomes cover
#: a hundredth and fill half of their box.
_FEWEST_GRAYS, _STREWN, _THIN = 10, 0.1, 0.1
#: A region around all others is the background if it covers this share of the image; a single
#: region with at least so many separate parts is probably a mask.
_GROUND, _PARTS = 0.5, 5


#: A label, or a frame of a stack and a label in it.
Selected = int | tuple[int, int]
Selection = int | Collection[int] | Collection[Selected]


class RegionError(ValueError):
    """Labels or a selection without usable regions."""


@dataclass(frozen=True)
class Region:
    """One region of a label image.

    Attributes
    ----------
    label : int
        Its value in the labels.
    frame : int
        Frame of a stack (0 for a single image).
    bbox : tuple of int
        ``(y0, x0, y1, x1)`` in px, half open.
    area : int
        Pixels.
    centroid : tuple of float
        ``(y, x)`` in px.
    touches_border : bool
        Whether it touches the border of the image and may be cut off.
    """

    label: int
    frame: int
    bbox: tuple[int, int, int, int]
    area: int
    centroid: tuple[float, float]
    touches_border: bool = False


def topmost_point(mask: NDArray[np.bool_]) -> tuple[float, float]:
    """Return the topmost point ``(y, x)`` of a mask (h, w), above which its letter is drawn."""
    y, x = np.nonzero(mask)
    return float(y.min()), float(x[y == y.min()].mean())


def iterate_frames(labels: Any) -> Iterator[tuple[int, NDArray[Any]]]:
    """Yield the frames of a label image or stack, reading one at a time.

    Raises
    ------
    RegionError
        If the array is neither (H, W) nor (N, H, W), or not of integers.
    """
    dtype = np.dtype(labels.dtype) if hasattr(labels, "dtype") else np.asarray(labels).dtype
    if dtype.kind not in "uib":
        raise RegionError("Labels must be whole numbers: choose a labels layer, not an image.")
    if len(labels.shape) == 2:
        yield 0, np.asarray(labels)
    elif len(labels.shape) == 3:
        for frame in range(labels.shape[0]):
            yield frame, np.asarray(labels[frame])
    else:
        raise RegionError(
            f"Labels have the shape {tuple(labels.shape)}; (height, width) or "
            f"(frames, height, width) is needed."
        )


def selected_labels(select: Any) -> set[Selected]:
    """Return a selection as a set of labels or (frame, label) pairs.

    Raises
    ------
    RegionError
        If it contains anything but whole numbers, such as a mask.
    """
    try:
        given = list(select)
    except TypeError:
        given = [select]
    named = not isinstance(select, (str, bytes)) and all(
        _is_label(one) or _is_pair(one) for one in given
    )
    if not named:
        raise RegionError(
            "A selection must be a list of labels, such as [1, 2, 5], not a mask, text or "
            "fractions: give the numbers of the regions."
        )
    return {(int(one[0]), int(one[1])) if _is_pair(one) else int(one) for one in given}


def _is_pair(value: Any) -> bool:
    return isinstance(value, (tuple, list)) and len(value) == 2 and all(map(_is_label, value))


def _is_label(value: Any) -> bool:
    if isinstance(value, (bool, np.bool_)):
        return False
    number = isinstance(value, (int, float, np.integer, np.floating))
    return number and float(value).is_integer()


def extract_regions(labels: Any, select: Selection | None = None) -> list[Region]:
    """List the regions of a label image or of a stack.

    The cost is linear in the pixels, however many labels there are and
    whatever their values.

    Parameters
    ----------
    labels : (H, W) or (N, H, W) integer array, or a dask or zarr array
        0 is background.  Lazy arrays are read frame by frame.
    select : label or collection of labels, optional
        Labels to list (default: all).  In a stack, a label selects the regions of all frames;
        a (frame, label) pair selects only one.

    Returns
    -------
    list of Region
        In the order of frame and label.

    Raises
    ------
    RegionError
        If there is no region, or the selection is empty, invalid or contains
        labels that do not exist.
    """
    wanted = None if select is None else {one for one in selected_labels(select) if one != 0}
    if wanted is not None and not wanted:
        raise RegionError("No region is selected: select at least one label.")
    found: list[Region] = []
    for frame, array in iterate_frames(labels):
        here = None if wanted is None else {_label_in(one, frame) for one in wanted}
        if here is None or here != {0}:
            found.extend(_frame_regions(frame, array, here))
    if not found and wanted is None:
        raise RegionError("The labels hold no region: find regions first or choose other labels.")
    if wanted is not None:
        known = {region.label for region in found} | {(one.frame, one.label) for one in found}
        missing = [one for one in wanted if one not in known]
        if missing:
            first = min(one if isinstance(one, int) else one[1] for one in missing)
            raise RegionError(f"Label {first} does not occur: select labels that exist.")
    return found


def _label_in(selected: Selected, frame: int) -> int:
    """Return the label selected in a frame, or 0 if the selection is for another frame."""
    if isinstance(selected, int):
        return selected
    return selected[1] if selected[0] == frame else 0


def _frame_regions(frame: int, array: NDArray[Any], wanted: set[int] | None) -> list[Region]:
    compact, values = _compact(array)
    if values.size == 0:
        return []
    height, width = compact.shape
    # Sums over all labeled pixels at once: faster than over many overlapping boxes.
    places = np.flatnonzero(compact)
    numbers = compact.ravel()[places]
    areas = np.bincount(numbers, minlength=values.size + 1)
    y_sums = np.bincount(numbers, weights=places // width, minlength=values.size + 1)
    x_sums = np.bincount(numbers, weights=places % width, minlength=values.size + 1)
    regions = []
    for number, box in enumerate(ndimage.find_objects(compact), start=1):
        label = int(values[number - 1])
        if box is None or (wanted is not None and label not in wanted):
            continue
        y0, x0, y1, x1 = box[0].start, box[1].start, box[0].stop, box[1].stop
        area = int(areas[number])
        regions.append(
            Region(
                label=label,
                frame=frame,
                bbox=(y0, x0, y1, x1),
                area=area,
                centroid=(float(y_sums[number]) / area, float(x_sums[number]) / area),
                touches_border=y0 == 0 or x0 == 0 or y1 == height or x1 == width,
            )
        )
    return regions


def _compact(array: NDArray[Any]) -> tuple[NDArray[np.int32], NDArray[Any]]:
    """Renumber the labels 1..n without gaps; values may be as large as uint64 allows."""
    flat = array.ravel()
    if flat.size and flat.dtype.kind in "iu" and int(flat.min()) >= 0 and int(flat.max()) < 1 << 22:
        present = np.bincount(flat) > 0
        present[0] = False
        values = np.nonzero(present)[0]
        table = np.zeros(present.size, np.int32)
        table[values] = np.arange(1, values.size + 1)
        return table[array], values
    codes, uniques = pd.factorize(flat)
    labels = np.asarray(uniques)
    order = np.argsort(labels, kind="stable")
    kept = order[labels[order] > 0]
    table = np.zeros(labels.size, np.int32)
    table[kept] = np.arange(1, kept.size + 1)
    return table[codes].reshape(array.shape), labels[kept]


def reference_size(regions: list[Region]) -> float | None:
    """Return the typical size of a region: the square root of the median area, in px.

    Most regions of a metaphase are single chromosomes, so this is the size of
    one.  Specks, smaller than an eighth of `modal_area`, are ignored.  None
    for fewer than five regions.
    """
    usual = reference_area(np.array([region.area for region in regions], np.float64))
    return None if usual is None else float(np.sqrt(usual))


def reference_area(areas: NDArray[np.floating]) -> float | None:
    """Return the area of a typical region, the square of `reference_size`.

    Parameters
    ----------
    areas : (N,) float array
        Areas of all regions of a metaphase, in px.
    """
    if len(areas) < _FEWEST:
        return None
    return float(np.median(areas[areas >= _smallest(areas)]))


def drop_small_regions(regions: list[Region]) -> list[Region]:
    """Return the regions that are not smaller than an eighth of `modal_area`."""
    if not regions:
        return []
    least = _smallest(np.array([one.area for one in regions], np.float64))
    return [one for one in regions if one.area >= least]


def _smallest(areas: NDArray[np.floating]) -> float:
    """Return the area below which a region of a metaphase is a speck."""
    return _SPECK * modal_area(np.sort(areas))


def modal_area(areas: NDArray[np.float64]) -> float:
    """Return the typical area of the chromosomes, robust against other segmented objects.

    It is the median of the range of areas, with a ratio of up to eight, that contains most
    regions, each weighted by the root of its area: hundreds of specks, or a few nuclei, weigh
    less than forty chromosomes.

    Parameters
    ----------
    areas : (N,) float array
        Areas of one or more regions in px, ascending.
    """
    counted = np.concatenate([[0.0], np.cumsum(np.sqrt(areas))])
    ends = np.searchsorted(areas, _RANGE * areas, side="right")
    first = int((counted[ends] - counted[:-1]).argmax())
    return float(np.median(areas[first : ends[first]]))


def looks_like_grayscale(regions: Sequence[Region]) -> bool:
    """Return whether labels are the gray values of an image: many, each scattered all over it."""
    if len(regions) < _FEWEST_GRAYS:
        return False
    boxes = np.array([region.bbox for region in regions])
    sizes = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    whole = (boxes[:, 2:].max(axis=0) - boxes[:, :2].min(axis=0)).prod()
    filled = np.array([region.area for region in regions]) / sizes
    return bool(np.median(sizes) > _STREWN * whole and np.median(filled) < _THIN)


def region_mask(labels: Any, region: Region, pad: int = 0) -> NDArray[np.bool_]:
    """Return the mask of a region within its bounding box, padded by ``pad`` px.

    Parameters
    ----------
    labels : (H, W) or (N, H, W) integer array
        Only the slice around the region is read.
    region : Region
        The region.
    pad : int
        Empty border around it, in px.
    """
    y0, x0, y1, x1 = region.bbox
    window: tuple[Any, ...] = (slice(y0, y1), slice(x0, x1))
    if len(labels.shape) == 3:
        # A single index, so that a lazy array reads only this window.
        window = (region.frame, *window)
    return np.pad(np.asarray(labels[window]) == region.label, pad)


def label_doubt(labels: Any) -> str | None:
    """Return a warning if a label image (H, W) is a mask or has a labeled background, or None."""
    if labels.ndim != 2:
        return None
    labels = np.asarray(labels)
    if not labels.any():
        return None
    sides = (labels[0], labels[-1], labels[:, 0], labels[:, -1])
    values, counts = np.unique(np.concatenate(sides), return_counts=True)
    usual = int(values[counts.argmax()])
    around = usual > 0 and all((side == usual).any() for side in sides)
    if around and (not (labels == 0).any() or (labels == usual).mean() > _GROUND):
        return (
            f"label {usual} surrounds all others and is taken for a region: if it is the "
            f"background, give it the label 0."
        )
    if (labels[labels != 0] == labels.max()).all():
        parts = ndimage.label(labels)[1]
        if parts >= _PARTS:
            return (
                f"one region in {parts} separate parts: if it is a mask, give each part a label "
                f"of its own."
            )
    return None
