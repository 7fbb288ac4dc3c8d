"""MNIST from the cache or a mirror: every way in which mirrors fail ends soon, in one message."""

from __future__ import annotations

import gzip
import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pooch
import pytest
from idx_files import idx_bytes, mnist_like
from tiny_runs import Recorder

from airkit.data import mnist
from airkit.errors import DigitsError

FILES = {
    f"{name}.gz": gzip.compress(idx_bytes(array), mtime=0) for name, array in mnist_like().items()
}
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


def trickling(handler: Handler, content: bytes) -> None:
    """Never silent for long and never done: 16 KiB every 50 ms."""
    assert isinstance(handler.server, Mirror)
    serve(handler, b"", 2**30)
    while not handler.server.done.wait(0.05):
        try:
            handler.wfile.write(bytes(2**14))
        except OSError:
            return


FIRST, LAST = "train-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"


@pytest.fixture
def mirror(monkeypatch: pytest.MonkeyPatch) -> Iterator[Mirror]:
    """A server with two folders, which are the mirrors; FILES are MNIST."""
    with Mirror() as server:
        monkeypatch.setattr(mnist, "MIRRORS", (server.url("one"), server.url("two")))
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.done.set()
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and no proxies."""
    hashes = {name[:-3]: hashlib.sha256(content).hexdigest() for name, content in FILES.items()}
    monkeypatch.setattr(mnist, "SHA256", hashes)
    monkeypatch.setenv("AIRKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("AIRKIT_OFFLINE", raising=False)
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "*")
    return tmp_path / "cache" / "mnist"


def cached(cache: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in cache.glob("*")}


def refusal(patience: mnist.Patience = mnist.LONG) -> str:
    with pytest.raises(DigitsError) as caught:
        mnist.fetch(patience=patience)
    return str(caught.value)


def test_the_first_mirror_serves_all(mirror: Mirror, cache: Path) -> None:
    mirror.acts["one"] = unzipping
    hearer = Recorder()
    assert mnist.fetch(hearer) == {name[:-3]: cache / name for name in FILES}
    assert cached(cache) == FILES, "files stay zipped on the way"
    assert mirror.requests == [f"one/{name}" for name in FILES]
    assert hearer.told == [("files of MNIST", done, 4) for done in (1, 2, 3, 4)]


@pytest.mark.parametrize(
    ("act", "why"),
    [
        (absent, "404 Client Error: Not Found"),
        (altered, "other bytes than MNIST's (their SHA-256 differs)"),
        (silent, "Read timed out. (read timeout=0.8)"),
        (cut, f"IncompleteRead({len(FILES[FIRST]) - 10} bytes read, 10 more expected)"),
    ],
)
def test_mirrors_that_fail(mirror: Mirror, cache: Path, act: Act, why: str) -> None:
    """Another stands in, for all files; where none does, the message tells of each."""
    patience = mnist.Patience(silence=0.8)
    mirror.acts = {"one": act, "two": act}
    message = refusal(patience)
    assert message.startswith(f"No mirror served MNIST's {FIRST}\n  where     {cache}\n")
    assert f"  got       {mirror.url('one')}: {why}\n" in message
    assert f"            {mirror.url('two')}: {why}\n" in message
    assert cached(cache) == {}
    del mirror.acts["two"]
    mirror.requests.clear()
    mnist.fetch(patience=patience)
    assert cached(cache) == FILES
    assert mirror.requests == [f"one/{FIRST}", *(f"two/{name}" for name in FILES)]


def test_a_failure_keeps_what_is_cached(mirror: Mirror, cache: Path) -> None:
    """Files fetched before it, and a damaged one."""

    def all_but_the_last(handler: Handler, content: bytes) -> None:
        (absent if content == FILES[LAST] else serve)(handler, content)

    mirror.acts = {"one": all_but_the_last, "two": all_but_the_last}
    refusal()
    most = {name: content for name, content in FILES.items() if name != LAST}
    assert cached(cache) == most
    (cache / LAST).write_bytes(b"damaged")
    refusal()
    assert cached(cache) == most | {LAST: b"damaged"}


def test_a_trickle_without_end(mirror: Mirror, cache: Path) -> None:
    mirror.acts = {"one": trickling, "two": trickling}
    start = time.monotonic()
    message = refusal(mnist.Patience(silence=5, total=0.6))
    assert time.monotonic() - start < 3
    assert f"{mirror.url('two')}: TimeoutError\n" in message
    assert cached(cache) == {}
    for thread in threading.enumerate():
        if thread.name.startswith("fetch "):
            thread.join(2)
            assert not thread.is_alive(), "a download goes on though nobody waits for it"


def test_a_name_lookup_that_hangs(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    over = threading.Event()
    monkeypatch.setattr("socket.getaddrinfo", lambda *args, **kwargs: over.wait(10) and [])
    monkeypatch.setattr(mnist, "MIRRORS", ("http://a.invalid/", "http://b.invalid/"))
    start = time.monotonic()
    message = refusal(mnist.Patience(silence=0.2, total=0.5))
    over.set()
    assert time.monotonic() - start < 2
    assert "http://a.invalid/: TimeoutError\n" in message


def test_cached_files_cost_no_request(
    mirror: Mirror, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRKIT_OFFLINE", "1")
    message = refusal()
    assert message.startswith("MNIST is not in the cache, and AIRKIT_OFFLINE forbids fetching it")
    assert f"expected  {', '.join(FILES)}\n" in message
    assert mirror.requests == []
    monkeypatch.setenv("AIRKIT_OFFLINE", "0")
    paths = mnist.fetch()
    monkeypatch.setenv("AIRKIT_OFFLINE", "1")
    assert mnist.fetch() == paths
    (cache / FIRST).write_bytes(FILES[FIRST][:100])
    assert f"expected  {FIRST}\n" in refusal(), "a damaged file is not believed"
    monkeypatch.delenv("AIRKIT_OFFLINE")
    mirror.requests.clear()
    mnist.fetch()
    assert (mirror.requests, cached(cache)) == ([f"one/{FIRST}"], FILES)


def test_a_cache_that_is_a_file(mirror: Mirror, cache: Path) -> None:
    cache.parent.write_bytes(b"")
    message = refusal()
    assert message.startswith(f"Cannot use the cache of digits\n  where     {cache}\n")
    assert "AIRKIT_CACHE=FOLDER" in message


@pytest.mark.parametrize(
    ("value", "folder"),
    [("", Path(pooch.os_cache("airkit"))), ("~/digits", Path.home() / "digits")],
)
def test_the_cache_folder(monkeypatch: pytest.MonkeyPatch, value: str, folder: Path) -> None:
    monkeypatch.setenv("AIRKIT_CACHE", value)
    assert mnist.cache_folder() == folder / "mnist"


@pytest.mark.network
def test_the_real_mirrors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setenv("AIRKIT_CACHE", str(tmp_path))
    for base in mnist.MIRRORS:
        monkeypatch.setattr(mnist, "MIRRORS", (base,))
        assert len(mnist.fetch()) == 4
        for path in tmp_path.glob("mnist/*"):
            path.unlink()
