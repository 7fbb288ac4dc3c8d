"""Types of the plain values in airkit's own files, which may have been changed by anyone."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, TypeAdapter, ValidationError

from airkit.errors import ConfigError
from airkit.system import files

T = TypeVar("T")


def _text(value: object) -> str:
    """Accept text that can be part of a path, which need not be UTF-8."""
    if not isinstance(value, str) or "\0" in value:
        raise ValueError("no text")
    value.encode("utf-8", "surrogateescape")  # raises ValueError where it can be no file's name
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

    model_config = ConfigDict(strict=True, allow_inf_nan=False)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Return the content of a JSON file; raises OSError or ValueError."""
        files.check_regular(path)
        return checked(cls.model_validate, parsed(path.read_text(encoding="utf-8")))


def parsed(text: str | bytes) -> object:
    """Return JSON that was read from a file; raises ValueError, also where it nests too deeply."""
    try:
        values: object = json.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    return values


def restorer(kind: type[T]) -> Callable[[object], T]:
    """Return what makes a dataclass of fields read from a file, or raises ValueError."""
    return partial(checked, TypeAdapter(kind).validate_python)


def checked(validate: Callable[[Any], T], values: object) -> T:
    """Return what a validator of pydantic makes of values read from a file.

    Raises:
        ValueError: with the first problem, as ``key: message``, and without the values: those of a
            hostile file can take forever to print.
    """
    try:
        return validate(values)
    except ValidationError as error:
        problem: Any = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(map(str, problem["loc"]))
    message = str(problem["msg"]).removeprefix("Value error, ")
    raise ValueError(f"{where}: {message}" if where else message)  # outside, as its cause prints


def require(fine: bool, otherwise: str) -> None:
    """Raise ValueError with ``otherwise`` unless a file is ``fine``."""
    if not fine:
        raise ValueError(otherwise)


def reason(error: Exception) -> str:
    """Return in one line why a file is refused."""
    if isinstance(error, ConfigError):
        return str(error.problems[0])
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[-1].strip()
