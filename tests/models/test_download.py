"""The whole download path with a server on loopback."""

import errno
import hashlib
from dataclasses import replace

import pytest
import torch

from loopback import LoopbackServer, small_resnext, small_weights
from napari_chromocluster.models import download as module
from napari_chromocluster.models.backbones import BACKBONES
from napari_chromocluster.models.download import DownloadError, download_backbone, licence_accepted
from napari_chromocluster.models.network import build_network, load_backbone_weights
from napari_chromocluster.models.registry import backbone_path, list_models
from napari_chromocluster.paths import cache_dir
from napari_chromocluster.progress import Cancelled

NAME = "resnext101_32x8d_wsl"


@pytest.fixture(scope="module")
def weights():
    # The real files are from 2019, in torch's format before the zip archive.
    return small_weights(zipped=False)


@pytest.fixture
def server(weights, monkeypatch):
    made = LoopbackServer(weights)
    digits = hashlib.sha256(weights).hexdigest()[:8]
    spec = replace(BACKBONES[NAME], url=made.url, hash_prefix=digits, layers=(1, 1, 1, 1), width=1)
    monkeypatch.setitem(BACKBONES, NAME, spec)
    monkeypatch.setattr(module, "_CHUNK", 1 << 16)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    yield made
    made.close()


def part():
    return backbone_path(NAME).with_name(backbone_path(NAME).name + ".part")


def test_licence_first(server):
    with pytest.raises(DownloadError, match=r"356 MB.*CC-BY-NC-4.0.*accept it first"):
        download_backbone(NAME)
    assert not licence_accepted(NAME)
    assert server.requests == []


def test_the_licence_is_accepted_once(server, own_home):
    server.refuse_with = 503
    with pytest.raises(DownloadError, match="refused"):
        download_backbone(NAME, accept=True)
    assert licence_accepted(NAME)
    assert not licence_accepted("resnext101_32x48d_wsl")
    server.refuse_with = None
    assert download_backbone(NAME).is_relative_to(own_home)
    (own_home / "accepted_licences.json").write_text("{damaged")
    assert not licence_accepted(NAME)


def test_download_once_with_progress(server):
    seen = []
    path = download_backbone(NAME, accept=True, progress=lambda *p: seen.append(p))
    assert path.read_bytes() == server.content
    done = [come for come, _ in seen]
    assert len(done) > 5
    assert done == sorted(done)
    assert {total for _, total in seen} == {len(server.content)}
    assert done[-1] == len(server.content)
    assert not part().exists()
    assert next(e for e in list_models() if e.name == NAME).path == path


def test_no_second_download(server):
    path = download_backbone(NAME, accept=True)
    assert download_backbone(NAME) == path
    assert len(server.requests) == 1


def test_downloaded_weights_fit_the_network(server):
    network = build_network(NAME)
    load_backbone_weights(network, download_backbone(NAME, accept=True))
    torch.manual_seed(0)
    assert torch.equal(network.body[0].weight, small_resnext().conv1.weight)


def test_a_cut_connection_is_resumed(server):
    server.break_at = len(server.content) // 2
    with pytest.raises(DownloadError, match="start again to resume the download"):
        download_backbone(NAME, accept=True)
    have = part().stat().st_size
    assert 0 < have <= server.break_at
    assert not backbone_path(NAME).exists()
    server.break_at = None
    seen = []
    path = download_backbone(NAME, progress=lambda *p: seen.append(p))
    assert server.requests == [None, f"bytes={have}-"]
    assert path.read_bytes() == server.content
    assert seen[0][0] > have
    assert seen[-1] == (len(server.content), len(server.content))


def test_a_server_without_ranges_starts_over(server):
    part().parent.mkdir(parents=True)
    part().write_bytes(server.content[:100_000])
    server.ranges = False
    assert download_backbone(NAME, accept=True).read_bytes() == server.content


def test_everything_had_come_before(server):
    part().parent.mkdir(parents=True)
    part().write_bytes(server.content)
    assert download_backbone(NAME, accept=True).read_bytes() == server.content


def test_stop_keeps_what_has_come(server):
    with pytest.raises(Cancelled, match="will be resumed"):
        download_backbone(NAME, accept=True, stop=lambda: True)
    assert 0 < part().stat().st_size < len(server.content)
    assert download_backbone(NAME).read_bytes() == server.content


def test_wrong_hash_is_deleted(server):
    server.content = server.content[:-1] + b"x"
    with pytest.raises(DownloadError, match="wrong hash and was deleted"):
        download_backbone(NAME, accept=True)
    assert not part().exists()
    assert not backbone_path(NAME).exists()


def test_a_server_that_refuses(server):
    server.refuse_with = 404
    with pytest.raises(DownloadError, match=r"refused .* \(404\).*local file"):
        download_backbone(NAME, accept=True)


def test_no_server(server):
    server.close()
    with pytest.raises(DownloadError, match="connection was lost"):
        download_backbone(NAME, accept=True)


def test_no_weights_for_that_name():
    for name in ("compact", "vgg"):
        with pytest.raises(DownloadError, match="no weights to download"):
            download_backbone(name, accept=True)


def test_a_folder_that_takes_nothing(server, own_home):
    own_home.mkdir()
    cache_dir().write_text("a file where the folder should be")
    with pytest.raises(DownloadError, match="choose another folder"):
        download_backbone(NAME, accept=True)


def test_a_full_disk(server):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(DownloadError, match="No space left on device"):
        download_backbone(NAME, accept=True, progress=full)
