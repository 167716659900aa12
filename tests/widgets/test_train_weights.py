"""Pretrained weights in the training dock: license, download, cancel, wrong hash, local file."""

from __future__ import annotations

import hashlib
import threading
from dataclasses import replace

import pytest

from loopback import LoopbackServer, small_weights
from napari_chromocluster.models import download
from napari_chromocluster.models.backbones import BACKBONES
from napari_chromocluster.models.registry import backbone_path
from napari_chromocluster.training.config import ConfigError, preset
from napari_chromocluster.widgets.train.base_model_panel import BaseModelPanel

WSL = [f"resnext101_32x{width}d_wsl" for width in (8, 16, 32, 48)]
NAME = WSL[0]


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "weights.pth"
    path.write_bytes(small_weights(zipped=True))
    return path


@pytest.fixture
def server(weights, monkeypatch):
    content = weights.read_bytes()
    made = LoopbackServer(content)
    digits = hashlib.sha256(content).hexdigest()[:8]
    spec = replace(BACKBONES[NAME], url=made.url, hash_prefix=digits, layers=(1, 1, 1, 1), width=1)
    monkeypatch.setitem(BACKBONES, NAME, spec)
    monkeypatch.setattr(download, "_CHUNK", 1 << 16)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    yield made
    made.close()


@pytest.fixture
def panel(qtbot):
    made = BaseModelPanel()
    made.said = []
    made.failed.connect(made.said.append)
    qtbot.addWidget(made)
    made.resize(305, 200)
    made.show()
    yield made
    made.cancel()
    qtbot.waitUntil(lambda: made.task is None, timeout=40_000)


def accept_and_download(panel):
    panel.choose(NAME)
    panel.licence_box.click()
    panel.download_button.click()


def arrived(panel, qtbot):
    qtbot.waitUntil(lambda: panel.task is None, timeout=40_000)


def part():
    return backbone_path(NAME).with_name(backbone_path(NAME).name + ".part")


def test_four_bodies_are_offered_with_size_and_licence(panel):
    offered = {
        panel.start_combo.itemData(n): panel.start_combo.itemText(n)
        for n in range(panel.start_combo.count())
    }
    for name in WSL:
        assert f"{BACKBONES[name].megabytes} MB, CC-BY-NC" in offered[name]
        panel.choose(name)
        assert not panel.ready
        # The combo box truncates names at this width.
        assert (
            panel.about.text() == f"{BACKBONES[name].megabytes} MB, CC-BY-NC-4.0 (non-commercial)"
        )
        assert {stage.image_size for stage in panel.applied(preset("default")).stages} == {224}
        assert panel.licence_box.isVisible()
        assert panel.licence_box.text() == "I accept CC-BY-NC-4.0 (non-commercial)"
        assert panel.download_button.text() == f"Download {BACKBONES[name].megabytes} MB"
    panel.choose("compact")
    assert panel.ready
    assert not panel.download_button.isVisible()


def test_nothing_is_asked_of_the_server_before_the_licence_is_accepted(panel, server):
    panel.choose(NAME)
    assert not panel.download_button.isEnabled()
    assert panel.download_button.toolTip() == "Accept the licence first."
    panel.download_button.click()
    assert server.requests == []
    panel.licence_box.click()
    assert panel.download_button.isEnabled()


def test_download_with_bar_then_the_recipe_begins_with_it(panel, server, qtbot):
    server.go_on.clear()
    accept_and_download(panel)
    qtbot.waitUntil(lambda: panel.bar.value() > 0, timeout=20_000)
    assert panel.bar.isVisible()
    assert panel.cancel_button.isVisible()
    assert " of " in panel.bar.text()
    assert panel.bar.value() < 1000
    server.go_on.set()
    arrived(panel, qtbot)
    assert panel.said == []
    assert panel.ready
    assert not panel.bar.isVisible()
    config = panel.applied(preset("paper"))
    assert (config.backbone, config.backbone_weights) == (NAME, str(backbone_path(NAME)))
    assert "⭳" not in panel.start_combo.currentText()


def test_the_bar_counts_more_than_two_gibibytes(panel, qtbot):
    total = BACKBONES[WSL[3]].megabytes * 1_000_000
    panel.choose(WSL[3])

    def fetch(name, accept, progress, stop):
        progress(total // 2, total)
        stopped.wait(5)

    panel.download, stopped = fetch, threading.Event()
    panel.start_download()
    qtbot.waitUntil(lambda: panel.bar.value() == 500, timeout=5000)
    assert panel.bar.text() == f"{total / 2e6:.0f} of {total / 1e6:.0f} MB"
    stopped.set()
    # The widget is deleted before its fixture ends; later signals are not delivered.
    qtbot.waitUntil(lambda: panel.task is None, timeout=10_000)


def test_cancel_keeps_what_came_and_the_licence_is_not_asked_again(panel, server, qtbot):
    server.go_on.clear()
    accept_and_download(panel)
    qtbot.waitUntil(lambda: panel.bar.value() > 0, timeout=20_000)
    panel.cancel_button.click()
    server.go_on.set()
    arrived(panel, qtbot)
    assert panel.said == [], "the user knows that it was cancelled"
    assert not panel.ready
    assert not panel.licence_box.isVisible()
    have = part().stat().st_size
    assert 0 < have < len(server.content)
    panel.download_button.click()
    arrived(panel, qtbot)
    assert server.requests == [None, f"bytes={have}-"]
    assert backbone_path(NAME).read_bytes() == server.content


def test_a_cut_connection_is_one_sentence_and_goes_on(panel, server, qtbot):
    server.break_at = len(server.content) // 2
    accept_and_download(panel)
    arrived(panel, qtbot)
    assert len(panel.said) == 1
    assert "start again to resume the download" in panel.said[0]
    server.break_at = None
    panel.download_button.click()
    arrived(panel, qtbot)
    assert server.requests[1].startswith("bytes=")
    assert panel.ready


def test_a_wrong_file_is_refused(panel, server, qtbot):
    server.content = server.content[:-1] + b"x"
    accept_and_download(panel)
    arrived(panel, qtbot)
    assert "wrong hash and was deleted" in panel.said[0]
    assert not panel.ready
    assert not part().exists()


def test_a_local_file_instead(panel, server, weights):
    panel.choose(NAME)
    panel.use_local(weights)
    assert panel.ready
    assert server.requests == []
    assert panel.applied(preset("paper")).backbone_weights == str(weights)
    panel.use_local(weights.with_name("gone.pth"))
    with pytest.raises(ConfigError, match="does not exist"):
        panel.applied(preset("paper"))
