import numpy as np
import pytest
from PIL import Image

from napari_chromocluster.cluster_types import TYPES
from napari_chromocluster.imaging.files import ImageError
from napari_chromocluster.imaging.regions import extract_regions
from napari_chromocluster.results.features_table import build_table, counts, set_types
from napari_chromocluster.results.figures import (
    batch_chart,
    confusion_figure,
    contact_sheet,
    overlay_figure,
    printable,
    reliability_figure,
    save_figure,
)


@pytest.fixture(scope="module")
def table(metaphase):
    made = build_table(extract_regions(metaphase.labels))
    for label, kind in metaphase.types.items():
        made = set_types(made, [label], kind)
    made.loc[0, ["source", "confidence"]] = ["model", 0.4]
    return made


def colours(path):
    return {tuple(int(v) for v in c[:3]) for c in np.unique(
        np.asarray(Image.open(path).convert("RGB")).reshape(-1, 3), axis=0)}  # fmt: skip


def test_overlay_shows_every_colour(tmp_path, metaphase, table):
    figure = overlay_figure(metaphase.image, metaphase.labels, table, pixel_size=0.1)
    save_figure(tmp_path / "overlay.png", figure)
    shown = colours(tmp_path / "overlay.png")
    for kind in TYPES:
        assert tuple(bytes.fromhex(kind.color[1:])) in shown


def test_each_letter_stands_above_its_region(metaphase, table):
    figure = overlay_figure(metaphase.image, metaphase.labels, table)
    (axes,) = figure.axes
    letters = [text for text in axes.texts if text.get_text().rstrip("?") in set("STOBX")]
    places = {(round(x, 1), y) for x, y in (text.get_position() for text in letters)}
    for region in extract_regions(metaphase.labels):
        kind = table.set_index("index").loc[region.label, "cluster_type"]
        if kind == "single":
            continue
        top = region.bbox[0]
        row = np.flatnonzero(metaphase.labels[top] == region.label)
        assert any(abs(x - row.mean()) < 1 and top - 8 < y < top for x, y in places)


def test_svg_keeps_its_text(tmp_path, metaphase, table):
    save_figure(tmp_path / "o.svg", overlay_figure(metaphase.image, metaphase.labels, table))
    text = (tmp_path / "o.svg").read_text()
    assert "touching-overlapping" in text
    assert "unsure" in text


def test_stack_of_other_figures(tmp_path, metaphase, table):
    save_figure(tmp_path / "c.png", contact_sheet(metaphase.image, metaphase.labels, table))
    save_figure(tmp_path / "m.png", confusion_figure(np.diag([5, 4, 3, 2, 1])))
    save_figure(tmp_path / "r.png", reliability_figure(np.linspace(0, 1, 50), np.ones(50, bool)))
    save_figure(tmp_path / "b.png", batch_chart({"a": counts(table), "b": counts(table)}))
    assert all(p.stat().st_size > 3000 for p in tmp_path.glob("*.png"))


def test_scale_bar_says_what_it_counts(tmp_path, metaphase, table):
    for size, word in ((None, "100 px"), (0.07, "5 µm")):
        figure = overlay_figure(metaphase.image, metaphase.labels, table, pixel_size=size)
        save_figure(tmp_path / "o.svg", figure)
        assert word in (tmp_path / "o.svg").read_text()


def test_the_scale_bar_of_a_contact_sheet_fits_its_tiles(metaphase, table):
    sheet = contact_sheet(metaphase.image, metaphase.labels, table, pixel_size=0.1)
    *tiles, scale = sheet.axes
    sheet.canvas.draw()
    (line,), (words,) = scale.lines, scale.texts
    number, unit = words.get_text().split()
    across = np.ptp(scale.transData.transform(np.column_stack(line.get_data()))[:, 0])
    side = tiles[0].images[0].get_array().shape[0]
    pixels = tiles[0].transData.transform([[0, 0], [side, 0]])
    assert unit == "µm"
    assert across / np.ptp(pixels[:, 0]) * side * 0.1 == pytest.approx(float(number), rel=0.02)
    assert words.get_window_extent().y1 < tiles[-1].get_window_extent().y0
    bare = contact_sheet(metaphase.image, metaphase.labels, table)
    assert len(bare.axes) == len(tiles)  # unknown pixel size


def test_regions_without_a_type_are_outlined_too(tmp_path, metaphase, table):
    bare = table.copy()
    bare.loc[:2, ["cluster_type", "source"]] = ["", ""]
    save_figure(tmp_path / "o.png", overlay_figure(metaphase.image, metaphase.labels, bare))
    assert tuple(bytes.fromhex("56B4E9")) in colours(tmp_path / "o.png")
    save_figure(tmp_path / "o.svg", overlay_figure(metaphase.image, metaphase.labels, bare))
    assert "not classified" in (tmp_path / "o.svg").read_text()


def test_chosen_colours_are_in_sheet_and_chart(tmp_path, metaphase, table):
    chosen = {str(kind): f"#0000{number:02X}" for number, kind in enumerate(TYPES, start=200)}
    sheet = contact_sheet(metaphase.image, metaphase.labels, table, colors=chosen)
    chart = batch_chart({"a": counts(table)}, chosen)
    for name, figure in (("s.svg", sheet), ("c.svg", chart)):
        save_figure(tmp_path / name, figure)
        text = (tmp_path / name).read_text().lower()
        assert chosen["single"].lower() in text
        assert TYPES[0].color.lower() not in text


def test_contact_sheet_shows_large_regions_whole(metaphase, table):
    side = 20
    sheet = contact_sheet(metaphase.image, metaphase.labels, table, side=side)
    regions = {region.label: region for region in extract_regions(metaphase.labels)}
    for axes in sheet.axes:
        label = int(axes.get_title().split()[1])
        y0, x0, y1, x1 = regions[label].bbox
        tile = axes.images[0].get_array()
        assert min(tile.shape) >= max(y1 - y0, x1 - x0)
        assert ("×" in axes.get_title()) == (max(y1 - y0, x1 - x0) > side)


NAMES = ["cost$x$", "$", "中期相_01", "染色体メタフェーズ", "a_\U000f1234", "tab\there", "_leading"]


def test_names_are_drawn_as_they_are(tmp_path, metaphase, table):
    """A glyph missing in a font is a warning, and thus an error here."""
    chart = batch_chart(dict.fromkeys(NAMES, counts(table)))
    save_figure(tmp_path / "chart.svg", chart)
    drawn = (tmp_path / "chart.svg").read_text(encoding="utf-8")
    for name in NAMES:
        assert printable(name)[0] in drawn
        figure = overlay_figure(metaphase.image, metaphase.labels, table, title=name)
        save_figure(tmp_path / "overlay.png", figure, dpi=30)
    assert "cost$x$" in drawn
    assert "a_U+F1234" in drawn
    assert "tabU+0009here" in drawn


def test_a_chart_of_thousands_can_be_saved(tmp_path, table):
    chart = batch_chart({f"m{number}": counts(table) for number in range(2500)})
    assert chart.get_figheight() * 150 < 65536


def test_unknown_format_is_refused(tmp_path):
    with pytest.raises(ImageError, match="saved as"):
        save_figure(tmp_path / "o.doc", confusion_figure(np.eye(5)))
