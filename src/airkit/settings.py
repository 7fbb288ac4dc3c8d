"""From presets, files and flags to one checked configuration.

Layers of raw values are merged key by key, the last one winning, and validated once, so
that rules between fields see the whole and every problem is reported together.
"""

from __future__ import annotations

import difflib
import json
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import tomli_w
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from airkit import toml
from airkit.config import Config
from airkit.errors import AirkitError, ConfigError, Problem, tame

Raw = Mapping[str, Any]


@dataclass(frozen=True)
class Layer:
    """Raw settings, nested by section, and where they came from (for messages)."""

    origin: str
    """Where they came from, in a message's words."""
    values: Raw
    """Sections by name, each with its values by name."""


Settings = Mapping[str, Any] | Sequence[Layer]
"""What the four verbs take: dotted keys and values, or layers in order."""


def layers(settings: Settings) -> list[Layer]:
    """Settings as layers; a mapping of dotted keys makes one."""
    if not isinstance(settings, Mapping):
        return list(settings)
    values: dict[str, Any] = {}
    for key, value in settings.items():
        section, _, name = key.partition(".")
        if name:
            values.setdefault(section, {})[name] = value
        else:
            values[section] = value
    return [Layer("settings", values)]


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
                merged.setdefault(section, {})[name] = value
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
    """Dotted keys and values of settings nested by section; what has no section keeps its name."""
    for section, fields in values.items():
        if isinstance(fields, Mapping):
            yield from ((f"{section}.{name}", value) for name, value in fields.items())
        else:
            yield section, fields


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
    hint = "airkit config show > airkit.toml writes one to start from"
    try:
        text = toml.read(path)
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise AirkitError(
            "Cannot read the config file", where=path, got=reason, hint=hint
        ) from error
    try:
        return Layer(str(path), toml.parse(text))
    except ValueError as error:
        raise AirkitError(
            "The config file is not TOML", where=path, got=error, hint=hint
        ) from error


def from_assignment(text: str) -> Layer:
    """The layer of one ``section.key=value``, as given to ``--set``.

    The value is read as TOML, or as a plain string where the field holds one.

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
    if field is not None and field.annotation is str:
        return text
    try:
        return toml.parse(f"value = {text}")["value"]
    except ValueError:
        return text


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
    return resolve(Layer(origin, values))


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
    return resources.files("airkit") / "presets"


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
    got = "a table" if isinstance(value, Mapping) else f"{_brief(value)} ({type(value).__name__})"
    return f"expected {accepted(key)}, got {got}"


def _brief(value: object) -> str:
    """A value as Python writes it, cut where it is long."""
    try:
        return tame(repr(value), 200)
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
    """A value as it is written in a file or after ``--set``, a string without its quotes."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(spelled, value))}]"
    return str(value)


def accepted(key: str) -> str:
    """What a field accepts, in words: its choices, or its type and bounds."""
    schema = _schema()
    section, _, name = key.partition(".")
    reference = schema["$defs"].get(_model(Config.model_fields[section]).__name__, {})
    return _describe(reference.get("properties", {}).get(name, {}), key)


@cache
def _schema() -> dict[str, Any]:
    """The schema as JSON Schema, which takes pydantic a while to make."""
    return Config.model_json_schema()


def _describe(schema: Raw, key: str) -> str:
    """A field's JSON Schema in words."""
    if "anyOf" in schema:
        return " or ".join(_describe(option, key) for option in schema["anyOf"])
    if "const" in schema:
        return str(schema["const"])
    if "enum" in schema:
        return " or ".join(str(choice) for choice in schema["enum"])
    if "items" in schema:
        most = f" of at most {schema['maxItems']}" if "maxItems" in schema else ""
        return f"a list{most}, each entry {_describe(schema['items'], key)}"
    kinds = {
        "boolean": "true or false",
        "integer": "a whole number",
        "number": "a number",
        "string": "text",
    }
    return " ".join([kinds.get(schema.get("type", ""), "a table"), *_bounds(schema)])


def _bounds(schema: Raw) -> Iterator[str]:
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
