"""The page of ``airkit demo`` and its answers over HTTP, for this machine alone.

GET /        the page
GET /model   sizes, and what the page may ask for
POST /see    levels of a canvas, H x W x C bytes row by row: what one look sees on it
POST /best   the same: what several looks together see
POST /random what one look sees on a canvas of the run's test split
POST /sample what one look sees on a canvas drawn from the model

Answers to POST are the JSON of ``airkit.web.session.Seen``.
"""

from __future__ import annotations

import errno
import json
import re
import socketserver
import sys
import threading
from base64 import b64encode
from collections.abc import Callable, Mapping
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from math import prod
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from airkit.config.settings import Settings
from airkit.data.dataset import to_float
from airkit.errors import ServeError
from airkit.system.callbacks import SILENT, Listener
from airkit.web.session import Session, open_session

HOST = "127.0.0.1"
_HTML = "text/html; charset=utf-8"
_JSON = "application/json"
_PLAIN = "text/plain; charset=utf-8"

Answer = Callable[[], tuple[bytes, str]]
"""Returns a body and its content type."""


class Serving:
    """A page that is being served by threads of its own, until its ``with`` block ends."""

    def __init__(self, server: Server) -> None:
        """Start serving."""
        self._server = server
        self._thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    @property
    def address(self) -> str:
        """The address of the page."""
        return f"http://{HOST}:{self._server.server_port}/"

    def wait(self) -> None:
        """Wait until another thread ends the serving, or for an interrupt."""
        self._thread.join()

    def close(self) -> None:
        """Answer the requests at hand, stop serving, and free the port."""
        self._server.shutdown()
        self._server.server_close()
        self._server.session.close()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def demo(
    run: str | Path = "runs/air",
    *,
    checkpoint: str = "best",
    port: int = 8000,
    settings: Settings = (),
    listener: Listener = SILENT,
) -> Serving:
    """Serve a page to draw on, that shows what a trained model sees; use it in ``with``.

    Only this machine can reach it. The run is only read.

    Args:
        run: the run folder.
        checkpoint: ``best``, ``last`` or a checkpoint file.
        port: where to listen on 127.0.0.1; 0 takes any free one.
        settings: dotted keys and values, or layers; those of ``eval`` matter.
        listener: hears notes.

    Raises:
        CheckpointError: no such run or checkpoint, or a damaged one.
        ConfigError: the settings are not valid.
        ExtensionError: the run was trained with a class from outside that ``settings`` do not
            name.
        ServeError: the port is taken, or not for this user.
    """
    session = open_session(run, checkpoint, settings, listener)
    try:
        return Serving(Server(port, session))
    except (OSError, OverflowError) as error:
        taken = getattr(error, "errno", None) == errno.EADDRINUSE
        raise ServeError(
            "The port is taken" if taken else "Cannot listen on the port",
            where=f"{HOST}:{port}",
            got=None if taken else getattr(error, "strerror", None) or str(error),
            hint="--port 0 takes any free one",
        ) from error


class Server(ThreadingHTTPServer):
    """A server on the loopback interface."""

    def __init__(self, port: int, session: Session) -> None:
        self.session = session
        self.page = _page()
        self.policy = _content_security_policy(self.page)
        super().__init__((HOST, port), Handler)

    def server_bind(self) -> None:
        """Bind without asking the network for this machine's name."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = HOST, self.socket.getsockname()[1]

    def hosts(self) -> set[str]:
        """Return the values of the header Host that browsers on this machine may send."""
        names = {f"{name}:{self.server_port}" for name in (HOST, "localhost")}
        return names | ({HOST, "localhost"} if self.server_port == 80 else set())

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore clients that went away; anything else is a bug and shows its traceback."""
        if not isinstance(sys.exc_info()[1], ConnectionError | TimeoutError):
            super().handle_error(request, client_address)


def _page() -> str:
    """Return the page with its style and scripts in it."""

    def read(name: str) -> str:
        return files("airkit.web").joinpath("templates", name).read_text(encoding="utf-8")

    part = re.compile(r"/\* (demo\.css|drawing\.js|demo\.js) \*/\n")
    return part.sub(lambda found: read(found[1]), read("demo.html"))


def _content_security_policy(page: str) -> str:
    """Return the policy under which a browser runs the page's own script and style alone."""

    def hashed(tag: str) -> str:
        (inner,) = re.findall(f"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        return f"'sha256-{b64encode(sha256(inner.encode()).digest()).decode()}'"

    return (
        f"default-src 'none'; script-src {hashed('script')}; style-src {hashed('style')}; "
        "img-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    )


class _RefusedError(Exception):
    """A request that is not answered: the HTTP status and the reason."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status, self.reason = status, reason


class Handler(BaseHTTPRequestHandler):
    """Answers one request."""

    server: Server
    timeout = 10  # seconds that a client may take to send its request
    wbufsize = -1  # head and body are sent together

    def do_GET(self) -> None:
        """Answer with the page, or the facts about the model."""
        self._respond(
            {
                "/": lambda: (self.server.page.encode(), _HTML),
                "/model": lambda: _as_json(self.server.session.facts()),
            }
        )

    def do_POST(self) -> None:
        """Answer with what the model sees."""
        session = self.server.session
        self._respond(
            {
                "/see": lambda: _as_json(session.see(self._canvas())),
                "/best": lambda: _as_json(session.best(self._canvas())),
                "/random": self._random,
                "/sample": self._sample,
            }
        )

    def _respond(self, answers: Mapping[str, Answer]) -> None:
        try:
            self._check_sender()
            if self.path not in answers:
                raise _RefusedError(404, "there is nothing here")
            self._send(200, *answers[self.path]())
        except _RefusedError as refused:
            self.send_error(refused.status, refused.reason)

    def _check_sender(self) -> None:
        """Refuse pages of other sites, by whatever name they reach this address."""
        hosts = self.server.hosts()
        if self.headers.get("Host") not in hosts:
            raise _RefusedError(403, "this page answers to its own address only")
        origin = self.headers.get("Origin")
        if origin is not None and origin not in {f"http://{host}" for host in hosts}:
            raise _RefusedError(403, "this page answers to itself only")

    def _canvas(self) -> Tensor:
        """Return the levels of the canvas in the body, [C, H, W]."""
        air = self.server.session.air
        shape = *air.shape, air.channels
        levels = torch.frombuffer(bytearray(self._body(prod(shape))), dtype=torch.uint8)
        return to_float(levels.view(shape).permute(2, 0, 1))

    def _sample(self) -> tuple[bytes, str]:
        self._body(0)
        return _as_json(self.server.session.sample())

    def _random(self) -> tuple[bytes, str]:
        self._body(0)
        seen = self.server.session.random()
        if seen is None:
            raise _RefusedError(404, "the data that the run was trained on are not there")
        return _as_json(seen)

    def _body(self, size: int) -> bytes:
        """Return the body, which must have ``size`` bytes."""
        text = self.headers.get("Content-Length", "0")
        if "Transfer-Encoding" in self.headers or not re.fullmatch("[0-9]{1,18}", text):
            raise _RefusedError(400, "a body needs its length in Content-Length")
        if int(text) > size:
            raise _RefusedError(413, f"a body of {size} bytes is expected, not {text}")
        body = self.rfile.read(int(text))
        if len(body) != size:
            raise _RefusedError(400, f"a body of {size} bytes is expected, not {len(body)}")
        return body

    def _send(self, status: int, content: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Content-Security-Policy", self.server.policy)
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(content)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Send an error as plain text."""
        del explain
        self._send(code, f"{message or self.responses[code][0]}\n".encode(), _PLAIN)

    def version_string(self) -> str:
        """Return the name of the server, without versions."""
        return "airkit"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - named by the base class
        """Keep no log."""


def _as_json(values: Mapping[str, Any]) -> tuple[bytes, str]:
    return json.dumps(values).encode(), _JSON
