"""MNIST: from the cache, else from the first mirror that serves its four files.

Only this module uses the network. A file is downloaded to memory and enters the cache whole, if its
SHA-256 is right; a damaged cache entry is fetched anew.

Environment variables: ``AIRKIT_CACHE`` names the cache folder, in place of the operating system's.
``AIRKIT_OFFLINE``, set to anything but the empty string or 0, forbids every request.
"""

from __future__ import annotations

import hashlib
import io
import os
import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from airkit.data.digits import Digits, DigitSource
from airkit.data.idx import read_pools
from airkit.errors import DigitsError
from airkit.system import files
from airkit.system.callbacks import SILENT, Listener
from airkit.system.notebooks import without_widgets_warning
from airkit.system.text import quoted

with without_widgets_warning():
    import pooch

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
_SELF_HELP = (
    "--source strokes (built in), --source FOLDER with the four files, "
    "or AIRKIT_CACHE=FOLDER with them in FOLDER/mnist"
)


class Patience(NamedTuple):
    """How long to wait for mirrors, in seconds."""

    silence: float
    """For the next bytes of a file, name lookup and connection apart."""
    total: float = threading.TIMEOUT_MAX / 2
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
        listener: hears how many of the missing files were fetched.
        patience: how long to wait for mirrors.

    Raises:
        DigitsError: no mirror served a file, ``AIRKIT_OFFLINE`` forbids asking them, or the
            cache cannot be read or written.
    """
    folder = cache_folder()
    paths = {name: folder / f"{name}.gz" for name in SHA256}
    mirrors, deadline = list(MIRRORS), time.monotonic() + patience.total
    try:
        missing = [
            path
            for name, path in paths.items()
            if not (path.exists() and files.sha256(path) == SHA256[name])
        ]
        if missing and os.environ.get("AIRKIT_OFFLINE", "0") not in {"", "0"}:
            raise _not_cached(folder, missing)
        for done, path in enumerate(missing, 1):
            _store(path, _from_any_mirror(path, mirrors, patience.silence, deadline))
            listener.progress("files of MNIST", done, len(missing))
    except OSError as error:
        what, hint = "Cannot use the cache of digits", "AIRKIT_CACHE=FOLDER that you can write to"
        raise DigitsError(what, where=folder, got=error.strerror or error, hint=hint) from error
    return paths


def _not_cached(folder: Path, missing: list[Path]) -> DigitsError:
    """The error where files are missing, or have other bytes, and must not be fetched."""
    other = [path.name for path in missing if path.exists()]
    cached = "MNIST is not in the cache"
    if len(other) == len(missing):
        cached = "The cache holds other bytes than MNIST's"
    take = f"--source {quoted(folder)}, which takes the files as they are; " if other else ""
    return DigitsError(
        f"{cached}, and AIRKIT_OFFLINE forbids fetching it",
        where=folder,
        expected=", ".join(path.name for path in missing),
        got=f"another SHA-256 of {', '.join(other)}" if other else None,
        hint=f"{take}{_SELF_HELP}; or unset AIRKIT_OFFLINE",
    )


def _store(path: Path, content: bytes) -> None:
    """Write a file of the cache at once, whatever other processes do."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=path.parent) as folder:
        Path(folder, path.name).write_bytes(content)
        Path(folder, path.name).replace(path)


def _from_any_mirror(path: Path, mirrors: list[str], silence: float, deadline: float) -> bytes:
    """One file's content, from the first mirror that serves it; those that fail are put last."""
    failures = []
    for mirror in tuple(mirrors):
        try:
            content = _download(f"{mirror}{path.name}", silence, deadline)
        except Exception as error:  # requests raises all sorts
            failures.append(f"{mirror}: {_cause(error)}")
        else:
            if hashlib.sha256(content).hexdigest() == SHA256[path.stem]:
                return content
            failures.append(f"{mirror}: other bytes than MNIST's (their SHA-256 differs)")
        mirrors.append(mirrors.pop(0))
    what, got = f"No mirror served MNIST's {path.name}", ("\n" + " " * 12).join(failures)
    raise DigitsError(what, where=path.parent, got=got, hint=_SELF_HELP)


def _download(url: str, silence: float, deadline: float) -> bytes:
    """Download ``url`` in a thread: neither timeouts nor Ctrl-C end a name lookup."""
    content = io.BytesIO()
    responses: list[Any] = []
    done: Future[bytes] = Future()
    download = pooch.HTTPDownloader(
        timeout=silence,
        headers={"Accept-Encoding": "identity"},  # the gzipped bytes, not what is in them
        hooks={"response": lambda response, **_: responses.append(response)},
    )

    def run() -> None:
        try:
            download(url, content, None)
            done.set_result(content.getvalue())
        except Exception as error:  # belongs to the thread that waits
            done.set_exception(error)
        finally:
            for response in responses:  # pooch leaves failed ones open
                response.close()

    threading.Thread(target=run, name=f"fetch {url}", daemon=True).start()
    with content:  # its end ends a thread that goes on
        return done.result(max(0.0, deadline - time.monotonic()))


def _cause(error: Exception) -> str:
    """One short line about an error of requests: the innermost error tells the most."""
    inner = getattr(error, "reason", None) or (error.args[-1] if error.args else None)
    if isinstance(inner, Exception):
        return _cause(inner)
    text = str(error).partition(" for url: ")[0].rpartition("): ")[2]
    return text or type(error).__name__
