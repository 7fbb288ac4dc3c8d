"""Presets, files, flags: their order, how values are written, and every problem at once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from airkit.config import settings
from airkit.config.schema import Config
from airkit.config.settings import Layer
from airkit.errors import AirkitError, ConfigError

SCHEMA = settings.json_schema()
ODD = {
    "data.source": "x\"'\\ \n\t\0\u202e\U0001f600",
    "data.count_weights": [1, 1e-300, 0.1 + 0.2],
    "data.overlap": 1.0,
    "data.seed": 2**63 - 1,
    "model.encoder_net": [1, 8192],
    "guide.kind": "package.module:Class",
    "guide.presence_bias": -0.0,
    "train.clip_norm": 5e-324,
    "train.masking": False,
}
"""Values that are easily lost on the way through a file."""
LAYERS = [[settings.from_preset(name)] for name in settings.presets()]


@pytest.mark.parametrize(
    "layers", [*LAYERS, settings.layers(ODD)], ids=[*settings.presets(), "odd"]
)
def test_toml_and_json_give_back_any_configuration(tmp_path: Path, layers: list[Layer]) -> None:
    config = settings.resolve(*layers)
    path = tmp_path / "any.toml"
    path.write_bytes(settings.to_toml(config).encode())
    assert settings.resolve(settings.from_file(path)) == config
    assert settings.from_json(settings.to_json(config), "test") == config
    assert settings.differences(config, config) == {}


def _told(*layers: Layer) -> list[str]:
    """The problems of these layers."""
    with pytest.raises(ConfigError) as caught:
        settings.resolve(*layers)
    return [str(problem) for problem in caught.value.problems]


# Layers


@pytest.mark.parametrize("name", settings.presets())
def test_every_preset_says_what_it_is_for(name: str) -> None:
    purpose = settings.presets()[name]
    assert 20 < len(purpose) < 90, f"the first line of {name}.toml: # and one line of prose"


def test_the_default_preset_is_the_defaults() -> None:
    assert settings.resolve(settings.from_preset("default")) == settings.resolve() == Config()


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
    both = settings.layers({"train.steps": 9, "train": {"seed": 3}, "model.slots": 5})
    assert settings.differences(Config(), settings.resolve(*both)) == {
        "train.steps": (2_000, 9),
        "train.seed": (0, 3),
        "model.slots": ("auto", 5),
    }
    assert settings.layers(None) == []


def test_a_preset_and_a_setting_more() -> None:
    preset = settings.from_preset("tiny")
    config = settings.resolve(*settings.layers([preset, {"train.steps": 5}, {"train.steps": 7}]))
    assert config == settings.resolve(preset, *settings.layers({"train.steps": 7}))
    assert settings.layers(preset) == [preset]
    assert settings.resolve(*settings.layers(config.model_dump())) == config


@pytest.mark.parametrize(
    ("given", "instead"),
    [
        (5, "(int)"),
        ([Layer("a", {}), None], "(NoneType)"),
        ([("train.steps", 3)], "(tuple)"),
        ("train.steps=3", "; write airkit.settings.from_assignment('train.steps=3')"),
        (["train.steps=3"], "; write airkit.settings.from_assignment('train.steps=3')"),
        ("tiny", "; write airkit.settings.from_preset('tiny')"),
        (Path("a.toml"), "; write airkit.settings.from_file('a.toml')"),
        (Config(), "; write config.model_dump()"),
    ],
)
def test_settings_that_are_neither_a_mapping_nor_layers(given: Any, instead: str) -> None:
    with pytest.raises(ConfigError, match=r"dotted keys .* list of layers, got ") as caught:
        settings.layers(given)
    assert caught.value.problems[0].message.endswith(instead)


def test_numbers_of_numpy_are_taken() -> None:
    numpy = {
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
    ours, theirs = (settings.resolve(*settings.layers(each)) for each in (numpy, plain))
    assert settings.to_json(ours) == settings.to_json(theirs)
    assert "got 0.5 (float)" in _told(*settings.layers({"train.keep": np.float64(0.5)}))[0]


# Values as text


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("train.steps=500", 500),
        (" train.steps = 5_000 ", 5_000),
        ("train.learning_rate=1e-4", 1e-4),
        ("train.learning_rate=.001", 0.001),
        ("train.learning_rate=1.e-3", 0.001),
        ("data.overlap=none", "none"),
        ("data.overlap='none'", "none"),
        ("data.overlap=0.25", 0.25),
        ("data.count_weights=[1, 2, 1]", (1, 2, 1)),
        ("data.source=../digits of mine", "../digits of mine"),
        ("data.source=1e3", "1e3"),
        ("data.source=a=b", "a=b"),
        ("model.slots=auto", "auto"),
        ("model.slots=7", 7),
        ('data.source="x \\u0079"', "x y"),
        ("data.source='x \\y'", "x \\y"),
        ("data.source=x's", "x's"),
        ("data.source='x", "'x"),
    ],
)
def test_an_assignment_gives_a_value(text: str, value: object) -> None:
    config = settings.resolve(settings.from_assignment(text))
    assert dict(settings.flatten(config.model_dump()))[text.partition("=")[0].strip()] == value


@pytest.mark.parametrize("text", ["steps=5", "train.steps", "", "=5", "train.=5"])
def test_an_assignment_without_a_key_or_a_value(text: str) -> None:
    with pytest.raises(AirkitError, match="Cannot read a setting") as caught:
        settings.from_assignment(text)
    assert f"--set {text}\n" in str(caught.value)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("train.masking", True),
        ("guide.embed_net", ()),
        ("guide.embed_net", (3, 4)),
        ("train.clip_norm", 2.5),
        ("model.slots", "auto"),
        *(("data.source", it) for it in ["'x'", '"x"', "'", "x's", " x", "x ", "'\U0001f600"]),
    ],
)
def test_values_are_written_as_they_are_read(key: str, value: Any) -> None:
    config = settings.resolve(settings.from_assignment(f"{key}={settings.spelled(value)}"))
    assert dict(settings.flatten(config.model_dump()))[key] == value


# Problems


def test_every_problem_is_told_at_once(tmp_path: Path) -> None:
    path = tmp_path / "my.toml"
    path.write_text(
        "steps = 5\n"
        "[data]\nmax_digitz = 3\nseed = true\noverlap = 'some'\ncount_weights = [1, 'a']\n"
        "[trian]\nsteps = 5\n"
        "[guide]\nkind = 'gru'\n"
    )
    assert sorted(_told(settings.from_file(path), settings.from_assignment("eval.looks=0"))) == [
        f"data.count_weights ({path}): expected a list, each entry a number of at least 0, "
        "got 'a' (str)",
        f"data.max_digitz ({path}): unknown key; did you mean data.max_digits?",
        f"data.overlap ({path}): expected sum or none or a number of at least 0 and at most 1, "
        "got 'some' (str)",
        f"data.seed ({path}): expected a whole number of at least 0 and below "
        "9223372036854775808, got True (bool)",
        "eval.looks (--set): expected a whole number of at least 1 and at most 4096, got 0 (int)",
        f"guide.kind ({path}): expected saliency or lstm or package.module:Class, got 'gru' (str)",
        f"steps ({path}): belongs in a section: train.steps",
        f"trian ({path}): unknown section; did you mean train?",
    ]


@pytest.mark.parametrize("key", settings.fields())
def test_a_misspelt_key_is_recognised(key: str) -> None:
    """With a letter doubled, every key is found again."""
    told = _told(*settings.layers({key + key[-1]: 1}))
    assert told == [f"{key + key[-1]} (settings): unknown key; did you mean {key}?"]


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (
            {"data.bogus": 1},
            "unknown key; data has source, canvas_size, height, width, channels, min_digits, ",
        ),
        ({"data.a.b": 1}, "unknown key; data has source"),
        ({"model.steps": 1}, "unknown key; did you mean train.steps?"),
        ({"model.stepz": 1}, "unknown key; did you mean train.steps?"),
        ({"train.lookz": 1}, "unknown key; did you mean guide.looks or eval.looks?"),
        ({"stepz": 1}, "unknown section; did you mean train.steps?"),
        ({"model.seed": 1}, "unknown key; did you mean data.seed or train.seed or eval.seed?"),
        ({"models.seed": 1}, "unknown section; did you mean model?"),
        ({"nowhere.seed": 1}, "unknown section; there are data, "),
        ({"data": 5}, "expected a table, got 5"),
        ({"data": 5, "data.seed": 3}, "expected a table, got 5"),
        ({"seed": 5}, "belongs in a section: data.seed or train.seed or eval.seed"),
        ({5: 5}, "unknown section; there are data"),
        ({"data.seed": {"a": 1}}, "expected a whole number of at least 0 and below 922337203685"),
        ({"data.source": ""}, "expected text of length at least 1, got '' (str)"),
        ({"data.source": "./r\udcff"}, "expected text of length at least 1, got './r\\udcff' (str"),
        ({"data.digit_size": 2}, "expected a number of at least 4 and at most 1024, got 2 (int)"),
        (
            {"train.learning_rate": 0},
            "expected auto or a number above 0 and at most 10, got 0 (int)",
        ),
        ({"train.clip_norm": -1.0}, "expected none or a number above 0, got -1.0 (float)"),
        ({"train.masking": "False"}, "expected true or false, got 'False' (str)"),
        ({"train.device": "tpu"}, "expected auto or cpu or mps or cuda or cuda:0, got 'tpu"),
    ],
)
def test_what_is_accepted_is_told(values: dict[Any, Any], told: str) -> None:
    (problem,) = _told(*settings.layers(values))
    assert problem.partition(" (settings): ")[2].startswith(told)


def test_a_preset_that_is_not_there() -> None:
    with pytest.raises(AirkitError, match="No such preset") as caught:
        settings.from_preset("tinny")
    assert "annealed, cells, colour-sprites" in str(caught.value)
    assert "tinny; did you mean tiny?" in str(caught.value)


@pytest.mark.parametrize(
    ("content", "got", "hint"),
    [
        (None, "No such file or directory", "airkit config show > {}"),
        ("[data]\nmax_digits: 3\n", "Expected '=' after a key", "airkit config check {}"),
    ],
)
def test_a_file_that_cannot_be_read(
    tmp_path: Path, content: str | None, got: str, hint: str
) -> None:
    path = tmp_path / "my.toml"
    if content is not None:
        path.write_text(content)
    with pytest.raises(AirkitError, match="Cannot read the config file") as caught:
        settings.from_file(path)
    assert f"where     {path}\n" in str(caught.value)
    assert f"got       {got}" in str(caught.value)
    assert hint.format(path) in caught.value.hint


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
    assert str(caught.value.problems[0]).startswith(told)


def test_settings_of_an_older_airkit_are_those_it_trained_with() -> None:
    values = json.loads(settings.to_json(Config()))
    for name in ("beta2", "augment", "warmup"):
        del values["train"][name]
    train = settings.from_json(json.dumps(values), "there").train
    assert (train.beta2, train.augment, train.warmup) == (0.999, False, 0)


TEXT = "# Grüße\n[train]\nsteps = 7\n"
FROM_WINDOWS = {
    "a BOM": TEXT.encode("utf-8-sig"),
    "CRLF": TEXT.replace("\n", "\r\n").encode(),
    "a BOM and CRLF": TEXT.replace("\n", "\r\n").encode("utf-8-sig"),
    "UTF-16 of PowerShell": b"\xff\xfe" + TEXT.replace("\n", "\r\n").encode("utf-16-le"),
    "UTF-16, big end first": b"\xfe\xff" + TEXT.encode("utf-16-be"),
    "UTF-16 without a BOM": TEXT.encode("utf-16-le"),
}


@pytest.mark.parametrize("content", FROM_WINDOWS.values(), ids=FROM_WINDOWS)
def test_a_file_from_windows_is_read(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.toml").write_bytes(content)
    assert settings.from_file(tmp_path / "a.toml").values == {"train": {"steps": 7}}


def test_the_whole_configuration_as_powershell_redirects_it(tmp_path: Path) -> None:
    shown = settings.to_toml(Config()).replace("\n", "\r\n")
    (tmp_path / "airkit.toml").write_bytes(shown.encode("utf-16"))
    assert settings.resolve(settings.from_file(tmp_path / "airkit.toml")) == Config()


def test_the_json_schema_serves_an_editor() -> None:
    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert SCHEMA["title"] == "airkit configuration"
    assert list(SCHEMA["properties"]) == list(Config.model_fields)
    models = {"": SCHEMA, **SCHEMA["$defs"]}
    anything = models.pop("OwnConfig")["additionalProperties"]
    assert {"type": "number"} in anything["anyOf"]
    for model in models.values():
        assert model["additionalProperties"] is False
    for model in list(models.values())[1:]:
        assert all(it["description"] and "default" in it for it in model["properties"].values())


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("gpu", "cuda"),
        ("0", "cuda:0"),
        (1, "cuda:1"),
        ("GPU:1", "cuda:1"),
        ("cuda0", "cuda:0"),
        ("CPU", "cpu"),
        ("cude", "cuda"),
    ],
)
def test_a_device_by_another_name_is_recognised(given: object, meant: str) -> None:
    (problem,) = _told(*settings.layers({"train.device": given}))
    assert problem.endswith(f"; did you mean {meant}?")
    assert "^" not in problem


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("train.lr", "train.learning_rate"),
        ("train.bs", "train.batch_size"),
        ("model.epochs", "train.steps"),
    ],
)
def test_a_key_by_another_name_is_recognised(key: str, meant: str) -> None:
    (problem,) = _told(*settings.layers({key: 1}))
    assert problem.endswith(f"did you mean {meant}?")


def test_an_assignment_without_a_section_names_it() -> None:
    with pytest.raises(AirkitError) as caught:
        settings.from_assignment("lr=1e-3")
    assert caught.value.hint == "--set train.learning_rate=1e-3"


class _Mine:
    """A class as people define them, in a notebook."""


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"guide.kind": _Mine}, f"; write '{__name__}:_Mine'"),
        ({"guide.kind": "mine.MyGuide"}, "; did you mean mine:MyGuide?"),
        ({"model.decoder": "a.b.MyDecoder"}, "; did you mean a.b:MyDecoder?"),
        ({"guide.kind": "gru"}, "(str)"),
        ({"guide.kind": 0.5}, "(float)"),
    ],
)
def test_a_class_that_is_named_in_another_way(given: dict[str, Any], told: str) -> None:
    (problem,) = _told(*settings.layers(given))
    assert problem.endswith(told)


def test_a_preset_and_a_mapping_are_resolved_as_functions_take_them() -> None:
    config = settings.resolve(settings.from_preset("tiny"), {"train.steps": 7})
    assert config.train.steps == 7
    assert config.data == settings.resolve(settings.from_preset("tiny")).data
    with pytest.raises(ConfigError, match="from_preset"):
        settings.resolve("tiny")  # type: ignore[arg-type]
