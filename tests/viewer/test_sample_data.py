"""The real sample, downloaded from a server on loopback in place of the real URL."""

import hashlib

import numpy as np
import pytest
import tifffile

from loopback import LoopbackServer
from napari_chromocluster.viewer import sample_data
from napari_chromocluster.viewer.sample_data import SampleError, fetch


@pytest.fixture
def serve():
    """Return a function that serves some bytes and returns their URL."""
    servers = []

    def start(content, status=None):
        server = LoopbackServer(content, "A0201XYD.tif")
        server.refuse_with = status
        servers.append(server)
        return server.url, server.requests

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def picture(rng):
    return rng.integers(0, 255, (40, 50), dtype=np.uint8)


def packed(picture, tmp_path):
    tifffile.imwrite(tmp_path / "served.tif", picture)
    return (tmp_path / "served.tif").read_bytes(), hashlib.sha256(picture.tobytes()).hexdigest()


def test_downloaded_once_with_its_notice(serve, picture, tmp_path, own_home, monkeypatch):
    content, digest = packed(picture, tmp_path)
    url, asked = serve(content)
    monkeypatch.setattr(sample_data.fetch, "__defaults__", (url, digest))
    for _ in range(2):
        [(pixels, options, kind)] = sample_data.adir_mfish()
        assert kind == "image"
        assert np.array_equal(pixels, picture)
        assert options["metadata"]["notice"].startswith("Copyright (c) 2000 Advanced Digital")
    assert len(asked) == 1
    notice = own_home / "cache" / "samples" / "NOTICE.txt"
    assert "PSI RESEARCH SPECIFICALLY DISCLAIMS ANY WARRANTIES" in notice.read_text()


def test_what_is_not_the_image_is_refused_and_not_kept(serve, picture, tmp_path):
    content, digest = packed(picture, tmp_path)
    other, _ = packed(255 - picture, tmp_path)
    folder = tmp_path / "kept"
    for wrong in (other, b"<html>moved</html>", content[:300]):
        url, _ = serve(wrong)
        with pytest.raises(SampleError, match="not the ADIR M-FISH metaphase"):
            fetch(folder, url, digest)
        assert not list(folder.iterdir())


def test_no_connection_is_told_in_one_sentence(serve, tmp_path):
    url, _ = serve(b"", status=404)
    for address in (url, "http://127.0.0.1:9/nothing.tif"):
        with pytest.raises(SampleError, match="could not be downloaded: check the connection"):
            fetch(tmp_path / "kept", address, "0")


def test_a_file_that_was_damaged_later_is_thrown_away(serve, picture, tmp_path):
    content, digest = packed(picture, tmp_path)
    url, asked = serve(content)
    fetch(tmp_path / "kept", url, digest)
    (tmp_path / "kept" / "A0201XYD.tif").write_bytes(content[:200])
    with pytest.raises(SampleError):
        fetch(tmp_path / "kept", url, digest)
    assert np.array_equal(fetch(tmp_path / "kept", url, digest), picture)
    assert len(asked) == 2


def test_the_hash_is_that_of_the_image_set(real_data):
    from napari_chromocluster.imaging.io import read_image

    pixels = read_image(real_data / "mfish" / "images" / "A0201XY_dapi.png")
    assert hashlib.sha256(pixels.tobytes()).hexdigest() == sample_data.ADIR_SHA256
