"""Making the parts of a data file, in this process or in several."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from functools import partial
from typing import NamedTuple, Protocol

from airkit.config.schema import DataConfig
from airkit.data.canvases import Canvases
from airkit.data.format import Arrays, Packed, pack
from airkit.data.sources import Origin
from airkit.system.workers import in_processes


class Composer(Protocol):
    """Makes canvases; it is sent to worker processes."""

    @property
    def origin(self) -> Origin:
        """What the data file records of the source."""

    @property
    def arrays(self) -> Arrays:
        """The arrays of each split."""

    def compose(self, split: str, start: int, stop: int) -> Canvases:
        """Compose canvases ``start`` to ``stop`` (excluded) of ``split``.

        Raises:
            CanvasError: they cannot be composed as asked.
        """


class Part(NamedTuple):
    """Canvases ``start`` to ``stop`` (excluded) of a split."""

    split: str
    start: int
    stop: int


def _make(data: DataConfig, composer: Composer, part: Part) -> Packed:
    """Compose and compress a part."""
    return pack(data, part.split, composer.compose(part.split, part.start, part.stop))


def make_parts(
    data: DataConfig, composer: Composer, parts: Sequence[Part], workers: int
) -> Generator[Packed]:
    """Yield the packed parts in order, made here or, for more than one worker, in processes.

    Raises:
        CanvasError: the canvases cannot be composed as asked.
        WorkerError: a worker process failed.
    """
    make = partial(_make, data, composer)
    if workers <= 1:
        yield from map(make, parts)
    else:
        yield from in_processes(make, parts, min(workers, len(parts)))
