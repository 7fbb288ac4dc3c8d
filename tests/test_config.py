"""The schema: its defaults, its bounds, its automatic values and the prose of every field."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest
from pydantic import ValidationError

from airkit.config import settings
from airkit.config.schema import Config, Section
from airkit.config.sections import OwnConfig
from airkit.errors import ConfigError

FIELDS = settings.fields()
NAMES = {
    "data": "source canvas_size min_digits max_digits count_weights digit_size digit_size_sd "
    "overlap train val test seed compression",
    "model": "slots window_size code_size hidden_size encoder_net decoder decoder_net nonlinearity "
    "pose object_size object_size_sd pixel_sd decoder_bias decoder_output",
    "guide": "kind looks look_sharpness glimpse_size refinements rnn_size embed_net predict_net "
    "presence_bias pose_sd_bias",
    "prior": "kind ratio schedule anneal_from anneal_begin anneal_duration",
    "train": "estimator baseline baseline_net baseline_learning_rate baseline_scale masking steps "
    "batch_size augment learning_rate schedule beta2 clip_norm seed device precision cuda_graph "
    "deterministic log_every val_every checkpoint_every keep tensorboard",
    "eval": "split looks look_sharpness likelihood_samples counts batch_size seed",
    "render": "kind counts rows columns scale",
}
"""Settings that files of users and of older runs hold."""
SECTIONS = settings.json_schema()["$defs"]
SCHEMAS = {
    f"{section}.{name}": schema
    for section in Config.model_fields
    for name, schema in SECTIONS[f"{section.title()}Config"]["properties"].items()
}


def _of_type(*types: str) -> list[str]:
    """Keys of the fields that take one of these JSON types."""
    return [
        key
        for key, schema in SCHEMAS.items()
        if any(option.get("type") in types for option in [schema, *schema.get("anyOf", [])])
    ]


def _message(values: dict[str, Any]) -> str:
    """The one problem that these settings have."""
    with pytest.raises(ConfigError) as caught:
        settings.resolve(*settings.layers(values))
    (problem,) = caught.value.problems
    return str(problem)


def test_no_setting_is_lost() -> None:
    known = {f"{section}.{name}" for section, text in NAMES.items() for name in text.split()}
    assert known - FIELDS.keys() == set()


@pytest.mark.parametrize("key", FIELDS)
def test_every_field_has_prose(key: str) -> None:
    description = FIELDS[key].description
    assert description is not None
    assert re.fullmatch(r"(?s)\w.*\.", description), f"{key}: one sentence or more"


WRONG = [
    *((key, True) for key in _of_type("integer", "number")),
    *((key, "12") for key in _of_type("integer", "number", "array")),
    *((key, 2.5) for key in _of_type("integer") if key not in _of_type("number")),
    *((key, float(value)) for key in _of_type("number") for value in ("nan", "inf")),
]


@pytest.mark.parametrize(("key", "value"), WRONG)
def test_numbers_are_checked_strictly(key: str, value: object) -> None:
    """A bool is no number, text is no number, a fraction is no integer, numbers are finite."""
    told = _message({key: value})
    assert told.startswith(f"{key} (settings): expected ")
    assert told.endswith(f", got {value!r} ({type(value).__name__})")


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"data.min_digits": 3}, "min_digits (3) is greater than max_digits (2)"),
        ({"data.count_weights": [1, 1]}, "count_weights has 2 entries"),
        ({"data.count_weights": [0, 0, 0]}, "count_weights are all zero"),
        ({"data.canvas_size": 24}, "digits of up to 26.1 px"),
        ({"data.digit_size": 5, "data.digit_size_sd": 1}, "digits of down to 2 px"),
    ],
)
def test_rules_between_fields(values: dict[str, Any], told: str) -> None:
    assert _message(values).startswith(f"data (settings): {told}")


SECTIONS = [each for each in Section.__subclasses__() if each is not OwnConfig]


@pytest.mark.parametrize("section", SECTIONS, ids=lambda it: it.__name__)
def test_sections_are_frozen_and_refuse_unknown_keys(section: type[Section]) -> None:
    with pytest.raises(ValidationError, match="bogus"):
        section.model_validate({"bogus": 1})
    with pytest.raises(ValidationError, match="frozen"):
        setattr(section(), next(iter(section.model_fields)), 1)


@pytest.mark.parametrize(
    ("values", "slots", "window", "size"),
    [
        ({}, 3, 28, 19.95),
        ({"data.max_digits": 5, "data.digit_size": 16.0}, 6, 22, 15.2),
        ({"data.digit_size": 12.0}, 3, 20, 11.4),
        ({"model.slots": 9, "model.window_size": 14, "model.object_size": 10.0}, 9, 14, 10.0),
    ],
)
def test_auto_is_resolved(values: dict[str, Any], slots: int, window: int, size: float) -> None:
    config = settings.resolve(*settings.layers(values))
    resolved = config.slots, config.window_size, config.object_size
    assert resolved == pytest.approx((slots, window, size))


def test_automatic_networks_and_biases_follow_other_settings() -> None:
    linear = {"model.hidden_size": 7, "model.decoder_output": "linear"}
    config = settings.resolve(*settings.layers(linear))
    assert config.encoder_net == config.decoder_net == config.predict_net == (7,)
    assert (config.decoder_bias, Config().decoder_bias) == (0.0, -2.0)


@pytest.mark.parametrize(
    ("values", "sd"),
    [
        ({"model.object_size": 40.0}, 0.3),
        ({"model.object_size": 9.5}, 0.15),
        ({"model.object_size": 9.5, "data.source": "cells"}, 0.3),
        ({"pictures.contrast": 0.4}, 0.2),
        ({"model.compositing": "over"}, 0.12),
        ({"model.object_size": 9.5, "pictures.noise": 0.25}, 0.25),
        ({"model.object_size": 9.5, "model.pixel_sd": 0.7}, 0.7),
    ],
    ids=str,
)
def test_the_automatic_noise_follows_contrast_and_small_digits(
    values: dict[str, Any], sd: float
) -> None:
    assert settings.resolve(*settings.layers(values)).pixel_sd == pytest.approx(sd)


def test_the_automatic_ratio_falls_with_the_size_of_objects() -> None:
    sizes = [settings.resolve(*settings.layers({"model.object_size": it})) for it in (9.5, 20, 60)]
    ratios = [config.prior_ratio for config in sizes]
    assert ratios == pytest.approx([math.exp(-4), 8.84e-5, 3.96e-110], rel=1e-2)


@pytest.mark.parametrize(
    ("values", "batch", "on_gpu", "rate"),
    [
        ({}, 64, 256, 2e-3),
        ({"train.batch_size": 128}, 128, 128, 2e-3 * math.sqrt(2)),
        ({"train.batch_size": 256}, 256, 256, 4e-3),
        ({"train.batch_size": 4096}, 4096, 4096, 4e-3),
        ({"train.batch_size": 16}, 16, 16, 2e-3),
        ({"train.learning_rate": 1e-3}, 64, 64, 1e-3),
        ({"train.batch_size": 256, "train.learning_rate": 1e-3}, 256, 256, 1e-3),
        ({"data.source": "sprites"}, 64, 64, 2e-3),
    ],
    ids=str,
)
def test_the_automatic_rate_grows_with_a_large_batch(
    values: dict[str, Any], batch: int, on_gpu: int, rate: float
) -> None:
    config = settings.resolve(*settings.layers(values))
    assert (config.batch_size, config.gpu_batch_size) == (batch, on_gpu)
    assert config.learning_rate == pytest.approx(rate)


def test_what_auto_came_to_is_what_the_model_is_built_with() -> None:
    auto = settings.resolve()
    assert auto.settled["model.slots"] == auto.slots == 3
    assert auto.settled["prior.ratio"] == auto.prior_ratio
    given = settings.resolve(*settings.layers({"model.object_size": 12.0, "prior.ratio": 0.1}))
    assert auto.settled.keys() - given.settled.keys() == {"model.object_size", "prior.ratio"}
