"""TOML that may come from anywhere: read and parsed in bounded time."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

from airkit.system.files import check_regular

_MOST_TEXT = 2**16  # characters of a config file; all settings there are make 3,000
_MOST_DOTS = 500  # in one line of it
_BARE = re.compile(r"[+-]?(\.[0-9]+|[0-9]+\.)(e[+-]?[0-9]+)?", re.IGNORECASE)
"""Numbers that begin or end with their point, which TOML has not."""


def read(path: Path) -> str:
    """The text of a file, or so much of it that ``parse`` refuses it; raises OSError."""
    check_regular(path)
    with path.open(encoding="utf-8") as file:
        return file.read(_MOST_TEXT + 1)


def parse(text: str) -> dict[str, Any]:
    """Parse TOML; raises ValueError for what is none, or would take a parser too long.

    The time that ``tomllib`` takes grows with the square of the dots in a key.
    """
    if len(text) > _MOST_TEXT:
        raise ValueError(f"more than {_MOST_TEXT:,} characters")
    for number, line in enumerate(text.split("\n"), 1):
        if line.count(".") > _MOST_DOTS:
            raise ValueError(f"more than {_MOST_DOTS} dots in line {number}")
    try:
        return tomllib.loads(text)
    except RecursionError as error:
        raise ValueError("tables or lists nested too deeply") from error


def value(text: str) -> Any:
    """The value that ``text`` spells: TOML, a number such as .5, or else the text itself."""
    try:
        return parse(f"value = {text}")["value"]
    except ValueError:
        return float(text) if _BARE.fullmatch(text) else text
