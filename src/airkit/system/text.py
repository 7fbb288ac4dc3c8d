"""Numbers, schemas and words of commands, the same on the command line, in reports and errors."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic import ValidationError


def duration(seconds: float) -> str:
    """Seconds for people: 4.2 s, or 0:01:30 from a minute on."""
    return f"{seconds:.1f} s" if seconds < 60 else str(timedelta(seconds=round(seconds)))


def schema_in_words(schema: Mapping[str, Any]) -> str:
    """What a field's JSON Schema accepts."""
    if "anyOf" in schema:
        return " or ".join(schema_in_words(option) for option in schema["anyOf"])
    if "const" in schema:
        return str(schema["const"])
    if "enum" in schema:
        return " or ".join(str(choice) for choice in schema["enum"])
    if "items" in schema:
        most = f" of at most {schema['maxItems']}" if "maxItems" in schema else ""
        return f"a list{most}, each entry {schema_in_words(schema['items'])}"
    if "examples" in schema:
        return str(schema["examples"][0])
    kinds = {
        "boolean": "true or false",
        "integer": "a whole number",
        "number": "a number",
        "string": "text",
    }
    return " ".join([kinds.get(schema.get("type", ""), "a table"), *_bounds(schema)])


def _bounds(schema: Mapping[str, Any]) -> Iterator[str]:
    words = {
        "minimum": "of at least",
        "exclusiveMinimum": "above",
        "maximum": "at most",
        "exclusiveMaximum": "below",
        "pattern": "matching",
        "minLength": "of length at least",
    }
    found = [f"{words[name]} {schema[name]}" for name in words if name in schema]
    if found:
        yield " and ".join(found)


def quoted(path: str | Path) -> str:
    """A path as a shell takes it in a command that a user is told to try."""
    return shlex.quote(str(path))


def first_problem(error: ValidationError) -> str:
    """Return the first problem that pydantic found, as ``key: message``."""
    problem = error.errors(include_url=False)[0]
    where = ".".join(map(str, problem["loc"]))
    return f"{where}: {problem['msg']}" if where else problem["msg"]
