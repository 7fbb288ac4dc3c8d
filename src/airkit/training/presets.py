"""Presets on data files whose canvases are not the preset's."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from airkit.config import settings
from airkit.config.schema import CANVAS_SECTIONS, Config
from airkit.config.settings import Layer
from airkit.system.callbacks import Listener


def without_canvases(layers: Iterable[Layer], made: Config, listener: Listener) -> list[Layer]:
    """Leave out the canvases of presets, so that these fit any data; a note lists what differs.

    Args:
        layers: settings of a call.
        made: the settings that the data file was made with.
        listener: hears of it.
    """
    return [_fitting(layer, made, listener) for layer in layers]


def _fitting(layer: Layer, made: Config, listener: Listener) -> Layer:
    if not layer.preset:
        return layer
    kept = {name: it for name, it in layer.values.items() if name not in CANVAS_SECTIONS}
    left_out = {name: it for name, it in layer.values.items() if name in CANVAS_SECTIONS}
    canvases = dict(settings.flatten(made.model_dump(mode="json")))  # lists, as TOML has them
    other = [key for key, value in settings.flatten(left_out) if canvases[key] != value]
    if other:
        listener.note(f"{layer.origin}: {', '.join(other)}: taken from the data file")
    return replace(layer, values=kept)
