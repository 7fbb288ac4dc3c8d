"""Making a data file: from settings to canvases on disk."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from pathlib import Path

from airkit.config.schema import DataConfig
from airkit.config.settings import Settings, layers, resolve
from airkit.data import sources, writer
from airkit.data.digits import SPLITS
from airkit.data.format import CHUNK
from airkit.data.sources import LoadedDigits
from airkit.data.workers import Job, Part, make_parts
from airkit.errors import CanvasError, OutputError
from airkit.system.callbacks import SILENT, Listener
from airkit.system.files import file_kind
from airkit.system.locks import exclusive
from airkit.system.signals import defer_signals

_STEP_BYTES = 2**24  # of images composed between two reports


@dataclass(frozen=True)
class MakeReport:
    """What was made: the file, its canvases by split, and from which digits."""

    path: Path
    """The data file."""
    splits: Mapping[str, int]
    """Canvases of each split."""
    source: str
    """Where the digits came from."""
    content_digest: str
    """SHA-256 of the content, the same for the same settings and digits."""
    seconds: float
    """Time taken."""
    bytes: int
    """Size of the file."""


def make_data(
    path: str | Path = "multi-mnist.h5",
    *,
    settings: Settings = (),
    force: bool = False,
    workers: int = 1,
    listener: Listener = SILENT,
) -> MakeReport:
    """Compose the canvases of all splits and write them to ``path``.

    Args:
        path: the HDF5 file to write; it gets its name when it is complete.
        settings: dotted keys and values such as ``{"data.max_digits": 5}``, or layers.
        force: replace a file that is there.
        workers: processes that make canvases; the file is the same for any number of them.
        listener: hears of progress and of the digits used.

    Raises:
        ConfigError: the settings are wrong.
        ExtensionError: ``data.source`` is a class that cannot be used.
        OutputError: the file is there already, or cannot be written, or is being written.
        DigitsError: the source of digits cannot be had.
        CanvasError: the canvases cannot be composed as asked, or a worker process failed.
    """
    began = time.perf_counter()
    path = Path(path)
    _check_workers(workers)
    config = resolve(*layers(settings))
    _check_free(path, force)
    digits = sources.load(config.data.source, listener)
    _check_not_empty(config.data, digits)
    with defer_signals(), _locked(path, listener):
        _check_free(path, force)  # again: another process may have made it meanwhile
        with writer.create(path, config, digits) as file:
            parts = list(split_up(config.data))
            job = Job(config.data, digits.pools)
            with closing(make_parts(job, parts, workers)) as made:
                for part, packed in zip(parts, made, strict=True):
                    file.append(packed)
                    total = getattr(config.data, part.split)
                    listener.progress(f"{part.split} canvases", part.stop, total)
    return MakeReport(
        path=path,
        splits={split: getattr(config.data, split) for split in SPLITS},
        source=digits.name,
        content_digest=file.digest,
        seconds=time.perf_counter() - began,
        bytes=path.stat().st_size,
    )


def split_up(data: DataConfig) -> Iterator[Part]:
    """Yield all canvases in parts of whole chunks, some megabytes each."""
    step = CHUNK * max(1, _STEP_BYTES // (CHUNK * data.canvas_size**2))
    for split in SPLITS:
        total: int = getattr(data, split)
        for start in range(0, total, step):
            yield Part(split, start, min(start + step, total))


def _locked(path: Path, listener: Listener) -> AbstractContextManager[None]:
    """Keep other writers of the same file out."""
    return exclusive(
        path.with_name(path.name + ".lock"),
        path,
        work="make-data is writing this file",
        hint="wait for its end, or name another --out",
        listener=listener,
    )


def _check_workers(workers: int) -> None:
    if type(workers) is not int or workers < 1:
        raise CanvasError(
            "The number of workers is wrong",
            where="workers",
            expected="a whole number of at least 1",
            got=repr(workers),
            hint="--workers 1",
        )


def _check_free(path: Path, force: bool) -> None:
    """Refuse a path that is taken, before the work and not after it."""
    if os.path.isdir(path):
        raise OutputError("A folder is in the way", where=path, hint="another --out")
    if os.path.exists(path) and not force:
        ours = file_kind(path) == "data file"
        raise OutputError(
            f"There is a {'data file' if ours else 'file of another kind'} already",
            where=path,
            hint="--force to replace it, or another --out" if ours else "another --out",
        )


def _check_not_empty(data: DataConfig, digits: LoadedDigits) -> None:
    """Refuse an empty pool before any split is composed."""
    for split in SPLITS:
        if data.max_digits and getattr(data, split) and not len(digits.pools[split].images):
            raise CanvasError(
                f"There are no digits for the {split} canvases",
                where=digits.name,
                expected=f"digits in the {split} pool, or data.{split} = 0",
                got="an empty pool",
                hint="name another --source",
            )
