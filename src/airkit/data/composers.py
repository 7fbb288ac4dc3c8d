"""What ``make-data`` makes canvases with: digits of a source, or scenes that airkit draws."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from airkit.config.schema import Config, DataConfig, PicturesConfig
from airkit.config.sections import DRAWN
from airkit.config.settings import differences
from airkit.data import sources
from airkit.data.canvases import SPLITS, Canvases
from airkit.data.compose import compose
from airkit.data.format import DIGITS, Arrays
from airkit.data.scenes import Scenes
from airkit.data.sources import LoadedDigits, Origin
from airkit.errors import CanvasError
from airkit.system.callbacks import Listener


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


@dataclass(frozen=True, eq=False)
class DigitCanvases:
    """Canvases of digits; see ``Composer``."""

    config: DataConfig
    origin: LoadedDigits
    arrays: Arrays

    def compose(self, split: str, start: int, stop: int) -> Canvases:
        """See ``Composer.compose``."""
        return compose(self.config, split, self.origin.pools[split], start, stop)


def load(config: Config, listener: Listener) -> Composer:
    """Load the digits that ``data.source`` names, or take the scenes that it names.

    Raises:
        DigitsError: the digits cannot be loaded.
        ExtensionError: ``data.source`` is a class that cannot be used.
        CanvasError: there are no digits for a split that needs some, or canvases that are not
            square are asked for.
    """
    _check_square(config.data)
    drawn = config.data.source in DRAWN
    if ignored := sorted(_given(config, "data.overlap") if drawn else _given(config, "scenes.")):
        listener.note(f"data.source = {config.data.source} ignores {', '.join(ignored)}")
    if drawn:
        return Scenes(config.data, config.scenes)
    digits = sources.load(config.data.source, listener)
    _check_not_empty(config.data, digits)
    return DigitCanvases(config.data, digits, DIGITS)


def _given(config: Config, prefix: str) -> list[str]:
    """Dotted keys that begin with ``prefix`` and whose values are not the defaults."""
    return [key for key in differences(Config(), config) if key.startswith(prefix)]


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


def looked_at(config: Config, composer: Composer) -> PicturesConfig:
    """The section ``pictures`` of a new data file.

    For drawn scenes it is what a look at some of them finds, rounded so that every machine records
    the same; for digits, the defaults.
    """
    split = max(SPLITS, key=lambda split: int(getattr(config.data, split)))
    many = getattr(config.data, split)
    if config.data.source not in DRAWN or not many or config.pictures != PicturesConfig():
        return config.pictures
    from airkit.data.look.findings import SAMPLE, look  # noqa: PLC0415 - torch, which digits do without

    return look(composer.compose(split, 0, min(many, SAMPLE)).image).pictures(digits=3)
