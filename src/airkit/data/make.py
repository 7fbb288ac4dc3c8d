"""Making a data file: from settings to canvases on disk."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from pathlib import Path

from airkit.config.schema import Config, DataConfig, PicturesConfig
from airkit.config.sections import DRAWN
from airkit.config.settings import Settings, differences, layers, resolve
from airkit.data import sources, writer
from airkit.data.canvases import SPLITS, Canvases
from airkit.data.compose import compose
from airkit.data.format import CHUNK, DIGITS, Arrays
from airkit.data.parts import Composer, Part, make_parts
from airkit.data.scenes import Scenes
from airkit.data.sources import LoadedDigits
from airkit.errors import CanvasError, OutputError
from airkit.system import memory
from airkit.system.callbacks import SILENT, Listener
from airkit.system.files import file_kind
from airkit.system.locks import exclusive
from airkit.system.paths import output_file
from airkit.system.signals import defer_signals
from airkit.system.text import argument

_STEP_BYTES = 2**25  # of images composed between two reports


@dataclass(frozen=True)
class MakeReport:
    """What was made: the file, its canvases by split, and of what."""

    path: Path
    """The data file."""
    splits: Mapping[str, int]
    """Canvases of each split."""
    source: str
    """Where the digits came from, or which scenes were drawn."""
    content_digest: str
    """SHA-256 of the content, the same for the same settings and source."""
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
        DigitsError: the digits cannot be loaded.
        CanvasError: the canvases cannot be composed as asked.
        WorkerError: a worker process failed.
        NoMemoryError: the canvases that are made at a time do not fit into memory.
    """
    began = time.perf_counter()
    path = output_file(path, "multi-mnist.h5")
    config = resolve(*layers(settings))
    check_free(path, force)
    _check_memory(config.data, workers)
    composer = _load(config, listener)
    pictures = _looked_at(config, composer)
    recorded = config.model_copy(update={"pictures": pictures})
    with defer_signals(), locked(path, "make-data", listener):
        check_free(path, force)  # again: another process may have made it meanwhile
        with writer.create(path, recorded, composer.origin, composer.arrays) as file:
            parts = list(split_up(config.data))
            with closing(make_parts(config.data, composer, parts, workers)) as made:
                for part, packed in zip(parts, made, strict=True):
                    file.append(packed)
                    total = getattr(config.data, part.split)
                    listener.progress(f"{part.split} canvases", part.stop, total)
    return MakeReport(
        path=path,
        splits={split: getattr(config.data, split) for split in SPLITS},
        source=composer.origin.name,
        content_digest=file.digest,
        seconds=time.perf_counter() - began,
        bytes=path.stat().st_size,
    )


@dataclass(frozen=True, eq=False)
class DigitCanvases:
    """Canvases of digits; see ``Composer``."""

    config: DataConfig
    origin: LoadedDigits
    arrays: Arrays

    def compose(self, split: str, start: int, stop: int) -> Canvases:
        """See ``Composer.compose``."""
        return compose(self.config, split, self.origin.pools[split], start, stop)


def _load(config: Config, listener: Listener) -> Composer:
    """Load the digits that ``data.source`` names, or take the scenes that it names.

    Raises:
        DigitsError: the digits cannot be loaded.
        ExtensionError: ``data.source`` is a class that cannot be used.
        CanvasError: there are no digits for a split that needs some, or canvases that are not
            square are asked for.
    """
    _check_square(config.data)
    drawn = config.data.source in DRAWN
    useless = "data.overlap" if drawn else "scenes."
    if ignored := sorted(key for key in differences(Config(), config) if key.startswith(useless)):
        listener.note(f"data.source = {config.data.source} ignores {', '.join(ignored)}")
    if drawn:
        return Scenes(config.data, config.scenes)
    digits = sources.load(config.data.source, listener)
    _check_not_empty(config.data, digits)
    return DigitCanvases(config.data, digits, DIGITS)


def _check_square(data: DataConfig) -> None:
    height, width = data.shape
    if height != width:
        raise CanvasError(
            "make-data draws square canvases",
            where="data.height and data.width",
            expected="auto, the canvas size",
            got=f"{height} and {width}",
            hint="leave them out; airkit import takes pictures of any height and width",
        )


def _check_not_empty(data: DataConfig, digits: LoadedDigits) -> None:
    """Refuse an empty pool before any split is composed."""
    for split in SPLITS:
        if data.max_digits and getattr(data, split) and not len(digits.pools[split].images):
            what = f"There are no digits for the {split} canvases"
            hint = f"name another --source, or set data.{split} to 0"
            raise CanvasError(what, where=digits.name, hint=hint)


def _looked_at(config: Config, composer: Composer) -> PicturesConfig:
    """The section ``pictures`` of a new data file.

    For drawn scenes it is what a look at some of them finds, rounded so that every machine records
    the same; for digits, the defaults, or what the settings say.
    """
    split = max(SPLITS, key=lambda split: int(getattr(config.data, split)))
    many = getattr(config.data, split)
    if config.data.source not in DRAWN or not many or config.pictures != PicturesConfig():
        return config.pictures
    from airkit.data.look.findings import SAMPLE, look  # noqa: PLC0415 - torch, which digits do without

    return look(composer.compose(split, 0, min(many, SAMPLE)).image).pictures(digits=3)


def split_up(data: DataConfig) -> Iterator[Part]:
    """Yield all canvases in parts of whole chunks, some megabytes each."""
    step = CHUNK * max(1, _STEP_BYTES // (CHUNK * data.canvas_size**2))
    for split in SPLITS:
        total: int = getattr(data, split)
        for start in range(0, total, step):
            yield Part(split, start, min(start + step, total))


def _check_memory(data: DataConfig, workers: int) -> None:
    """Refuse parts that cannot all be in memory, one in each worker process."""
    parts = list(split_up(data))
    most = max((part.stop - part.start for part in parts), default=0) * data.numel
    memory.check(
        most * max(1, min(workers, len(parts))),
        "The canvases that are made at a time",
        where=f"{workers} workers with {most / 1e6:,.0f} MB of images each",
        hint="fewer --workers, or a smaller --canvas-size",
    )


def locked(path: Path, command: str, listener: Listener) -> AbstractContextManager[None]:
    """Keep other processes from writing the data file ``path`` meanwhile; see ``exclusive``."""
    return exclusive(
        path.with_name(path.name + ".lock"),
        path,
        work=f"{command} is writing this file",
        hint=f"wait for its end, or name another {argument('path')}",
        listener=listener,
    )


def check_free(path: Path, force: bool) -> None:
    """Refuse a path that is taken, before the work and not after it."""
    kind = "folder" if os.path.isdir(path) else file_kind(path) or "file of another kind"
    if os.path.exists(path) and (kind == "folder" or not force):
        inside = f"{argument('path', f'{path}/')} to write inside it, or "
        better = {"data file": f"{argument('force', True)} to replace it, or ", "folder": inside}
        hint = f"{better.get(kind, '')}another {argument('path')}"
        raise OutputError(f"There is a {kind} already", where=path, hint=hint)
