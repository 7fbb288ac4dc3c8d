"""The four files of MNIST: from the cache, else from the first mirror that serves them.

Only this module fetches anything, and pooch does it: into a temporary file beside the
target, compared with the known SHA-256, then moved. A broken download never becomes a cache
entry, and a damaged cache entry is fetched anew.

Two environment variables matter. ``AIRKIT_CACHE`` names the cache folder, in place of the
operating system's. ``AIRKIT_OFFLINE``, set to anything but the empty string or 0, forbids
every request.
"""

from __future__ import annotations

import logging
import math
import os
import queue
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pooch

from airkit.errors import DigitsError
from airkit.system import files
from airkit.system.callbacks import SILENT, Listener

LICENCE = "CC BY-SA 3.0"
ATTRIBUTION = (
    "the MNIST database of handwritten digits by Yann LeCun, Corinna Cortes and Christopher "
    "J. C. Burges, derived from NIST Special Databases 1 and 3"
)
MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
"""Folders that serve the files, in the order in which they are tried."""
SHA256 = {
    "train-images-idx3-ubyte": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    "train-labels-idx1-ubyte": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    "t10k-images-idx3-ubyte": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    "t10k-labels-idx1-ubyte": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
}
"""SHA-256 of each file as it is served: with ``.gz`` behind its name, and gzipped."""


@dataclass(frozen=True)
class Patience:
    """How long to wait for mirrors, in seconds."""

    silence: float
    """For the next bytes of one file, the first ones included: name lookup, connection, all."""
    total: float = math.inf
    """For all files from all mirrors."""


LONG = Patience(silence=30.0)
SHORT = Patience(silence=2.0, total=4.2)

_CHUNK = 2**14
_TELL_EVERY = 0.1  # seconds between two calls of a listener's progress
_SELF_HELP = (
    "--source strokes (built in), --source FOLDER with the four files, "
    "or AIRKIT_CACHE=FOLDER with them in FOLDER/mnist"
)


def cache_folder() -> Path:
    """Where the files are kept: ``mnist`` in ``AIRKIT_CACHE``, or in the system's cache folder."""
    chosen = os.environ.get("AIRKIT_CACHE")
    return Path(os.path.expanduser(chosen) if chosen else pooch.os_cache("airkit")) / "mnist"


def fetch(listener: Listener = SILENT, patience: Patience = LONG) -> dict[str, Path]:
    """The paths of the four files, by their names in ``SHA256``, each of them verified.

    Files that are cached and sound cost no request.

    Args:
        listener: hears the progress of each download, in bytes.
        patience: how long to wait for mirrors; ``LONG`` where the user asked for MNIST,
            ``SHORT`` where there is something to fall back on.

    Raises:
        DigitsError: no mirror served a file, ``AIRKIT_OFFLINE`` forbids asking them, or the
            cache cannot be read or written.
    """
    folder = cache_folder()
    try:
        if os.environ.get("AIRKIT_OFFLINE", "0") in {"", "0"}:
            mirrors = _Mirrors(folder, listener, patience)
            with _quiet_pooch():
                return {name: mirrors.fetch(name) for name in SHA256}
        return _cached(folder)
    except OSError as error:
        raise DigitsError(
            "Cannot use the cache of digits",
            where=folder,
            got=error.strerror or error,
            hint="AIRKIT_CACHE=FOLDER, a folder that you can write to",
        ) from error


def _cached(folder: Path) -> dict[str, Path]:
    paths = {name: folder / f"{name}.gz" for name in SHA256}
    missing = [
        path.name
        for name, path in paths.items()
        if not path.exists() or files.sha256(path) != SHA256[name]
    ]
    if missing:
        raise DigitsError(
            "MNIST is not in the cache, and AIRKIT_OFFLINE forbids fetching it",
            where=folder,
            expected=", ".join(missing),
            hint=f"{_SELF_HELP}; or unset AIRKIT_OFFLINE",
        )
    return paths


class _MirrorFailureError(Exception):
    """Why one mirror did not serve a file; the next one may."""


class _Mirrors:
    """The mirrors during one fetch: which to ask first, and until when."""

    def __init__(self, folder: Path, listener: Listener, patience: Patience) -> None:
        self._folder = folder
        self._listener = listener
        self._patience = patience
        self._deadline = time.monotonic() + patience.total
        self._bases = list(MIRRORS)

    def fetch(self, name: str) -> Path:
        """The verified path of file ``name``, from the cache or the first mirror to serve it."""
        failures = []
        for base in tuple(self._bases):
            try:
                return self._retrieve(base, name)
            except _MirrorFailureError as failure:
                failures.append(f"{base}: {failure}")
                # The other files try this mirror last, or its silence would be waited out again.
                self._bases.remove(base)
                self._bases.append(base)
        raise DigitsError(
            f"No mirror served MNIST's {name}.gz",
            where=self._folder,
            got=("\n" + " " * 12).join(failures),
            hint=_SELF_HELP,
        )

    def _retrieve(self, base: str, name: str) -> Path:
        try:
            path = pooch.retrieve(
                f"{base}{name}.gz",
                known_hash=f"sha256:{SHA256[name]}",
                fname=f"{name}.gz",
                path=self._folder,
                downloader=self._download,
            )
        except ValueError as error:  # pooch's word for another hash
            raise _MirrorFailureError("other bytes than MNIST's (their SHA-256 differs)") from error
        return Path(path)

    def _download(self, url: str, target: str, _: object) -> None:
        """Pooch's downloader: bring ``url`` to the file ``target``, telling the listener."""
        task = f"mnist {url.rpartition('/')[2]}"
        transfer = _Transfer(url, self._patience.silence)
        done, told = 0, -math.inf
        try:
            with Path(target).open("wb") as file:
                while chunk := self._next(transfer):
                    done += file.write(chunk)
                    if (now := time.monotonic()) - told > _TELL_EVERY:
                        told = now
                        self._listener.progress(task, done, transfer.total or done)
        finally:
            transfer.abandon()
        self._listener.progress(task, done, done)

    def _next(self, transfer: _Transfer) -> bytes:
        left = self._deadline - time.monotonic()
        try:
            if left > 0:
                return transfer.take(min(self._patience.silence, left))
        except queue.Empty:
            if left > self._patience.silence:
                raise _MirrorFailureError(f"silent for {self._patience.silence:g} s") from None
        raise _MirrorFailureError(f"not done when {self._patience.total:g} s were over")


class _Transfer:
    """One download on a thread of its own, so that the reader's patience bounds every wait.

    The timeouts of sockets do not: neither looking up a name nor trying one address after the
    other ends with them. To pooch's downloader this is the file to write to and the progress
    bar to tell, hence ``write``, ``flush``, ``update``, ``reset``, ``close`` and ``total``.
    """

    def __init__(self, url: str, silence: float) -> None:
        self.total = 0
        self._chunks: queue.SimpleQueue[bytes | Exception] = queue.SimpleQueue()
        self._abandoned = False
        work = threading.Thread(
            target=self._run, args=(url, silence), name=f"fetch {url}", daemon=True
        )
        work.start()

    def take(self, wait: float) -> bytes:
        """The next bytes, empty at the end; raises queue.Empty after ``wait`` seconds without."""
        item = self._chunks.get(timeout=wait)
        if isinstance(item, Exception):
            raise _MirrorFailureError(_cause(item)) from item
        return item

    def abandon(self) -> None:
        """Let the thread end at the next bytes it gets."""
        self._abandoned = True

    def write(self, chunk: bytes) -> None:
        if self._abandoned:
            raise TimeoutError("nobody waits for this download any more")
        self._chunks.put(chunk)

    def flush(self) -> None:
        """Nothing to do; here because pooch's downloader calls it, as the next three."""

    def update(self, amount: int) -> None:
        """Nothing to do: the listener hears from the thread that takes the bytes."""

    def reset(self) -> None:
        """Nothing to do."""

    def close(self) -> None:
        """Nothing to do."""

    def _run(self, url: str, silence: float) -> None:
        with ExitStack() as responses:

            def close_later(response: Any, **_: object) -> None:
                responses.callback(response.close)

            download = pooch.HTTPDownloader(
                progressbar=self,
                chunk_size=_CHUNK,
                timeout=2 * silence,  # ends this thread, after the reader's own patience
                # Else a server may offer the file unzipped on the way, which is another hash.
                headers={"Accept-Encoding": "identity"},
                hooks={"response": close_later},  # pooch leaves a failed one to the collector
            )
            try:
                download(url, self, None)
                self._chunks.put(b"")
            except Exception as error:  # whatever it is, it belongs to the thread that waits
                self._chunks.put(error)


def _cause(error: Exception) -> str:
    """One short line from an error of the requests library: its innermost one tells the most."""
    inner = getattr(error, "reason", None) or (error.args[-1] if error.args else None)
    if isinstance(inner, Exception):
        return _cause(inner)
    text = str(error).partition(" for url: ")[0].rpartition("): ")[2]
    return text or type(error).__name__


@contextmanager
def _quiet_pooch() -> Iterator[None]:
    """Pooch logs each download to stderr, where a progress bar may be; the listener hears it."""
    logger = pooch.get_logger()
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)
