"""The page and its answers over HTTP, for this machine alone.

GET /        the page
GET /model   sizes, and what can be asked for
POST /see    grey levels of a canvas, H x H bytes row by row: what one look sees on it
POST /best   the same: what the best of several looks sees
POST /random what one look sees on a canvas of the run's test split
POST /sample what one look sees on a canvas drawn from the model
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
from dataclasses import dataclass
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
from torch import Tensor

from airkit.data.dataset import to_ink
from airkit.errors import ServeError
from airkit.system.callbacks import SILENT, Listener
from airkit.web.session import Seen, Session, open_session

HOST = "127.0.0.1"
_DRAINED = 1 << 20  # bytes of a refused body that are read, for the client to hear the answer
_JSON = "application/json"
_PLAIN = "text/plain; charset=utf-8"

Answer = tuple[bytes, str]
"""A body and its type."""


class Serving:
    """A page that is being served, by threads of its own; a context that ends it."""

    def __init__(self, server: Server) -> None:
        """Begin to serve."""
        self._server = server
        self._thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    @property
    def address(self) -> str:
        """The address of the page."""
        return f"http://{HOST}:{self._server.server_port}/"

    def wait(self) -> None:
        """Return when the serving ends: from another thread, or never but by an interrupt."""
        self._thread.join()

    def close(self) -> None:
        """Answer what is being asked, end the serving, and free the port."""
        self._server.shutdown()
        self._server.server_close()
        self._server.session.close()
        self._thread.join()

    def __enter__(self) -> Serving:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def demo(
    run: str | Path = "runs/air",
    *,
    checkpoint: str = "best",
    port: int = 8000,
    listener: Listener = SILENT,
) -> Serving:
    """Serve a page to draw on, that shows what a trained model sees; use it in ``with``.

    Only this machine can reach it. The run is only read.

    Args:
        run: the run folder.
        checkpoint: ``best``, ``last`` or a checkpoint file.
        port: where to listen on 127.0.0.1; 0 takes any free one.
        listener: hears notes.

    Raises:
        CheckpointError: no such run or checkpoint, or a damaged one.
        ServeError: the port is taken, or not for this user.
    """
    return Serving(_bound(open_session(run, checkpoint, listener), port))


def _bound(session: Session, port: int) -> Server:
    """A server that listens; raises ServeError where it cannot."""
    try:
        return Server(port, session)
    except (OSError, OverflowError) as error:
        taken = getattr(error, "errno", None) == errno.EADDRINUSE
        raise ServeError(
            "The port is taken" if taken else "The port cannot be served on",
            where=f"{HOST}:{port}",
            got=None if taken else getattr(error, "strerror", None) or str(error),
            hint="--port 0 takes any free one",
        ) from error


@dataclass(frozen=True)
class Page:
    """The page, and the policy under which a browser runs its own script and style alone."""

    content: bytes
    policy: str

    @classmethod
    def read(cls) -> Page:
        """The page as it is shipped."""
        text = files("airkit.web").joinpath("templates/demo.html").read_text(encoding="utf-8")
        rules = [
            "default-src 'none'",
            f"script-src {_hashed('script', text)}",
            f"style-src {_hashed('style', text)}",
            "img-src data:",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        ]
        return cls(text.encode(), "; ".join(rules))


def _hashed(tag: str, page: str) -> str:
    """The hash of the one inline element ``tag``, as content security policies name it."""
    (inner,) = re.findall(f"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
    return f"'sha256-{b64encode(sha256(inner.encode()).digest()).decode()}'"


class Server(ThreadingHTTPServer):
    """A server on the loopback interface, with what its handlers share."""

    def __init__(self, port: int, session: Session) -> None:
        self.session, self.page = session, Page.read()
        super().__init__((HOST, port), Handler)

    def server_bind(self) -> None:
        """Bind without asking the network for this machine's name."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = HOST, self.socket.getsockname()[1]

    def hosts(self) -> set[str]:
        """Names under which a browser on this machine may come here."""
        names = {f"{name}:{self.server_port}" for name in (HOST, "localhost")}
        return names | ({HOST, "localhost"} if self.server_port == 80 else set())

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that went away; anything else is a bug."""
        if not isinstance(sys.exc_info()[1], ConnectionError | TimeoutError):
            super().handle_error(request, client_address)


class _RefusedError(Exception):
    """A request that is not answered: its status and why."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status, self.why = status, why


class Handler(BaseHTTPRequestHandler):
    """Answers one request."""

    server: Server
    timeout = 10  # seconds for a client to say what it wants
    wbufsize = -1  # head and body go out together

    def do_GET(self) -> None:
        """Answer with the page, or the facts about the model."""
        answers: dict[str, Callable[[], Answer]] = {
            "/": lambda: (self.server.page.content, "text/html; charset=utf-8"),
            "/model": lambda: (_encoded(self.server.session.facts()), _JSON),
        }
        self._answer_of(answers)

    def do_POST(self) -> None:
        """Answer with what the model sees."""
        session = self.server.session
        answers = {
            "/see": lambda: self._seen(session.see(self._canvas())),
            "/best": lambda: self._seen(session.best(self._canvas())),
            "/random": lambda: self._seen(self._asked(session.random)),
            "/sample": lambda: self._seen(self._asked(session.sample)),
        }
        self._answer_of(answers)

    def _answer_of(self, answers: Mapping[str, Callable[[], Answer]]) -> None:
        try:
            self._check_sender()
            if self.path not in answers:
                raise _RefusedError(404, "there is nothing here")
            self._reply(200, *answers[self.path]())
        except _RefusedError as refused:
            self._refuse(refused)

    def _check_sender(self) -> None:
        """Refuse pages of other sites, under whatever name they reach this address."""
        hosts = self.server.hosts()
        if self.headers.get("Host") not in hosts:
            raise _RefusedError(403, "this page answers to its own address only")
        origin = self.headers.get("Origin")
        if origin is not None and origin not in {f"http://{host}" for host in hosts}:
            raise _RefusedError(403, "this page answers to itself only")

    def _canvas(self) -> Tensor:
        """The ink of the canvas in the body, [H, H]."""
        side = self.server.session.air.canvas
        grey = torch.frombuffer(bytearray(self._body(side * side)), dtype=torch.uint8)
        return to_ink(grey.view(side, side))

    def _asked(self, act: Callable[[], Seen | None]) -> Seen | None:
        """What ``act`` finds, for a request without a body."""
        self._body(0)
        return act()

    def _seen(self, seen: Seen | None) -> Answer:
        if seen is None:
            raise _RefusedError(404, "the data that the run was trained on are not there")
        return _encoded(seen.to_dict()), _JSON

    def _length(self) -> int:
        """The length of the body that is announced; raises where it is none."""
        text = self.headers.get("Content-Length", "0")
        if "Transfer-Encoding" in self.headers or not re.fullmatch("[0-9]{1,18}", text):
            raise _RefusedError(400, "a body needs its length in Content-Length")
        return int(text)

    def _body(self, size: int) -> bytes:
        """The body, which must have ``size`` bytes."""
        length = self._length()
        if length > size:
            raise _RefusedError(413, f"a body of {size} bytes is expected, not {length}")
        body = self.rfile.read(length)
        if len(body) != size:
            raise _RefusedError(400, f"a body of {size} bytes is expected, not {len(body)}")
        return body

    def _refuse(self, refused: _RefusedError) -> None:
        """Tell why; the body is let in, as a closed door would drown the answer."""
        self._reply(refused.status, f"{refused.why}\n".encode(), _PLAIN)
        self.wfile.flush()
        length = self.headers.get("Content-Length", "")
        if refused.status in (403, 404, 413) and re.fullmatch("[0-9]{1,18}", length):
            self.rfile.read(min(int(length), _DRAINED))

    def _reply(self, status: int, content: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Content-Security-Policy", self.server.page.policy)
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(content)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Tell what the base class refuses, in plain text as all else."""
        del explain
        self._reply(code, f"{message or self.responses[code][0]}\n".encode(), _PLAIN)

    def version_string(self) -> str:
        """The name of the server, without versions."""
        return "airkit"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - named by the base class
        """Keep no log."""


def _encoded(values: dict[str, Any]) -> bytes:
    return json.dumps(values).encode()
