"""The format version of trained models, in checkpoints and exports, and what older ones meant."""

from __future__ import annotations

from airkit.config.schema import Config

FORMAT_VERSION = 2


def as_written(config: Config, version: int) -> Config:
    """Return the settings of a file as the airkit that wrote it understood them.

    In version 1 windows of ink of either sign began as if before a sigmoid, at -2, and ink on a
    learned background was compressed like any other.
    """
    if version >= FORMAT_VERSION:
        return config
    bias = -2.0 if config.model.decoder_output == "sigmoid" else 0.0
    meant = {"decoder_bias": bias, "stretch": config.pictures.stretch}
    differ = {
        name: value
        for name, value in meant.items()
        if getattr(config.model, name) == "auto" and getattr(config, name) != value
    }
    return config.updated("model", **differ)
