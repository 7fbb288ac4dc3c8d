"""From presets, files and flags to one checked configuration.

Layers of raw values are merged key by key, the last one winning, and validated once, so that rules
between fields see the whole and every problem is reported together.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib import resources
from io import StringIO
from pathlib import Path
from typing import Any

import tomli_w
from pydantic import ValidationError

from airkit.config.problems import accepted, brief, fields, named_alike, problems
from airkit.config.registry import Named, named
from airkit.config.schema import Config
from airkit.errors import AirkitError, ConfigError, Problem
from airkit.system.files import check_regular
from airkit.system.paths import to_path
from airkit.system.text import did_you_mean, quoted

__all__ = [
    "Layer",
    "Settings",
    "accepted",
    "differences",
    "fields",
    "flatten",
    "from_assignment",
    "from_file",
    "from_flag",
    "from_json",
    "from_preset",
    "json_schema",
    "layers",
    "named_alike",
    "parse_value",
    "presets",
    "resolve",
    "spelled",
    "to_json",
    "to_toml",
]

MOST_BYTES, MOST_DOTS = 2**16, 5_000
"""Limits of a config file; all settings take about 3,000 bytes. Keys of many dots parse slowly."""

TRAINED_BEFORE = {"beta2": 0.999, "augment": False, "warmup": 0}
"""Settings of ``train`` in files of an older airkit, which do not name them."""


@dataclass(frozen=True)
class Layer:
    """Raw settings, nested by section, and where they came from."""

    origin: str
    """Where they came from, for messages: a flag, a file, a preset."""
    values: Mapping[str, Any]
    """Sections by name, each with its values by name."""
    recorded: bool = False
    """Whether airkit read them from one of its own files, so that it imports no class they name."""
    preset: bool = False
    """Whether they are a preset's."""


Settings = Mapping[str, Any] | Layer | Iterable[Layer | Mapping[str, Any]] | None
"""Settings as the library's functions take them: dotted keys and values, a layer, or a list of
both, in order."""


def layers(settings: Settings) -> list[Layer]:
    """Return settings as layers; each key of a mapping makes one, also of one in a list.

    Raises:
        ConfigError: they are neither a mapping nor a list of layers and mappings.
    """
    if settings is None:
        return []
    found: list[Layer] = []
    every: Iterable[object] = [settings]
    if isinstance(settings, Iterable) and not isinstance(settings, Mapping | str | Config):
        every = settings
    for each in every:
        if isinstance(each, Layer):
            found.append(each)
        elif isinstance(each, Mapping):
            found += [_of_key(str(key), value) for key, value in each.items()]
        else:
            expected = "dotted keys and values, such as {'train.steps': 500}, or a list of layers"
            message = f"expected {expected}, got {brief(each)}{_instead(each)}"
            raise ConfigError([Problem("settings", "argument", message)])
    return found


def _instead(given: object) -> str:
    """What to write in place of something that is no settings, where that can be told."""
    text, function = str(given), ""
    if isinstance(given, Config):
        return "; write config.model_dump()"
    if isinstance(given, Path) or text.endswith(".toml"):
        function = "from_file"
    elif isinstance(given, str):
        function = "from_assignment" if "=" in text else "from_preset" * (text in presets())
    return f"; write airkit.settings.{function}({text!r})" if function else ""


def _of_key(key: str, value: Any, origin: str = "settings") -> Layer:
    section, _, name = key.partition(".")
    return Layer(origin, {section: {name: value} if name else value})


def resolve(*given: Layer | Mapping[str, Any]) -> Config:
    """Merge layers, or mappings, over the defaults, the last one winning, and validate the whole.

    Raises:
        ConfigError: with every unknown key, wrong type and broken bound of all layers.
    """
    merged: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for layer in layers(given):
        for key, value in flatten(layer.values):
            origins[key] = layer.origin
            given = value if layer.recorded else named(value)
            section, _, name = key.partition(".")
            if not name:
                merged[section] = given  # no table, for validation to report
            elif isinstance(table := merged.setdefault(section, {}), dict):
                table[name] = given
    try:
        return Config.model_validate(merged)
    except ValidationError as error:
        raise ConfigError(list(problems(error, origins))) from error


def flatten(values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the dotted keys and values of settings nested by section.

    A value that is in no section keeps its name. NumPy's values become Python's.
    """
    for section, inner in values.items():
        if isinstance(inner, Mapping):
            yield from ((f"{section}.{name}", _plain(value)) for name, value in inner.items())
        else:
            yield str(section), inner


def _plain(value: Any) -> Any:
    """A value with NumPy's arrays and numbers as Python's; NumPy is not imported for it."""
    if type(value) in (list, tuple):
        return type(value)(map(_plain, value))
    return value.tolist() if isinstance(getattr(value, "shape", None), tuple) else value


def named_classes(config: Config) -> dict[str, Any]:
    """Return the settings, by dotted key, with classes from outside that this call named."""
    every = flatten(config.model_dump())
    return {
        key: value
        for key, value in every
        if any(isinstance(it, Named) for it in (value if isinstance(value, tuple) else [value]))
    }


def differences(old: Config, new: Config) -> dict[str, tuple[Any, Any]]:
    """Return the dotted keys whose values differ, with the old and the new value."""
    before, after = dict(flatten(old.model_dump())), dict(flatten(new.model_dump()))
    keys = dict.fromkeys([*before, *after])  # those of ``own`` may be in one of them alone
    pairs = {key: (before.get(key), after.get(key)) for key in keys}
    return {key: (one, other) for key, (one, other) in pairs.items() if one != other}


def changed(config: Config, *prefixes: str) -> dict[str, Any]:
    """Return the settings that differ from the defaults, by dotted key.

    Args:
        config: the configuration.
        prefixes: beginnings of the keys to return; all of them without any.
    """
    found = differences(Config(), config).items()
    return {key: new for key, (_, new) in found if key.startswith(prefixes or "")}


def from_preset(name: str) -> Layer:
    """Return the layer of a preset shipped with airkit.

    Raises:
        AirkitError: there is no such preset; the message lists those there are.
    """
    if name not in presets():
        raise AirkitError(
            "No such preset",
            expected="one of " + ", ".join(presets()),
            got=name + did_you_mean(name, presets()),
            hint="airkit config presets",
        )
    text = (resources.files("airkit.config") / "presets" / f"{name}.toml").read_text("utf-8")
    return Layer(f"preset {name}", tomllib.loads(text), preset=True)


def presets() -> dict[str, str]:
    """Return the presets' names, and what each is for: the first comment line of its file."""
    folder = resources.files("airkit.config") / "presets"
    files = {file.name: file for file in folder.iterdir() if file.name.endswith(".toml")}
    return {
        name.removesuffix(".toml"): files[name].read_text("utf-8").splitlines()[0][2:]
        for name in sorted(files)
    }


def from_file(path: str | Path) -> Layer:
    """Return the layer of a TOML file.

    Raises:
        AirkitError: the file cannot be read, is too large, or is not TOML.
    """
    path = to_path(path)
    hint = f"correct it, or name another; airkit config check {quoted(path)} checks it"
    try:
        return Layer(str(path), tomllib.loads(_read(path)))
    except FileNotFoundError as error:
        got = str(error.strerror)
        hint = f"airkit config show > {quoted(path)} writes one to start from"
    except RecursionError:
        got = "tables or lists nested too deeply"
    except (OSError, ValueError) as error:
        got = getattr(error, "strerror", None) or str(error)
    raise AirkitError(
        "Cannot read the config file", where=path, expected="TOML", got=got, hint=hint
    )


def _read(path: Path) -> str:
    """The text of a config file; raises OSError or ValueError."""
    check_regular(path)
    if path.stat().st_size > MOST_BYTES:
        raise ValueError(f"more than {MOST_BYTES:,} bytes")
    content = path.read_bytes()
    encoding = json.detect_encoding(content)  # UTF-8, or what Windows writes: a BOM, UTF-16
    text = StringIO(content.decode(encoding), newline=None).read()
    if text.count(".") > MOST_DOTS:
        raise ValueError(f"more than {MOST_DOTS:,} dots")
    return text


def from_assignment(text: str) -> Layer:
    """Return the layer of one ``section.key=value``, as given to ``--set``.

    Raises:
        AirkitError: there is no ``=`` or no section in ``text``.
    """
    key, equals, value = text.partition("=")
    section, _, name = key.strip().partition(".")
    if not (equals and name):
        homes = named_alike(section)
        homes = homes if equals else []
        like = " or ".join(f"--set {home}={value.strip()}" for home in homes)
        raise AirkitError(
            "Cannot read a setting",
            where=f"--set {text}",
            expected="section.key=value",
            hint=like or "for example --set train.steps=500",
        )
    return from_flag("--set", f"{section}.{name}", value.strip())


def from_flag(flag: str, key: str, text: str) -> Layer:
    """Return the layer of one setting given as text, ``flag`` being its origin for messages."""
    return _of_key(key, parse_value(key, text), flag)


def parse_value(key: str, text: str) -> Any:
    """Return the value that ``text`` stands for, for the field at dotted ``key``.

    It is read as TOML, as a number such as .5, or else taken as text. For a field that holds a
    string it is taken as text, unless it is quoted.
    """
    field = fields().get(key)
    if field is not None and field.annotation is str and text[:1] not in ("'", '"'):
        return text
    for read in (lambda text: tomllib.loads(f"value = {text}")["value"], float):
        with suppress(ValueError, RecursionError):
            return read(text)
    return text


def to_toml(config: Config) -> str:
    """Return the configuration as TOML; ``from_file`` reads it back unchanged."""
    return tomli_w.dumps(config.model_dump())


def to_json(config: Config) -> str:
    """Return the configuration as one line of JSON, as stored in data files and checkpoints."""
    return config.model_dump_json()


def from_json(text: str, origin: str) -> Config:
    """Return the configuration that ``to_json`` wrote.

    Raises:
        ConfigError: with every problem, also where ``text`` is not JSON.
    """
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError([Problem("config", origin, f"not JSON: {error}")]) from error
    if not isinstance(values, dict):
        raise ConfigError([Problem("config", origin, "not a table of sections")])
    if isinstance(train := values.get("train"), dict):
        values["train"] = TRAINED_BEFORE | train
    return resolve(Layer(origin, values, recorded=True))


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of a config file, for editors."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **Config.model_json_schema(),
        "title": "airkit configuration",
    }


def spelled(value: object) -> str:
    """Return a value as it is written after ``--set``, strings without quotes where possible."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        texts = (json.dumps(it) if isinstance(it, str) else spelled(it) for it in value)
        return f"[{', '.join(texts)}]"
    text = str(value)
    plain = text == text.strip() and text[:1] not in ("'", '"')
    return text if plain else json.dumps(text, ensure_ascii=False)
