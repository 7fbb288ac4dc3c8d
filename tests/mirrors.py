"""A web server on this machine that stands in for the mirrors of MNIST, well-behaved or not."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from idx_files import idx_bytes, mnist_like

FILES = {
    f"{name}.gz": gzip.compress(idx_bytes(array), mtime=0) for name, array in mnist_like().items()
}
BIG = bytes(200_000)

Act = Callable[["Handler", bytes], None]


class Handler(BaseHTTPRequestHandler):
    """Serves FILES below any folder; the mirror's ``acts`` give a folder's misbehaviour."""

    def do_GET(self) -> None:
        assert isinstance(self.server, Mirror)
        _, folder, name = self.path.split("/")
        self.server.requests.append(f"{folder}/{name}")
        self.server.acts.get(folder, serve)(self, FILES[name])

    def log_message(self, *args: object) -> None:
        """Keep silent."""


class Mirror(ThreadingHTTPServer):
    daemon_threads = False  # server_close joins the handlers, so that no socket outlives a test
    block_on_close = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.acts: dict[str, Act] = {}
        self.requests: list[str] = []
        self.done = threading.Event()

    def url(self, folder: str) -> str:
        return f"http://127.0.0.1:{self.server_port}/{folder}/"


def serve(handler: Handler, content: bytes, length: int | None = None) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(content) if length is None else length))
    handler.end_headers()
    handler.wfile.write(content)


def absent(handler: Handler, content: bytes) -> None:
    handler.send_error(404)


def unzipping(handler: Handler, content: bytes) -> None:
    """Let clients that take gzip unzip the file as they receive it."""
    handler.send_response(200)
    if "gzip" in handler.headers.get("Accept-Encoding", ""):
        handler.send_header("Content-Encoding", "gzip")
    handler.end_headers()
    handler.wfile.write(content)


def cut(handler: Handler, content: bytes) -> None:
    serve(handler, content[:-10], len(content))


def altered(handler: Handler, content: bytes) -> None:
    serve(handler, content[:-1] + bytes([content[-1] ^ 1]))


def silent(handler: Handler, content: bytes) -> None:
    assert isinstance(handler.server, Mirror)
    handler.server.done.wait(10)


def stalling(handler: Handler, content: bytes) -> None:
    serve(handler, BIG[:100_000], len(BIG))
    silent(handler, content)


def trickling(handler: Handler, content: bytes) -> None:
    """Never silent for long and never done: 16 KiB every 50 ms."""
    assert isinstance(handler.server, Mirror)
    serve(handler, b"", 2**30)
    while not handler.server.done.wait(0.05):
        try:
            handler.wfile.write(bytes(2**14))
        except OSError:
            return
