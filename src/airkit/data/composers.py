"""What ``make-data`` makes canvases with: digits of a source, or scenes that airkit draws."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from airkit.config.registry import DRAWN
from airkit.config.schema import Config, DataConfig, PicturesConfig, ScenesConfig
from airkit.config.settings import differences
from airkit.data import sources
from airkit.data.compose import Canvases, compose
from airkit.data.digits import SPLITS
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
        CanvasError: there are no digits for a split that needs some.
    """
    drawn = config.data.source in DRAWN
    if ignored := sorted(_given(config, "data.overlap") if drawn else _given(config, "scenes.")):
        listener.note(f"data.source = {config.data.source} takes no notice of {', '.join(ignored)}")
    if drawn:
        return Scenes(config.data, config.scenes)
    digits = sources.load(config.data.source, listener)
    _check_not_empty(config.data, digits)
    return DigitCanvases(config.data, digits, DIGITS)


def _given(config: Config, prefix: str) -> list[str]:
    """Dotted keys that begin with ``prefix`` and whose values are not the defaults."""
    return [key for key in differences(Config(), config) if key.startswith(prefix)]


def _check_not_empty(data: DataConfig, digits: LoadedDigits) -> None:
    """Refuse an empty pool before any split is composed."""
    for split in SPLITS:
        if data.max_digits and getattr(data, split) and not len(digits.pools[split].images):
            what = f"There are no digits for the {split} canvases"
            hint = f"name another --source, or set data.{split} to 0"
            raise CanvasError(what, where=digits.name, hint=hint)


def described(config: Config) -> PicturesConfig:
    """What the settings say of drawn scenes, without a look at them; for digits, the defaults."""
    if config.data.source not in DRAWN or config.pictures != PicturesConfig():
        return config.pictures
    scenes, cells = config.scenes, config.data.source == "cells"
    behind = sum(scenes.background_grey) / 2
    kinds: Mapping[str, Literal["constant", "plane", "smooth"]]
    kinds = {"constant": "constant", "gradient": "plane", "lumps": "smooth"}
    shot = max(behind, 0.01) / scenes.photons if scenes.photons else 0.0
    return PicturesConfig(
        background=kinds[scenes.background] if scenes.background_grey[1] else "none",
        polarity="bright" if cells else _polarity(scenes),
        compositing="add" if cells else "over",
        noise=min(round(math.sqrt(scenes.noise**2 + shot), 4), 1.0),
        contrast=round(max(abs(grey - (0 if cells else behind)) for grey in scenes.grey), 4),
    )


def _polarity(scenes: ScenesConfig) -> Literal["bright", "dark", "both"]:
    if scenes.background_grey[1] <= scenes.grey[0]:
        return "bright"
    return "dark" if scenes.background_grey[0] >= scenes.grey[1] else "both"
