"""Errors that a user can fix: one base class, one form of message.

Any other exception is a bug, and shows its traceback.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

_MOST_LISTED = 50  # problems


class AirkitError(Exception):
    """A problem that the user can fix: what, where, expected, got, and a next step.

    The first line of the message says what is wrong; labelled lines below say where, what was
    expected and what was found, as far as known; the last line is the next step, such as a
    command, an option or a setting. The command line prints ``str(error)`` and exits with code 1.
    """

    shared = False
    """Whether every process of a training raises it, so that rank 0 alone prints it."""

    def __init__(
        self,
        what: str,
        *,
        where: object = None,
        expected: object = None,
        got: object = None,
        hint: str,
    ) -> None:
        facts = {"where": where, "expected": expected, "got": got}
        # As text: errors travel between processes, and what they are about may not.
        self._facts = {label: str(value) for label, value in facts.items() if value is not None}
        lines = [f"  {label:<9} {value}" for label, value in {**self._facts, "try": hint}.items()]
        super().__init__("\n".join([what, *map(sanitize, lines)]))
        self.what, self.hint = what, hint
        self.got = self._facts.get("got", "")

    @classmethod
    def newer(
        cls, kind: str, where: object, known: int, found: object, written_by: object = None
    ) -> Self:
        """Return the error of a file that a newer airkit wrote.

        Args:
            kind: what the file is, such as ``checkpoint``.
            where: the file.
            known: the newest format version that this airkit reads.
            found: the file's.
            written_by: the version of the airkit that wrote it, as the file states it.
        """
        by = ""
        if isinstance(written_by, str):
            by = f", written by airkit {sanitize(written_by, 40)}"
        return cls(
            f"This {kind} is from a newer airkit",
            where=where,
            expected=f"format version {known}",
            got=f"format version {found}{by}",
            hint="upgrade airkit: pip install --upgrade airkit",
        )

    def advising(self, hint: str) -> Self:
        """Return the same problem with another next step."""
        return type(self)(self.what, **self._facts, hint=hint)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle all attributes, whatever the arguments of ``__init__``."""
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
    """One problem in a configuration: a dotted key, where it was set, and what is wrong."""

    key: str
    origin: str
    message: str

    def __str__(self) -> str:
        return f"{sanitize(self.key, 100)} ({self.origin}): {sanitize(self.message, 1_000)}"


class ConfigError(AirkitError):
    """Settings that are not valid; ``problems`` holds every problem, not only the first."""

    def __init__(self, problems: list[Problem]) -> None:
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        listed = "\n".join(f"  {problem}" for problem in problems[:_MOST_LISTED])
        super().__init__(
            f"{count} in the configuration\n{listed}",
            hint="airkit config show, which prints every setting and its value",
        )
        self.problems = tuple(problems)


class ExtensionError(AirkitError):
    """A class from outside airkit that was not named in this call, or that cannot be used."""


class DigitsError(AirkitError):
    """A source of digits that cannot be read or fetched, or that is damaged."""


class CanvasError(AirkitError):
    """Canvases that cannot be composed with these settings."""


class DataFileError(AirkitError):
    """A data file that is missing, damaged, of another program, or of a newer airkit."""


class ImageError(AirkitError):
    """An image that cannot be read, or that holds no grey levels."""


class PredictionsError(AirkitError):
    """Predictions of another model that cannot be read, or that do not match the canvases."""


class CheckpointError(AirkitError):
    """A checkpoint or run folder that is missing, damaged, newer, or of another configuration."""


class TrainingError(AirkitError):
    """A training that cannot continue, such as one whose loss or gradient is not finite."""


class DeviceError(AirkitError):
    """A device that this machine does not have."""


class NoMemoryError(AirkitError):
    """Work that needs more memory than there is."""


class LaunchError(AirkitError):
    """Processes that cannot train together."""


class WorkerError(AirkitError):
    """A worker process that ended before its work was done."""


class OutputError(AirkitError):
    """A file or folder that cannot be written."""


class ServeError(AirkitError):
    """An address that the demo cannot be served on."""
