"""Text for people, the same on the command line, in reports and in errors."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import timedelta
from difflib import get_close_matches
from pathlib import Path

SHELL = "a shell"
_ARGUMENTS_OF = ContextVar("arguments of", default="")
_OPTIONS = {"path": "out"}  # of arguments whose options have other names


@contextmanager
def arguments_of(callee: str) -> Iterator[None]:
    """Have ``argument`` name those of ``callee``, a function of Python's or ``SHELL``."""
    token = _ARGUMENTS_OF.set(callee)
    try:
        yield
    finally:
        _ARGUMENTS_OF.reset(token)


def argument(name: str, value: object = None) -> str:
    """Return an argument as the caller writes it: ``tile=64`` in Python, ``--tile 64`` in a shell.

    Args:
        name: the name in Python.
        value: what to give for it, True for a flag; capitals stand for what the reader chooses.
    """
    callee = _ARGUMENTS_OF.get()
    if callee == SHELL:
        option = f"--{_OPTIONS.get(name, name).replace('_', '-')}"
        several = value if isinstance(value, tuple) else (value,)
        words = ",".join(quoted(str(each)) for each in several)
        return option if value is None or value is True else f"{option} {words}"
    return (name if value is None else f"{name}={_literal(value)}") + f" of {callee}" * bool(callee)


def _literal(value: object) -> str:
    if isinstance(value, tuple):
        return f"({', '.join(map(_literal, value))})"
    return value if isinstance(value, str) and value.isupper() else repr(value)


def numbered(words: str, many: int, **others: str) -> str:
    """Return words about ``many`` things: ``{n}`` is their number, ``{one|several}`` goes by it.

    >>> numbered("{n} {picture was|pictures were} turned", 1)
    '1 picture was turned'
    """
    chosen = re.sub(r"{([^{}|]*)\|([^{}|]*)}", r"\1" if many == 1 else r"\2", words)
    return chosen.format(n=f"{many:,}", **others)


def duration(seconds: float) -> str:
    """Return a duration in words: 4.2 s, or 0:01:30 from a minute on."""
    return f"{seconds:.1f} s" if seconds < 59.95 else str(timedelta(seconds=round(seconds)))


def size(number: int) -> str:
    """Return a number of bytes for people."""
    return f"{number / 1e6:.1f} MB" if number >= 1e5 else f"{number:,} bytes"


def quoted(path: str | Path) -> str:
    """Return a path, quoted for a shell where it has to be."""
    return shlex.quote(str(path))


def first_three(names: Sequence[str]) -> str:
    """Return names for a message: three of them, and dots where there are more."""
    return ", ".join(names[:3]) + ", ..." * (len(names) > 3)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ``; did you mean X?`` with the name most like ``name``, or nothing."""
    return "".join(f"; did you mean {near}?" for near in get_close_matches(name, list(known), n=1))
