"""The data file that a run or a sweep was trained on, and how to make it anew."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airkit.config import settings
from airkit.config.schema import Config
from airkit.data import reader
from airkit.data.reader import DataInfo
from airkit.errors import AirkitError, DataFileError
from airkit.system.text import quoted


@dataclass(frozen=True)
class TrainingData:
    """What a run or a sweep remembers of the data file that it was trained on."""

    what: str
    """run or sweep."""
    path: Path
    """Where the file was."""
    digest: str
    """Its content digest then."""
    config: Config
    """The configuration trained with."""
    file: Path
    """A config.toml that holds it, if there is one."""

    def _found(self) -> DataInfo:
        """What the file there says of itself, whatever it holds by now."""
        try:
            return reader.read_info(self.path)
        except DataFileError as error:
            if not isinstance(error.__cause__, FileNotFoundError):
                raise
            raise DataFileError(
                error.what,
                where=self.path,
                hint=f"{self._made(self.path)} makes it anew{self._doubt()}; --data names another",
            ) from error

    def read(self, *, instead: bool = True) -> DataInfo:
        """What the file says of itself, where it holds the canvases trained on.

        Args:
            instead: whether one of other canvases may be named in its place.

        Raises:
            DataFileError: there is none, it is damaged, or it was replaced by another one.
        """
        info = self._found()
        if info.content_digest != self.digest:
            beside = self.path.with_stem(f"{self.path.stem}-anew")
            other = f"--data {quoted(self.path)} takes this one all the same; "
            raise DataFileError(
                f"The data file is not the one that the {self.what} was trained on",
                where=self.path,
                expected=f"canvases with digest {self.digest[:16]}",
                got=f"digest {info.content_digest[:16]}",
                hint=f"{other * instead}{self._made(beside)} makes that anew{self._doubt()}, "
                "for --data, if it tells the digest expected",
            )
        return info

    def _made(self, path: Path) -> str:
        """The command that makes the file, at ``path``."""
        words = ["--config", str(self.file)]
        if not self._is_told():
            words = assigned(data_settings(self.config))
        return shlex.join(["airkit", "make-data", *words, "--out", str(path)])

    def _is_told(self) -> bool:
        """Whether the config.toml is of this data, and not of something else that lies there."""
        try:
            return settings.resolve(settings.from_file(self.file)).data == self.config.data
        except AirkitError:
            return False

    def _doubt(self) -> str:
        """What ``auto`` stood for, the file alone knew; a folder may be named from elsewhere."""
        source = self.config.data.source
        if source == "auto":
            return " (with --source mnist or strokes, if auto took another then)"
        named = source not in ("mnist", "strokes") and not Path(source).is_absolute()
        return f" (where {quoted(source)} is the folder of digits that it was)" if named else ""


def data_settings(config: Config) -> dict[str, Any]:
    """Settings other than the defaults that are for ``make-data`` to be told, by dotted key."""
    changed = settings.differences(Config(), config).items()
    return {key: new for key, (_, new) in changed if key.startswith("data.")}


def assigned(values: Mapping[str, Any]) -> list[str]:
    """Settings by dotted key as words of a command line."""
    pairs = (("--set", f"{key}={settings.spelled(value)}") for key, value in values.items())
    return [word for pair in pairs for word in pair]
