"""The whole download path against a server on loopback."""

import hashlib
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch

from napari_chromocluster.models import download as module
from napari_chromocluster.models.download import DownloadError, download_backbone, licence_accepted
from napari_chromocluster.models.network import BACKBONES, build_network, load_backbone_weights
from napari_chromocluster.models.registry import backbone_path, list_models

NAME = "resnext101_32x8d_wsl"


class Server:
    """Serves one file; can break off in the middle and ignores ranges if told so."""

    def __init__(self, content):
        self.content, self.break_at, self.requests = content, None, []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                wanted = self.headers.get("Range")
                outer.requests.append(wanted)
                start = int(wanted.split("=")[1].rstrip("-")) if wanted else 0
                body = outer.content[start:]
                self.send_response(206 if wanted else 200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body[: outer.break_at] if outer.break_at else body)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/weights.pth"


@pytest.fixture
def server(tmp_path, monkeypatch):
    # A small state dict of the same layout as the real ones.
    torch.manual_seed(0)
    small = BACKBONES["resnext50_32x4d"]
    torch.save(small.build().state_dict(), tmp_path / "weights.pth")
    made = Server((tmp_path / "weights.pth").read_bytes())
    digits = hashlib.sha256(made.content).hexdigest()[:8]
    spec = replace(BACKBONES[NAME], url=made.url, hash_prefix=digits, build=small.build)
    monkeypatch.setitem(BACKBONES, NAME, spec)
    monkeypatch.setattr(module, "_CHUNK", 1 << 16)
    yield made
    made.server.shutdown()
    made.server.server_close()


def test_licence_first(server):
    with pytest.raises(DownloadError, match="CC-BY-NC-4.0"):
        download_backbone(NAME)
    assert not licence_accepted(NAME)
    assert server.requests == []


def test_download_once_with_progress(server):
    seen = []
    path = download_backbone(NAME, accept=True, progress=lambda *p: seen.append(p))
    assert path.read_bytes() == server.content
    assert seen[-1] == (len(server.content), len(server.content))
    assert download_backbone(NAME) == path
    assert len(server.requests) == 1
    assert next(e for e in list_models() if e.name == NAME).path == path
    network = build_network("resnext50_32x4d")
    load_backbone_weights(network, path)


def test_a_cut_connection_is_resumed(server):
    server.break_at = 1 << 20
    with pytest.raises(DownloadError, match="call again"):
        download_backbone(NAME, accept=True)
    assert not backbone_path(NAME).exists()
    server.break_at = None
    assert download_backbone(NAME).read_bytes() == server.content
    assert server.requests[-1].startswith("bytes=")


def test_stop_keeps_what_has_come(server):
    with pytest.raises(DownloadError, match="was stopped"):
        download_backbone(NAME, accept=True, stop=lambda: True)
    assert backbone_path(NAME).with_name(backbone_path(NAME).name + ".part").stat().st_size > 0


def test_wrong_hash_is_deleted(server, monkeypatch):
    monkeypatch.setitem(BACKBONES, NAME, replace(BACKBONES[NAME], hash_prefix="00000000"))
    with pytest.raises(DownloadError, match="wrong hash"):
        download_backbone(NAME, accept=True)
    assert not list(backbone_path(NAME).parent.glob("*.p*"))


def test_no_server_and_no_weights(server):
    server.server.shutdown()
    server.server.server_close()
    with pytest.raises(DownloadError, match="connection broke"):
        download_backbone(NAME, accept=True)
    with pytest.raises(DownloadError, match="no weights to download"):
        download_backbone("compact", accept=True)
