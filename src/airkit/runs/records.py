"""Types of the plain values in airkit's own files, which may have been changed by anyone."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, ValidationError

from airkit.errors import ConfigError


def _text(value: object) -> str:
    """Accept text that can be part of a path, which need not be UTF-8."""
    if not isinstance(value, str) or "\0" in value:
        raise ValueError("no text")
    return value


def _path(value: object) -> str:
    """Accept text that can be a path, of bounded length."""
    if len(text := _text(value)) > 4096:
        raise ValueError("too long")
    return text


Text = Annotated[str, PlainValidator(_text)]
PathText = Annotated[str, PlainValidator(_path)]
Count = Annotated[int, Field(strict=True, ge=0, le=10**9)]
Amount = Annotated[float, Field(strict=True, ge=0, le=1e100)]
Number = Annotated[float, Field(strict=True, ge=-1e100, le=1e100)]
Share = Annotated[float, Field(strict=True, ge=0, le=1)]


class Record(BaseModel):
    """Part of a file: values of exactly these types, none of them NaN or infinite."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False, hide_input_in_errors=True)


def first_problem(error: Exception) -> str:
    """Return the first problem of a file, as ``key: message`` where its types are wrong.

    The values are left out: those of a hostile file can take forever to print.
    """
    if isinstance(error, ConfigError):
        return str(error.problems[0])
    if not isinstance(error, ValidationError):
        return str(error).strip().splitlines()[-1].strip()
    problem: Any = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(map(str, problem["loc"]))
    message = str(problem["msg"]).removeprefix("Value error, ")
    return f"{where}: {message}" if where else message
