"""Results on stdout: aligned lines for people, one JSON object for programs."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TextIO, TypeVar

import typer

from airkit.cli.process import result_stream
from airkit.errors import AirkitError
from airkit.system.text import numbered

T = TypeVar("T")
LEAST_ROOM = 24
"""Columns for a value from which on it stands beside its label."""


def show(result: T, as_json: bool, tell: Callable[[T], object]) -> None:
    """Print a result of the library as one JSON object, or with ``tell`` for people."""
    if as_json:
        tell_json(result)
    else:
        tell(result)


def tell_rows(rows: Iterable[tuple[str, object]]) -> None:
    """Print labels and values, aligned; on a terminal long values are wrapped."""
    for line in aligned([(label, str(value)) for label, value in rows], columns(sys.stdout)):
        typer.echo(line)


def tell_end(headline: str, rows: Iterable[tuple[str, object]]) -> None:
    """Print the result in a line, set off from what was printed before, then the next steps."""
    typer.echo()
    for line in wrapped(headline, columns(sys.stdout)).splitlines():
        typer.secho(line, bold="NO_COLOR" not in os.environ)
    tell_rows(rows)


def columns(stream: TextIO) -> int | None:
    """Return the width of a terminal; None for a pipe or a file, whose lines are not wrapped."""
    return shutil.get_terminal_size().columns if stream.isatty() else None


def aligned(rows: Sequence[tuple[str, str]], width: int | None) -> list[str]:
    """Return lines of labels and values, or of labels above values where those have no room."""
    label = max((len(label) for label, _ in rows), default=0)
    if width is not None and width - label < LEAST_ROOM:
        texts = [(name, f"  {wrapped(value, width, '  ')}") for name, value in rows]
        return [line for name, text in texts for line in (name, *text.splitlines())]
    indent = " " * (label + 2)
    whole = [wrapped(f"{name:<{label}}  {value}".rstrip(), width, indent) for name, value in rows]
    return [line for text in whole for line in text.splitlines()]


def wrapped(text: str, width: int | None, indent: str = "") -> str:
    """Return text in lines of ``width`` at most, words, paths and numbers with their % whole."""
    if width is None:
        return text
    lines = textwrap.wrap(
        text.replace(" %", "\N{NO-BREAK SPACE}%"),
        width,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
        replace_whitespace=False,
    )
    return "\n".join(lines).replace("\N{NO-BREAK SPACE}%", " %")


def tell_json(result: object, *, one_line: bool = False) -> None:
    """Print a result or a mapping as one JSON object, a line for each key unless ``one_line``.

    Numbers that are not finite are null.
    """
    values = json.loads(json.dumps(result, default=_parts), parse_constant=lambda _: None)
    text = json.dumps(values)
    if not one_line:
        lines = [f"  {json.dumps(name)}: {json.dumps(value)}" for name, value in values.items()]
        text = "{\n" + ",\n".join(lines) + "\n}"
    typer.echo(text, file=result_stream())


def check_all_read(left_out: Sequence[str], rest: str) -> None:
    """Name the files that ``--skip-bad`` left out, if there are some, as an error.

    Args:
        left_out: their names.
        rest: what became of all others.

    Raises:
        AirkitError: there are some.
    """
    if left_out:
        more = len(left_out) - 3
        raise AirkitError(
            numbered("{n} {file|files} could not be read and {was|were} left out", len(left_out)),
            where=", ".join(left_out[:3]) + f" and {more:,} more" * (more > 0),
            hint=f"mend or remove them; {rest}",
        )


def _parts(value: Any) -> Any:
    """A result as a mapping, a path as text."""
    if hasattr(value, "to_dict"):
        return value.to_dict()
    return vars(value) if dataclasses.is_dataclass(value) else os.fspath(value)


def percent(share: float) -> str:
    """Return a share as per cent."""
    return f"{100 * share:.1f} %"


def percent_range(interval: Iterable[float]) -> str:
    """Return an interval of shares as per cent."""
    low, high = (100 * bound for bound in interval)
    return f"{low:.1f} to {high:.1f}"
