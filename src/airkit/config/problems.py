"""What is wrong with settings, in words: the key, its value, what it accepts, the nearest key."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from airkit.config.registry import OUTSIDE
from airkit.config.schema import Config
from airkit.errors import Problem, sanitize
from airkit.system.text import did_you_mean

SYNONYMS = {
    "batch": "batch_size",
    "bs": "batch_size",
    "clip": "clip_norm",
    "cuda": "device",
    "digits": "max_digits",
    "epochs": "steps",
    "gpu": "device",
    "gpus": "device",
    "grad_clip": "clip_norm",
    "gradient_clip_val": "clip_norm",
    "hidden_dim": "hidden_size",
    "image_size": "canvas_size",
    "iterations": "steps",
    "iters": "steps",
    "latent_dim": "code_size",
    "log_interval": "log_every",
    "lr": "learning_rate",
    "max_epochs": "steps",
    "max_grad_norm": "clip_norm",
    "num_digits": "max_digits",
    "num_epochs": "steps",
    "num_slots": "slots",
    "num_steps": "steps",
    "random_seed": "seed",
    "save_every": "checkpoint_every",
    "z_dim": "code_size",
}
"""What other programs call settings of airkit."""


def fields() -> dict[str, FieldInfo]:
    """Return every field of the schema by its dotted key."""
    return {
        f"{section}.{name}": field
        for section in Config.model_fields
        for name, field in _section(section).model_fields.items()
    }


def named_alike(name: str, section: str = "") -> list[str]:
    """Return the dotted keys whose last part is ``name`` or what airkit calls it.

    Those of ``section`` come alone where it has one.
    """
    word = name.lower().replace("-", "_")
    homes = [key for key in fields() if key.partition(".")[2] == SYNONYMS.get(word, word)]
    return [key for key in homes if key.startswith(f"{section}.")] or homes


def problems(error: ValidationError, origins: Mapping[str, str]) -> Iterator[Problem]:
    """Yield one problem per key, also where pydantic reports each member of a union.

    Args:
        error: what pydantic found.
        origins: where each dotted key was set.
    """
    found = {".".join(map(str, it["loc"][:2])): it for it in error.errors(include_url=False)}
    for key, item in found.items():
        inside = [origin for other, origin in origins.items() if other.startswith(key)]
        origin = origins.get(key) or ", ".join(dict.fromkeys(inside))
        yield Problem(key or "settings", origin, _message(key, item))


def accepted(key: str) -> str:
    """Return what a field or a section accepts, in words."""
    section, _, name = key.partition(".")
    if not name:
        return "a table"
    schema = _section(section).model_json_schema()
    return _words(schema["properties"].get(name) or schema["additionalProperties"])


def brief(value: object) -> str:
    """Return a value as Python writes it, cut where it is long, with its type."""
    try:
        text = sanitize(repr(value), 200)
    except ValueError:  # Python writes no integer of more than 4,300 digits
        text = "a very long number"
    kind = "str" if isinstance(value, str) else type(value).__name__  # of a Named string, too
    return "a table" if isinstance(value, Mapping) else f"{text} ({kind})"


def _section(name: str) -> Any:
    return Config.model_fields[name].annotation


def _message(key: str, item: Any) -> str:
    if item["type"] == "extra_forbidden":
        return _unknown(key)
    if item["type"] == "value_error":  # a rule between fields
        return str(item["ctx"]["error"])
    note = ", which is not UTF-8" if item["type"] == "string_unicode" else ""
    if key == "train.device":
        note = _device(str(item["input"]))
    if "package.module:Class" in accepted(key):
        note = _class(item["input"])
    return f"expected {accepted(key)}, got {brief(item['input'])}{note}"


def _device(text: str) -> str:
    """A question that names the device which another program's name or number stands for."""
    gpu = re.fullmatch(r"(?:gpu|cuda)?[ :]?(\d*)", text.lower())
    if gpu is None:
        return did_you_mean(text.lower(), ("auto", "cpu", "cuda", "mps"))
    return f"; did you mean {':'.join(filter(None, ('cuda', gpu[1])))}?"


def _class(given: object) -> str:
    """How a class is named that was given itself, or with a point in place of the colon."""
    if isinstance(given, type):
        return f"; write '{given.__module__}:{given.__name__}'"
    module, _, name = str(given).rpartition(".")
    colon = f"{module}:{name}"
    return f"; did you mean {colon}?" if re.match(OUTSIDE, colon) else ""


def _unknown(key: str) -> str:
    """What to say of a key that the schema does not have."""
    section, _, name = key.partition(".")
    if section not in Config.model_fields:
        if homes := named_alike(key):
            return f"belongs in a section: {' or '.join(homes)}"
        sections = list(Config.model_fields)
        if near := get_close_matches(section, sections, n=1) or _nearly(key):
            return f"unknown section; did you mean {' or '.join(near)}?"
        return f"unknown section; there are {', '.join(sections)}"
    close = (
        named_alike(name, section)
        or get_close_matches(key, fields(), n=1, cutoff=0.8)
        or _nearly(name)
    )
    if close:
        return f"unknown key; did you mean {' or '.join(close)}?"
    return f"unknown key; {section} has {', '.join(_section(section).model_fields)}"


def _nearly(name: str) -> list[str]:
    """The dotted keys of the settings whose name is most like ``name``."""
    names = [known.partition(".")[2] for known in fields()]
    close = get_close_matches(name, names, n=1, cutoff=0.7)
    return named_alike(close[0]) if close else []


_KINDS = {"boolean": "true or false", "integer": "a whole number", "number": "a number"}
_BOUNDS = {
    "minimum": "of at least",
    "exclusiveMinimum": "above",
    "maximum": "at most",
    "exclusiveMaximum": "below",
    "pattern": "matching",
    "minLength": "of length at least",
}


def _words(schema: Mapping[str, Any]) -> str:
    """What a field's JSON Schema accepts."""
    if "anyOf" in schema:
        return " or ".join(map(_words, schema["anyOf"]))
    choices = schema.get("enum") or schema.get("examples") or [schema.get("const")]
    if choices != [None]:
        return " or ".join(map(str, choices))
    if "items" in schema:
        most = f" of at most {schema['maxItems']}" if "maxItems" in schema else ""
        return f"a list{most}, each entry {_words(schema['items'])}"
    bounds = [f"{words} {schema[name]}" for name, words in _BOUNDS.items() if name in schema]
    return f"{_KINDS.get(schema['type'], 'text')} {' and '.join(bounds)}".rstrip()
