from __future__ import annotations

import hashlib
import logging
import queue
import threading
import time
from collections.abc import Iterator
from logging.handlers import QueueHandler
from pathlib import Path

import pooch
import pytest
from mirrors import (
    FILES,
    Act,
    Handler,
    Mirror,
    absent,
    altered,
    cut,
    serve,
    silent,
    stalling,
    trickling,
)

from airkit.data import mnist
from airkit.errors import DigitsError
from airkit.system.callbacks import Listener

FIRST = "train-images-idx3-ubyte.gz"
HINT = (
    "--source strokes (built in), --source FOLDER with the four files, "
    "or AIRKIT_CACHE=FOLDER with them in FOLDER/mnist"
)


class Hearer(Listener):
    def __init__(self) -> None:
        self.told: list[tuple[str, int, int]] = []

    def progress(self, task: str, done: int, total: int) -> None:
        self.told.append((task, done, total))


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
    """An empty cache; the environment's proxies and cache are out of the way."""
    hashes = {name[:-3]: hashlib.sha256(content).hexdigest() for name, content in FILES.items()}
    monkeypatch.setattr(mnist, "SHA256", hashes)
    monkeypatch.setenv("AIRKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("AIRKIT_OFFLINE", raising=False)
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "*")
    return tmp_path / "cache" / "mnist"


def cached(cache: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in cache.glob("*")}


def failure(patience: mnist.Patience = mnist.LONG) -> str:
    with pytest.raises(DigitsError) as caught:
        mnist.fetch(patience=patience)
    return str(caught.value)


def unserved(cache: Path, mirror: Mirror, one: str, two: str) -> str:
    return (
        f"No mirror served MNIST's {FIRST}\n"
        f"  where     {cache}\n"
        f"  got       {mirror.url('one')}: {one}\n"
        f"            {mirror.url('two')}: {two}\n"
        f"  try       {HINT}"
    )


def test_first_mirror_serves_all(
    mirror: Mirror, cache: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    hearer = Hearer()
    log = queue.SimpleQueue[logging.LogRecord]()
    handler = QueueHandler(log)
    pooch.get_logger().addHandler(handler)
    paths = mnist.fetch(hearer)
    pooch.get_logger().removeHandler(handler)
    assert paths == {name[:-3]: cache / name for name in FILES}
    assert cached(cache) == FILES
    assert mirror.requests == [f"one/{name}" for name in FILES]
    for name, content in FILES.items():
        assert hearer.told[-1] == ("mnist t10k-labels-idx1-ubyte.gz", 36, 36)
        assert (f"mnist {name}", len(content), len(content)) in hearer.told
    assert capfd.readouterr() == ("", "")
    assert log.empty()
    assert pooch.get_logger().level == 0


def test_progress_goes_up_to_the_length_that_the_server_states(
    mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mnist, "_TELL_EVERY", -1.0)
    content = FILES[FIRST]
    hearer = Hearer()
    mnist.fetch(hearer)
    told = [(done, total) for task, done, total in hearer.told if task == f"mnist {FIRST}"]
    assert len(told) > 2
    assert told == sorted(told)
    assert {total for _, total in told} == {len(content)}


def test_cached_files_cost_no_request(mirror: Mirror) -> None:
    before = mnist.fetch()
    mirror.requests.clear()
    assert mnist.fetch() == before
    assert mirror.requests == []


def test_damaged_cache_entry_is_fetched_anew(mirror: Mirror, cache: Path) -> None:
    mnist.fetch()
    mirror.requests.clear()
    (cache / FIRST).write_bytes(FILES[FIRST][:100])
    mnist.fetch()
    assert mirror.requests == [f"one/{FIRST}"]
    assert cached(cache) == FILES


@pytest.mark.parametrize("act", [absent, cut, altered, silent, stalling])
def test_second_mirror_stands_in(mirror: Mirror, cache: Path, act: Act) -> None:
    mirror.acts["one"] = act
    mnist.fetch(patience=mnist.Patience(silence=1.0))
    assert cached(cache) == FILES
    assert mirror.requests == [f"one/{FIRST}", *(f"two/{name}" for name in FILES)]


@pytest.mark.parametrize(
    ("act", "why"),
    [
        (absent, "404 Client Error: Not Found"),
        (altered, "other bytes than MNIST's (their SHA-256 differs)"),
        (silent, "silent for 0.8 s"),
        (stalling, "silent for 0.8 s"),
    ],
)
def test_no_mirror_serves(mirror: Mirror, cache: Path, act: Act, why: str) -> None:
    mirror.acts = {"one": act, "two": act}
    assert failure(mnist.Patience(silence=0.8)) == unserved(cache, mirror, why, why)
    assert cached(cache) == {}


def test_download_that_ends_too_early(mirror: Mirror, cache: Path) -> None:
    mirror.acts = {"one": cut, "two": cut}
    size = len(FILES[FIRST])
    why = f"IncompleteRead({size - 10} bytes read, 10 more expected)"
    assert failure() == unserved(cache, mirror, why, why)
    assert cached(cache) == {}


def test_damaged_cache_entry_outlives_a_failure(mirror: Mirror, cache: Path) -> None:
    mnist.fetch()
    (cache / FIRST).write_bytes(b"damaged")
    mirror.acts = {"one": altered, "two": absent}
    failure()
    assert cached(cache) == FILES | {FIRST: b"damaged"}


def test_what_was_fetched_before_a_failure_is_kept(mirror: Mirror, cache: Path) -> None:
    def only_the_first(handler: Handler, content: bytes) -> None:
        (serve if content == FILES[FIRST] else absent)(handler, content)

    mirror.acts = {"one": only_the_first, "two": only_the_first}
    failure()
    assert cached(cache) == {FIRST: FILES[FIRST]}


def test_a_trickle_ends_when_the_time_is_over(mirror: Mirror, cache: Path) -> None:
    mirror.acts = {"one": trickling, "two": trickling}
    start = time.monotonic()
    message = failure(mnist.Patience(silence=5, total=0.6))
    assert time.monotonic() - start < 2
    why = "not done when 0.6 s were over"
    assert message == unserved(cache, mirror, why, why)
    assert cached(cache) == {}
    for thread in threading.enumerate():
        if thread.name.startswith("fetch "):
            thread.join(2)
            assert not thread.is_alive(), "a download goes on though nobody waits for it"


def test_name_lookup_that_hangs_does_not_hang_the_fetch(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    over = threading.Event()
    monkeypatch.setattr("socket.getaddrinfo", lambda *args, **kwargs: over.wait(10) and [])
    monkeypatch.setattr(mnist, "MIRRORS", ("http://a.invalid/", "http://b.invalid/"))
    start = time.monotonic()
    message = failure(mnist.Patience(silence=0.2))
    over.set()
    assert time.monotonic() - start < 2
    assert message.splitlines()[2:4] == [
        "  got       http://a.invalid/: silent for 0.2 s",
        "            http://b.invalid/: silent for 0.2 s",
    ]


def test_nobody_listens(cache: Path, mirror: Mirror, monkeypatch: pytest.MonkeyPatch) -> None:
    with Mirror() as closed:
        monkeypatch.setattr(mnist, "MIRRORS", (closed.url("one"),))
    got = failure().splitlines()[2]
    assert got.startswith(f"  got       {closed.url('one')}: Failed to establish a new connection")


def test_short_patience_leaves_time_for_both_mirrors_and_for_drawing_strokes() -> None:
    assert len(mnist.MIRRORS) * mnist.SHORT.silence <= mnist.SHORT.total <= 4.5


def test_offline_without_cache(
    mirror: Mirror, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRKIT_OFFLINE", "1")
    assert failure() == (
        "MNIST is not in the cache, and AIRKIT_OFFLINE forbids fetching it\n"
        f"  where     {cache}\n"
        f"  expected  {', '.join(FILES)}\n"
        f"  try       {HINT}; or unset AIRKIT_OFFLINE"
    )
    assert mirror.requests == []


def test_offline_with_cache(mirror: Mirror, monkeypatch: pytest.MonkeyPatch) -> None:
    before = mnist.fetch()
    monkeypatch.setenv("AIRKIT_OFFLINE", "1")
    assert mnist.fetch() == before


def test_offline_does_not_trust_a_damaged_cache(
    mirror: Mirror, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mnist.fetch()
    (cache / FIRST).write_bytes(b"damaged")
    monkeypatch.setenv("AIRKIT_OFFLINE", "1")
    assert failure().splitlines()[2] == f"  expected  {FIRST}"


@pytest.mark.parametrize("value", ["", "0"])
def test_offline_unset(mirror: Mirror, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRKIT_OFFLINE", value)
    mnist.fetch()
    assert len(mirror.requests) == 4


def test_cache_that_is_a_file(mirror: Mirror, cache: Path) -> None:
    cache.parent.write_bytes(b"")
    assert failure().splitlines()[:2] == ["Cannot use the cache of digits", f"  where     {cache}"]
    assert (
        failure().splitlines()[3]
        == "  try       AIRKIT_CACHE=FOLDER, a folder that you can write to"
    )


def test_cache_folder_without_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRKIT_CACHE", "")
    assert mnist.cache_folder() == Path(pooch.os_cache("airkit")) / "mnist"


def test_cache_folder_of_a_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRKIT_CACHE", "~/digits")
    assert mnist.cache_folder() == Path.home() / "digits" / "mnist"


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (OSError(), "OSError"),
        (OSError(28, "No space left on device"), "[Errno 28] No space left on device"),
        (OSError(OSError("proxy", OSError("Tunnel failed: 403"))), "Tunnel failed: 403"),
        (OSError("Pool(host='a', port=443): Read timed out."), "Read timed out."),
    ],
)
def test_cause_is_one_short_line(error: Exception, line: str) -> None:
    assert mnist._cause(error) == line


@pytest.mark.network
def test_the_real_mirrors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setenv("AIRKIT_CACHE", str(tmp_path))
    for base in mnist.MIRRORS:
        monkeypatch.setattr(mnist, "MIRRORS", (base,))
        assert len(mnist.fetch()) == 4
        for path in tmp_path.glob("mnist/*"):
            path.unlink()
