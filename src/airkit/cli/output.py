"""What goes to stdout: aligned lines for people, one JSON object for programs."""

from __future__ import annotations

import dataclasses
import errno
import io
import json
import math
import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NoReturn

import typer

from airkit.cli.muting import heard
from airkit.errors import OutputError


def tell(rows: Iterable[tuple[str, object]]) -> None:
    """Print labels and values, aligned."""
    rows = list(rows)
    width = max(len(label) for label, _ in rows)
    for label, value in rows:
        typer.echo(f"{label:<{width}}  {value}".rstrip())


def tell_json(values: Mapping[str, Any]) -> None:
    """Print one JSON object, a line for each key.

    JSON has no infinities and no NaN: they become null.
    """
    lines = [f"  {json.dumps(name)}: {json.dumps(_plain(it))}" for name, it in values.items()]
    typer.echo("{\n" + ",\n".join(lines) + "\n}", file=heard())


def tell_report(report: Any) -> None:
    """Print what a verb returned, a dataclass, as one JSON object."""
    tell_json(dataclasses.asdict(report))


def tell_json_line(values: Mapping[str, Any]) -> None:
    """Print one JSON object on one line; infinities and NaN become null."""
    typer.echo(json.dumps(_plain(values)), file=heard())


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write_whole() -> None:
    """Give stdout the buffer back that PYTHONUNBUFFERED takes, and names of any bytes.

    Without a buffer, a disk that fills up cuts a result short and no error says so. Names of
    files that are not UTF-8 are written as they are, as ``ls`` does in a pipe.
    """
    bare = getattr(sys.stdout, "buffer", None)
    if isinstance(bare, io.RawIOBase):
        buffer = io.BufferedWriter(bare)
        sys.stdout = io.TextIOWrapper(buffer, sys.stdout.encoding, sys.stdout.errors)
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="surrogateescape")


def tell_unwritten(error: OSError) -> NoReturn:
    """Exit with code 1 and a message, where stdout goes to a full disk; raise any other error."""
    full = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT, errno.EIO)
    if error.filename is not None or error.errno not in full:
        raise error
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what Python holds back goes nowhere at the end
    told = OutputError(
        "Cannot write the result",
        where="standard output",
        got=error.strerror,
        hint="check the free space, or let it go elsewhere",
    )
    typer.echo(f"airkit: {told}", err=True)
    sys.exit(1)


def percent(share: float) -> str:
    """A share as per cent."""
    return f"{100 * share:.1f} %"


def size(number: int) -> str:
    """Bytes for people."""
    return f"{number / 1e6:.1f} MB" if number >= 1e5 else f"{number:,} bytes"
