"""From presets, files and flags to one checked configuration.

Layers of raw values are merged key by key, the last one winning, and validated once, so
that rules between fields see the whole and every problem is reported together.
"""

from __future__ import annotations

import difflib
import json
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import tomli_w
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from airkit.config import toml
from airkit.config.registry import named
from airkit.config.schema import Config
from airkit.errors import AirkitError, ConfigError, Problem, sanitize
from airkit.system.text import quoted, schema_in_words

Raw = Mapping[str, Any]


@dataclass(frozen=True)
class Layer:
    """Raw settings, nested by section, and where they came from (for messages)."""

    origin: str
    """Where they came from, in a message's words."""
    values: Raw
    """Sections by name, each with its values by name."""
    recorded: bool = False
    """Whether a file of airkit's own recorded them, so that no class in them may be imported."""


Settings = Mapping[str, Any] | Iterable[Layer] | None
"""What the verbs take: dotted keys and values, or layers in order; None for none."""


def layers(settings: Settings) -> list[Layer]:
    """Settings as layers; each dotted key of a mapping makes one.

    Raises:
        ConfigError: neither a mapping of dotted keys nor layers.
    """
    if settings is None:
        return []
    if isinstance(settings, Mapping):
        return [_of_key(key, value) for key, value in settings.items()]
    text = isinstance(settings, str)  # which is iterable, too
    found: list[Any] = [settings] if text or not isinstance(settings, Iterable) else [*settings]
    for each in found:
        if not (isinstance(each, Layer) and isinstance(each.values, Mapping)):
            raise _unfit("dotted keys and values, such as {'train.steps': 500}, or layers", each)
    return found


def _of_key(key: object, value: Any) -> Layer:
    if not isinstance(key, str):
        raise _unfit("dotted keys, such as 'train.steps'", key)
    section, _, name = key.partition(".")
    return Layer("settings", {section: {name: value} if name else value})


def _unfit(expected: str, got: object) -> ConfigError:
    return ConfigError([Problem("settings", "argument", f"expected {expected}; got {_told(got)}")])


def resolve(*layers: Layer) -> Config:
    """Merge ``layers`` over the defaults, last wins, and validate the whole.

    Raises:
        ConfigError: with every unknown key, wrong type and broken bound of all layers.
    """
    merged: dict[str, Any] = {}
    origins: dict[str, str] = {}
    problems: list[Problem] = []
    for layer in layers:
        for key, value in flatten(layer.values):
            section, _, name = key.partition(".")
            if name:
                given = value if layer.recorded else named(value)
                merged.setdefault(section, {})[name] = given
                origins[key] = layer.origin
            else:
                problems.append(Problem(key, layer.origin, _not_a_section(key, value)))
    try:
        config = Config.model_validate(merged)
    except ValidationError as error:
        problems += _problems(error, origins)
    if problems:
        raise ConfigError(problems)
    return config


def flatten(values: Raw) -> Iterator[tuple[str, Any]]:
    """Dotted keys and values of settings nested by section; what has no section keeps its name.

    Values of NumPy are given as the numbers that they are.
    """
    for section, fields in values.items():
        if isinstance(fields, Mapping):
            yield from ((f"{section}.{name}", _plain(value)) for name, value in fields.items())
        else:
            yield str(section), fields


def _plain(value: Any) -> Any:
    """A value without NumPy, which need not be loaded for it."""
    if type(value) in (list, tuple):
        return type(value)(map(_plain, value))
    return value.tolist() if isinstance(getattr(value, "shape", None), tuple) else value


def differences(old: Config, new: Config) -> dict[str, tuple[Any, Any]]:
    """Dotted keys whose values differ, with the old and the new value."""
    before, after = dict(flatten(old.model_dump())), dict(flatten(new.model_dump()))
    return {key: (before[key], after[key]) for key in before if before[key] != after[key]}


def from_preset(name: str) -> Layer:
    """The layer of a preset shipped with airkit.

    Raises:
        AirkitError: no such preset; the message lists those there are.
    """
    if name not in presets():
        raise AirkitError(
            "No such preset",
            expected="one of " + ", ".join(presets()),
            got=name + _suggest(name, list(presets())),
            hint="airkit config presets",
        )
    text = (_preset_folder() / f"{name}.toml").read_text(encoding="utf-8")
    return Layer(f"preset {name}", tomllib.loads(text))


def presets() -> dict[str, str]:
    """Names of the presets, and what each is for (the first comment line of its file)."""
    files = sorted(_preset_folder().iterdir(), key=lambda file: file.name)
    return {
        file.name.removesuffix(".toml"): file.read_text(encoding="utf-8").splitlines()[0][2:]
        for file in files
        if file.name.endswith(".toml")
    }


def from_file(path: Path) -> Layer:
    """The layer of a TOML file; raises AirkitError where it is missing or no TOML."""
    try:
        text = toml.read(path)
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        hint = "name another with --config"
        if isinstance(error, FileNotFoundError):
            hint = f"airkit config show > {quoted(path)} writes one to start from"
        raise AirkitError(
            "Cannot read the config file", where=path, got=reason, hint=hint
        ) from error
    try:
        return Layer(str(path), toml.parse(text))
    except ValueError as error:
        hint = f"mend it there; airkit config check {quoted(path)} tells whether it is right"
        raise AirkitError(
            "The config file is not TOML", where=path, got=error, hint=hint
        ) from error


def from_assignment(text: str) -> Layer:
    """The layer of one ``section.key=value``, as given to ``--set``.

    The value is read as TOML; where the field holds a string, one without quotes will do.

    Raises:
        AirkitError: there is no ``=`` or no section in ``text``.
    """
    key, equals, value = text.partition("=")
    section, _, name = key.strip().partition(".")
    if not (equals and name):
        raise AirkitError(
            "Cannot read a setting",
            where=f"--set {text}",
            expected="section.key=value",
            hint="for example --set train.steps=500",
        )
    return Layer("--set", {section: {name: parse_value(f"{section}.{name}", value.strip())}})


def parse_value(key: str, text: str) -> Any:
    """The value that ``text`` spells for the field at dotted ``key``."""
    field = fields().get(key)
    plain = field is not None and field.annotation is str and text[:1] not in ("'", '"')
    return text if plain else toml.value(text)


def fields() -> dict[str, FieldInfo]:
    """Every field of the schema by its dotted key."""
    return {
        f"{section}.{name}": field
        for section, outer in Config.model_fields.items()
        for name, field in _model(outer).model_fields.items()
    }


def to_toml(config: Config) -> str:
    """The configuration as TOML; ``from_file`` reads it back unchanged."""
    return tomli_w.dumps(config.model_dump())


def to_json(config: Config) -> str:
    """The configuration as one line of JSON, as stored in data files and checkpoints."""
    return config.model_dump_json()


def from_json(text: str, origin: str) -> Config:
    """Read back ``to_json``; raises ConfigError with every problem, or for text that is no JSON."""
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError([Problem("config", origin, f"not JSON: {error}")]) from error
    if not isinstance(values, dict):
        raise ConfigError([Problem("config", origin, "not a table of sections")])
    return resolve(Layer(origin, values, recorded=True))


def json_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of a config file, for editors."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **Config.model_json_schema(),
        "title": "airkit configuration",
    }


def _model(field: FieldInfo) -> type[BaseModel]:
    """The section model that a field of ``Config`` holds."""
    assert isinstance(field.annotation, type)
    assert issubclass(field.annotation, BaseModel)
    return field.annotation


def _preset_folder() -> Any:
    return resources.files("airkit.config") / "presets"


def _problems(error: ValidationError, origins: Mapping[str, str]) -> Iterator[Problem]:
    """One problem a field, however many members of a union complained about it."""
    seen: set[str] = set()
    for item in error.errors(include_url=False):
        key = ".".join(str(part) for part in item["loc"][:2])
        if key not in seen:
            seen.add(key)
            yield Problem(key, origins.get(key, _section_origin(key, origins)), _message(key, item))


def _section_origin(key: str, origins: Mapping[str, str]) -> str:
    """Who set the fields of a section, for a rule between them."""
    found = [origin for field, origin in origins.items() if field.startswith(key + ".")]
    return ", ".join(dict.fromkeys(found)) or "defaults"


def _message(key: str, item: Any) -> str:
    if item["type"] == "extra_forbidden":
        return _unknown(key)
    if item["type"] == "value_error":
        return str(item["ctx"]["error"])
    value = item["input"]
    if item["type"] == "string_unicode":
        return f"expected text, got {_brief(value)}, which is not UTF-8"
    got = "a table" if isinstance(value, Mapping) else _told(value)
    return f"expected {accepted(key)}, got {got}"


def _told(value: object) -> str:
    return f"{_brief(value)} ({type(value).__name__})"


def _brief(value: object) -> str:
    """A value as Python writes it, cut where it is long."""
    try:
        return sanitize(repr(value), 200)
    except ValueError:  # Python writes no numbers of more than 4,300 digits
        return "a number without end"


def _unknown(key: str) -> str:
    section, _, name = key.partition(".")
    if section not in Config.model_fields:
        sections = list(Config.model_fields)
        near = _suggest(section, sections) or f"; there are {', '.join(sections)}"
        return "unknown section" + near
    homes = [known for known in fields() if known.endswith("." + name)]
    if homes:
        return f"unknown key; did you mean {' or '.join(homes)}?"
    here = {known.partition(".")[2]: known for known in fields() if known.startswith(section + ".")}
    everywhere = {known.partition(".")[2]: known for known in fields()}
    for names in (here, everywhere):
        near = "".join(difflib.get_close_matches(name, names, n=1))
        if near:
            return f"unknown key; did you mean {names[near]}?"
    return f"unknown key; {section} has {', '.join(here)}"


def _not_a_section(key: str, value: Any) -> str:
    homes = [known for known in fields() if known.endswith("." + key)]
    if homes:
        return f"is in no section; write it as {' or '.join(homes)}"
    return (
        _unknown(key)
        if key not in Config.model_fields
        else f"expected a table, got {_brief(value)}"
    )


def _suggest(name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {near[0]}?" if near else ""


def spelled(value: object) -> str:
    """A value as it is written after ``--set``, a string without quotes that it does not need."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(spelled, value))}]"
    text = str(value)
    plain = text == text.strip() and text[:1] not in ("'", '"')
    return text if plain else json.dumps(text, ensure_ascii=False)


def accepted(key: str) -> str:
    """What a field accepts, in words: its choices, or its type and bounds."""
    schema = _schema()
    section, _, name = key.partition(".")
    reference = schema["$defs"].get(_model(Config.model_fields[section]).__name__, {})
    return schema_in_words(reference.get("properties", {}).get(name, {}))


@cache
def _schema() -> dict[str, Any]:
    """The schema as JSON Schema, which takes pydantic a while to make."""
    return Config.model_json_schema()
