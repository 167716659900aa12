"""Figures: the annotated metaphase, contact sheet, confusion matrix, reliability, batch chart.

They use matplotlib's object interface, without windows or global state.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import NDArray
from skimage.measure import find_contours

from napari_chromocluster.cluster_types import TYPES, ClusterType
from napari_chromocluster.imaging.files import ImageError, atomic_path
from napari_chromocluster.imaging.normalization import normalize_stain, to_grayscale
from napari_chromocluster.imaging.regions import (
    Region,
    extract_regions,
    region_mask,
    topmost_point,
)
from napari_chromocluster.results.features_table import counts, unsure
from napari_chromocluster.results.metrics import reliability_bins

_INCHES = 8.0
#: Maximum height of a figure in inches: images are limited to 65535 px.
_TALLEST = 400.0
#: The default font, and parts of the names of fonts that cover many scripts.
_FONT = "DejaVu Sans"
_WIDE_FONTS = (  # only these, since searching all installed fonts is slow
    "CJK", "Source Han", "Fallback", "YaHei", "SimHei", "SimSun", "PingFang", "Hiragino", "Gothic",
    "Meiryo", "WenQuanYi", "Unicode", "Noto Sans",
)  # fmt: skip
_FORMATS = (".png", ".svg", ".pdf")
#: Outline of regions without a type, as in the viewer.
_UNCLASSIFIED = "#56B4E9"
#: Pixels around a region's mask, so that its outline closes at the border of the image.
_PAD = 2
_NICE = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000)


#: Height in inches of the row with the scale bar below region images.
_SCALE_INCHES = 0.3


def save_figure(path: str | Path, figure: Figure, dpi: int = 150) -> None:
    """Write a figure as PNG, SVG or PDF, atomically.

    Raises
    ------
    ImageError
        For another suffix.
    """
    if Path(path).suffix.lower() not in _FORMATS:
        raise ImageError(f"{Path(path).name}: a figure is saved as {', '.join(_FORMATS)}.")
    FigureCanvasAgg(figure)
    # Keep text as text in an SVG, so that it can be edited and searched.
    with atomic_path(path) as temporary, mpl.rc_context({"svg.fonttype": "none"}):
        # Writing a PNG with low compression takes a third of the time.
        png = Path(path).suffix.lower() == ".png"
        options: dict[str, Any] = {"pil_kwargs": {"compress_level": 3}} if png else {}
        figure.savefig(temporary, dpi=dpi, bbox_inches="tight", pad_inches=0.08, **options)


def printable(text: str) -> tuple[str, list[str]]:
    """Return text that can be drawn, and the fonts that contain its letters, in order.

    A letter that is in no installed font is replaced by its code, such as U+4E2D.
    """
    missing = set(text) - _letters_of(_FONT)
    families = [_FONT]
    for name in _fonts_beyond_latin() if missing else ():
        if missing & _letters_of(name):
            families.append(name)
            missing -= _letters_of(name)
        if not missing:
            break
    shown = "".join(f"U+{ord(letter):04X}" if letter in missing else letter for letter in text)
    return shown, families


@cache
def _letters_of(family: str) -> frozenset[str]:
    from matplotlib.font_manager import FontProperties, findfont, get_font

    font = get_font(findfont(FontProperties(family=[family])))
    return frozenset(map(chr, font.get_charmap()))


@cache
def _fonts_beyond_latin() -> list[str]:
    """Return the installed fonts known to cover many scripts, Chinese ones first."""
    from matplotlib.font_manager import fontManager

    installed = dict.fromkeys(font.name for font in fontManager.ttflist)
    return [name for word in _WIDE_FONTS for name in installed if word in name]


def _set_title(axes: Any, title: str) -> None:
    if title:
        text, families = printable(title)
        axes.set_title(text, fontsize=10, parse_math=False, fontfamily=families, y=1.0)


def overlay_figure(
    image: Any,
    labels: Any,
    table: pd.DataFrame,
    *,
    threshold: float = 0.7,
    title: str = "",
    pixel_size: float | None = None,
    colors: Mapping[str, str] | None = None,
) -> Figure:
    """Draw a metaphase with its regions outlined in the colors of their types.

    Parameters
    ----------
    image : (H, W) or (H, W, 3 | 4) array
        One metaphase.
    labels : (H, W) integer array
        Its regions.
    table : DataFrame
        Its features table.
    threshold : float
        Regions with less confidence get a dashed outline and a question mark.
    title : str
        Title above the image.
    pixel_size : float, optional
        Micrometers per pixel; without it the scale bar is in pixels.
    colors : mapping of type to color, optional
        Instead of the default colors.

    Returns
    -------
    matplotlib.figure.Figure
    """
    gray = to_grayscale(image)
    low, usual, high = np.percentile(gray, [0.5, 50, 99.8])
    ground = float(np.clip((usual - low) / max(high - low, 1e-9), 0, 1))
    height, width = gray.shape
    # Title and legend are outside the axes and included when saving, so no layout is needed.
    figure = Figure(figsize=(_INCHES, _INCHES * height / width))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.imshow(gray, cmap="gray", vmin=low, vmax=high, interpolation="nearest")
    axes.set_axis_off()
    axes.xaxis.set_visible(False)
    axes.yaxis.set_visible(False)
    _set_title(axes, title)
    doubtful = dict(zip(table["index"], unsure(table, threshold), strict=True))
    kinds = dict(zip(table["index"], table["cluster_type"], strict=True))
    for region in extract_regions(labels):
        kind = kinds.get(region.label, "")
        color = _color(ClusterType(kind), colors) if kind else _UNCLASSIFIED
        unsure_one = bool(doubtful.get(region.label, False))
        mask = region_mask(labels, region, pad=_PAD)
        _outline(axes, region, mask, color, unsure_one)
        if kind and (kind != ClusterType.SINGLE or unsure_one):
            word = ClusterType(kind).letter + "?" * unsure_one
            _letter(axes, region, mask, color, word, ground)
    _legend(axes, table, int(sum(doubtful.values())), colors)
    _scale_bar(axes, width, height, pixel_size)
    return figure


def _color(kind: ClusterType, colors: Mapping[str, str] | None) -> str:
    return (colors or {}).get(str(kind), kind.color)


def _outline(
    axes: Any, region: Region, mask: NDArray[np.bool_], color: str, doubtful: bool
) -> None:
    y0, x0, _, _ = region.bbox
    for contour in find_contours(mask.astype(float), 0.3):
        axes.plot(
            contour[:, 1] + x0 - _PAD,
            contour[:, 0] + y0 - _PAD,
            color=color,
            linewidth=1.3,
            linestyle=(0, (3, 2)) if doubtful else "-",
        )


def _letter(
    axes: Any, region: Region, mask: NDArray[np.bool_], color: str, word: str, ground: float
) -> None:
    y, x = topmost_point(mask)
    axes.text(
        region.bbox[1] - _PAD + x,
        region.bbox[0] - _PAD + y - 3,
        word,
        color=color,
        fontsize=8,
        fontweight="bold",
        ha="center",
        clip_on=True,
        # A neighboring region may be behind the letter, so it has the background's gray level.
        zorder=5,
        bbox={"facecolor": str(ground), "alpha": 0.75, "edgecolor": "none", "pad": 0.6},
    )


def _legend(
    axes: Any, table: pd.DataFrame, doubtful: int, colors: Mapping[str, str] | None
) -> None:
    handles: list[Any] = [
        Patch(color=_color(kind, colors), label=f"{kind.letter}  {kind.display_name}  {number}")
        for kind, number in counts(table).items()
    ]
    bare = int((table["cluster_type"] == "").sum())
    if bare:
        handles.append(Patch(color=_UNCLASSIFIED, label=f"–  not classified  {bare}"))
    handles.append(
        Line2D([], [], color="0.4", linestyle=(0, (3, 2)), label=f"?  unsure  {doubtful}")
    )
    axes.legend(
        handles=handles,
        loc="upper center",
        bbox_to_anchor=(0.5, -0.01),
        ncols=3,
        frameon=False,
        fontsize=9,
    )


def _scale_bar(axes: Any, width: int, height: int, pixel_size: float | None) -> None:
    size, unit = (pixel_size, "µm") if pixel_size else (1.0, "px")
    length = max((value for value in _NICE if value <= 0.2 * width * size), default=1)
    right, bottom = 0.97 * width, 0.96 * height
    axes.plot([right - length / size, right], [bottom, bottom], color="#0072B2", linewidth=3)
    axes.text(right, bottom - 0.01 * height, f"{length} {unit}", ha="right", va="bottom",
              color="#0072B2", fontsize=9)  # fmt: skip


def contact_sheet(
    image: Any,
    labels: Any,
    table: pd.DataFrame,
    columns: int = 12,
    side: int = 0,
    colors: Mapping[str, str] | None = None,
    pixel_size: float | None = None,
) -> Figure:
    """Draw all regions by type, masked and at one scale, least certain first.

    A region larger than a tile is drawn smaller, with its scale factor.

    Parameters
    ----------
    image, labels : (H, W) arrays
        One metaphase.
    table : DataFrame
        Its features table.
    columns : int
        Number of regions per row.
    side : int
        Side of a tile in px of the image (0: up to three times the typical region).
    colors : mapping of type to color, optional
        Instead of the default colors.
    pixel_size : float, optional
        Micrometers per pixel, for a scale bar.
    """
    signal = normalize_stain(image, labels).values
    regions = {region.label: region for region in extract_regions(labels)}
    table = table[table["index"].isin(regions)]
    side = side or _usual_side(list(regions.values()))
    tiles = {label: _tile(signal, labels, regions[label], side) for label in table["index"]}
    return crop_sheet(tiles, table, columns, side, colors, pixel_size)


def crop_sheet(
    tiles: Mapping[int, NDArray[Any]],
    table: pd.DataFrame,
    columns: int = 12,
    side: int = 0,
    colors: Mapping[str, str] | None = None,
    pixel_size: float | None = None,
) -> Figure:
    """Draw images of regions by type, at one scale, least certain first.

    Parameters
    ----------
    tiles : mapping of label to (n, n) array
        The signal of each region; a tile larger than ``side`` is drawn smaller.
    table : DataFrame
        ``index``, ``cluster_type`` and ``confidence`` of the regions to draw.
    columns, colors, pixel_size
        As in `contact_sheet`.
    side : int
        Side of a tile in px (0: that of the largest).
    """
    side = side or max((max(tile.shape) for tile in tiles.values()), default=16)
    rows: list[tuple[ClusterType, list[int]]] = []
    for kind in TYPES:
        mine = table[table["cluster_type"] == str(kind)].sort_values("confidence")
        found = [int(label) for label in mine["index"]]
        rows += [(kind, found[i : i + columns]) for i in range(0, len(found), columns)]
    high = _INCHES / columns * 1.25 * max(len(rows), 1)
    bottom = _SCALE_INCHES if pixel_size else 0.0
    figure = Figure(figsize=(_INCHES, high + bottom))
    low, part = bottom / (high + bottom), high / (high + bottom) / max(len(rows), 1)
    for number, (kind, members) in enumerate(rows):
        for place, label in enumerate(members):
            box = (place / columns, 1 - (number + 0.9) * part, 0.96 / columns, 0.8 * part)
            axes = figure.add_axes(box)
            tile = _padded(tiles[label], side)
            axes.imshow(tile, cmap="gray_r", vmin=0, vmax=2)
            axes.set_xticks([])
            axes.set_yticks([])
            for spine in axes.spines.values():
                spine.set_color(_color(kind, colors))
                spine.set_linewidth(1.5)
            smaller = f"  ×{side / tile.shape[0]:.2f}" if tile.shape[0] > side else ""
            axes.set_title(f"{kind.letter} {label}{smaller}", fontsize=6, pad=1)
    if pixel_size:
        axes = figure.add_axes((0, 0, 1, low), xlim=(0, side * columns / 0.96), ylim=(1, 0))
        axes.set_axis_off()
        _scale_bar(axes, side * columns, 1, pixel_size)
    return figure


def _usual_side(regions: Sequence[Any]) -> int:
    """Return the side of a tile in px that fits nearly all regions."""
    longest = [max(r.bbox[2] - r.bbox[0], r.bbox[3] - r.bbox[1]) for r in regions] or [16]
    return int(min(max(longest), 3 * float(np.median(longest)))) + 6


def _tile(signal: NDArray[np.float32], labels: Any, region: Any, side: int) -> NDArray[np.float32]:
    y0, x0, y1, x1 = region.bbox
    cut = np.where(region_mask(labels, region), signal[y0:y1, x0:x1], 0)
    return _padded(cut, side)


def _padded(tile: NDArray[Any], side: int) -> NDArray[np.float32]:
    """Center a tile in a square that is at least as large."""
    side = max(side, *tile.shape)
    out = np.zeros((side, side), np.float32)
    top, left = (side - tile.shape[0]) // 2, (side - tile.shape[1]) // 2
    out[top : top + tile.shape[0], left : left + tile.shape[1]] = tile
    return out


def confusion_figure(matrix: Sequence[Sequence[int]], title: str = "") -> Figure:
    """Draw a confusion matrix (rows true, columns predicted), colored by share of the row."""
    values = np.asarray(matrix)
    shares = values / np.maximum(values.sum(axis=1, keepdims=True), 1)
    names = [kind.display_name.replace("-", "-\n") for kind in TYPES]
    figure = Figure(figsize=(4.6, 4.2), layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for y in range(len(names)):
        for x in range(len(names)):
            axes.text(x, y, str(values[y, x]), ha="center", va="center", fontsize=9,
                      color="white" if shares[y, x] > 0.5 else "black")  # fmt: skip
    axes.set_xticks(range(len(names)), names, fontsize=8)
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    _set_title(axes, title)
    return figure


def reliability_figure(
    confidence: NDArray[np.floating], right: NDArray[np.bool_], bins: int = 10
) -> Figure:
    """Draw accuracy against confidence; on the diagonal the model is perfectly calibrated."""
    points = reliability_bins(confidence, right, bins)
    figure = Figure(figsize=(4.2, 4.0), layout="constrained")
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], color="0.7", linewidth=1)
    axes.plot(
        [point[0] for point in points], [point[1] for point in points], marker="o", color="#0072B2"
    )
    axes.set_xlabel("confidence")
    axes.set_ylabel("share right")
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.02)
    return figure


def batch_chart(
    totals: Mapping[str, Mapping[ClusterType, int]], colors: Mapping[str, str] | None = None
) -> Figure:
    """Draw the counts per type of many metaphases as stacked bars."""
    names = list(totals)
    height = min(0.6 + 0.22 * max(len(names), 4), _TALLEST)
    figure = Figure(figsize=(_INCHES, height), layout="constrained")
    axes = figure.add_subplot()
    places = np.arange(len(names))
    left = np.zeros(len(names))
    for kind in TYPES:
        values = np.array([totals[name].get(kind, 0) for name in names], float)
        axes.barh(places, values, left=left, color=_color(kind, colors),
                  label=f"{kind.letter} {kind.display_name}")  # fmt: skip
        left += values
    drawn = [printable(name) for name in names]
    axes.set_yticks(places, [text for text, _ in drawn], parse_math=False)
    for label, (_, families) in zip(axes.get_yticklabels(), drawn, strict=True):
        label.set_fontfamily(families)
    axes.invert_yaxis()
    axes.set_xlabel("regions")
    axes.legend(ncols=3, fontsize=8, frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    return figure
