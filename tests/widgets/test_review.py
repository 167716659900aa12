"""The review dock, driven by real key and mouse events."""

from __future__ import annotations

from itertools import cycle

import numpy as np
import pandas as pd
import pytest
from napari.utils._proxies import PublicOnlyProxy
from PIL import Image
from qtpy.QtCore import QPointF, Qt
from qtpy.QtGui import QDragEnterEvent, QDragMoveEvent, QDropEvent
from qtpy.QtWidgets import (
    QApplication,
    QDockWidget,
    QLineEdit,
    QMessageBox,
    QTabBar,
)
from vispy.util import keys

from napari_chromocluster.cluster_types import TYPES, ClusterType
from napari_chromocluster.imaging.regions import extract_regions
from napari_chromocluster.imaging.synthetic_metaphase import synthetic_metaphase
from napari_chromocluster.results.features_table import build_table, set_types
from napari_chromocluster.results.summary import score
from napari_chromocluster.results.table_files import read_table, write_table
from napari_chromocluster.viewer.overlay import letters_layer
from napari_chromocluster.viewer.review.canvas import frame_table
from napari_chromocluster.widgets.classify import ClassifyWidget
from napari_chromocluster.widgets.review.gallery import Header
from napari_chromocluster.widgets.review.shortcuts import COMMANDS, help_sheet
from napari_chromocluster.widgets.review.thumbnail_cache import ThumbnailCache
from napari_chromocluster.widgets.review.widget import ReviewWidget
from review_dock import (
    MADE,
    Event,
    choose,
    framed,
    native_canvas,
    press,
    row,
    seeded,
    use_model,
)


@pytest.fixture
def dock(review):
    return review


def test_gallery_shows_all_regions_in_groups(dock, qtbot):
    model = dock.gallery.gallery
    assert len(model.entries) == len(MADE.types)
    heads = [model.item(model.index(i)) for i in range(model.rowCount())]
    assert [one.kind for one in heads if isinstance(one, Header)] == [str(kind) for kind in TYPES]
    first = dock.gallery.gallery.entries[0]
    qtbot.waitUntil(lambda: dock._tiles.pixmap((first.frame, first.label)) is not None)
    dock.gallery.grab()
    assert dock.gallery.horizontalScrollBar().maximum() == 0


def test_click_goes_there_and_keys_decide(dock, qtbot):
    key = (0, dock.gallery.gallery.entries[3].label)
    choose(dock, qtbot, key)
    assert dock.labels.selected_label == key[1]
    dock.go_on.setChecked(False)
    press(dock, qtbot, "3")
    assert row(dock, key)["cluster_type"] == "overlapping"
    assert row(dock, key)["source"] == "human"
    press(dock, qtbot, "U")
    assert row(dock, key)["source"] == "model"
    press(dock, qtbot, "Z", Qt.KeyboardModifier.ControlModifier)
    assert row(dock, key)["cluster_type"] == "overlapping"
    press(dock, qtbot, "Z", Qt.KeyboardModifier.ControlModifier)
    assert row(dock, key)["source"] == "model"
    press(dock, qtbot, "Y", Qt.KeyboardModifier.ControlModifier)
    assert row(dock, key)["cluster_type"] == "overlapping"


def test_a_metaphase_is_reviewed_with_space_and_digits(dock, qtbot):
    waiting = [one for one in dock.gallery.gallery.entries if one.unsure]
    press(dock, qtbot, "N")
    seen = []
    for number in range(len(waiting)):
        seen.append(dock.gallery.current_key())
        if number % 3 == 0:
            press(dock, qtbot, "2")
        else:
            press(dock, qtbot, "Space")
    assert seen == [(one.frame, one.label) for one in waiting], "each is visited once, in order"
    assert "all reviewed" in dock.status.text()
    assert (dock.session.rows(seen)["source"] == "human").all()
    press(dock, qtbot, "N")
    assert "No other region" in dock.banner.text


def test_the_picture_moves_only_where_a_region_is_out_of_sight(dock):
    camera = dock.viewer.scene.camera
    keys = dock.session.region_keys()
    whole, zoom = camera.center, camera.zoom
    for key in keys:
        dock.gallery.select([key], tell=True)
    assert (camera.center, camera.zoom) == (whole, zoom), "all of it is in view"
    camera.zoom = 4 * zoom
    moves = 0
    for key in keys:
        before = np.array(camera.center[-2:])
        dock.gallery.select([key], tell=True)
        centre = np.array(camera.center[-2:])
        half = np.array(dock.viewer.canvas.size) / camera.zoom / 2
        y0, x0, y1, x1 = (int(one) for one in row(dock, key)["bbox"].split(","))
        low, high = np.array([y0, x0]), np.array([y1, x1])
        assert (low >= centre - half - 1).all()
        assert (high <= centre + half + 1).all()
        seen = (low >= before - 0.9 * half).all() and (high <= before + 0.9 * half).all()
        assert np.array_equal(before, centre) or not seen
        moves += not np.array_equal(before, centre)
    assert moves > 0
    # A region already in view does not move the camera.
    there = camera.center
    dock.gallery.select([keys[0]], tell=False)
    dock.gallery.select([keys[-1]], tell=True)
    assert camera.center == there
    assert camera.zoom == 4 * zoom


def test_digits_and_space_hold_in_the_picture_until_the_dock_is_closed(dock, qtbot):
    viewer, native = dock.viewer, native_canvas(dock)
    viewer.layers.selection.active = dock.labels
    press(dock, qtbot, "N")
    key = dock.gallery.current_key()
    native.setFocus()
    qtbot.keyClick(native, Qt.Key.Key_2)
    assert row(dock, key)["cluster_type"] == "touching"
    assert dock.labels.mode == "pan_zoom", "nothing is painted by accident"
    following = dock.gallery.current_key()
    assert following != key
    viewer.layers.selection.active = dock.image
    qtbot.keyClick(native, Qt.Key.Key_Space)
    assert row(dock, following)["source"] == "human"
    for _ in range(2):
        qtbot.keyClick(native, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert (dock.session.rows([key, following])["source"] == "model").all()
    before = dock.session.table
    viewer.layers.selection.active = dock.labels
    dock.hide()
    qtbot.keyClick(native, Qt.Key.Key_2)
    assert dock.session.table.equals(before)
    assert dock.labels.mode != "pan_zoom", "napari's own keys are back"
    dock.labels.mode = "pan_zoom"


def test_letters_follow_keys_that_never_rest(dock, qtbot):
    dock.go_on.setChecked(False)
    letters = letters_layer(dock.viewer, dock.labels)
    before = list(letters.features["letter"])
    steps = cycle([(key, kind) for kind in "52" for key in dock.session.region_keys()])

    def decide():
        key, kind = next(steps)
        dock.gallery.select([key], tell=True)
        press(dock, qtbot, kind)
        return list(letters.features["letter"]) != before

    qtbot.waitUntil(decide, timeout=5000)


def test_pictures_of_the_regions_can_be_larger(dock, qtbot):
    entry = dock.gallery.gallery.entries[0]
    index = dock.gallery.gallery.index_of((entry.frame, entry.label))
    small = dock.gallery.visualRect(index).height()
    dock.tile_size.setValue(140)
    qtbot.waitUntil(lambda: dock.gallery.visualRect(index).height() > small + 50, timeout=5000)
    decoration = int(Qt.ItemDataRole.DecorationRole)
    qtbot.waitUntil(lambda: (p := index.data(decoration)) is not None and p.width() == 140)


def test_merging_what_does_not_touch_asks_first(dock, qtbot):
    keys = dock.session.region_keys()[:2]
    dock.gallery.select(keys, tell=True)
    before = dock.session.table
    dock.merge()
    assert "do not touch" in dock.choice.text
    assert dock.session.table.equals(before)
    dock.choice.answers["Keep them apart"].click()
    assert dock.session.table.equals(before)
    dock.merge()
    dock.choice.answers["Merge them anyway"].click()
    assert len(dock.session.table) == len(before) - 1


def test_exports_of_many_are_off_for_one_image(dock):
    entries = {one.text(): one for one in dock.saving.menu_button.menu().actions()}
    for text in ("Bar chart of many…", "Rank the frames of this stack"):
        assert not entries[text].isEnabled()
        assert entries[text].toolTip() in (
            "This image is not a stack.",
            "Rank a folder first, or open a stack.",
        )


def test_several_at_once(dock, qtbot):
    entries = dock.gallery.gallery.entries
    keys = [(0, one.label) for one in entries[:3]]
    choose(dock, qtbot, keys[0])
    choose(dock, qtbot, keys[2], Qt.KeyboardModifier.ShiftModifier)
    chosen = dock.gallery.selected_keys()
    assert len(chosen) == 3
    press(dock, qtbot, "1")
    assert set(dock.session.rows(chosen)["cluster_type"]) == {"single"}
    press(dock, qtbot, "Z", Qt.KeyboardModifier.ControlModifier)
    assert set(dock.session.rows(chosen)["source"]) == {"model"}


def test_drop_on_another_group(dock):
    model = dock.gallery.gallery
    key = (0, model.entries[0].label)
    data = model.mimeData([model.index_of(key)])
    other = next(
        i for i in range(model.rowCount())
        if isinstance(head := model.item(model.index(i)), Header) and head.kind == "other"
    )  # fmt: skip
    head = model.index(other)
    assert model.canDropMimeData(data, Qt.DropAction.MoveAction, -1, -1, head)
    model.dropMimeData(data, Qt.DropAction.MoveAction, -1, -1, head)
    assert row(dock, key)["cluster_type"] == "other"


def test_drop_in_the_gallery_gives_the_type(dock, qtbot):
    view = dock.gallery
    entry = next(one for one in view.gallery.entries if one.kind != "other")
    key = (entry.frame, entry.label)
    data = view.gallery.mimeData([view.gallery.index_of(key)])
    rows = [view.gallery.index(i) for i in range(view.gallery.rowCount())]
    head = next(
        i for i in rows
        if isinstance(view.gallery.item(i), Header) and view.gallery.item(i).kind == "other"
    )  # fmt: skip
    view.scrollTo(head)
    place = view.visualRect(head).center()
    args = (Qt.DropAction.MoveAction, data, Qt.MouseButton.LeftButton)
    args += (Qt.KeyboardModifier.NoModifier,)
    for event in (QDragEnterEvent(place, *args), QDragMoveEvent(place, *args)):
        QApplication.sendEvent(view.viewport(), event)
        assert event.isAccepted()
    QApplication.sendEvent(view.viewport(), QDropEvent(QPointF(place), *args))
    assert row(dock, key)[["cluster_type", "source"]].tolist() == ["other", "human"]


def test_colours_follow_the_preferences(dock, qtbot):
    from napari.settings import get_plugin_settings

    settings = get_plugin_settings("napari-chromocluster")
    old = settings.colors.single, settings.general.expected
    label = next(one.label for one in dock.gallery.gallery.entries if one.kind == "single")
    try:
        settings.colors.single, settings.general.expected = "blue", 45
        qtbot.waitUntil(
            lambda: np.allclose(
                dock.labels.get_color(label), (0, 0x72 / 255, 0xB2 / 255, 1), atol=0.01
            ),
            timeout=5000,
        )
        assert dock.summary.expected.value() == 45
        assert dock.delegate.colors["single"] == "#0072B2"
    finally:
        settings.colors.single, settings.general.expected = old


def test_the_number_of_chromosomes_need_not_be_known(dock):
    dock.summary.expected.setValue(0)
    assert dock.summary.expected.text() == "not known"
    rows = frame_table(dock.session, dock.viewer)
    assert dock.summary.score.text() == f"{score(rows, None):.0f} of 100"


def test_a_label_picked_elsewhere_scrolls_the_gallery(dock, qtbot):
    label = dock.gallery.gallery.entries[-1].label
    dock.labels.selected_label = label
    qtbot.waitUntil(lambda: dock.gallery.selected_keys() == [(0, label)], timeout=5000)
    assert (
        dock.gallery.viewport()
        .rect()
        .intersects(dock.gallery.visualRect(dock.gallery.gallery.index_of((0, label))))
    )


def test_click_in_the_canvas_selects_and_gives_the_keys(dock, qtbot):
    region = max(extract_regions(MADE.labels), key=lambda r: r.area)
    y, x = np.argwhere(MADE.labels == region.label)[region.area // 2]
    dock.viewer.layers.selection = {dock.image}
    qtbot.wait(50)
    event = Event((float(y), float(x)))
    callback = dock.canvas._on_drag(dock.viewer, event)
    next(callback)
    event.type = "mouse_release"
    for _ in callback:
        pass
    assert dock.gallery.selected_keys() == [(0, region.label)]
    assert dock.gallery.hasFocus()
    press(dock, qtbot, "2")
    assert row(dock, (0, region.label))["cluster_type"] == "touching"


def test_ctrl_or_shift_with_a_click_in_the_canvas_selects_several(dock, qtbot):
    big = sorted(extract_regions(MADE.labels), key=lambda r: -r.area)[:3]
    for region, modifiers in zip(big, ((), (keys.CONTROL,), (keys.SHIFT,)), strict=True):
        place = np.argwhere(MADE.labels == region.label)[region.area // 2]
        event = Event(tuple(float(one) for one in place))
        event.modifiers = modifiers
        callback = dock.canvas._on_drag(dock.viewer, event)
        next(callback)
        event.type = "mouse_release"
        next(callback, None)
    assert set(dock.gallery.selected_keys()) == {(0, one.label) for one in big}
    assert framed(dock) == 3


@pytest.fixture
def classify(classified):
    """The classify dock; no review is open."""
    widget = ClassifyWidget(PublicOnlyProxy(classified))
    classified.window.add_dock_widget(widget, name="Classify", area="right")
    yield widget
    widget.release()


def place_of(widget):
    while not isinstance(widget, QDockWidget):
        widget = widget.parentWidget()
    return widget


def press_where_the_focus_is(qtbot, viewer, name):
    where = QApplication.focusWidget()
    qtbot.keyClick(where if where is not None else viewer.window._qt_window, name)


def test_from_the_classify_dock_into_the_review_the_keys_hold(classify, viewer, qtbot):
    labels = viewer.layers["metaphase regions"]
    classify.result.review_button.click()
    _, review = viewer.window.add_plugin_dock_widget("napari-chromocluster", "Review")
    qtbot.waitUntil(review.gallery.hasFocus, timeout=5000)
    (key,) = review.gallery.selected_keys()
    review.go_on.setChecked(False)
    press_where_the_focus_is(qtbot, viewer, "4")
    press_where_the_focus_is(qtbot, viewer, "2")
    assert row(review, key)["cluster_type"] == "touching"
    assert row(review, key)["source"] == "human"
    assert str(labels.mode) == "pan_zoom"


def test_a_review_that_comes_up_again_takes_the_keys(classify, viewer, qtbot):
    window = viewer.window._qt_window
    classify.result.review_button.click()
    _, review = viewer.window.add_plugin_dock_widget("napari-chromocluster", "Review")
    qtbot.waitUntil(review.gallery.hasFocus, timeout=5000)
    window.tabifyDockWidget(place_of(classify), place_of(review))
    place_of(review).raise_()
    qtbot.wait(50)
    tabs = next(bar for bar in window.findChildren(QTabBar) if bar.isVisible() and bar.count() > 1)
    shown = tabs.currentIndex()
    for place in (1 - shown, shown):
        window.setFocus()
        where = tabs.tabRect(place).center()
        qtbot.mouseClick(tabs, Qt.MouseButton.LeftButton, pos=where)
        qtbot.wait(50)
    qtbot.waitUntil(review.gallery.hasFocus, timeout=5000)


def test_digits_go_to_the_number_of_chromosomes(dock, qtbot):
    dock.summary.parentWidget().parentWidget().header.setChecked(True)
    before = dock.session.table.copy()
    dock.summary.expected.setFocus()
    dock.summary.expected.selectAll()
    field = dock.summary.expected.findChild(QLineEdit)
    qtbot.keyClicks(field, "45")
    assert dock.summary.expected.value() == 45
    assert dock.session.table.equals(before)


def test_keys_are_unbound_when_the_dock_closes(dock, qtbot):
    assert dock.keys.bound
    dock.parentWidget().hide()
    assert not dock.keys.bound
    dock.parentWidget().show()
    qtbot.waitUntil(lambda: dock.keys.bound)


def test_help_sheet_names_every_key(dock, qtbot):
    sheet = help_sheet()
    for command in COMMANDS:
        assert f"<b>{command.key}</b>" in sheet
        assert hasattr(dock, command.action)
    dock.show_keys()
    box = dock.findChild(QMessageBox)
    assert box.text() == sheet
    assert not box.isModal()
    box.close()


def test_frames_are_those_of_the_regions_that_are_there(dock, qtbot, tiny_model):
    use_model(tiny_model, "tiny")
    key = (0, max(extract_regions(MADE.labels), key=lambda r: r.area).label)
    choose(dock, qtbot, key)
    dock.split_watershed()
    assert framed(dock) == len(dock.gallery.selected_keys()) == 2
    qtbot.waitUntil(lambda: dock.task is None, timeout=20000)
    dock.undo()
    assert dock.gallery.selected_keys() == [key]
    assert framed(dock) == 1


def test_the_undo_button_takes_back_the_first_correction(dock, qtbot):
    key = (0, dock.gallery.gallery.entries[0].label)
    before = row(dock, key)["cluster_type"]
    other = next(kind for kind in TYPES if str(kind) != before)
    choose(dock, qtbot, key)
    assert not dock.types.undo.isEnabled()
    press(dock, qtbot, other.key)
    assert row(dock, key)["cluster_type"] == str(other)
    assert dock.types.undo.isEnabled()
    assert other.display_name in dock.types.undo.toolTip()
    qtbot.mouseClick(dock.types.undo, Qt.MouseButton.LeftButton)
    assert row(dock, key)["cluster_type"] == before
    assert not dock.types.undo.isEnabled()
    qtbot.mouseClick(dock.types.redo, Qt.MouseButton.LeftButton)
    assert row(dock, key)["cluster_type"] == str(other)


def test_merge_delete_and_reasons(dock, qtbot):
    dock.gallery.select([])
    dock._update_state()
    assert not dock.edit_panel.merge.isEnabled()
    assert "two or more" in dock.edit_panel.merge.toolTip()
    keys = [(0, one.label) for one in dock.gallery.gallery.entries[:2]]
    dock.gallery.select(keys)
    dock.delete()
    assert "undo" in dock.banner.text
    assert not set(keys) & set(dock.session.region_keys())
    dock.undo()
    dock.gallery.select(keys)
    dock.merge()
    dock.choice.answers["Merge them anyway"].click()
    assert len(dock.gallery.selected_keys()) == 1
    dock.undo()
    assert set(keys) <= set(dock.session.region_keys())


def test_other_model_run_is_shown(dock):
    key = (0, dock.gallery.gallery.entries[0].label)
    dock.labels.features = seeded(MADE.labels, seed=8)
    shown = {one.label: one for one in dock.gallery.gallery.entries}
    assert shown[key[1]].confidence == pytest.approx(row(dock, key)["confidence"])


def test_close_saves_and_reopen_restores(dock, qtbot, tmp_path):
    keys = dock.session.region_keys()[:4]
    dock.session.set_type(keys, ClusterType.TOUCHING)
    table, viewer = dock.session.table.copy(), dock.viewer
    dock.close()
    assert not list((tmp_path / "own").glob("*.journal"))
    viewer.layers.remove("metaphase regions")
    again = ReviewWidget(PublicOnlyProxy(viewer))
    pd.testing.assert_frame_equal(again.session.table, table, check_dtype=False)
    assert "Restored" in again.banner.text
    again.release()


def test_a_released_dock_reviews_nothing_and_leaves_no_thread(dock):
    ended = dock._tiles
    dock.release()
    assert dock.session is None
    assert dock._tiles is None
    assert not ended._thread.is_alive()


def test_an_image_that_cannot_be_read_for_once_leaves_the_other_thumbnails(
    dock, qtbot, monkeypatch
):
    session, read = dock.session, dock.session.signal
    first, second = session.region_keys()[:2]

    def broken(frame):
        raise OSError("the server is away")

    maker = ThumbnailCache(session)
    monkeypatch.setattr(session, "signal", broken)
    maker.pixmap(first)
    qtbot.waitUntil(lambda: maker.idle, timeout=5000)
    qtbot.waitUntil(lambda: maker.pixmap(first) is not None, timeout=5000)
    monkeypatch.setattr(session, "signal", read)
    qtbot.waitUntil(lambda: maker.pixmap(second) is not None, timeout=5000)
    assert maker.pixmap(second).toImage() != maker.pixmap(first).toImage()
    maker.end()


def test_conflict_is_asked(dock, qtbot, tmp_path):
    dock.session.set_type(dock.session.region_keys()[:1], ClusterType.TOUCHING)
    dock.save()
    qtbot.waitUntil(lambda: dock._saving is None, timeout=10000)
    path = dock.keeper.store.table_path
    text = path.read_text()
    path.write_text(text.replace("touching,1.0", "single,1.0", 1))
    dock.session.set_type(dock.session.region_keys()[1:2], ClusterType.TOUCHING)
    dock.save()
    qtbot.waitUntil(lambda: "changed outside" in dock.choice.text, timeout=5000)
    take = next(one for text, one in dock.choice.answers.items() if text.startswith("Take"))
    qtbot.mouseClick(take, Qt.MouseButton.LeftButton)
    assert dock.session.table["cluster_type"][0] == "single"
    assert not dock.choice.text


def test_regions_that_differ_are_asked(dock, qtbot):
    dock.session.set_type(dock.session.region_keys()[:1], ClusterType.TOUCHING)
    dock.save()
    qtbot.waitUntil(lambda: dock._saving is None)
    other = MADE.labels.copy()
    other[other == 2] = 0
    layer = dock.viewer.add_labels(other, name="new regions", features=seeded(other))
    dock.labels_combo.setCurrentText(layer.name)
    assert "Which" in dock.choice.text
    assert dock.session is None
    keep = next(one for text, one in dock.choice.answers.items() if "new regions" in text)
    qtbot.mouseClick(keep, Qt.MouseButton.LeftButton)
    assert dock.session.labels == layer


def test_ranking_of_a_folder_goes_to_the_metaphase(viewer, qtbot, tmp_path):
    folder = tmp_path / "slides"
    folder.mkdir()
    for name, seed, kind in (("worse", 6, "touching_overlapping"), ("better", 7, "single")):
        made = synthetic_metaphase(seed=seed, chromosomes=24)
        Image.fromarray(made.image).save(folder / f"{name}.png")
        table = build_table(extract_regions(made.labels))
        write_table(folder / f"{name}_regions.csv", set_types(table, list(table["index"]), kind))
    (folder / "broken_regions.csv").write_text("no table")
    viewer.open(str(folder / "worse.png"))
    dock = ReviewWidget(PublicOnlyProxy(viewer))
    try:
        dock.rank_folder(str(folder))
        qtbot.waitUntil(lambda: dock.summary.table.rowCount() == 2, timeout=10000)
        cells = [dock.summary.table.item(i, 0) for i in range(2)]
        assert [one.text() for one in cells] == ["better", "worse"]
        assert "Not read: broken_regions.csv (" in dock.banner.text
        for cell in cells:
            dock.summary.table.itemActivated.emit(cell)
            assert dock.image.name == cell.text()
            shown = [layer.name for layer in viewer.layers if layer.visible]
            assert shown == [cell.text()]
        assert len(viewer.layers) == 2, "an image that is open is not opened again"
    finally:
        dock.release()


@pytest.mark.parametrize(
    ("what", "name"),
    [("csv", "t.csv"), ("overlay", "o.png"), ("overlay", "o.svg"), ("sheet", "s.png"),
     ("chart", "c.png")],
)  # fmt: skip
def test_exports(dock, qtbot, tmp_path, what, name):
    path = tmp_path / name
    dock.export(what, str(path))
    qtbot.waitUntil(lambda: name in dock.banner.text, timeout=30000)
    assert path.stat().st_size > 500
    if what == "csv":
        pd.testing.assert_frame_equal(read_table(path), dock.session.table, check_dtype=False)


def test_removed_regions_do_not_come_back_by_themselves(dock, qtbot):
    viewer = dock.viewer
    keys = dock.session.region_keys()[:2]
    dock.session.set_type(keys, ClusterType.OTHER)
    viewer.layers.remove("metaphase regions")
    qtbot.waitUntil(lambda: dock.session is None, timeout=5000)
    assert dock.gallery.gallery.rowCount() == 0
    assert "removed" in dock.choice.text
    qtbot.wait(50)
    assert dock.session is None
    qtbot.mouseClick(dock.choice.answers["Open it again"], Qt.MouseButton.LeftButton)
    assert list(dock.session.rows(keys)["cluster_type"]) == ["other", "other"]
    # Closing napari removes the layers one by one, the image last.
    viewer.layers.clear()
    assert len(viewer.layers) == 0
    qtbot.waitUntil(lambda: "Open a metaphase" in dock.status.text(), timeout=5000)
