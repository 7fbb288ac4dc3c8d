"""Errors that a user can mend: one root, one message form.

Anything else that escapes airkit is a bug and shows its traceback.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

_MOST_LISTED = 50  # problems; no one mends more at a time


class AirkitError(Exception):
    """A problem that the user can mend, told as what, where, expected, got and a next step.

    The first line says what is wrong; the labelled lines below it appear only where they
    are known, and the last one always: a command, an option or a setting that helps, where there
    is one. The command line prints ``str(error)`` and exits with code 1.
    """

    shared = False
    """Whether every process of a training raises it, so that the first one tells it for all."""

    def __init__(
        self,
        what: str,
        *,
        where: object = None,
        expected: object = None,
        got: object = None,
        hint: str,
    ) -> None:
        told = {"where": where, "expected": expected, "got": got}
        # As text: errors travel between processes, and what they are about may not.
        self._told = {label: str(value) for label, value in told.items() if value is not None}
        lines = [f"  {label:<9} {value}" for label, value in {**self._told, "try": hint}.items()]
        super().__init__("\n".join([what, *map(sanitize, lines)]))
        self.what, self.hint = what, hint

    def advising(self, hint: str) -> Self:
        """The same problem with another next step, from who knows more of what was to be done."""
        return type(self)(self.what, **self._told, hint=hint)

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel between processes whole, whatever the arguments of ``__init__``."""
        return _again, (type(self), self.args, vars(self))


def _again(kind: type[AirkitError], args: tuple[Any, ...], state: dict[str, Any]) -> AirkitError:
    error = kind.__new__(kind, *args)
    vars(error).update(state)
    return error


def sanitize(text: str, most: int = 20_000) -> str:
    """Escape control characters and truncate untrusted text."""
    shown = "".join(
        letter if letter.isprintable() or letter == "\n" else ascii(letter)[1:-1]
        for letter in text[:most]
    )
    return shown + "..." * (len(text) > most)


@dataclass(frozen=True)
class Problem:
    """One thing wrong in a configuration: its dotted key, where it was set, and what is amiss."""

    key: str
    origin: str
    message: str

    def __str__(self) -> str:
        return f"{sanitize(self.key, 100)} ({self.origin}): {sanitize(self.message, 1_000)}"


class ConfigError(AirkitError):
    """Settings that do not make a configuration; carries every problem, not only the first."""

    def __init__(self, problems: list[Problem]) -> None:
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        listed = "\n".join(f"  {problem}" for problem in problems[:_MOST_LISTED])
        super().__init__(
            f"{count} in the configuration\n{listed}",
            hint="airkit config show, which prints every setting and its value",
        )
        self.problems = tuple(problems)


class ExtensionError(AirkitError):
    """A class from outside that was not named in this call, or that cannot be used."""


class DigitsError(AirkitError):
    """A source of digits that cannot be read, fetched or trusted."""


class CanvasError(AirkitError):
    """Canvases that cannot be composed as asked."""


class DataFileError(AirkitError):
    """A data file that is missing, damaged, foreign or newer than this airkit."""


class ImageError(AirkitError):
    """An image that cannot be read, or that holds no grey levels."""


class CheckpointError(AirkitError):
    """A checkpoint or run folder that is missing, damaged, newer, or of another configuration."""


class TrainingError(AirkitError):
    """A training that cannot go on, such as one whose loss or gradient is not finite."""


class DeviceError(AirkitError):
    """A device that this machine does not have."""


class LaunchError(AirkitError):
    """Several processes that cannot train together."""


class OutputError(AirkitError):
    """A file or folder that cannot be written."""


class ServeError(AirkitError):
    """An address that cannot be served on."""
