"""Making a data file: from settings to canvases on disk."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from airkit.canvases import digits, store
from airkit.canvases.compose import compose
from airkit.canvases.digits import SPLITS, DigitSource
from airkit.config import DataConfig
from airkit.errors import CanvasError, OutputError
from airkit.listener import SILENT, Listener
from airkit.locks import exclusive
from airkit.settings import Settings, layers, resolve
from airkit.signals import held

_STEP_BYTES = 2**24  # of images composed between two reports


@dataclass(frozen=True)
class MakeReport:
    """What was made: the file, its canvases by split, and from which digits."""

    path: Path
    splits: Mapping[str, int]
    source: str
    content_digest: str
    seconds: float
    bytes: int


def make_data(
    path: str | Path = "multi-mnist.h5",
    *,
    settings: Settings = (),
    force: bool = False,
    listener: Listener = SILENT,
) -> MakeReport:
    """Compose the canvases of all splits and write them to ``path``.

    Args:
        path: the HDF5 file to write; it appears when it is whole.
        settings: dotted keys and values such as ``{"data.max_digits": 5}``, or layers.
        force: replace a file that is there.
        listener: hears of progress and of the digits used.

    Raises:
        ConfigError: the settings are wrong.
        OutputError: the file is there already, or cannot be written, or is being written.
        DigitsError: the source of digits cannot be had.
        CanvasError: the canvases cannot be composed as asked.
    """
    began = time.perf_counter()
    path = Path(path)
    config = resolve(*layers(settings))
    _check_writable(path, force)
    source = digits.load(config.data.source, config.data.seed, listener)
    _check_pools(config.data, source)
    with held(), _locked(path, listener):
        _check_writable(path, force)  # once more: another process may have made it meanwhile
        with store.Writer(path, config, source) as writer:
            for split in SPLITS:
                _make_split(config.data, split, source, writer, listener)
    return MakeReport(
        path=path,
        splits={split: getattr(config.data, split) for split in SPLITS},
        source=source.name,
        content_digest=writer.digest,
        seconds=time.perf_counter() - began,
        bytes=path.stat().st_size,
    )


def _locked(path: Path, listener: Listener) -> AbstractContextManager[None]:
    """Keep other writers of the same file out."""
    return exclusive(
        path.with_name(path.name + ".lock"),
        path,
        work="make-data is writing this file",
        hint="wait for its end, or name another --out",
        listener=listener,
    )


def _make_split(
    data: DataConfig, split: str, source: DigitSource, writer: store.Writer, listener: Listener
) -> None:
    """Compose and write one split, some megabytes at a time."""
    total: int = getattr(data, split)
    chunks = _STEP_BYTES // (store.CHUNK * data.canvas_size**2)
    step = store.CHUNK * max(1, chunks)
    for start in range(0, total, step):
        stop = min(start + step, total)
        writer.append(split, compose(data, split, source.pools[split], start, stop))
        listener.progress(f"{split} canvases", stop, total)


def _check_writable(path: Path, force: bool) -> None:
    """Find out before the work, not after it, whether the file can be written."""
    if path.is_dir():
        raise OutputError("A folder is in the way", where=path, hint="another --out")
    if path.exists() and not force:
        raise OutputError(
            "There is a data file already",
            where=path,
            hint="--force to replace it, or another --out",
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise OutputError(
            "Cannot write into the folder",
            where=path.parent,
            got=error.strerror or error,
            hint="another --out",
        ) from error


def _check_pools(data: DataConfig, source: DigitSource) -> None:
    """Find an empty pool before any split is composed."""
    for split in SPLITS:
        if data.max_digits and getattr(data, split) and not len(source.pools[split].images):
            raise CanvasError(
                f"There are no digits for the {split} canvases",
                where=source.name,
                expected=f"digits in the {split} pool, or data.{split} = 0",
                got="an empty pool",
                hint="name another --source",
            )
