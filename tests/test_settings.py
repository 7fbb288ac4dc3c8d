"""Presets, files, flags: their order, what they spell, and every problem at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from airkit.config import settings
from airkit.config.schema import Config
from airkit.config.settings import Layer
from airkit.errors import AirkitError, ConfigError

SCHEMA = settings.json_schema()


def _strategy(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Values that a field's JSON Schema allows."""
    if "anyOf" in schema:
        return st.one_of([_strategy(option) for option in schema["anyOf"]])
    if "enum" in schema or "const" in schema:
        return st.sampled_from(schema.get("enum") or [schema["const"]])
    if schema["type"] == "string":
        if "pattern" in schema:
            return st.sampled_from(["auto", "cpu", "mps", "cuda", "cuda:3"])
        return st.text(st.characters(codec="utf-8"), min_size=1)
    if schema["type"] == "boolean":
        return st.booleans()
    if schema["type"] == "array":
        return st.just([])  # rules between fields decide what else is right
    low = schema.get("minimum", schema.get("exclusiveMinimum"))
    high = schema.get("maximum", schema.get("exclusiveMaximum"))
    if schema["type"] == "integer":
        return st.integers(low, 2**63 - 1 if high is None else min(high, 2**63 - 1))
    return st.floats(
        low,
        high,
        allow_nan=False,
        allow_infinity=False,
        exclude_min="exclusiveMinimum" in schema,
        exclude_max="exclusiveMaximum" in schema,
    )


STRATEGIES = {
    f"{section}.{name}": _strategy(field)
    for section in Config.model_fields
    for name, field in SCHEMA["$defs"][f"{section.title()}Config"]["properties"].items()
}


@st.composite
def configs(draw: st.DrawFn) -> Config:
    """Any valid configuration."""
    raw: dict[str, dict[str, Any]] = {}
    for key, strategy in STRATEGIES.items():
        section, _, name = key.partition(".")
        raw.setdefault(section, {})[name] = draw(strategy)
    data = raw["data"]
    low, high = sorted([data["min_digits"], data["max_digits"]])
    size = draw(st.floats(4, data["canvas_size"]))
    spread = 0.33 * min(size - 4, data["canvas_size"] - size)
    data.update(min_digits=low, max_digits=high, digit_size=size)
    data["digit_size_sd"] = draw(st.floats(0, min(spread, 256)))
    if draw(st.booleans()):
        data["count_weights"] = [1.0, *[0.5] * (high - low)]
    return Config.model_validate(raw)


@given(configs())
@hypothesis_settings(max_examples=60, deadline=None)
def test_toml_and_json_give_back_any_configuration(
    tmp_path_factory: pytest.TempPathFactory, config: Config
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.toml"
    path.write_bytes(settings.to_toml(config).encode())
    assert settings.resolve(settings.from_file(path)) == config
    assert settings.from_json(settings.to_json(config), "test") == config
    assert settings.differences(config, config) == {}


@pytest.mark.parametrize("name", settings.presets())
def test_every_preset_is_right_and_says_what_it_is_for(name: str) -> None:
    settings.resolve(settings.from_preset(name))
    purpose = settings.presets()[name]
    assert 20 < len(purpose) < 90, f"the first line of {name}.toml: # and one line of prose"


def test_the_default_preset_is_the_defaults() -> None:
    assert settings.resolve(settings.from_preset("default")) == Config()


def test_a_switch_says_what_it_accepts() -> None:
    with pytest.raises(ConfigError) as caught:
        settings.resolve(settings.from_assignment("train.masking=False"))
    told = "train.masking (--set): expected true or false, got 'False' (str)"
    assert [str(problem) for problem in caught.value.problems] == [told]


@pytest.mark.parametrize("value", [True, False, (), (3, 4), 2.5, "auto"])
def test_values_are_spelled_as_they_are_read(value: Any) -> None:
    key = {bool: "train.masking", tuple: "guide.embed_net", float: "train.clip_norm"}.get(
        type(value), "model.slots"
    )
    layer = settings.from_assignment(f"{key}={settings.spelled(value)}")
    found = dict(settings.flatten(settings.resolve(layer).model_dump()))
    assert found[key] == value


@pytest.mark.parametrize("value", ["'x'", '"x"', "'", "x's", " x", "x ", "'\U0001f600"])
def test_quotes_are_spelled_as_they_are_read(value: str) -> None:
    layer = settings.from_assignment(f"data.source={settings.spelled(value)}")
    assert settings.resolve(layer).data.source == value


def test_text_that_is_not_utf8() -> None:
    with pytest.raises(ConfigError) as caught:
        settings.resolve(settings.from_assignment("data.source=./r\udcff"))
    told = "data.source (--set): expected text, got './r\\udcff', which is not UTF-8"
    assert [str(problem) for problem in caught.value.problems] == [told]


def test_a_preset_that_is_not_there() -> None:
    with pytest.raises(AirkitError) as caught:
        settings.from_preset("tinny")
    assert str(caught.value) == (
        "No such preset\n"
        "  expected  one of annealed, default, lstm, many-digits, paper, pyro-tutorial, "
        "small-digits, tiny\n"
        "  got       tinny; did you mean tiny?\n"
        "  try       airkit config presets"
    )


def test_the_last_layer_wins_key_by_key() -> None:
    config = settings.resolve(
        Layer("one", {"train": {"steps": 1, "batch_size": 2}}),
        Layer("two", {"train": {"steps": 3}}),
    )
    assert (config.train.steps, config.train.batch_size) == (3, 2)


def test_rules_between_fields_see_the_whole() -> None:
    """Each layer alone would be wrong, both together are right."""
    layers = Layer("one", {"data": {"min_digits": 4}}), Layer("two", {"data": {"max_digits": 5}})
    assert settings.resolve(*layers).data.min_digits == 4


def test_settings_take_dotted_keys_and_nested_ones() -> None:
    dotted = settings.resolve(*settings.layers({"data.max_digits": 5, "train.steps": 9}))
    nested = settings.resolve(*settings.layers({"data": {"max_digits": 5}, "train": {"steps": 9}}))
    assert dotted == nested
    assert (dotted.data.max_digits, dotted.train.steps) == (5, 9)
    both = settings.layers({"train.steps": 9, "train": {"seed": 3}, "train.keep": 4})
    assert settings.differences(Config(), settings.resolve(*both)) == {
        "train.steps": (2_000, 9), "train.seed": (0, 3), "train.keep": (3, 4)
    }  # fmt: skip


_LAYERS = "dotted keys and values, such as {'train.steps': 500}, or layers"


@pytest.mark.parametrize(
    ("given", "expected", "got"),
    [
        (5, _LAYERS, "5 (int)"),
        ("train.steps=3", _LAYERS, "'train.steps=3' (str)"),
        (["train.steps=3"], _LAYERS, "'train.steps=3' (str)"),
        ([Layer("mine", {}), None], _LAYERS, "None (NoneType)"),
        ([Layer("mine", None)], _LAYERS, "Layer(origin='mine', values=None) (Layer)"),  # type: ignore[arg-type]
        ({5: 5}, "dotted keys, such as 'train.steps'", "5 (int)"),
    ],
)
def test_settings_that_are_none(given: Any, expected: str, got: str) -> None:
    with pytest.raises(ConfigError) as caught:
        settings.layers(given)
    assert str(caught.value) == (
        "1 problem in the configuration\n"
        f"  settings (argument): expected {expected}; got {got}\n"
        "  try       airkit config show, which prints every setting and its value"
    )


def test_no_settings_may_be_none() -> None:
    assert settings.layers(None) == []


def test_numbers_of_numpy_are_taken() -> None:
    given = {
        "train.steps": np.int64(3),
        "train.learning_rate": np.float32(0.25),
        "train.deterministic": np.bool_(True),
        "data.count_weights": [np.float32(1), np.float64(2), np.int8(1)],
        "model": {"slots": np.uint8(4)},
    }
    plain = {
        "train.steps": 3,
        "train.learning_rate": 0.25,
        "train.deterministic": True,
        "data.count_weights": [1.0, 2.0, 1],
        "model.slots": 4,
    }
    ours, theirs = (settings.resolve(*settings.layers(each)) for each in (given, plain))
    assert settings.to_json(ours) == settings.to_json(theirs)
    values = [dict(settings.flatten(layer.values)) for layer in settings.layers(given)]
    assert values[2] == {"train.deterministic": True}
    assert type(values[2]["train.deterministic"]) is bool
    with pytest.raises(ConfigError, match=r"a whole number of at least 1, got 0\.5 \(float\)"):
        settings.resolve(*settings.layers({"train.keep": np.float64(0.5)}))


def test_every_problem_is_told_at_once(tmp_path: Path) -> None:
    path = tmp_path / "my.toml"
    path.write_text(
        "steps = 5\n"
        "[data]\nmax_digitz = 3\nseed = true\noverlap = 'some'\ncount_weights = [1, 'a']\n"
        "[trian]\nsteps = 5\n"
        "[guide]\nkind = 'gru'\n"
    )
    with pytest.raises(ConfigError) as caught:
        settings.resolve(settings.from_file(path), settings.from_assignment("eval.looks=0"))
    assert str(caught.value) == (
        "8 problems in the configuration\n"
        f"  steps ({path}): is in no section; write it as train.steps\n"
        f"  data.count_weights ({path}): expected a list, each entry a number of at least 0, "
        "got 'a' (str)\n"
        f"  data.overlap ({path}): expected sum or none or a number of at least 0 and at most 1, "
        "got 'some' (str)\n"
        f"  data.seed ({path}): expected a whole number of at least 0 and below "
        "9223372036854775808, got True (bool)\n"
        f"  data.max_digitz ({path}): unknown key; did you mean data.max_digits?\n"
        f"  guide.kind ({path}): expected saliency or lstm, got 'gru' (str)\n"
        "  eval.looks (--set): expected a whole number of at least 1 and at most 4096, "
        "got 0 (int)\n"
        f"  trian ({path}): unknown section; did you mean train?\n"
        "  try       airkit config show, which prints every setting and its value"
    )


@pytest.mark.parametrize("key", settings.fields())
def test_a_slip_of_the_finger_is_understood(key: str) -> None:
    """With a letter doubled in its name, every key but the shortest is found again."""
    wrong = key + key[-1]
    with pytest.raises(ConfigError) as caught:
        settings.resolve(*settings.layers({wrong: 1}))
    told = f"{wrong} (settings): unknown key; did you mean {key}?"
    assert [str(problem) for problem in caught.value.problems] == [told]


@pytest.mark.parametrize("section", Config.model_fields)
def test_a_slip_in_a_section_is_understood(section: str) -> None:
    with pytest.raises(ConfigError) as caught:
        settings.resolve(*settings.layers({f"{section}s.seed": 1}))
    told = f"{section}s (settings): unknown section; did you mean {section}?"
    assert [str(problem) for problem in caught.value.problems] == [told]


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"data.bogus": 1}, "unknown key; data has source, canvas_size, min_digits, max_digits, "),
        ({"model.steps": 1}, "unknown key; did you mean train.steps?"),
        ({"model.seed": 1}, "unknown key; did you mean data.seed or train.seed or eval.seed?"),
        ({"model.stepz": 1}, "unknown key; did you mean train.steps?"),
        ({"nowhere.seed": 1}, "unknown section; there are data, model, guide, prior, train, "),
        ({"data": 5}, "expected a table, got 5"),
        ({"seed": 5}, "is in no section; write it as data.seed or train.seed or eval.seed"),
        ({"data.seed": {"a": 1}}, "expected a whole number of at least 0 and below 92"),
        ({"data.source": ""}, "expected text of length at least 1, got '' (str)"),
        ({"data.digit_size": 2}, "expected a number of at least 4 and at most 1024, got 2 (int)"),
        ({"train.learning_rate": 0}, "expected a number above 0 and at most 10, got 0 (int)"),
        ({"train.clip_norm": -1.0}, "expected none or a number above 0, got -1.0 (float)"),
        ({"train.device": "tpu"}, "expected text matching ^(auto|cpu|mps|cuda(:\\d+)?)$, got 'tpu"),
    ],
)
def test_what_is_accepted_is_told(values: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        settings.resolve(*settings.layers(values))
    assert [problem.message[: len(told)] for problem in caught.value.problems] == [told]


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("train.steps=500", "train.steps", 500),
        (" train.steps = 5_000 ", "train.steps", 5_000),
        ("train.learning_rate=1e-4", "train.learning_rate", 1e-4),
        ("train.learning_rate=1", "train.learning_rate", 1.0),
        ("data.overlap=none", "data.overlap", "none"),
        ("data.overlap='none'", "data.overlap", "none"),
        ("data.overlap=0.25", "data.overlap", 0.25),
        ("data.count_weights=[1, 2, 1]", "data.count_weights", (1, 2, 1)),
        ("data.count_weights=[]", "data.count_weights", ()),
        ("data.source=../digits of mine", "data.source", "../digits of mine"),
        ("data.source=1e3", "data.source", "1e3"),
        ("data.source=a=b", "data.source", "a=b"),
        ("model.slots=auto", "model.slots", "auto"),
        ("model.slots=7", "model.slots", 7),
        ("train.device=cuda:1", "train.device", "cuda:1"),
        ('data.source="x \\u0079"', "data.source", "x y"),
        ("data.source='x \\y'", "data.source", "x \\y"),
        ("data.source=x's", "data.source", "x's"),
        ("data.source='x", "data.source", "'x"),
        ("train.learning_rate=.001", "train.learning_rate", 0.001),
        ("train.learning_rate=1.e-3", "train.learning_rate", 0.001),
    ],
)
def test_an_assignment_spells_a_value(text: str, key: str, value: object) -> None:
    config = settings.resolve(settings.from_assignment(text))
    section, _, name = key.partition(".")
    assert getattr(getattr(config, section), name) == value


@pytest.mark.parametrize("text", ["steps=5", "train.steps", "", "=5", "train.=5"])
def test_an_assignment_that_is_none(text: str) -> None:
    with pytest.raises(AirkitError) as caught:
        settings.from_assignment(text)
    assert str(caught.value) == (
        "Cannot read a setting\n"
        f"  where     --set {text}\n"
        "  expected  section.key=value\n"
        "  try       for example --set train.steps=500"
    )


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(AirkitError) as caught:
        settings.from_file(tmp_path / "my.toml")
    assert str(caught.value) == (
        "Cannot read the config file\n"
        f"  where     {tmp_path / 'my.toml'}\n"
        "  got       No such file or directory\n"
        f"  try       airkit config show > {tmp_path / 'my.toml'} writes one to start from"
    )


def test_a_file_that_is_no_toml(tmp_path: Path) -> None:
    path = tmp_path / "my.toml"
    path.write_text("[data]\nmax_digits: 3\n")
    with pytest.raises(AirkitError) as caught:
        settings.from_file(path)
    assert str(caught.value) == (
        "The config file is not TOML\n"
        f"  where     {path}\n"
        "  got       Expected '=' after a key in a key/value pair (at line 2, column 11)\n"
        f"  try       mend it there; airkit config check {path} tells whether it is right"
    )


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "config (there): not JSON: "),
        ("[]", "config (there): not a table of sections"),
        ('{"data": {"seed": NaN}}', "data.seed (there): expected a whole number of at least 0"),
    ],
)
def test_stored_settings_that_are_damaged(text: str, told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        settings.from_json(text, "there")
    assert str(caught.value.problems[0])[: len(told)] == told


def test_differences_are_told_by_dotted_key() -> None:
    new = settings.resolve(*settings.layers({"data.seed": 4, "model.slots": 5}))
    assert settings.differences(Config(), new) == {"data.seed": (0, 4), "model.slots": ("auto", 5)}


def test_the_json_schema_serves_an_editor() -> None:
    schema = settings.json_schema()
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["title"] == "airkit configuration"
    assert list(schema["properties"]) == list(Config.model_fields)
    assert schema["additionalProperties"] is False
    for model in schema["$defs"].values():
        assert model["additionalProperties"] is False
        for field in model["properties"].values():
            assert field["description"]
            assert "default" in field
