"""A server on loopback in place of the real URLs of weights and samples."""

from __future__ import annotations

import contextlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import torch
from torchvision.models import resnet


class LoopbackServer:
    """Serves one file; can wait or disconnect in the middle, ignore ranges, or refuse.

    Attributes
    ----------
    content : bytes
        The file.
    requests : list of str or None
        The range of each request.
    ranges : bool
        Whether range requests are supported.
    break_at : int or None
        Byte of a response at which the connection ends.
    go_on : threading.Event
        While cleared, a response waits in the middle.
    refuse_with : int or None
        Error status.
    """

    def __init__(self, content: bytes, name: str = "weights.pth") -> None:
        self.content = content
        self.requests: list[str | None] = []
        self.ranges, self.break_at, self.refuse_with = True, None, None
        self.go_on = threading.Event()
        self.go_on.set()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.answer(self)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/{name}"

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        wanted = handler.headers.get("Range")
        self.requests.append(wanted)
        start = int(wanted.split("=")[1].rstrip("-")) if wanted and self.ranges else 0
        status = self.refuse_with or (206 if start else 200)
        if start and start >= len(self.content):
            status = 416
        body = self.content[start:] if status in (200, 206) else b""
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        body = body[: self.break_at]
        half = len(body) // 2
        with contextlib.suppress(OSError):  # some tests make the client disconnect
            handler.wfile.write(body[:half])
            handler.wfile.flush()
            self.go_on.wait(30)
            handler.wfile.write(body[half:])

    def close(self) -> None:
        self.go_on.set()
        self.server.shutdown()
        self.server.server_close()


def small_resnext() -> resnet.ResNet:
    """A network with the layout of the real ones and one block per stage."""
    return resnet.ResNet(resnet.Bottleneck, [1, 1, 1, 1], groups=32, width_per_group=1)


def small_weights(*, zipped: bool) -> bytes:
    """Its weight file, as torch writes it now or, without zip, wrote it in 2019."""
    import io

    torch.manual_seed(0)
    stream = io.BytesIO()
    torch.save(small_resnext().state_dict(), stream, _use_new_zipfile_serialization=zipped)
    return stream.getvalue()
