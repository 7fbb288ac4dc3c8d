"""The data file that a run or a sweep was trained on, and the command that makes it again."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from airkit.config import settings
from airkit.config.schema import CANVAS_SECTIONS, Config
from airkit.config.sections import PICTURES
from airkit.data import reader
from airkit.data.info import DataInfo
from airkit.errors import DataFileError
from airkit.system.paths import from_record
from airkit.system.text import quoted

if TYPE_CHECKING:
    from airkit.runs.checkpoint import Checkpoint

OF_DATA = tuple(f"{section}." for section in CANVAS_SECTIONS)
"""Prefixes of the settings that a data file decides."""
SCENE = (
    "data.canvas_size",
    "data.height",
    "data.width",
    "data.min_digits",
    "data.max_digits",
    "data.count_weights",
    "data.digit_size",
    "data.digit_size_sd",
    "data.overlap",
    "pictures.",
    "scenes.",
)
"""Prefixes of settings that describe the canvases; others of ``data`` say how they were made."""


@dataclass(frozen=True)
class TrainingData:
    """What a run or a sweep records of the data file that it was trained on."""

    what: str
    """run or sweep."""
    path: Path
    """Where the file was."""
    digest: str
    """Its content digest then."""
    config: Config
    """The configuration trained with."""
    source: str | None = None
    """The digits that ``data.source`` stood for; None in files of an older airkit."""

    @classmethod
    def of(cls, state: Checkpoint) -> Self:
        """Return what the checkpoint of a run records."""
        path = from_record(state.data)
        return cls("run", path, state.data_digest, state.config, state.data_source)

    def read(self, *, instead: bool = True) -> DataInfo:
        """Return what the file says of itself, if it holds the canvases trained on.

        Args:
            instead: whether the message may propose to take other canvases in their place.

        Raises:
            DataFileError: there is none, it is damaged, or it was replaced by another one.
        """
        info = self._info()
        if info.content_digest != self.digest:
            again = self.path.with_stem(f"{self.path.stem}-again")
            other = f"--data {quoted(self.path)} takes this one all the same; "
            raise DataFileError(
                f"The data file is not the one that the {self.what} was trained on",
                where=self.path,
                expected=f"canvases with digest {self.digest[:16]}",
                got=f"digest {info.content_digest[:16]}",
                hint=f"{other * instead}{self._command(again)} makes the one trained on, to name "
                "with --data if it has the digest expected",
            )
        return info

    def _info(self) -> DataInfo:
        """Return what the file says of itself, whatever it holds by now."""
        try:
            return reader.read_info(self.path)
        except DataFileError as error:
            if not isinstance(error.__cause__, FileNotFoundError):
                raise
            hint = f"{self._command(self.path)} makes it again; --data names another"
            raise DataFileError(error.what, where=self.path, hint=hint) from error

    def _command(self, path: Path) -> str:
        """Return the command that makes the file at ``path``."""
        command = make_data_command(self.config, self.source, str(path))
        if self.source is None and self.config.data.source == "auto":
            command += " (with --source mnist or strokes, as auto took then)"
        return command


def make_data_command(config: Config, source: str | None, path: str) -> str:
    """Return the command that makes a data file.

    Args:
        config: the configuration that it is made with.
        source: the digits that ``data.source`` stood for, where that is known.
        path: the data file.

    Imported pictures are named PICTURES: where they came from is not recorded.
    """
    if config.data.source == PICTURES:
        return shlex.join(["airkit", "import", "PICTURES", "--out", path])
    config = config.updated("data", source=source or config.data.source)
    changed = assigned(settings.changed(config, "data.", "scenes."))
    return shlex.join(["airkit", "make-data", *changed, "--out", path])


def assigned(values: Mapping[str, Any]) -> list[str]:
    """Return settings by dotted key as words of a command line."""
    pairs = (("--set", f"{key}={settings.spelled(value)}") for key, value in values.items())
    return [word for pair in pairs for word in pair]
