"""Results on stdout: aligned lines for people, one JSON object for programs."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import typer

from airkit.cli.process import result_stream
from airkit.errors import AirkitError

T = TypeVar("T")


def show(result: T, as_json: bool, tell: Callable[[T], object]) -> None:
    """Print a result of the library as one JSON object, or with ``tell`` for people."""
    if as_json:
        tell_json(result)
    else:
        tell(result)


def tell_rows(rows: Iterable[tuple[str, object]]) -> None:
    """Print labels and values, aligned."""
    rows = list(rows)
    width = max(len(label) for label, _ in rows)
    for label, value in rows:
        typer.echo(f"{label:<{width}}  {value}".rstrip())


def tell_json(result: object, *, one_line: bool = False) -> None:
    """Print a result or a mapping as one JSON object, a line for each key unless ``one_line``."""
    values = _plain(result)
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
            f"{len(left_out):,} files could not be read and were left out",
            where=", ".join(left_out[:3]) + f" and {more:,} more" * (more > 0),
            hint=f"mend or remove them; {rest}",
        )


def _plain(value: Any) -> Any:
    """A value as JSON has it: infinities and NaN become null, results become objects."""
    if hasattr(value, "to_dict"):
        return _plain(value.to_dict())
    if dataclasses.is_dataclass(value):
        return {each.name: _plain(getattr(value, each.name)) for each in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    return None if isinstance(value, float) and not math.isfinite(value) else value


def percent(share: float) -> str:
    """Return a share as per cent."""
    return f"{100 * share:.1f} %"


def percent_range(interval: Iterable[float]) -> str:
    """Return an interval of shares as per cent."""
    low, high = (100 * bound for bound in interval)
    return f"{low:.1f} to {high:.1f}"


def size(number: int) -> str:
    """Return a number of bytes for people."""
    return f"{number / 1e6:.1f} MB" if number >= 1e5 else f"{number:,} bytes"
