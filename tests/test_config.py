"""The schema: its defaults, its bounds, and the prose of every field."""

from __future__ import annotations

import re
from typing import Any

import pytest
from pydantic import ValidationError

from airkit.config import settings
from airkit.config.schema import Config, DataConfig, ModelConfig, Section
from airkit.errors import ConfigError

FIELDS = settings.fields()
VARIANTS = {
    key: [option, *option.get("anyOf", [])]
    for key in FIELDS
    for section, _, name in [key.partition(".")]
    for option in [settings.json_schema()["$defs"][f"{section.title()}Config"]["properties"][name]]
}


def _of_type(*types: str) -> list[str]:
    """Keys of the fields that take one of these JSON types."""
    return [
        key
        for key, options in VARIANTS.items()
        if any(option.get("type") in types for option in options)
    ]


def _message(key: str, value: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        settings.resolve(*settings.layers({key: value}))
    assert len(caught.value.problems) == 1
    return str(caught.value.problems[0])


def test_the_defaults_are_valid() -> None:
    assert settings.resolve() == Config()


def test_the_canonical_fields_are_there() -> None:
    names = {
        "data": "source canvas_size min_digits max_digits digit_size digit_size_sd overlap train "
        "val test seed compression",
        "model": "slots window_size code_size hidden_size pose object_size object_size_sd "
        "pixel_sd decoder_bias",
        "guide": "kind looks look_sharpness",
        "prior": "kind ratio",
        "train": "estimator steps batch_size learning_rate schedule clip_norm seed device "
        "deterministic log_every val_every checkpoint_every keep",
        "eval": "split looks likelihood_samples counts batch_size",
        "render": "kind counts rows columns scale",
    }
    wanted = {f"{section}.{name}" for section, text in names.items() for name in text.split()}
    assert wanted - FIELDS.keys() == set()


@pytest.mark.parametrize("key", FIELDS)
def test_every_field_has_prose(key: str) -> None:
    description = FIELDS[key].description
    assert description is not None
    assert re.fullmatch(r"(?s)\w.*\.", description), f"{key}: one sentence or more"


@pytest.mark.parametrize("key", _of_type("integer", "number"))
def test_a_bool_is_no_number(key: str) -> None:
    message = _message(key, True)
    assert message.startswith(f"{key} (settings): expected ")
    assert message.endswith(", got True (bool)")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("key", _of_type("number"))
def test_numbers_are_finite(key: str, value: float) -> None:
    assert _message(key, value).endswith(f", got {value} (float)")


@pytest.mark.parametrize("key", _of_type("integer", "number", "array"))
def test_text_is_no_number(key: str) -> None:
    assert _message(key, "12").endswith(", got '12' (str)")


@pytest.mark.parametrize("key", _of_type("integer"))
def test_a_fraction_is_no_whole_number(key: str) -> None:
    assert _message(key, 2.5).endswith(", got 2.5 (float)")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"data.min_digits": 3},
            "data (settings): min_digits (3) is greater than max_digits (2)",
        ),
        (
            {"data.count_weights": [1, 1]},
            "data (settings): count_weights has 2 entries; min_digits to max_digits needs 3",
        ),
        (
            {"data.count_weights": [0, 0, 0]},
            "data (settings): count_weights are all zero; at least one must be positive",
        ),
        (
            {"data.canvas_size": 24},
            "data (settings): digits of up to 26.1 px (digit_size + 3 digit_size_sd) do not fit a "
            "canvas of 24 px: lower digit_size or raise canvas_size",
        ),
        (
            {"data.digit_size": 5, "data.digit_size_sd": 1},
            "data (settings): digits of down to 2 px (digit_size - 3 digit_size_sd) are too small "
            "to draw: keep at least 4 px",
        ),
    ],
)
def test_rules_between_fields(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        settings.resolve(*settings.layers(values))
    assert [str(problem) for problem in caught.value.problems] == [message]


def test_a_configuration_is_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Config().data.seed = 1  # type: ignore[misc]


@pytest.mark.parametrize("section", Section.__subclasses__(), ids=lambda it: it.__name__)
def test_sections_refuse_unknown_keys(section: type[Section]) -> None:
    with pytest.raises(ValidationError, match="bogus"):
        section.model_validate({"bogus": 1})


@pytest.mark.parametrize(
    ("data", "model", "slots", "window", "size"),
    [
        ({}, {}, 3, 28, 19.95),
        ({"max_digits": 5, "digit_size": 16.0}, {}, 6, 22, 15.2),
        ({"digit_size": 12.0}, {}, 3, 20, 11.4),
        ({}, {"slots": 9, "window_size": 14, "object_size": 10.0}, 9, 14, 10.0),
    ],
)
def test_auto_is_resolved(
    data: dict[str, Any], model: dict[str, Any], slots: int, window: int, size: float
) -> None:
    config = Config(data=DataConfig(**data), model=ModelConfig(**model))
    resolved = config.slots, config.window_size, config.object_size
    assert resolved == pytest.approx((slots, window, size))
