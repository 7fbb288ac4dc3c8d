"""MNIST: from the cache, else from the first mirror that serves its four files.

Only this module uses the network, by pooch: it downloads to a temporary file beside the target,
compares its SHA-256 and moves it. So a broken download never becomes a cache entry, and a damaged
cache entry is fetched anew.

Environment variables: ``AIRKIT_CACHE`` names the cache folder, in place of the operating system's.
``AIRKIT_OFFLINE``, set to anything but the empty string or 0, forbids every request.
"""

from __future__ import annotations

import io
import logging
import math
import os
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pooch

from airkit.data.digits import Digits, DigitSource
from airkit.data.idx import read_pools
from airkit.errors import DigitsError
from airkit.system import files
from airkit.system.callbacks import SILENT, Listener

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
"""SHA-256 of each file as it is served: gzipped, with ``.gz`` behind its name."""
MAX_BYTES = 2**25
"""Where a download is cut off; the largest file has 10 MB."""
_POLL = 0.1  # seconds between two looks at a download
_SELF_HELP = (
    "--source strokes (built in), --source FOLDER with the four files, "
    "or AIRKIT_CACHE=FOLDER with them in FOLDER/mnist"
)


@dataclass(frozen=True)
class Patience:
    """How long to wait for mirrors, in seconds."""

    silence: float
    """For the next bytes of a file, name lookup and connection apart."""
    total: float = math.inf
    """For all files from all mirrors."""


LONG = Patience(silence=30.0)
"""Where the user asked for MNIST."""
SHORT = Patience(silence=2.0, total=4.2)
"""Where strokes stand in."""


class Mnist(DigitSource):
    """The MNIST database of handwritten digits."""

    licence = "CC BY-SA 3.0"
    attribution = (
        "the MNIST database of handwritten digits by Yann LeCun, Corinna Cortes and Christopher "
        "J. C. Burges, derived from NIST Special Databases 1 and 3"
    )

    def __init__(self, patience: Patience = LONG) -> None:
        self.patience = patience

    def pools(self, listener: Listener) -> Mapping[str, Digits]:
        """The train files make train and val, the t10k files test."""
        return read_pools(fetch(listener, self.patience))


def cache_folder() -> Path:
    """Folder of the files: ``mnist`` in ``AIRKIT_CACHE``, or in the system's cache folder."""
    chosen = os.environ.get("AIRKIT_CACHE")
    return Path(os.path.expanduser(chosen) if chosen else pooch.os_cache("airkit")) / "mnist"


def fetch(listener: Listener = SILENT, patience: Patience = LONG) -> dict[str, Path]:
    """Return the paths of the four files, by their names in ``SHA256``, each of them verified.

    Files that are cached and undamaged cost no request.

    Args:
        listener: hears the progress of each download, in bytes.
        patience: how long to wait for mirrors.

    Raises:
        DigitsError: no mirror served a file, ``AIRKIT_OFFLINE`` forbids asking them, or the
            cache cannot be read or written.
    """
    folder = cache_folder()
    paths = {name: folder / f"{name}.gz" for name in SHA256}
    try:
        missing = [path for name, path in paths.items() if not _is_whole(path, SHA256[name])]
        if missing and os.environ.get("AIRKIT_OFFLINE", "0") not in {"", "0"}:
            raise DigitsError(
                "MNIST is not in the cache, and AIRKIT_OFFLINE forbids fetching it",
                where=folder,
                expected=", ".join(path.name for path in missing),
                hint=f"{_SELF_HELP}; or unset AIRKIT_OFFLINE",
            )
        _fetch_missing(missing, listener, patience)
    except OSError as error:
        raise DigitsError(
            "Cannot use the cache of digits",
            where=folder,
            got=error.strerror or error,
            hint="AIRKIT_CACHE=FOLDER, a folder that you can write to",
        ) from error
    return paths


def _is_whole(path: Path, digest: str) -> bool:
    return path.exists() and files.sha256(path) == digest


def _fetch_missing(missing: list[Path], listener: Listener, patience: Patience) -> None:
    download = _Downloader(listener, patience)
    mirrors = deque(MIRRORS)
    with _quiet_pooch():
        for path in missing:
            _fetch_file(path, mirrors, download)


def _fetch_file(path: Path, mirrors: deque[str], download: _Downloader) -> None:
    """Fetch one file from the first mirror that serves it; those that fail are put last."""
    failures = []
    for mirror in tuple(mirrors):
        try:
            pooch.retrieve(
                f"{mirror}{path.name}",
                known_hash=f"sha256:{SHA256[path.stem]}",
                fname=path.name,
                path=path.parent,
                downloader=download,
            )
        except ValueError:  # what pooch raises at another hash
            failures.append(f"{mirror}: other bytes than MNIST's (their SHA-256 differs)")
        except _MirrorFailureError as failure:
            failures.append(f"{mirror}: {failure}")
        else:
            return
        mirrors.rotate(-1)
    raise DigitsError(
        f"No mirror served MNIST's {path.name}",
        where=path.parent,
        got=("\n" + " " * 12).join(failures),
        hint=_SELF_HELP,
    )


class _MirrorFailureError(Exception):
    """Why a mirror did not serve a file."""


class _Downloader:
    """Downloads files for pooch, until a deadline.

    A thread does the work, since neither timeouts nor Ctrl-C end a name lookup.
    """

    def __init__(self, listener: Listener, patience: Patience) -> None:
        self._listener, self._patience = listener, patience
        self._deadline = time.monotonic() + patience.total

    def __call__(self, url: str, target: str, _: object) -> None:
        """Download ``url`` to the file ``target``."""
        content = io.BytesIO()
        responses: list[Any] = []
        errors: list[Exception] = []
        arguments = (url, content, responses, errors)
        thread = threading.Thread(
            target=self._run, args=arguments, name=f"fetch {url}", daemon=True
        )
        thread.start()
        try:
            while thread.is_alive():
                thread.join(_POLL)
                self._check(content.tell())
                if done := content.tell():
                    total = int(responses[-1].headers.get("content-length", done))
                    task = f"mnist {url.rpartition('/')[2]}"
                    self._listener.progress(task, done, max(total, done))
            if errors:
                raise _MirrorFailureError(_cause(errors[0])) from errors[0]
            Path(target).write_bytes(content.getvalue())
        finally:
            content.close()  # ends a thread that goes on

    def _check(self, size: int) -> None:
        if time.monotonic() > self._deadline:
            raise _MirrorFailureError(f"not done when {self._patience.total:g} s were over")
        if size > MAX_BYTES:
            raise _MirrorFailureError(f"more than {MAX_BYTES:,} bytes")

    def _run(
        self, url: str, content: io.BytesIO, responses: list[Any], errors: list[Exception]
    ) -> None:
        download = pooch.HTTPDownloader(
            chunk_size=2**14,
            timeout=self._patience.silence,
            headers={"Accept-Encoding": "identity"},  # the gzipped bytes, not what is in them
            hooks={"response": lambda response, **_: responses.append(response)},
        )
        try:
            download(url, content, None)
        except Exception as error:  # belongs to the thread that waits
            errors.append(error)
        finally:
            for response in responses:  # pooch leaves failed ones open
                response.close()


def _cause(error: Exception) -> str:
    """One short line about an error of requests: the innermost error tells the most."""
    inner = getattr(error, "reason", None) or (error.args[-1] if error.args else None)
    if isinstance(inner, Exception):
        return _cause(inner)
    text = str(error).partition(" for url: ")[0].rpartition("): ")[2]
    return text or type(error).__name__


@contextmanager
def _quiet_pooch() -> Iterator[None]:
    """Keep pooch from logging to stderr, where a progress bar may be."""
    logger = pooch.get_logger()
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)
